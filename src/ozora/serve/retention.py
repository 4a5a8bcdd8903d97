"""What is removed, and when? Expired files, what nobody refers to, and rows that have told their story.

The order is always: say so in the database first, then remove the files. A process that dies in between leaves files
that the next sweep removes, never a video that is said to be there and is not.
"""

import contextlib
import logging
import os
import shutil
import stat
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ozora.serve.store import Store

HOUR, DAY = 3600, 86400
UPLOAD_HOURS = 1
"""How long a file that was given may lie about without a job; jobs hold on to their own."""
TOLD_DAYS = 30
"""How long the API goes on telling of a video that failed or expired."""
ATTEMPT_HOURS = 24
"""How long an Idempotency-Key is remembered."""
log = logging.getLogger("ozora.serve")


@dataclass(frozen=True)
class Places:
    """The folders below the data folder. Every video and every character has one to itself, named by its id."""

    data: Path

    @property
    def jobs(self) -> Path:
        return self.data / "jobs"

    @property
    def characters(self) -> Path:
        return self.data / "characters"

    @property
    def uploads(self) -> Path:
        return self.data / "uploads"

    @property
    def workers(self) -> Path:
        return self.data / "workers"

    def make(self) -> None:
        """Make those that are not there."""
        for folder in (self.jobs, self.characters, self.uploads, self.workers):
            folder.mkdir(parents=True, exist_ok=True)

    def file(self, name: str) -> Path:
        """A file by its name relative to the data folder. Raises ``ValueError`` for one that is not below it."""
        path = (self.data / name).resolve()
        if not path.is_relative_to(self.data.resolve()):
            raise ValueError(f"{name!r} is not below the data folder")
        return path


def sweep(store: Store, places: Places, living: Collection[str], max_bytes: int, now: int | None = None) -> bool:
    """Remove what is due, and say whether the files are still more than ``max_bytes`` afterwards.

    Videos whose worker is among the ``living`` are its own to clean up.
    """
    moment = int(time.time()) if now is None else now
    for video in store.finished(until=moment):
        _expire(store, places, video.id, moment)
    used = disk_bytes(places)
    for video in store.finished() if used > max_bytes else ():
        log.warning("%s expires early: files take %d bytes, %d are allowed", video.id, used, max_bytes)
        _expire(store, places, video.id, moment)
        used = disk_bytes(places)
        if used <= max_bytes:
            break
    for video in store.over(before=moment - TOLD_DAYS * DAY):
        if video.worker is None or video.worker not in living:
            remove(places.jobs / video.id)
            store.forget(video.id)
    _remove_orphans(store, places, living, moment)
    store.forget_attempts(moment - ATTEMPT_HOURS * HOUR)
    return used > max_bytes


def disk_bytes(places: Places) -> int:
    """Bytes of everybody's files; one that has two names counts once."""
    seen: dict[tuple[int, int], int] = {}
    for folder in (places.jobs, places.characters, places.uploads):
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):
                status = path.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    seen[status.st_dev, status.st_ino] = status.st_size
    return sum(seen.values())


def remove(folder: Path) -> None:
    """Remove a folder and all that is in it; what is gone already is fine."""
    shutil.rmtree(folder, ignore_errors=True)


def keep_only(folder: Path, names: Collection[str]) -> None:
    """Remove all files of a folder but these."""
    with contextlib.suppress(FileNotFoundError):
        for path in folder.iterdir():
            if path.name not in names and not path.is_dir():
                path.unlink(missing_ok=True)


def hold(source: Path, target: Path) -> None:
    """Give a file a second name, so that removing the first does not matter; a copy where there can be no link.

    Raises ``FileNotFoundError`` where the source is gone.
    """
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def _expire(store: Store, places: Places, video_id: str, now: int) -> None:
    if store.expire(video_id, now):
        remove(places.jobs / video_id)


def _remove_orphans(store: Store, places: Places, living: Collection[str], now: int) -> None:
    # The folders first: a folder that is made after the rows were read is not among them.
    folders = [*places.jobs.iterdir()]
    characters = [*places.characters.iterdir()]
    states, names = store.states(), store.character_ids()
    for folder in folders:
        state, worker = states.get(folder.name, (None, None))
        is_left = state in ("failed", "expired") and worker not in living
        if is_left or (state is None and _age(folder, now) > UPLOAD_HOURS * HOUR):
            remove(folder)
    for folder in characters:
        if folder.name not in names and _age(folder, now) > UPLOAD_HOURS * HOUR:
            remove(folder)
    for path in places.uploads.iterdir():
        if _age(path, now) > UPLOAD_HOURS * HOUR:
            path.unlink(missing_ok=True) if not path.is_dir() else remove(path)


def _age(path: Path, now: int) -> float:
    with contextlib.suppress(FileNotFoundError):
        return now - path.stat(follow_symlinks=False).st_mtime
    return 0.0
