"""Does what was made go on from what was given? Steps, velocities and stillness where the two meet.

A join lies between frames ``join - 1`` and ``join``. Here the earlier ones are given; where the later ones are, the
clip is judged backwards in time (``reversed_join``).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from ozora.evaluate.motion import Frames, find_paths, moving_region, steps, velocity

NUM_NEAR = 4
"""Frames at the join that say what an ordinary step is."""
LEAST_STEP = 0.2
"""Of 255, mean over the moving region: with less nothing moves, and there is no ordinary step to compare with."""
LEAST_SPEED = 0.8
"""Pixels per frame: what is slower at the join is at rest."""
STEP_RANGE = (0.5, 1.5)


@dataclass(frozen=True)
class Join:
    """``step``: change across the join by the ordinary change between given neighbors, on moving regions.

    ``goes_on``: whether every object that moves at the join keeps its velocity, to half of it or half a pixel per
    frame. ``still``: root mean square change of the static region across the join, of 255. None where nothing moves, or
    nothing is still.
    """

    step: float | None
    goes_on: bool | None
    still: float | None

    @property
    def is_ordinary(self) -> bool | None:
        """Whether the step is 0.5 to 1.5 of the ordinary one."""
        return None if self.step is None else STEP_RANGE[0] <= self.step <= STEP_RANGE[1]


def judge_join(frames: Frames, join: int, colors: list[str]) -> Join:
    """Judge a join of which the earlier side is given. ``colors`` are those of the objects to be followed.

    Raises ``ValueError`` unless two frames at least are given and one is not.
    """
    if not 2 <= join < len(frames):
        raise ValueError(f"the join is before frame {join} of {len(frames)}; it must be from 2 to {len(frames) - 1}")
    near = frames[max(0, join - NUM_NEAR) : join]
    moving = moving_region(near)
    ordinary = float(steps(near, moving).mean())
    across = float(steps(frames[join - 1 : join + 1], moving)[0])
    return Join(
        step=across / ordinary if ordinary >= LEAST_STEP else None,
        goes_on=_goes_on(frames, join, colors),
        still=_still(frames, join, ~moving),
    )


def reversed_join(frames: Frames, join: int, colors: list[str]) -> Join:
    """Judge a join of which the later side is given."""
    return judge_join(frames[::-1], len(frames) - join, colors)


def static_error(frames: Frames, other: Frames, join: int) -> float | None:
    """Root mean square difference of ``other`` from ``frames`` at frame ``join``, in the region that is still there."""
    still = ~moving_region(frames[max(0, join - NUM_NEAR) : join])
    if not still.any():
        return None
    return float(np.sqrt(np.square(frames[join].astype(np.float64) - other[join])[still].mean()))


def largest_step(frames: Frames, start: int, stop: int) -> float | None:
    """The largest change between neighbors from frame ``start`` - 1 to frame ``stop``, by the ordinary one outside.

    Frames before ``start`` and from ``stop`` on are given. None where nothing moves in them.
    """
    outside = np.concatenate([steps(frames[max(0, start - NUM_NEAR) : start]), steps(frames[stop : stop + NUM_NEAR])])
    ordinary = float(outside.mean())
    if ordinary < LEAST_STEP / 4:  # here the mean is over whole frames
        return None
    return float(steps(frames[start - 1 : stop + 1]).max()) / ordinary


def _goes_on(frames: Frames, join: int, colors: list[str]) -> bool | None:
    window = frames[max(0, join - NUM_NEAR) : join + 2]
    last = min(join, NUM_NEAR) - 1
    centers = find_paths(window, colors).centers
    before = velocity(centers, max(0, last - 2), last)
    moving = np.linalg.norm(before, axis=1) >= LEAST_SPEED
    if not moving.any():
        return None
    after = velocity(centers, last, min(last + 2, len(window) - 1))
    allowed = np.maximum(0.5, 0.5 * np.linalg.norm(before, axis=1))
    # What is not seen any more has no velocity, and fails the comparison.
    return bool((np.linalg.norm(after - before, axis=1) <= allowed)[moving].all())


def _still(frames: Frames, join: int, still: Bool[np.ndarray, "h w"]) -> float | None:
    if not still.any():
        return None
    return float(np.sqrt(np.square(frames[join].astype(np.float64) - frames[join - 1])[still].mean()))
