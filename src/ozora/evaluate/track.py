"""Which objects does a clip show, and where is each of them in every frame? Blobs joined over time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, UInt8

from ozora.evaluate.segment import HUES, Blob, blobs, color_index

# A colour is an object's only if it is seen in this part of the frames (and in two at least, if there are two) ...
MIN_PRESENCE = 0.15
# ... and once covers this part of the frame, edges not counted: less is a fringe between two things.
MIN_PEAK_AREA = 0.003
# Of one colour, a blob counts as an object of its own from this part of the colour's largest blob.
MIN_SIBLING = 0.4
# Two objects of one colour must be seen apart in this part of the frames that show the colour, and already in the first
# quarter of them: what comes apart later is pieces of one.
APART = 0.35
# Where two colours meet, a blurred edge takes a third, between them in hue. A colour is such an edge if it is brief
# (seen in less than BRIEF of the frames) or small (its peak below SMALL of the other's), and hardly ever seen without
# touching the other, whose hue is at most NEAR_HUE degrees away.
BRIEF = 0.65
SMALL = 0.4
TOUCHING = 0.8
NEAR_HUE = 75.0


@dataclass(frozen=True)
class Track:
    """One object over time: for every frame the blobs that are its visible parts (none where it is not seen)."""

    color: str
    parts: tuple[tuple[Blob, ...], ...]

    @property
    def frames(self) -> tuple[int, ...]:
        """Frames in which the object is seen."""
        return tuple(frame for frame, parts in enumerate(self.parts) if parts)

    @property
    def peak(self) -> int:
        """Most pixels in a frame, edges not counted."""
        return max(sum(part.inner for part in parts) for parts in self.parts)

    def area(self, frame: int) -> int:
        """Visible pixels; 0 where it is not seen."""
        return sum(part.area for part in self.parts[frame])

    def center(self, frame: int) -> tuple[float, float]:
        """Mean y and x of the visible pixels."""
        weights = [part.area for part in self.parts[frame]]
        y, x = (np.average([part.center[axis] for part in self.parts[frame]], weights=weights) for axis in range(2))
        return float(y), float(x)

    def box(self, frame: int) -> tuple[int, int, int, int]:
        """Top, left, bottom, right (exclusive) around all visible parts."""
        boxes = [part.box for part in self.parts[frame]]
        top, left = (min(box[side] for box in boxes) for side in (0, 1))
        bottom, right = (max(box[side] for box in boxes) for side in (2, 3))
        return top, left, bottom, right


def find_tracks(frames: UInt8[np.ndarray, "t h w 3"]) -> tuple[list[Track], Int[np.ndarray, "t h w"]]:
    """The objects of a clip, by colour, and the map of blob labels (-1: none) that their blobs refer to."""
    num_frames, height, width = frames.shape[:3]
    found, labels = blobs(color_index(frames))
    by_color: dict[str, list[list[Blob]]] = {}
    for blob in found:
        by_color.setdefault(blob.color, [[] for _ in range(num_frames)])[blob.frame].append(blob)
    tracks: list[Track] = []
    for color, per_frame in by_color.items():
        seen = sum(map(bool, per_frame))
        peak = max(sum(blob.inner for blob in row) for row in per_frame) / (height * width)
        if seen >= max(min(2, num_frames), MIN_PRESENCE * num_frames) and peak >= MIN_PEAK_AREA:
            tracks.extend(_join(color, per_frame))
    tracks = [track for track in tracks if not any(_is_edge(track, other, labels) for other in tracks)]
    return sorted(tracks, key=lambda track: -sum(map(track.area, track.frames))), labels


def _is_edge(track: Track, other: Track, labels: Int[np.ndarray, "t h w"]) -> bool:
    """Whether ``track`` is no object but the blurred edge of ``other``."""
    apart = abs(HUES[track.color] - HUES[other.color])
    if track.color == other.color or track.peak >= other.peak or min(apart, 360 - apart) > NEAR_HUE:
        return False
    if len(track.frames) >= BRIEF * len(labels) and track.peak >= SMALL * other.peak:
        return False
    touches = [_touch(labels[frame], track.parts[frame], other.parts[frame]) for frame in track.frames]
    return sum(touches) >= TOUCHING * len(touches)


def _touch(labels: Int[np.ndarray, "h w"], parts: Sequence[Blob], others: Sequence[Blob]) -> bool:
    """Whether some pixels of the two are at most two apart, in the eight directions."""
    own, far = (np.isin(labels, [blob.label for blob in group]) for group in (parts, others))
    near = np.zeros_like(own)
    ys, xs = np.nonzero(own)
    for y in range(-2, 3):
        for x in range(-2, 3):
            near[(ys + y).clip(0, len(labels) - 1), (xs + x).clip(0, labels.shape[1] - 1)] = True
    return bool((near & far).any())


def _join(color: str, per_frame: Sequence[Sequence[Blob]]) -> list[Track]:
    """Split the blobs of one colour into as many tracks as are seen at once, by nearest centres."""
    largest = max(blob.area for row in per_frame for blob in row)
    counts = [sum(blob.area >= MIN_SIBLING * largest for blob in row) for row in per_frame if row]
    early = max(counts[: max(1, len(counts) // 4)])
    number = max(1, min(early, int(np.quantile(counts, 1 - APART, method="lower"))))
    if number == 1:
        return [Track(color, tuple(tuple(row) for row in per_frame))]
    start = next(frame for frame, row in enumerate(per_frame) if len(row) >= number)
    parts: list[list[tuple[Blob, ...]]] = [[()] * len(per_frame) for _ in range(number)]
    forward, backward = range(start, len(per_frame)), range(start - 1, -1, -1)
    for frames in (forward, backward):
        last: list[tuple[float, float]] = [blob.center for blob in per_frame[start][:number]]
        for frame in frames:
            for blob in per_frame[frame][:number]:
                free = [i for i in range(number) if not parts[i][frame]]
                nearest = min(free, key=lambda i: np.hypot(*np.subtract(last[i], blob.center)))
                parts[nearest][frame] = (blob,)
                last[nearest] = blob.center
    return [Track(color, tuple(rows)) for rows in parts]
