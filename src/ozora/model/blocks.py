"""How does text enter a transformer block? DiT's four answers (Peebles and Xie 2023, section 3.2), as four classes.

In-context: text tokens join the sequence. Cross-attention: video tokens read their span's text.
adaLN and adaLN-zero: the mean of the span's text joins the noise level in the modulation; their gates
start at one and at zero. In all four the noise level enters by modulation that the blocks
share but for a bias of their own (adaLN-single, Chen et al. 2023).
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Complex, Float, Int
from torch import Tensor, nn

from ozora.nn.attention import attend
from ozora.nn.layers import SwiGLU, normalize, rotate
from ozora.nn.rows import Layout

Conditioning = Literal["in_context", "cross_attention", "adaln", "adaln_zero"]


@dataclass(frozen=True, eq=False)
class RowContext:
    """What every block of one forward pass shares.

    Many tokens have the same noise level and text, so the ``modulation`` is a table of the different
    ones (shift, scale and gate of attention, then of the MLP) and ``condition_of_token`` looks it up.
    """

    layout: Layout
    rotation: Complex[Tensor, "n pairs"]
    modulation: Float[Tensor, "conditions six_d"]
    condition_of_token: Int[Tensor, " n"]


class InContextBlock(nn.Module):
    """Text tokens join the sequence: a span's video and text tokens attend to its segment and its text.

    Text is clean, so its modulation does not depend on a noise level: it is learned outright.
    """

    def __init__(self, width: int, num_heads: int, mlp_width: int):
        super().__init__()
        self.modulation_bias = nn.Parameter(first_modulation(width, gate=0.0))
        self.text_modulation = nn.Parameter(first_modulation(width, gate=0.0))
        self.attention = Attention(width, num_heads)
        self.mlp = SwiGLU(width, mlp_width)

    @staticmethod
    def condition(sigma: Float[Tensor, "m d"], pooled_text: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
        return sigma

    def forward(
        self, x: Float[Tensor, "n d"], text: Float[Tensor, "s d"], context: RowContext
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "s d"]]:
        num_conditions = context.modulation.shape[0]
        table = torch.cat([context.modulation + self.modulation_bias, self.text_modulation[None]])
        index = F.pad(context.condition_of_token, (0, text.shape[0]), value=num_conditions)
        rotation = torch.cat([context.rotation, context.rotation.new_ones(text.shape[0], context.rotation.shape[1])])
        joint = torch.cat([x, text])
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = look_up(table, index)
        joint = joint + gate * self.attention.joint(modulate(joint, shift, scale), rotation, context.layout)
        joint = joint + mlp_gate * self.mlp(modulate(joint, mlp_shift, mlp_scale))
        return joint[: x.shape[0]], joint[x.shape[0] :]


class CrossAttentionBlock(nn.Module):
    """Video tokens attend to their segment, then read their span's text; reading starts as silence."""

    def __init__(self, width: int, num_heads: int, mlp_width: int):
        super().__init__()
        self.modulation_bias = nn.Parameter(first_modulation(width, gate=0.0))
        self.attention = Attention(width, num_heads)
        self.reading = CrossAttention(width, num_heads)
        self.mlp = SwiGLU(width, mlp_width)

    @staticmethod
    def condition(sigma: Float[Tensor, "m d"], pooled_text: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
        return sigma

    def forward(
        self, x: Float[Tensor, "n d"], text: Float[Tensor, "s d"], context: RowContext
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "s d"]]:
        table = context.modulation + self.modulation_bias
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = look_up(table, context.condition_of_token)
        x = x + gate * self.attention(modulate(x, shift, scale), context.rotation, context.layout)
        x = x + self.reading(normalize(x), text, context.layout)
        x = x + mlp_gate * self.mlp(modulate(x, mlp_shift, mlp_scale))
        return x, text


class AdaLNBlock(nn.Module):
    """The span's mean text shares the modulation with the noise level; gates start at one."""

    def __init__(self, width: int, num_heads: int, mlp_width: int):
        super().__init__()
        self.modulation_bias = nn.Parameter(first_modulation(width, gate=1.0))
        self.attention = Attention(width, num_heads)
        self.mlp = SwiGLU(width, mlp_width)

    @staticmethod
    def condition(sigma: Float[Tensor, "m d"], pooled_text: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
        return sigma + pooled_text

    def forward(
        self, x: Float[Tensor, "n d"], text: Float[Tensor, "s d"], context: RowContext
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "s d"]]:
        table = context.modulation + self.modulation_bias
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = look_up(table, context.condition_of_token)
        x = x + gate * self.attention(modulate(x, shift, scale), context.rotation, context.layout)
        x = x + mlp_gate * self.mlp(modulate(x, mlp_shift, mlp_scale))
        return x, text


