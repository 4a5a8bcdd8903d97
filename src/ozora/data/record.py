"""What do we know about a clip at rest? Its size, its captions, its split, the facts of it, and where it came from.

A record is plain data with a JSON round trip. Media and simulated worlds fill the same record: ``facts`` is
what is true of the clip where that is known, and ``source`` holds all that is needed to make it again.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

STYLES = ("dense", "medium", "short", "tags", "still")


@dataclass(frozen=True)
class Caption:
    """One description. ``style`` is one of ``STYLES``; "still" describes frame 0 alone, as a picture."""

    style: str
    text: str

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise ValueError(f"caption style {self.style!r}; it must be one of {', '.join(STYLES)}")
        if not self.text.strip():
            raise ValueError(f"a {self.style} caption is empty; a caption has at least one word")


@dataclass(frozen=True)
class ObjectFacts:
    """What one object looks like: colour name, shape name, and "small", "medium" or "large"."""

    color: str
    shape: str
    size: str


@dataclass(frozen=True)
class EventFacts:
    """Something that happened: ``kind`` ("fall", "bounce", "hit", ...) at ``seconds``.

    ``subject`` and ``object`` are indices into ``Facts.objects``; -1 where no object takes that part
    (a ball that bounces on the floor has a subject and no object).
    """

    kind: str
    seconds: float
    subject: int = -1
    object: int = -1


@dataclass(frozen=True)
class Facts:
    """What is true of a clip. ``event`` is the one word for what happens ("bounce", "slide", "rest", ...),
    ``camera`` is "static" or motion and direction ("orbit left"), ``events`` are in order of time."""

    objects: tuple[ObjectFacts, ...]
    event: str
    camera: str
    events: tuple[EventFacts, ...] = ()


@dataclass(frozen=True)
class Record:
    """One clip's description. ``id`` is unique in its folder and names the clip's arrays in the shard.

    ``source`` is JSON data; a world's record keeps its scene, seed and simulator version there.
    Raises ``ValueError`` for an id that cannot name an array and for a size that no clip has.
    """

    id: str
    width: int
    height: int
    num_frames: int
    fps: float
    captions: tuple[Caption, ...]
    split: str = "train"
    facts: Facts | None = None
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id or "/" in self.id or self.id.startswith("_"):
            raise ValueError(f"record id {self.id!r}; an id is not empty, has no '/' and does not start with '_'")
        if min(self.width, self.height, self.num_frames) < 1 or not self.fps > 0:
            raise ValueError(
                f"record {self.id}: {self.width}x{self.height}, {self.num_frames} frames at {self.fps} fps; "
                f"each of them must be above 0"
            )

    def text(self, style: str) -> str | None:
        """The first caption of this style, or None."""
        return next((caption.text for caption in self.captions if caption.style == style), None)

    def to_json(self) -> str:
        """One line of JSON; equal records give equal lines."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(line: str) -> "Record":
        """The inverse of ``to_json``. Raises ``ValueError`` where a field is missing, unknown or of no legal value."""
        try:
            data = json.loads(line)
            data["captions"] = tuple(Caption(**caption) for caption in data["captions"])
            if data["facts"] is not None:
                data["facts"] = _facts(data["facts"])
            return Record(**data)
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"not a record: {error} in {line[:80]!r}") from error


def _facts(data: dict[str, Any]) -> Facts:
    objects = tuple(ObjectFacts(**item) for item in data.pop("objects"))
    events = tuple(EventFacts(**item) for item in data.pop("events"))
    return Facts(objects=objects, events=events, **data)
