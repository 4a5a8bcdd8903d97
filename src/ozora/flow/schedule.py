"""How much noise, and when? The noise levels that sampling walks down and that training draws."""

import math

import torch
from jaxtyping import Float
from torch import Generator, Tensor


def shift_for(num_tokens: int, reference_tokens: int) -> float:
    """How far a segment's noise levels move towards noise: ``sqrt(num_tokens / reference_tokens)``.

    More tokens hold more copies of the same information, so the same sigma hides less (SD3, Esser et al. 2024, eq. 23).
    """
    if num_tokens < 1 or reference_tokens < 1:
        raise ValueError(f"{num_tokens} tokens with reference {reference_tokens}: both must be at least 1")
    return math.sqrt(num_tokens / reference_tokens)


def shifted(sigma: Float[Tensor, "*axes"], shift: float | Float[Tensor, "..."]) -> Float[Tensor, "*axes"]:
    """``shift * sigma / (1 + (shift - 1) * sigma)``: 0 and 1 stay, the odds of noise grow ``shift`` times."""
    return shift * sigma / (1 + (shift - 1) * sigma)


def sigmas(num_steps: int, shift: float = 1.0) -> Float[Tensor, " k"]:
    """The ``num_steps + 1`` noise levels of a sampling run: 1 first, 0 last, evenly spaced before the shift."""
    if num_steps < 1:
        raise ValueError(f"steps is {num_steps}; at least 1 is needed, 30 for instance")
    return shifted(torch.linspace(1, 0, num_steps + 1, dtype=torch.float64), shift).float()


def stratified(n: int, generator: Generator) -> Float[Tensor, " n"]:
    """``n`` uniform draws in (0, 1), one in each of ``n`` equal parts, in random order; float64.

    Each draw alone is uniform; together they cover the interval, which lowers the variance of a batch's loss.
    """
    order = torch.randperm(n, generator=generator)
    within = torch.rand(n, generator=generator, dtype=torch.float64).clamp(1e-6, 1 - 1e-6)
    return (order + within) / max(n, 1)


def draw_sigmas(
    n: int, generator: Generator, mean: float = 0.0, std: float = 1.0, shift: float | Float[Tensor, " n"] = 1.0
) -> Float[Tensor, " n"]:
    """``n`` training noise levels: stratified logit-normal draws (SD3, eq. 19), then shifted, one by one.

    ``mean`` and ``std`` are those of ``log(sigma / (1 - sigma))`` before the shift, ``shift`` one number or one a draw.
    """
    normal = math.sqrt(2) * torch.erfinv(2 * stratified(n, generator) - 1)
    return shifted(torch.sigmoid(mean + std * normal).float(), shift)


def chain_sigmas(length: int = 1000) -> Float[Tensor, " k"]:
    """The noise levels of DDPM's chain of ``length`` steps (Ho et al. 2020, sec. 4), least noise first.

    Linear beta from 1e-4 to 0.02 at length 1000, scaled so that other lengths end in as much noise;
    ``alpha_bar`` becomes ``sigma = s / (alpha + s)`` with ``alpha = sqrt(alpha_bar)``, ``s = sqrt(1 - alpha_bar)``.
    """
    if length < 50:
        raise ValueError(f"a chain of {length} steps: at least 50 are needed for every beta to stay below 1")
    beta = torch.linspace(1e-4, 0.02, length, dtype=torch.float64) * (1000 / length)
    alpha_bar = torch.cumprod(1 - beta, 0)
    alpha, s = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    return (s / (alpha + s)).float()


def ancestral_sigmas(num_steps: int, length: int = 1000) -> Float[Tensor, " k"]:
    """The ``num_steps + 1`` levels of ancestral sampling: the chain's, evenly picked, most noise first, then 0."""
    if not 1 <= num_steps <= length:
        raise ValueError(f"steps is {num_steps}; a chain of {length} is sampled in 1 to {length} steps")
    index = (torch.arange(num_steps, 0, -1) * length / num_steps).round().long() - 1
    return torch.cat([chain_sigmas(length)[index], torch.zeros(1)])


def draw_chain_sigmas(n: int, generator: Generator, length: int = 1000) -> Float[Tensor, " n"]:
    """``n`` training noise levels for the variance-preserving path: stratified draws from DDPM's chain."""
    return chain_sigmas(length)[(stratified(n, generator) * length).long().clamp(max=length - 1)]
