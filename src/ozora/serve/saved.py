"""What of a render lies in its job's folder? States to go on from, and the outcome.

state-0.safetensors    where the walk of the first stage stood when it was last saved; state-1: of the second
outcome.json           how it ended, written when the three files are whole
lock                   held by the process that renders it
"""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ozora.serve.messages import Outcome
from ozora.serve.whole import write_whole


def read_outcome(folder: Path) -> Outcome | None:
    """How an earlier process ended the job; None where it did not, or where a file is gone."""
    try:
        outcome = Outcome.from_json(json.loads((folder / "outcome.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    return outcome if all((folder / name).is_file() for name in outcome.files.values()) else None


def write_outcome(folder: Path, outcome: Outcome) -> None:
    write_whole(folder / "outcome.json", json.dumps(outcome.to_json()).encode())


def read_state(folder: Path, stage: int) -> dict[str, Tensor] | None:
    """What ``write_state`` wrote; None where nothing or nothing whole is there, and the stage begins anew."""
    try:
        return load(_state_file(folder, stage).read_bytes())
    except (OSError, SafetensorError):
        return None


def write_state(folder: Path, stage: int, state: Mapping[str, Tensor]) -> None:
    write_whole(_state_file(folder, stage), save(dict(state)))


def remove_states(folder: Path) -> None:
    for path in folder.glob("state-*.safetensors"):
        path.unlink(missing_ok=True)


def remove_partial_files(folder: Path) -> None:
    """Remove what a process left that died while it wrote."""
    for pattern in (".*.partial", ".*.npy"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def try_lock(folder: Path) -> int | None:
    """A descriptor that holds the folder until it is closed or the process ends; None while another has it."""
    lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _state_file(folder: Path, stage: int) -> Path:
    return folder / f"state-{stage}.safetensors"
