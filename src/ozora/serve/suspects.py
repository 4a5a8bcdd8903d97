"""Which job did the renderer die of? Suspects are rendered alone, and one that it dies of again and again is guilty.

The record lies in the job's folder, so that it outlives the server too.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from ozora.serve.whole import write_whole

MAX_DEATHS = 5
"""Whatever the renderer dies of so often, alone and without getting further, fails wherever it dies."""

Point = tuple[int, int, int]
"""How far a job is: stage, step, frames written."""


@dataclass(frozen=True)
class Deaths:
    """With a job that is ``suspect`` the renderer died, so it is rendered alone.

    ``alone`` are the points at which it died so, in order, since it last got further than before.
    """

    suspect: bool = False
    alone: tuple[Point, ...] = ()

    def after(self, point: Point, num_jobs: int) -> "Deaths":
        """The record once the process has died at ``point`` of this job, at work on ``num_jobs`` in all."""
        if num_jobs > 1:
            return Deaths(True, self.alone)
        in_vain = self.alone and point <= max(self.alone)
        return Deaths(True, (*self.alone, point) if in_vain else (point,))

    @property
    def is_guilty(self) -> bool:
        """Whether it died alone twice at one point, which chance does not do, or ``MAX_DEATHS`` times in vain."""
        return len(set(self.alone)) < len(self.alone) or len(self.alone) >= MAX_DEATHS


def read_deaths(folder: Path) -> Deaths:
    """The record of a job; an empty one where there is none."""
    try:
        values = json.loads((folder / "deaths.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Deaths()
    return Deaths(values["suspect"], tuple((stage, step, frames) for stage, step, frames in values["alone"]))


def write_deaths(folder: Path, deaths: Deaths) -> None:
    data = json.dumps({"suspect": deaths.suspect, "alone": deaths.alone}).encode()
    write_whole(folder / "deaths.json", data)
