"""Where is each color in every frame, how large is it, and how far are two colors from each other?

The worlds never show two objects of one color, so a color is an object, whole or in pieces.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from ozora.evaluate.motion import Frames
from ozora.evaluate.segment import COLORS, blobs, color_index


@dataclass(frozen=True, eq=False)
class Region:
    """One color over time. ``mask`` is all that is seen of it but specks; the rest is of its largest patch.

    ``centers`` are mean y and x, ``bottoms`` the lowest row; both NaN where there is none, and ``areas`` is 0 there.
    """

    mask: Bool[np.ndarray, "t h w"]
    centers: Float[np.ndarray, "t 2"]
    bottoms: Float[np.ndarray, " t"]
    areas: Float[np.ndarray, " t"]

    @property
    def seen(self) -> Bool[np.ndarray, " t"]:
        return self.areas > 0

    @property
    def total(self) -> Float[np.ndarray, " t"]:
        """Pixels of all patches."""
        return self.mask.sum(axis=(1, 2)).astype(np.float64)


def find_regions(frames: Frames) -> dict[str, Region]:
    """A region for each of ``COLORS``; of colors that are never seen, an empty one."""
    found, labels = blobs(color_index(frames))
    num = len(frames)
    centers = {color: np.full((num, 2), np.nan) for color in COLORS}
    bottoms = {color: np.full(num, np.nan) for color in COLORS}
    areas = {color: np.zeros(num) for color in COLORS}
    for blob in found:  # the largest of a frame come first
        if not areas[blob.color][blob.frame]:
            centers[blob.color][blob.frame] = blob.center
            bottoms[blob.color][blob.frame] = blob.box[2] - 1
            areas[blob.color][blob.frame] = blob.area
    owner = np.array([COLORS.index(blob.color) for blob in found] + [-1])[labels]  # -1 is the last one
    return {color: Region(owner == k, centers[color], bottoms[color], areas[color]) for k, color in enumerate(COLORS)}


def gaps(one: Bool[np.ndarray, "t h w"], other: Bool[np.ndarray, "t h w"]) -> Float[np.ndarray, " t"]:
    """Pixels between the nearest of two masks in every frame: 0 where they touch, infinite where one is empty."""
    result = np.full(len(one), np.inf)
    for t in range(len(one)):
        first, second = np.argwhere(one[t]), np.argwhere(other[t])
        if len(first) and len(second):
            apart = np.abs(first[:, None] - second[None]).max(axis=2)  # as a king moves
            result[t] = max(0, int(apart.min()) - 1)
    return result
