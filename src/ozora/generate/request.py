"""What can be asked for? One clip, as a value that a file can carry."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ozora.canvas import Canvas
from ozora.flow.sampler import SAMPLERS, Sampler
from ozora.generate.tasks import Task, as_task

MAX_STEPS = 1000
MAX_GUIDANCE = 100.0


@dataclass(frozen=True)
class Request:
    """One clip asked for. None leaves a value to the model, and ``Generator.resolve`` fills it in.

    ``size`` is (width, height) in pixels; ``guidance`` 1 is none. ``canvas`` holds what is known, bare or as a ``Task``
    with the pixels that stay; it decides size, duration and rate. ``script`` holds (second, text): ``prompt`` holds
    until the first of them, each until the next; seconds count from the canvas's beginning. All but the canvas goes
    through ``settings`` and back through ``from_settings``. Raises ``ValueError`` for what no model can follow.
    """

    prompt: str
    size: tuple[int, int] | None = None
    seconds: float | None = None
    fps: float | None = None
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    negative: str = ""
    sampler: Sampler | None = None
    canvas: Canvas | Task | None = None
    script: tuple[tuple[float, str], ...] = ()

    def __post_init__(self) -> None:
        if type(self.seed) is not int or not 0 <= self.seed < 2**63:
            raise ValueError(f"seed is {self.seed!r}; it must be a whole number from 0 to {2**63 - 1}")
        if self.steps is not None and (type(self.steps) is not int or not 1 <= self.steps <= MAX_STEPS):
            raise ValueError(
                f"steps is {self.steps!r}; it must be a whole number from 1 to {MAX_STEPS}, 30 for instance"
            )
        if self.guidance is not None and not 0 <= self.guidance <= MAX_GUIDANCE:
            raise ValueError(f"guidance is {self.guidance}; it must be from 0 to {MAX_GUIDANCE:g}, 3 for instance")
        if self.sampler not in (None, *SAMPLERS):
            raise ValueError(f"sampler is {self.sampler!r}; it must be one of {', '.join(SAMPLERS)}")
        before = 0.0
        for line in self.script:
            second = line[0]
            if not (math.isfinite(second) and second > before):
                rule = "the prompt holds from 0 on" if before == 0 else f"the one before it starts at {before:g}"
                raise ValueError(
                    f"the script's line {line[1]!r} starts at second {second}; {rule}, so it must be later"
                )
            before = second

    @property
    def is_guided(self) -> bool:
        """Whether guidance would change anything."""
        return self.guidance != 1 and any(text != self.negative for text in self.texts)

    @property
    def is_known_in_part(self) -> bool:
        """Whether some of its pixels are given, but not quite: what an edit, or a bridge between clips, begins with."""
        return self.canvas is not None and bool(as_task(self.canvas).canvas.known.frac().any())

    @property
    def texts(self) -> tuple[str, ...]:
        """The prompt and the script's."""
        return self.prompt, *(text for _, text in self.script)

    def settings(self) -> dict[str, Any]:
        """The request in JSON's types, the size as "64x48". The canvas, no script, and what is None are left out."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "canvas"}
        if self.size is not None:
            values["size"] = f"{self.size[0]}x{self.size[1]}"
        values["script"] = [list(line) for line in self.script] or None
        return {name: value for name, value in values.items() if value is not None}

    @staticmethod
    def from_settings(settings: Mapping[str, Any]) -> "Request":
        """The inverse of ``settings``; what else a file says of itself is passed over."""
        names = {field.name for field in fields(Request)} - {"canvas"}
        values = {name: value for name, value in settings.items() if name in names}
        if "prompt" not in values:
            raise ValueError("the settings name no prompt; they are not those of a clip that Ozora made")
        if "size" in values:
            width, _, height = str(values["size"]).partition("x")
            if not (width.isdecimal() and height.isdecimal()):
                raise ValueError(f"size is {values['size']!r}; it must be width x height, 64x64 for instance")
            values["size"] = int(width), int(height)
        if "script" in values:
            values["script"] = tuple(_line(line) for line in values["script"] or ())
        return Request(**values)


def _line(line: Any) -> tuple[float, str]:
    """One line of a script as JSON holds it: [second, text]."""
    if isinstance(line, list | tuple) and len(line) == 2 and isinstance(line[1], str) and type(line[0]) in (int, float):
        return float(line[0]), line[1]
    raise ValueError(f"a line of the script is {line!r}; it must be [second, text], [2.5, 'it stops'] for instance")
