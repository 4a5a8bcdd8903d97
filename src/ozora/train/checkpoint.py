"""How does training survive a kill? Everything that decides the next step, in one file, written whole or not at all."""

import os
import re
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

_NAME = re.compile(r"step-(\d{8})(-stable)?\.pt")


def save_checkpoint(folder: Path, step: int, state: Mapping[str, Any], keep: int = 2, stable: bool = False) -> Path:
    """Write ``step-00001234.pt`` (step 1234) and then delete all but the newest ``keep``.

    ``state`` holds tensors, numbers, strings, lists and dictionaries only, so that reading it runs no code.
    A ``stable`` checkpoint (from before the learning rate decays) is never deleted: a longer run starts there.
    The states of the random number generators are added. A failed write leaves no partial file; raises ``OSError``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:08d}{'-stable' if stable else ''}.pt"
    part = folder / f".{path.name}.{os.getpid()}.part"
    try:
        with part.open("wb") as file:
            torch.save({"step": step, "random": _random_states(), **state}, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        # torch reports a full disk as a RuntimeError of its zip writer.
        raise OSError(f"{path}: checkpoint not written ({error}); the one before it is untouched") from error
    for _, old in [entry for entry in _checkpoints(folder) if "-stable" not in entry[1].name][:-keep]:
        old.unlink(missing_ok=True)
    return path


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the most steps, or none."""
    found = _checkpoints(folder)
    return found[-1][1] if found else None


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what ``save_checkpoint`` wrote, to the CPU, and restore the random number generators.

    Raises ``ValueError`` for a file that is truncated or no checkpoint.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        random = state["random"]
    except Exception as error:
        raise ValueError(
            f"{path}: no readable checkpoint ({type(error).__name__}); delete it and the one before it is used"
        ) from error
    torch.set_rng_state(random["torch"])
    if torch.cuda.is_available() and random["cuda"]:
        torch.cuda.set_rng_state_all(random["cuda"])
    return state


def _random_states() -> dict[str, Any]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"torch": torch.get_rng_state(), "cuda": cuda}


def _checkpoints(folder: Path) -> list[tuple[int, Path]]:
    if not folder.is_dir():
        return []
    matches = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    return sorted((int(match[1]), path) for match, path in matches if match)


class Interruption:
    """Inside the ``with``, Ctrl-C and SIGTERM ask the loop to save and stop instead of killing it.

    ``asked`` tells; a second Ctrl-C kills at once. In a thread that is not the main one nothing is caught.
    """

    def __init__(self) -> None:
        self.asked = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _: object) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True
