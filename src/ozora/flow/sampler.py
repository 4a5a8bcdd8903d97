"""How does one walk from noise to clean? Each sampler is a plain function of a velocity, a start and noise levels.

All have one signature. ``velocity(x, sigma)`` returns a tensor like ``x``. ``sigmas`` holds one level per step and the
last one, and each broadcasts to ``x``, so that every token can walk down its own schedule: a segment has its own shift,
and a cell that is known in part starts lower. ``noise_levels`` makes such schedules; where they are 0 nothing moves,
and what is known comes out exactly. ``progress(step, num_steps)`` is called after each step.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]
Progress = Callable[[int, int], None]
Sampler = Literal["euler", "heun", "multistep", "ancestral"]


def noise_levels(sigmas: Float[Tensor, "k *#axes"], known: Float[Tensor, "*axes"]) -> Float[Tensor, "k *axes"]:
    """The levels each cell goes through: ``sigmas * (1 - known)``.

    A step over them is ``(next - sigma) * (1 - known) * velocity``; ``known`` = 0.4 everywhere is SDEdit (Meng et al.
    2022) of strength 0.6.
    """
    return sigmas.reshape(-1, *sigmas.shape[1:] or [1] * known.dim()) * (1 - known)


def euler(
    velocity: Velocity, x: Float[Tensor, "..."], sigmas: Float[Tensor, "..."], progress: Progress | None = None
) -> Float[Tensor, "..."]:
    """First order: ``x += (next - sigma) * velocity``."""
    for step in range(len(sigmas) - 1):
        x = x + (sigmas[step + 1] - sigmas[step]) * velocity(x, sigmas[step])
        _report(progress, step, sigmas)
    return x


def heun(
    velocity: Velocity, x: Float[Tensor, "..."], sigmas: Float[Tensor, "..."], progress: Progress | None = None
) -> Float[Tensor, "..."]:
    """Second order, two evaluations a step (Karras et al. 2022, algorithm 1).

    The step that ends at sigma 0 is an Euler step: no network is trained to answer there.
    """
    for step in range(len(sigmas) - 1):
        sigma, following = sigmas[step], sigmas[step + 1]
        slope = velocity(x, sigma)
        if (following > 0).any():
            there = velocity(x + (following - sigma) * slope, following)
            slope = torch.where(following > 0, (slope + there) / 2, slope)
        x = x + (following - sigma) * slope
        _report(progress, step, sigmas)
    return x


def multistep(
    velocity: Velocity, x: Float[Tensor, "..."], sigmas: Float[Tensor, "..."], progress: Progress | None = None
) -> Float[Tensor, "..."]:
    """Second order, one evaluation a step: Adams-Bashforth for steps of unequal length; the first is an Euler step."""
    slope_before = stride_before = None
    for step in range(len(sigmas) - 1):
        slope, stride = velocity(x, sigmas[step]), sigmas[step + 1] - sigmas[step]
        if slope_before is None or stride_before is None:
            x = x + stride * slope
        else:
            lean = torch.where(stride_before == 0, 0, stride / stride_before) / 2
            x = x + stride * (slope + lean * (slope - slope_before))
        slope_before, stride_before = slope, stride
        _report(progress, step, sigmas)
    return x


def ancestral(
    velocity: Velocity,
    x: Float[Tensor, "..."],
    sigmas: Float[Tensor, "..."],
    progress: Progress | None = None,
    *,
    draw_noise: Callable[[], Tensor],
) -> Float[Tensor, "..."]:
    """DDPM's sampler (Ho et al. 2020, algorithm 2 with the posterior's variance, eq. 7): fresh noise at every step.

    ``draw_noise`` returns standard normal noise like ``x``. The posterior of the next point, given this one and the
    clean value, is written for any ``x = alpha * clean + s * noise``, here the straight path's; it is the same chain.
    """
    for step in range(len(sigmas) - 1):
        sigma, following = sigmas[step], sigmas[step + 1]
        clean = x - sigma * velocity(x, sigma)
        ratio = (1 - sigma) / (1 - following)
        added = sigma.square() - (ratio * following).square()
        share = (following / sigma).square()
        mean = ratio * share * x + (1 - following) * added / sigma.square() * clean
        moved = mean + (added * share).clamp(min=0).sqrt() * draw_noise()
        x = torch.where(following < sigma, moved, x)
        _report(progress, step, sigmas)
    return x


def _report(progress: Progress | None, step: int, sigmas: Tensor) -> None:
    if progress is not None:
        progress(step + 1, len(sigmas) - 1)
