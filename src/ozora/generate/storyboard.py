"""What happens when? A storyboard is a small text file of shots on a timeline, each with its own words.

    size = "64x64"          # optional, as is fps

    [[shot]]
    seconds = 2
    prompt = "a red ball rolls to the right on a grey floor"
    picture = "ball.png"    # optional: the shot begins with it

    [[shot]]
    start = 2.0             # optional: else it begins where the one before ends
    seconds = 3
    prompt = "a blue ball rolls to the right on a grey floor"
    clip = "blue.mp4"       # optional: the shot begins with it

Files are looked for beside the storyboard. Words hold until the next shot begins.
"""

import math
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ozora.geometry import MAX_SECONDS

MAX_SHOTS = 256
MAX_BYTES = 2**20
EXAMPLE = 'a shot reads: [[shot]], seconds = 2, prompt = "a red ball rolls to the right"'
KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("start", "seconds"), (int, float)),
    **dict.fromkeys(("prompt", "picture", "clip"), (str,)),
}


@dataclass(frozen=True)
class Shot:
    """What is said of ``start`` to ``start + seconds``; ``pixels`` is the picture or clip that it begins with."""

    prompt: str
    start: float
    seconds: float
    pixels: Path | None = None


@dataclass(frozen=True)
class Storyboard:
    """Shots in order, the first at 0 s, none begun before the one before it ends. ``size`` is as written, "64x64"."""

    shots: tuple[Shot, ...]
    size: str | None = None
    fps: float | None = None

    @property
    def seconds(self) -> float:
        """When the last shot ends."""
        return self.shots[-1].start + self.shots[-1].seconds


def read_storyboard(path: str | os.PathLike[str]) -> Storyboard:
    """Read the file; ``ValueError`` says which line or shot is wrong, and how it should be."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be opened: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise ValueError(f"{path} has more than {MAX_BYTES} bytes; a storyboard is a short text, and {EXAMPLE}")
    try:
        text = data.decode("utf-8")
        values = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}: no text in UTF-8; a storyboard is a text file, and {EXAMPLE}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: {error}; {EXAMPLE}") from error
    return parse_storyboard(values, path.parent, str(path))


def parse_storyboard(values: dict[str, Any], folder: Path, name: str = "the storyboard") -> Storyboard:
    """A storyboard from what TOML made of it; relative files lie in ``folder``, errors begin with ``name``."""
    unknown = sorted(values.keys() - {"size", "fps", "shot"})
    if unknown:
        raise ValueError(f"{name}: {unknown[0]!r} is unknown; beside [[shot]] there are size and fps")
    tables = values.get("shot")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise ValueError(f"{name}: it holds no shots; {EXAMPLE}")
    if len(tables) > MAX_SHOTS:
        raise ValueError(f"{name}: {len(tables)} shots; at most {MAX_SHOTS} are read")
    size, fps = values.get("size"), values.get("fps")
    if size is not None and not isinstance(size, str):
        raise ValueError(f'{name}: size is {size!r}; write it in quotes, "64x64"')
    if fps is not None and (type(fps) not in (int, float) or not fps > 0):
        raise ValueError(f"{name}: fps is {fps!r}; it must be a number above 0, 8 for instance")
    shots: list[Shot] = []
    for number, table in enumerate(tables, 1):
        following = tables[number].get("start") if number < len(tables) else None
        shots.append(_shot(table, shots[-1] if shots else None, following, folder, f"{name}, shot {number}"))
    return Storyboard(tuple(shots), size, None if fps is None else float(fps))


def _shot(table: dict[str, Any], before: Shot | None, following: Any, folder: Path, where: str) -> Shot:
    for key, value in table.items():
        if key not in KINDS:
            raise ValueError(f"{where}: {key!r} is unknown; a shot has {', '.join(KINDS)}")
        if type(value) not in KINDS[key] or (type(value) is float and not math.isfinite(value)):
            raise ValueError(
                f"{where}: {key} is {value!r}; it must be {'text' if KINDS[key] == (str,) else 'a number'}"
            )
    prompt = table.get("prompt", "")
    if not prompt.strip():
        raise ValueError(f"{where}: it has no prompt; {EXAMPLE}")
    free = 0.0 if before is None else before.start + before.seconds
    start = float(table.get("start", free))
    if before is None and start != 0:
        raise ValueError(f"{where}: start is {start:g}; the first shot starts at 0")
    if start < free - 1e-6:
        raise ValueError(f"{where}: start is {start:g}, but the shot before it lasts until {free:g} s")
    seconds = table.get("seconds")
    if seconds is None and type(following) in (int, float):
        seconds = following - start
    if seconds is None:
        raise ValueError(f"{where}: it has no seconds; say how long it lasts, seconds = 2 for instance")
    if not (seconds > 0 and start + seconds <= MAX_SECONDS):
        raise ValueError(
            f"{where}: it lasts from {start:g} to {start + seconds:g} s; a shot lasts more than 0 seconds, "
            f"and a storyboard at most {MAX_SECONDS:g}"
        )
    if "picture" in table and "clip" in table:
        raise ValueError(f"{where}: it has a picture and a clip; a shot begins with one of them")
    file = table.get("picture", table.get("clip"))
    return Shot(prompt, start, float(seconds), None if file is None else folder / file)
