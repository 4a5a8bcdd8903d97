"""Muon: momentum whose update is made orthogonal, for the two-dimensional weights inside a network.

``torch.optim.Muon`` does the same in bfloat16, one matrix at a time. On CPUs without bfloat16 matrix units that takes
most of a step of a small network; here all matrices of one shape are one batch, in float32.
"""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic that drives singular values to within 0.7 to 1.2 (Jordan et al., "Muon", 2024)."""


def orthogonalize(matrices: Float[Tensor, "b m n"], steps: int) -> Float[Tensor, "b m n"]:
    """The same singular vectors with singular values near 1, by ``steps`` Newton-Schulz iterations.

    After three, values above a tenth of the matrix's norm are near 1 and smaller ones about forty times larger.
    """
    a, b, c = COEFFICIENTS
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if is_tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x


class Muon(Optimizer):
    """Nesterov momentum, then ``orthogonalize``, for matrices only.

    The update is scaled by ``0.2 * sqrt(longer side)`` so that its size is that of AdamW's and one learning rate serves
    both (Liu et al., "Muon is scalable for LLM training", 2025, eq. 4). Weight decay is decoupled.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        weight_decay: float = 0.01,
        momentum: float = 0.95,
        steps: int = 3,
    ) -> None:
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "steps": steps}
        super().__init__(list(params), defaults)
        for weight in (weight for group in self.param_groups for weight in group["params"]):
            if weight.ndim != 2:
                raise ValueError(f"a weight has shape {tuple(weight.shape)}; Muon moves matrices, of two axes, only")

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for weight in (weight for weight in group["params"] if weight.grad is not None):
                by_shape.setdefault(weight.shape, []).append(weight)
            for shape, weights in by_shape.items():
                gradients = [weight.grad for weight in weights if weight.grad is not None]
                momenta = [self._momentum(weight) for weight in weights]
                torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])  # pyright: ignore[reportPrivateImportUsage]
                ahead = torch.stack(list(torch._foreach_lerp(gradients, momenta, group["momentum"])))  # pyright: ignore[reportPrivateImportUsage]
                updates = orthogonalize(ahead, group["steps"])
                torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])  # pyright: ignore[reportPrivateImportUsage]
                torch._foreach_add_(weights, list(updates.unbind()), alpha=-group["lr"] * 0.2 * max(shape) ** 0.5)  # pyright: ignore[reportPrivateImportUsage]

    def _momentum(self, weight: Tensor) -> Tensor:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        return state["momentum"]
