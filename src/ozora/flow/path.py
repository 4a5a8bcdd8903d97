"""Which way leads from clean to noise? Two paths, and what a network may predict along them.

``sigma`` is how much noise there is: 0 is clean, 1 is noise. On the **straight** path (rectified flow,
Liu et al. 2022, eq. 1) ``x = (1 - sigma) * clean + sigma * noise``. The **variance-preserving** path (DDPM,
Ho et al. 2020, eq. 4; used by DiT) has ``x = alpha * clean + s * noise`` with ``alpha**2 + s**2 = 1``. Both are
written in the same ``sigma``, at which they have the same ratio of signal to noise, so that a point of one is a point
of the other times a number: ``x_straight = x_preserving / (alpha + s)`` and ``sigma = s / (alpha + s)``.

Samplers and conversions work on the straight path; a network trained on the other sees ``from_straight(x, ...)``.
``velocity = noise - clean`` on both. ``sigma`` broadcasts to the tensor beside it: for tokens ``n p`` pass ``n 1``.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Path = Literal["straight", "variance_preserving"]
Kind = Literal["clean", "velocity", "noise"]

STRAIGHT: Path = "straight"
VARIANCE_PRESERVING: Path = "variance_preserving"

SMALLEST_DIVISOR = 1e-4
"""Below this sigma a velocity is read off a clean prediction as if sigma were this large."""


def coefficients(sigma: Float[Tensor, "..."], path: Path) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """(alpha, s): how much of the clean value and of the noise there is in ``x`` at ``sigma``."""
    if path == STRAIGHT:
        return 1 - sigma, sigma
    length = torch.hypot(1 - sigma, sigma)
    return (1 - sigma) / length, sigma / length


def mix(
    clean: Float[Tensor, "..."], noise: Float[Tensor, "..."], sigma: Float[Tensor, "..."], path: Path = STRAIGHT
) -> Float[Tensor, "..."]:
    """The point of the path at ``sigma``: ``clean`` at 0, ``noise`` at 1."""
    alpha, s = coefficients(sigma, path)
    return alpha * clean + s * noise


def to_straight(x: Float[Tensor, "..."], sigma: Float[Tensor, "..."], path: Path) -> Float[Tensor, "..."]:
    """The point of the straight path that holds the same clean value and noise as ``x`` on ``path``."""
    alpha, s = coefficients(sigma, path)
    return x / (alpha + s)


def from_straight(x: Float[Tensor, "..."], sigma: Float[Tensor, "..."], path: Path) -> Float[Tensor, "..."]:
    """The inverse of ``to_straight``: what a network trained on ``path`` expects to see."""
    alpha, s = coefficients(sigma, path)
    return x * (alpha + s)


def to_velocity(
    prediction: Float[Tensor, "..."], kind: Kind, x: Float[Tensor, "..."], sigma: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """A prediction of any kind as a velocity, at ``x`` on the straight path.

    Where the division has no answer (clean at sigma 0, noise at sigma 1) the divisor is held at
    ``SMALLEST_DIVISOR``, so the result is finite; a cell of sigma 0 takes no step, so its velocity is never used.
    """
    if kind == "velocity":
        return prediction
    if kind == "clean":
        return (x - prediction) / sigma.clamp(min=SMALLEST_DIVISOR)
    return (prediction - x) / (1 - sigma).clamp(min=SMALLEST_DIVISOR)


def from_velocity(
    velocity: Float[Tensor, "..."], kind: Kind, x: Float[Tensor, "..."], sigma: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """The inverse of ``to_velocity``: the clean value or the noise that ``velocity`` implies at ``x``."""
    if kind == "velocity":
        return velocity
    if kind == "clean":
        return x - sigma * velocity
    return x + (1 - sigma) * velocity


def convert(
    prediction: Float[Tensor, "..."], source: Kind, target: Kind, x: Float[Tensor, "..."], sigma: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """A prediction of one kind as another, at ``x`` on the straight path."""
    if source == target:
        return prediction
    return from_velocity(to_velocity(prediction, source, x, sigma), target, x, sigma)
