"""How does one walk from noise to clean? Each sampler is a plain function that takes one step.

A step is a Python generator: it yields ``(x, sigma)`` where it wants to know the velocity, is sent the velocity, and
returns the next ``Point``. So it does not care who knows velocities: ``walk`` asks a function; ``take`` moves walks of
unlike samplers side by side and asks for all their velocities at once.

Levels broadcast to ``x``, so that every token can walk down its own schedule: a segment has its own shift, and a cell
that is known in part starts lower. ``noise_levels`` makes such schedules; where they are 0 nothing moves, and what is
known comes out exactly.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]
Progress = Callable[[int, int], None]
Sampler = Literal["euler", "heun", "multistep", "ancestral", "leap"]


@dataclass(frozen=True, eq=False)
class Point:
    """Where a walk stands: ``x``, and the velocity and the stride of the step before where a sampler remembers them."""

    x: Float[Tensor, "..."]
    slope: Float[Tensor, "..."] | None = None
    stride: Float[Tensor, "..."] | None = None


Question = tuple[Tensor, Tensor]
Step = Generator[Question, Tensor, Point]
DrawNoise = Callable[[], Tensor]


def noise_levels(
    sigmas: Float[Tensor, "k *#axes"], known: Float[Tensor, "*axes"], least: float = 0.0
) -> Float[Tensor, "_ *axes"]:
    """The levels each cell goes through: ``sigmas * (1 - known)``.

    A step over them is ``(next - sigma) * (1 - known) * velocity``; ``known`` = 0.4 everywhere is SDEdit (Meng et al.
    2022) of strength 0.6. A level below ``least`` is 0: a cell goes the rest of its way in one step, for of less noise
    the network was never told. Steps in which no cell moves any more are left out, but for the first.
    """
    levels = sigmas.reshape(-1, *sigmas.shape[1:] or [1] * known.dim()) * (1 - known)
    levels = torch.where(levels < least, 0, levels)
    moving = int(levels.flatten(1).any(dim=1).sum())
    return levels[: max(moving + 1, 2)]


def euler(point: Point, sigma: Float[Tensor, "..."], following: Float[Tensor, "..."], _: DrawNoise) -> Step:
    """First order: ``x += (following - sigma) * velocity``."""
    slope = yield point.x, sigma
    return Point(point.x + (following - sigma) * slope)


def heun(point: Point, sigma: Float[Tensor, "..."], following: Float[Tensor, "..."], _: DrawNoise) -> Step:
    """Second order, two velocities a step (Karras et al. 2022, algorithm 1).

    The step that ends at sigma 0 is an Euler step: no network is trained to answer there.
    """
    slope = yield point.x, sigma
    if (following > 0).any():
        there = yield point.x + (following - sigma) * slope, following
        slope = torch.where(following > 0, (slope + there) / 2, slope)
    return Point(point.x + (following - sigma) * slope)


def multistep(point: Point, sigma: Float[Tensor, "..."], following: Float[Tensor, "..."], _: DrawNoise) -> Step:
    """Second order, one velocity a step: Adams-Bashforth for steps of unequal length; the first is an Euler step."""
    slope, stride = (yield point.x, sigma), following - sigma
    if point.slope is None or point.stride is None:
        return Point(point.x + stride * slope, slope, stride)
    lean = torch.where(point.stride == 0, 0, stride / point.stride) / 2
    return Point(point.x + stride * (slope + lean * (slope - point.slope)), slope, stride)


def ancestral(
    point: Point, sigma: Float[Tensor, "..."], following: Float[Tensor, "..."], draw_noise: DrawNoise
) -> Step:
    """DDPM's sampler (Ho et al. 2020, algorithm 2 with the posterior's variance, eq. 7): fresh noise at every step.

    ``draw_noise`` returns standard normal noise like ``x``. The posterior of the next point, given this one and the
    clean value, is written for any ``x = alpha * clean + s * noise``, here the straight path's; it is the same chain.
    """
    clean = point.x - sigma * (yield point.x, sigma)
    ratio = (1 - sigma) / (1 - following)
    added = sigma.square() - (ratio * following).square()
    share = (following / sigma).square()
    mean = ratio * share * point.x + (1 - following) * added / sigma.square() * clean
    moved = mean + (added * share).clamp(min=0).sqrt() * draw_noise()
    return Point(torch.where(following < sigma, moved, point.x))


SAMPLERS: dict[Sampler, Callable[[Point, Tensor, Tensor, DrawNoise], Step]] = {
    "euler": euler,
    "heun": heun,
    "multistep": multistep,
    "ancestral": ancestral,
    "leap": euler,  # told the mean velocity of the whole step, Euler's step is exact
}


def take(steps: Sequence[Step], velocities: Callable[[Mapping[int, Question]], Mapping[int, Tensor]]) -> list[Point]:
    """Take the steps side by side; the points that they lead to.

    ``velocities`` answers the questions of all steps that ask (by their place in ``steps``), at once. A step
    that asks twice is asked about alone the second time.
    """
    points: dict[int, Point] = {}
    answers: Mapping[int, Tensor | None] = dict.fromkeys(range(len(steps)))
    while answers:
        questions: dict[int, Question] = {}
        for i, answer in answers.items():
            try:
                questions[i] = next(steps[i]) if answer is None else steps[i].send(answer)
            except StopIteration as end:
                points[i] = end.value
        answers = velocities(questions) if questions else {}
    return [points[i] for i in range(len(steps))]


def walk(
    sampler: Sampler,
    velocity: Velocity,
    x: Float[Tensor, "..."],
    sigmas: Float[Tensor, "..."],
    draw_noise: DrawNoise | None = None,
    progress: Progress | None = None,
) -> Float[Tensor, "..."]:
    """All steps of one walk from ``x``. ``sigmas`` holds one level per step and the last one.

    ``velocity(x, sigma)`` returns a tensor like ``x``; ``progress(step, num_steps)`` is called after each step. Raises
    ``ValueError`` for ancestral sampling without ``draw_noise``.
    """
    if draw_noise is None:
        if sampler == "ancestral":
            raise ValueError("draw_noise is None; ancestral sampling draws fresh noise at every step")
        draw_noise = partial(torch.zeros_like, x)
    point = Point(x)
    for i in range(len(sigmas) - 1):
        step = SAMPLERS[sampler](point, sigmas[i], sigmas[i + 1], draw_noise)
        (point,) = take([step], lambda questions: {0: velocity(*questions[0])})
        if progress is not None:
            progress(i + 1, len(sigmas) - 1)
    return point.x