class AdaLNZeroBlock(nn.Module):
    """As ``AdaLNBlock``, but gates start at zero, so that the block starts as the identity."""

    def __init__(self, width: int, num_heads: int, mlp_width: int):
        super().__init__()
        self.modulation_bias = nn.Parameter(first_modulation(width, gate=0.0))
        self.attention = Attention(width, num_heads)
        self.mlp = SwiGLU(width, mlp_width)

    @staticmethod
    def condition(sigma: Float[Tensor, "m d"], pooled_text: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
        return sigma + pooled_text

    def forward(
        self, x: Float[Tensor, "n d"], text: Float[Tensor, "s d"], context: RowContext
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "s d"]]:
        table = context.modulation + self.modulation_bias
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = look_up(table, context.condition_of_token)
        x = x + gate * self.attention(modulate(x, shift, scale), context.rotation, context.layout)
        x = x + mlp_gate * self.mlp(modulate(x, mlp_shift, mlp_scale))
        return x, text


class Attention(nn.Module):
    """Self-attention with normalised queries and keys (QK-norm, Dehghani et al. 2023) and rotary positions."""

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.q = nn.Linear(width, width, bias=False)
        self.k = nn.Linear(width, width, bias=False)
        self.v = nn.Linear(width, width, bias=False)
        self.q_norm = nn.LayerNorm(width // num_heads, eps=1e-6, bias=False)
        self.k_norm = nn.LayerNorm(width // num_heads, eps=1e-6, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(
        self, x: Float[Tensor, "n d"], rotation: Complex[Tensor, "n pairs"], layout: Layout
    ) -> Float[Tensor, "n d"]:
        """Tokens of a segment attend to each other."""
        q, k, v = self.project(x, rotation)
        seen = attend(q, k, v, layout.segment_offsets, layout.segment_offsets)
        return self.out(rearrange(seen, "n heads d -> n (heads d)"))

    def joint(
        self, x: Float[Tensor, "n d"], rotation: Complex[Tensor, "n pairs"], layout: Layout
    ) -> Float[Tensor, "n d"]:
        """Video tokens, then text tokens: a span's attend to their segment and to the span's text."""
        ranges = layout.joint
        q, k, v = self.project(x, rotation)
        q, k, v = q[ranges.q_rows], k[ranges.k_rows], v[ranges.k_rows]
        seen = attend(q, k, v, ranges.q_offsets, ranges.k_offsets)[ranges.q_order]
        return self.out(rearrange(seen, "n heads d -> n (heads d)"))

    def project(self, x: Float[Tensor, "n d"], rotation: Complex[Tensor, "n pairs"]) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = (
            rearrange(y, "n (heads d) -> n heads d", heads=self.num_heads) for y in (self.q(x), self.k(x), self.v(x))
        )
        return rotate(self.q_norm(q), rotation), rotate(self.k_norm(k), rotation), v


class CrossAttention(nn.Module):
    """Tokens of a span read the span's text; the output starts at zero."""

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.q = nn.Linear(width, width, bias=False)
        self.k = nn.Linear(width, width, bias=False)
        self.v = nn.Linear(width, width, bias=False)
        self.q_norm = nn.LayerNorm(width // num_heads, eps=1e-6, bias=False)
        self.k_norm = nn.LayerNorm(width // num_heads, eps=1e-6, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Float[Tensor, "n d"], text: Float[Tensor, "s d"], layout: Layout) -> Float[Tensor, "n d"]:
        q = rearrange(self.q(x), "n (heads d) -> n heads d", heads=self.num_heads)
        k, v = (rearrange(y, "s (heads d) -> s heads d", heads=self.num_heads) for y in (self.k(text), self.v(text)))
        read = attend(self.q_norm(q), self.k_norm(k), v, layout.span_offsets, layout.text_offsets)
        return self.out(rearrange(read, "n heads d -> n (heads d)"))


def first_modulation(width: int, gate: float) -> Float[Tensor, " six_d"]:
    """Shift 0, scale 1 and the given gate, for attention and for the MLP."""
    return torch.tensor([0.0, 1.0, gate]).repeat_interleave(width).repeat(2)


def modulate(x: Float[Tensor, "n d"], shift: Float[Tensor, "n d"], scale: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Normalise, then shift and scale: the adaptive norm of DiT."""
    return torch.addcmul(shift, normalize(x), scale)


def look_up(table: Float[Tensor, "conditions m_d"], index: Int[Tensor, " n"], parts: int = 6) -> list[Tensor]:
    """Cut the table's columns into equal parts and give each token its row of each."""
    return [F.embedding(index, part) for part in table.chunk(parts, dim=-1)]


BLOCKS = {
    "in_context": InContextBlock,
    "cross_attention": CrossAttentionBlock,
    "adaln": AdaLNBlock,
    "adaln_zero": AdaLNZeroBlock,
}
