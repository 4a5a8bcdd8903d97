"""Where do the points of a picture go, frame by frame? Corners are found in one frame and followed both ways.

Corners are those of Shi and Tomasi 1994 (both directions must change), following is that of Lucas and Kanade 1981 (the
shift that makes two windows most alike), and a step counts only if the way back leads to where it began.
"""

import numpy as np
from jaxtyping import Float

from ozora.evaluate.motion import Frames

WINDOW = 4
"""Pixels on each side of a point that are compared."""
NUM_STEPS = 8
MAX_POINTS = 32
APART = 4
"""Pixels between two corners."""
LEAST_CORNER = 15.0
"""Mean square change of brightness a pixel, of 255 squared, in the direction of least change."""
RETURN = 0.4
"""Pixels: the way back must end as near to where it began."""
LARGEST_STEP = 6.0
"""Pixels a frame."""


def find_corners(frame: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "n 2"]:
    """Places (y, x) of the clearest corners, the clearest first, ``APART`` pixels and more from each other."""
    by_y, by_x = np.gradient(frame, axis=(0, 1))
    yy, xx, yx = (_window_mean((a * b).sum(axis=2)) for a, b in ((by_y, by_y), (by_x, by_x), (by_y, by_x)))
    least = (yy + xx) / 2 - np.sqrt(((yy - xx) / 2) ** 2 + yx**2)
    edge = WINDOW + 1
    strength = np.zeros_like(least)
    strength[edge:-edge, edge:-edge] = least[edge:-edge, edge:-edge]
    chosen: list[tuple[int, int]] = []
    for place in np.argsort(-strength, axis=None):
        y, x = divmod(int(place), strength.shape[1])
        if strength[y, x] < LEAST_CORNER or len(chosen) == MAX_POINTS:
            break
        if all(max(abs(y - a), abs(x - b)) >= APART for a, b in chosen):
            chosen.append((y, x))
    return np.array(chosen, np.float64).reshape(-1, 2)


def follow(frames: Frames) -> Float[np.ndarray, "t n 2"]:
    """Places of the middle frame's corners in every frame; NaN from where they are lost on."""
    pictures = frames.astype(np.float64)
    middle = len(frames) // 2
    places = np.full((len(frames), *find_corners(pictures[middle]).shape), np.nan)
    places[middle] = find_corners(pictures[middle])
    for step, last in ((1, len(frames) - 1), (-1, 0)):
        speed = np.zeros_like(places[middle])
        for t in range(middle, last, step):
            going = places[t]
            new = _shifted(pictures[t], pictures[t + step], going, speed)
            back = _shifted(pictures[t + step], pictures[t], new, going - new)
            good = (np.linalg.norm(back - going, axis=1) <= RETURN) & (
                np.linalg.norm(new - going, axis=1) <= LARGEST_STEP
            )
            places[t + step] = np.where(good[:, None], new, np.nan)
            speed = np.nan_to_num(new - going)
    return places


def _shifted(
    one: Float[np.ndarray, "h w c"],
    other: Float[np.ndarray, "h w c"],
    places: Float[np.ndarray, "n 2"],
    guess: Float[np.ndarray, "n 2"],
) -> Float[np.ndarray, "n 2"]:
    """Where the windows around ``places`` in ``one`` are found in ``other``, from a guess of the shift."""
    if not len(places):
        return places
    offsets = np.moveaxis(np.mgrid[-WINDOW : WINDOW + 1, -WINDOW : WINDOW + 1], 0, -1).reshape(-1, 2)
    weight = np.exp(-0.5 * np.square(offsets / (WINDOW / 1.5)).sum(axis=1))[None, :, None]
    around = places[:, None] + offsets
    wanted = _at(one, around)
    by_y, by_x = (_at(g, around) for g in np.gradient(one, axis=(0, 1)))
    normal = np.stack(
        [np.stack([(weight * a * b).sum(axis=(1, 2)) for b in (by_y, by_x)], axis=-1) for a in (by_y, by_x)],
        axis=-2,
    ) + 1e-3 * np.eye(2)
    lost = np.asarray(np.isnan(normal).any(axis=(1, 2)))
    normal[lost] = np.eye(2)
    shift = guess.copy()
    for _ in range(NUM_STEPS):
        error = wanted - _at(other, around + shift[:, None])
        slope = np.stack([(weight * g * error).sum(axis=(1, 2)) for g in (by_y, by_x)], axis=-1)
        shift = shift + np.linalg.solve(normal, np.nan_to_num(slope)[..., None])[..., 0]
    height, width = other.shape[:2]
    new = places + shift
    inside = np.asarray((new >= 1).all(axis=1) & (new <= [height - 2, width - 2]).all(axis=1))
    return np.where((inside & ~lost)[:, None], new, np.nan)


def _at(picture: Float[np.ndarray, "h w c"], places: Float[np.ndarray, "n k 2"]) -> Float[np.ndarray, "n k c"]:
    """Colors between pixels; outside, those of the edge. NaN where a place is NaN."""
    height, width = picture.shape[:2]
    unknown = np.asarray(np.isnan(places).any(axis=2))
    y, x = np.nan_to_num(places[..., 0]).clip(0, height - 1.001), np.nan_to_num(places[..., 1]).clip(0, width - 1.001)
    top, left = y.astype(int), x.astype(int)
    v, u = (y - top)[..., None], (x - left)[..., None]
    upper = (1 - u) * picture[top, left] + u * picture[top, left + 1]
    lower = (1 - u) * picture[top + 1, left] + u * picture[top + 1, left + 1]
    return np.where(unknown[..., None], np.nan, (1 - v) * upper + v * lower)


def _window_mean(values: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Means over squares of five pixels."""
    padded = np.pad(values, 2, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, (5, 5)).mean(axis=(2, 3))
