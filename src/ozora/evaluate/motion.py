"""What moves in a clip, how fast, and how much does one frame differ from the next?

Objects are followed by color (the worlds never show two of one color); change is measured on pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8

from ozora.evaluate.track import Track, find_tracks

NOISE = 10
"""Of 255: a pixel whose channels all change by less has not changed. Reconstruction shimmers by about half of it."""

Frames = UInt8[np.ndarray, "_t h w 3"]
"""Of any length: two clips in one signature need not be equally long."""


@dataclass(frozen=True, eq=False)
class Paths:
    """Where objects of some colors are: mean y and x in pixels, NaN where not seen, and radii as of discs.

    ``found`` counts the objects of each color; of two the larger one is followed.
    """

    centers: Float[np.ndarray, "t k 2"]
    radii: Float[np.ndarray, " k"]
    found: tuple[int, ...]


def find_paths(frames: Frames, colors: Sequence[str]) -> Paths:
    """The paths of objects of these colors, in this order."""
    return paths_of(find_tracks(frames)[0], len(frames), colors)


def paths_of(tracks: Sequence[Track], num_frames: int, colors: Sequence[str]) -> Paths:
    """The paths of objects of these colors among tracks, in this order."""
    centers, radii, found = np.full((num_frames, len(colors), 2), np.nan), np.zeros(len(colors)), []
    for k, color in enumerate(colors):
        own = [track for track in tracks if track.color == color]
        found.append(len(own))
        if own:
            for t in own[0].frames:
                centers[t, k] = own[0].center(t)
            radii[k] = radius(own[0])
    return Paths(centers, radii, tuple(found))


def radius(track: Track) -> float:
    """Pixels: the radius of a disc of the track's median area."""
    return float(np.sqrt(np.median([track.area(t) for t in track.frames]) / np.pi))


def travel(centers: Float[np.ndarray, "t k 2"]) -> Float[np.ndarray, " k"]:
    """The largest distance between two places of each object, in pixels; 0 for what is seen in no frame."""
    distance = np.linalg.norm(centers[:, None] - centers[None], axis=3)
    return np.nan_to_num(distance, nan=0.0).max(axis=(0, 1))


def velocity(centers: Float[np.ndarray, "t k 2"], start: int, stop: int) -> Float[np.ndarray, "k 2"]:
    """Pixels per frame from frame ``start`` to frame ``stop``; NaN for what is not seen in both."""
    return (centers[stop] - centers[start]) / (stop - start)


def change(first: UInt8[np.ndarray, "h w 3"], second: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """The largest change of a channel at every pixel, of 255; changes below ``NOISE`` are none."""
    largest = np.abs(first.astype(np.int16) - second.astype(np.int16)).max(axis=2).astype(np.float64)
    return np.where(largest < NOISE, 0.0, largest)


def steps(frames: Frames, where: Bool[np.ndarray, "h w"] | None = None) -> Float[np.ndarray, " t1"]:
    """How much each frame changes into the next: the mean of ``change`` (``where`` it is true), of 255."""
    pairs = [change(one, two) for one, two in pairwise(frames)]
    return np.array([pair.mean() if where is None else pair[where].mean() if where.any() else 0.0 for pair in pairs])


def moving_region(frames: Frames) -> Bool[np.ndarray, "h w"]:
    """Where frames change, and as far around it as the fastest object gets in one more frame."""
    changed = np.any([change(one, two) > 0 for one, two in pairwise(frames)], axis=0)
    tracks = find_tracks(frames)[0]
    reach = 2.0
    for track in tracks:
        places = [np.array(track.center(t)) for t in track.frames]
        reach = max([reach, *(2 + float(np.hypot(*(b - a))) for a, b in pairwise(places))])
    return dilated(changed, min(int(np.ceil(reach)), min(changed.shape) // 4))


def dilated(mask: Bool[np.ndarray, "h w"], by: int) -> Bool[np.ndarray, "h w"]:
    """The mask and all within a square of ``by`` pixels around it."""
    grown = F.max_pool2d(torch.from_numpy(mask)[None, None].float(), 2 * by + 1, stride=1, padding=by)
    return grown[0, 0].numpy() > 0


def sharpness(frames: Frames) -> Float[np.ndarray, " t"]:
    """The mean square of the difference between neighboring pixels' brightness, of each frame.

    It halves where two clips are blended, and falls with every blur.
    """
    luma = frames.astype(np.float64).mean(axis=3)
    return np.square(np.diff(luma, axis=1)).mean(axis=(1, 2)) + np.square(np.diff(luma, axis=2)).mean(axis=(1, 2))
