"""Which worker is this, and which live? A name that is locked here, and a heartbeat that others watch."""

import fcntl
import os
import re
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from ozora.serve.settings import ServeSettings

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def worker_name(settings: ServeSettings) -> str:
    """What a worker is called, now and at its next start. Raises ``ValueError`` for what is no file name."""
    name = settings.worker or ("local" if settings.database is None else socket.gethostname())
    if not NAME.fullmatch(name):
        raise ValueError(f"worker is {name!r}; it must be letters, digits, '.', '_' and '-', worker-1 for instance")
    return name


def lock_worker(folder: Path, name: str) -> int:
    """Take a worker's name until the process ends or the descriptor is closed. ``RuntimeError`` if it is taken."""
    descriptor = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise RuntimeError(
            f"a server named {name!r} works in {folder.parent} already; stop it, or give this one another data folder, "
            "or another worker name and a PostgreSQL database that both share"
        ) from error
    return descriptor


class Pulse:
    """Which workers live? Those whose last sign of life has changed within ``patience`` seconds of our own clock.

    Other machines' clocks are not believed. One that is seen for the first time has just changed.
    """

    def __init__(self, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience, self._clock = patience, clock
        self._seen: dict[str, tuple[int, float]] = {}

    def living(self, beats: Mapping[str, int]) -> set[str]:
        """The living, by the last sign of life of every worker."""
        now, before = self._clock(), self._seen
        self._seen = {
            name: before[name] if name in before and before[name][0] == beat else (beat, now)
            for name, beat in beats.items()
        }
        return {name for name, (_, moment) in self._seen.items() if now - moment < self._patience}
