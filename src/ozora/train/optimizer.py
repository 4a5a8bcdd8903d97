"""How do gradients become weights? AdamW (or Muon), a schedule that warms up and decays, clipping, a moving average."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from ozora.train.muon import Muon


@dataclass(frozen=True)
class OptimizerConfig:
    """How the weights move.

    ``kind`` "muon" gives the two-dimensional matrices inside blocks to Muon (its update scaled to AdamW's, so
    that one learning rate serves both) and the rest to AdamW. ``clip_norm`` bounds the gradient's norm.
    The last ``decay_fraction`` of the steps falls linearly to nothing.
    """

    kind: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 8e-4
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    warm_up_steps: int = 100
    decay_fraction: float = 0.25
    ema_decay: float = 0.999


def schedule_factor(step: int, num_steps: int, warm_up_steps: int, decay_fraction: float) -> float:
    """What the learning rate is multiplied by at ``step`` (from 0): warm up, stay, decay linearly (WSD).

    The factor of the first step is ``1 / warm_up_steps`` and that of the last is one decay step above 0, so
    that every step moves the weights. Source: Hägele et al., "Scaling laws and compute-optimal training
    beyond fixed training durations", 2024.
    """
    decay_steps = max(1, round(num_steps * decay_fraction))
    warm_up = (step + 1) / max(1, warm_up_steps)
    decay = (num_steps - step) / decay_steps
    return max(0.0, min(1.0, warm_up, decay))


def decay_starts(num_steps: int, decay_fraction: float) -> int:
    """The first step whose learning rate is lowered: the weights before it can be trained on for longer."""
    return num_steps - max(1, round(num_steps * decay_fraction))


def make_optimizers(network: nn.Module, config: OptimizerConfig, head: nn.Module | None = None) -> list[Optimizer]:
    """One optimiser for AdamW, two for Muon. Weight decay is on matrices and kernels only, never on vectors.

    ``head`` is a small network beside this one that is trained along.
    """
    both = [*network.named_parameters(), *(head.named_parameters("head") if head else ())]
    named = [(name, weight) for name, weight in both if weight.requires_grad]
    hidden = [(name, weight) for name, weight in named if config.kind == "muon" and _is_hidden(name, weight)]
    taken = {name for name, _ in hidden}
    rest = [(name, weight) for name, weight in named if name not in taken]
    groups = [
        {"params": [w for _, w in rest if w.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [w for _, w in rest if w.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    optimizers: list[Optimizer] = [AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)]
    if hidden:
        optimizers.append(Muon([weight for _, weight in hidden], config.learning_rate, config.weight_decay))
    return optimizers


def _is_hidden(name: str, weight: Tensor) -> bool:
    return weight.ndim == 2 and "blocks." in name


def apply_gradients(
    network: nn.Module, optimizers: Sequence[Optimizer], config: OptimizerConfig, step: int, num_steps: int
) -> Tensor:
    """Clip, step and clear; returns the gradient's norm before clipping, as a tensor (no wait for the device)."""
    norm = nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
    rate = config.learning_rate * schedule_factor(step, num_steps, config.warm_up_steps, config.decay_fraction)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return norm


class Ema:
    """The moving average of a network's weights, which is what is kept and shipped.

    The average follows closely at first: decay is ``min(decay, (1 + n) / (10 + n))`` at update n. Buffers are
    copied as they are.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"ema_decay is {decay}; it must be in [0, 1), 0.999 for instance")
        self.decay = decay
        self.num_updates = 0
        self.weights = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        self.num_updates += 1
        current = network.state_dict()
        averaged = [name for name, value in self.weights.items() if value.is_floating_point()]
        torch._foreach_lerp_(  # pyright: ignore[reportPrivateImportUsage]
            [self.weights[n] for n in averaged], [current[n] for n in averaged], 1 - decay
        )
        for name in self.weights.keys() - set(averaged):
            self.weights[name].copy_(current[name])

    @contextmanager
    def applied_to(self, network: nn.Module) -> Iterator[None]:
        """Inside, the network holds the averaged weights; outside, its own again."""
        own = {name: value.detach().clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self.weights)
        try:
            yield
        finally:
            network.load_state_dict(own)

    def state_dict(self) -> dict[str, Any]:
        return {"num_updates": self.num_updates, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.num_updates = state["num_updates"]
        for name, value in state["weights"].items():
            self.weights[name].copy_(value)
