"""How far is a clip from what physics did? Distances between where objects are seen and where they truly were.

Two guesses that know no physics stand beside it: that nothing moves, and that everything goes on as fast as it went.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ozora.evaluate.motion import Frames, find_paths

WORST = 0.5
"""Of the frame's short side: no distance counts more, and what is not seen counts as much."""


def trajectory_error(
    guess: Float[np.ndarray, "t k 2"], truth: Float[np.ndarray, "t k 2"], side: int
) -> tuple[float, float]:
    """Mean distance, as a share of ``side`` and at most ``WORST``; and the share of places that ``guess`` has.

    Both over all frames and objects that the truth has; where the guess is NaN the distance is ``WORST``. Raises
    ``ValueError`` where the truth has none.
    """
    judged = np.isfinite(truth).all(axis=2)
    if not judged.any():
        raise ValueError("the truth holds no place; at least one object must be seen in one frame")
    distance = np.linalg.norm(guess - truth, axis=2)[judged] / side
    seen = np.isfinite(distance)
    return float(np.where(seen, np.minimum(distance, WORST), WORST).mean()), float(seen.mean())


def seen_places(frames: Frames, colors: Sequence[str]) -> Float[np.ndarray, "t k 2"]:
    """Where a clip shows the objects: what is compared with the truth."""
    return find_paths(frames, colors).centers


def nothing_moves(truth: Float[np.ndarray, "t k 2"], num_given: int) -> Float[np.ndarray, "t k 2"]:
    """Every object stays where it was last seen among the first ``num_given`` frames."""
    guess = truth.copy()
    guess[num_given:] = _last_seen(truth[:num_given])
    return guess


def constant_velocity(truth: Float[np.ndarray, "t k 2"], num_given: int) -> Float[np.ndarray, "t k 2"]:
    """Every object goes on by its last step among the first ``num_given`` frames.

    Raises ``ValueError`` for fewer than two frames, which show no velocity.
    """
    if num_given < 2:
        raise ValueError(f"{num_given} frames are given; a velocity takes 2 at least")
    guess = nothing_moves(truth, num_given)
    step = np.nan_to_num(truth[num_given - 1] - truth[num_given - 2])
    ahead = np.arange(1, len(truth) - num_given + 1)[:, None, None]
    guess[num_given:] += ahead * step
    return guess


def _last_seen(places: Float[np.ndarray, "t k 2"]) -> Float[np.ndarray, "k 2"]:
    last = places[-1].copy()
    for earlier in places[::-1]:
        last = np.where(np.isnan(last), earlier, last)
    return last
