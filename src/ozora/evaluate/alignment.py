"""Does a clip show what was asked for? Objects, colours, shapes, event and camera, read from frames alone."""

from collections import Counter
from dataclasses import dataclass

import torch

from ozora.clip import Clip
from ozora.data.record import Facts
from ozora.evaluate.reader import CAMERAS, SHAPES, load_reader, scene_pixels, shape_crops, track_values
from ozora.evaluate.track import Track, find_tracks

# What a clip can be read as: the main events of the worlds, as ``Facts.event`` words them, and "unclear" for frames in
# disorder. Words whose difference frames do not show are one class.
UNCLEAR = "unclear"
EVENTS = (
    *("fall", "roll", "slide", "hit", "swing", "rest", "hide"),
    *("break", "vanish", "mark", "topple", "descend", "ride", "orbit", "enter"),
    UNCLEAR,
)
SAME_EVENT: dict[str, str] = {}

PARTS = ("count", "colors", "shapes", "binding", "event", "camera")


@dataclass(frozen=True)
class SeenObject:
    """One object as it was read."""

    color: str
    shape: str
    track: Track


@dataclass(frozen=True)
class Reading:
    """What frames alone say. ``event`` and ``camera`` are None for a picture, in which nothing can happen."""

    objects: tuple[SeenObject, ...]
    event: str | None
    camera: str | None


@dataclass(frozen=True)
class Score:
    """Which parts of the facts a clip shows.

    ``colors`` and ``shapes`` compare all objects without regard to which is which; ``binding`` asks for the right
    shape in the right colour. A part is None where it cannot be judged: event and camera of a picture, or what the
    facts leave open ("").
    """

    count: bool
    colors: bool
    shapes: bool
    binding: bool
    event: bool | None
    camera: bool | None

    @property
    def all(self) -> bool:
        """Every part that can be judged is right."""
        return all(getattr(self, part) is not False for part in PARTS)


def event_class(event: str) -> str:
    """The class in ``EVENTS`` of a fact's event word. Raises ``ValueError`` for an unknown word."""
    name = SAME_EVENT.get(event, event)
    if name not in EVENTS:
        raise ValueError(f"event {event!r} is not one of {', '.join(sorted({*EVENTS, *SAME_EVENT}))}")
    return name


@torch.no_grad()
def read(clip: Clip) -> Reading:
    """Read a clip of any size and length; the same frames give the same reading."""
    reader = load_reader(len(EVENTS))
    tracks, labels = find_tracks(clip.frames)
    objects = []
    if tracks:
        crops = torch.stack([shape_crops(clip.frames, labels, track) for track in tracks])
        shapes = reader.shape(crops).argmax(dim=1).tolist()
        objects = [SeenObject(track.color, SHAPES[shape], track) for track, shape in zip(tracks, shapes, strict=True)]
    if clip.num_frames == 1:
        return Reading(tuple(objects), None, None)
    scene = scene_pixels(clip.frames, labels)
    values = track_values(tracks, clip.num_frames, clip.height, clip.width)
    event, camera = reader.motion(scene.flatten(0, 1)[None], values[None])
    return Reading(tuple(objects), EVENTS[int(event.argmax())], CAMERAS[int(camera.argmax())])


def compare(reading: Reading, facts: Facts) -> Score:
    """Which parts of ``facts`` agree with what was read."""
    seen, asked = reading.objects, facts.objects
    return Score(
        count=len(seen) == len(asked),
        colors=Counter(item.color for item in seen) == Counter(item.color for item in asked),
        shapes=Counter(item.shape for item in seen) == Counter(item.shape for item in asked),
        binding=Counter((item.color, item.shape) for item in seen)
        == Counter((item.color, item.shape) for item in asked),
        event=reading.event == event_class(facts.event) if reading.event and facts.event else None,
        camera=reading.camera == facts.camera if reading.camera and facts.camera else None,
    )


def score(clip: Clip, facts: Facts) -> Score:
    """``compare(read(clip), facts)``."""
    return compare(read(clip), facts)
