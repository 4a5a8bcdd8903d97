"""Which small layers do the networks share? Norms, rotary positions, the gated MLP, the sigma embedding."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float
from torch import Tensor, nn


def normalize(x: Float[Tensor, "*rest d"]) -> Float[Tensor, "*rest d"]:
    """Mean 0 and variance 1 over the last axis, with nothing learned: what DiT modulates.

    Layer norm rather than RMS norm, for it is one kernel on every device: on a CPU it is three times
    as fast, forward and backward.
    """
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


def rotary_position(position: Float[Tensor, "n 3"], head_dim: int) -> Complex[Tensor, "n pairs"]:
    """Rotations by position in three axes (RoPE, Su et al. 2021): one unit complex number per pair in a head.

    Three eighths of the pairs turn with time (wavelengths from 0.6 to 20 seconds, from about one latent
    frame to several clips), the rest with y and x (0.3 to 8 short sides, from about one token to
    several frames). Computed in float32 whatever the network's type.
    """
    num_space = head_dim * 5 // 32
    num_time = head_dim // 2 - 2 * num_space
    seconds, y, x = position.float()[:, :, None].unbind(1)
    angle = torch.cat(
        [
            seconds * _frequencies(0.6, 20.0, num_time, position.device),
            y * _frequencies(0.3, 8.0, num_space, position.device),
            x * _frequencies(0.3, 8.0, num_space, position.device),
        ],
        dim=1,
    )
    return torch.polar(torch.ones_like(angle), angle)


def rotate(x: Float[Tensor, "n heads d"], rotation: Complex[Tensor, "n pairs"]) -> Float[Tensor, "n heads d"]:
    """Turn neighbouring pairs of numbers by the token's rotation; the result is float32."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * rotation[:, None]).flatten(-2)


def _frequencies(shortest: float, longest: float, count: int, device: torch.device) -> Float[Tensor, " count"]:
    return 2 * math.pi / torch.logspace(math.log10(shortest), math.log10(longest), count, device=device)


class SwiGLU(nn.Module):
    """A gated MLP (Shazeer 2020): ``out(silu(gate(x)) * up(x))``."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.out = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        return self.out(F.silu(self.gate(x)) * self.up(x))


class SigmaEmbedding(nn.Module):
    """Noise levels in [0, 1] as vectors: sinusoids (Ho et al. 2020), then a two-layer MLP."""

    def __init__(self, width: int, num_frequencies: int = 32):
        super().__init__()
        self.num_frequencies = num_frequencies
        self.hidden = nn.Linear(2 * num_frequencies, width)
        self.out = nn.Linear(width, width)

    def forward(self, sigma: Float[Tensor, " n"]) -> Float[Tensor, "n d"]:
        # From half a turn over all of [0, 1] to 32 turns: fine enough to tell levels apart, and smooth between them.
        frequency = math.pi * torch.logspace(0, math.log10(64), self.num_frequencies, device=sigma.device)
        angle = sigma.float()[:, None] * frequency
        waves = torch.cat([angle.cos(), angle.sin()], dim=-1)
        return self.out(F.silu(self.hidden(waves.to(self.hidden.weight.dtype))))
