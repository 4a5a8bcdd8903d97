"""How wrong is a prediction? One loss, in velocity space, per token, reported by noise level."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ozora.flow.path import Kind

NUM_BINS = 10
SIGMA_FLOOR = 0.2
"""A clean prediction's error is divided by sigma, but by no less than this: without a bound the last trace of noise,
which hardly shows, makes up most of the gradient (min-SNR weighting, Hang et al. 2023: a bound of 5 would be 0.31)."""
CLEAN_BELOW = 0.04
"""Tokens with less noise than this count as known: they condition the others and carry no loss."""


@dataclass(frozen=True, eq=False)
class FlowLoss:
    """``mean`` is what to minimise; the rest is for the log, detached, by noise level.

    Bin i of ``num_bins`` holds tokens with sigma in [i, i + 1) / num_bins: ``sums`` of weighted losses and ``weights``,
    which add up over rows and machines.
    """

    mean: Float[Tensor, ""]
    sums: Float[Tensor, " bins"]
    weights: Float[Tensor, " bins"]

    @property
    def by_noise(self) -> Float[Tensor, " bins"]:
        """Mean loss of each bin; nan where no token fell."""
        return self.sums / self.weights


def carries_loss(sigma: Float[Tensor, " n"]) -> Bool[Tensor, " n"]:
    """Which tokens are to be learnt: those that hold noise."""
    return sigma >= CLEAN_BELOW


def flow_loss(
    prediction: Float[Tensor, "n p"],
    clean: Float[Tensor, "n p"],
    noise: Float[Tensor, "n p"],
    sigma: Float[Tensor, " n"],
    kind: Kind = "clean",
    weight: Float[Tensor, " n"] | None = None,
    num_bins: int = NUM_BINS,
) -> FlowLoss:
    """Squared velocity error, averaged over a token's numbers, then over tokens by ``weight``.

    ``sigma`` is each token's own noise level, after ``1 - known``; ``kind`` what the network predicts; ``weight``
    (default 1) is 0 for padding. The velocity is ``noise - clean``; a clean prediction implies
    ``(x - prediction) / sigma`` and a noise prediction ``(prediction - x) / (1 - sigma)``; ``x`` cancels in the
    difference, so the loss is the same on every path. Divisors are held at ``SIGMA_FLOOR``. With no token to learn
    the mean is 0, and so is its gradient.
    """
    error = prediction.float() - {"clean": clean, "noise": noise, "velocity": noise - clean}[kind].float()
    if kind == "clean":
        error = error / sigma.clamp(min=SIGMA_FLOOR)[:, None]
    elif kind == "noise":
        error = error / (1 - sigma).clamp(min=SIGMA_FLOOR)[:, None]
    share = carries_loss(sigma).float() if weight is None else carries_loss(sigma) * weight
    losses = error.square().mean(dim=1) * share

    index = (sigma * num_bins).long().clamp(0, num_bins - 1)
    empty = torch.zeros(num_bins, device=sigma.device)
    return FlowLoss(
        mean=losses.sum() / share.sum().clamp(min=1e-6),
        sums=empty.index_add(0, index, losses.detach()),
        weights=empty.index_add(0, index, share),
    )
