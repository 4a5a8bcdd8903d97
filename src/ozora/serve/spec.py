"""What does a job have to render? One frozen value, stored with the job as JSON: all that a renderer needs."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

TaskName = Literal["text", "animate", "edit", "extend"]


@dataclass(frozen=True)
class Media:
    """A picture or clip that a caller gave, checked and named by the server.

    ``file`` is relative to the data folder, never a client's name. ``num_frames`` is 1 for a picture; ``fps`` is frames
    per second. ``video_id`` names the finished video that it is, where it is one.
    """

    file: str
    sha256: str
    width: int
    height: int
    num_frames: int
    fps: float
    video_id: str | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.width, self.height

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return self.num_frames / self.fps


@dataclass(frozen=True)
class VideoSpec:
    """One video to render. What is None is the model's to choose.

    ``size`` (width, height) and ``fps`` are those of the delivered file; ``render_size`` is what is drawn and then
    scaled to ``size``: it is None until the job is admitted. ``seconds`` is what is to be made: of an extension, the
    new part alone. ``source`` is the first frame of "animate", fitted by cropping, and the clip of "edit" and "extend".
    ``strength`` in [0, 1] is how much an edit may change. ``script`` holds (start second, text) of prompts that take
    over later. A ``loop`` ends where it began, within its seconds. ``model`` is the name that the caller used.
    """

    prompt: str
    size: tuple[int, int]
    seconds: float
    task: TaskName = "text"
    model: str = "sora-2"
    fps: float | None = None
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    negative: str = ""
    strength: float | None = None
    loop: bool = False
    script: tuple[tuple[float, str], ...] = ()
    strict_size: bool = False
    source: Media | None = None
    remixed_from: str | None = None
    render_size: tuple[int, int] | None = None

    @property
    def delivered_seconds(self) -> float:
        """How long the delivered file plays: an extension is joined to its source."""
        return self.seconds + (self.source.seconds if self.task == "extend" and self.source else 0.0)

    def to_json(self) -> dict[str, Any]:
        """The spec in JSON's types; ``from_json`` is the inverse."""
        return asdict(self) | {
            "size": list(self.size),
            "script": [list(line) for line in self.script],
            "render_size": None if self.render_size is None else list(self.render_size),
        }

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "VideoSpec":
        """The inverse of ``to_json``. Names that are not known are passed over, so other versions' jobs can be read."""
        shaped: dict[str, Callable[[Any], Any]] = {
            **dict.fromkeys(("seconds", "fps", "guidance", "strength"), float),
            **dict.fromkeys(("size", "render_size"), tuple),
            "script": lambda lines: tuple((float(start), text) for start, text in lines),
            "source": lambda media: Media(**media | {"fps": float(media["fps"])}),
        }
        known: dict[str, Any] = {field.name: values[field.name] for field in fields(VideoSpec) if field.name in values}
        for name, shape in shaped.items():
            if known.get(name) is not None:
                known[name] = shape(known[name])
        return VideoSpec(**known)


def largest_size(
    size: tuple[int, int], multiple: int, is_affordable: Callable[[tuple[int, int]], bool]
) -> tuple[int, int] | None:
    """The largest size of ``size``'s aspect that can be drawn: sides are multiples of ``multiple``, none above its own.

    Candidates go down from the short side's every multiple, with the long side rounded to the aspect. None where not
    even the smallest is affordable.
    """
    short, long = sorted(size)
    for side in range(max(short // multiple, 1) * multiple, 0, -multiple):
        other = max(min(round(side * long / short / multiple), math.ceil(long / multiple)), 1) * multiple
        drawn = (side, other) if size[0] <= size[1] else (other, side)
        if is_affordable(drawn):
            return drawn
    return None
