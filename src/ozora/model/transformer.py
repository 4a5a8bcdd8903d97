"""What does the network compute? From noisy patches, noise levels and text to clean patches (or velocities).

A diffusion transformer (DiT, Peebles and Xie 2023) on one packed row of video tokens.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Complex, Float, Int
from torch import Tensor, nn

from ozora.model.blocks import BLOCKS, Conditioning, RowContext, look_up, modulate
from ozora.nn.layers import SigmaEmbedding, rotary_position
from ozora.nn.rows import Layout


@dataclass(frozen=True)
class TransformerConfig:
    """``prediction`` is what the output means: the clean patches, or the velocity noise - clean.

    The hidden width of a block's MLP is ``mlp_ratio * width``. Raises ``ValueError`` unless heads are a
    multiple of 8 wide (three axes of position share them).
    """

    patch_width: int = 64
    text_width: int = 384
    width: int = 256
    num_blocks: int = 8
    num_heads: int = 4
    mlp_ratio: float = 2.75
    conditioning: Conditioning = "cross_attention"
    prediction: Literal["clean", "velocity"] = "clean"

    def __post_init__(self) -> None:
        if self.conditioning not in BLOCKS:
            raise ValueError(f"conditioning is {self.conditioning!r}; it must be one of {', '.join(BLOCKS)}")
        if self.prediction not in ("clean", "velocity"):
            raise ValueError(f"prediction is {self.prediction!r}; it must be clean or velocity")
        multiple = 8 * self.num_heads
        if self.width < multiple or self.width % multiple:
            nearest = max(round(self.width / multiple), 1) * multiple
            raise ValueError(
                f"width is {self.width} with {self.num_heads} heads; "
                f"it must be a multiple of {multiple}, {nearest} for instance"
            )

    @property
    def head_dim(self) -> int:
        return self.width // self.num_heads

    @property
    def mlp_width(self) -> int:
        return int(self.mlp_ratio * self.width)


class Transformer(nn.Module):
    """The diffusion transformer; its output starts at zero."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        width, block = config.width, BLOCKS[config.conditioning]
        self.patch_in = nn.Linear(config.patch_width, width)
        self.place_in = PlaceEmbedding(config.head_dim, width)
        self.text_in = TextEmbedding(config.text_width, width)
        self.sigma_in = SigmaEmbedding(width)
        self.modulation = nn.Linear(width, 6 * width)
        self.blocks = nn.ModuleList(block(width, config.num_heads, config.mlp_width) for _ in range(config.num_blocks))
        self.final_modulation = nn.Linear(width, 2 * width)
        self.patch_out = nn.Linear(width, config.patch_width)
        for layer in (self.modulation, self.final_modulation, self.patch_out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.ones_(self.final_modulation.bias[width:])

    def forward(
        self, patches: Float[Tensor, "n p"], sigma: Float[Tensor, " n"], layout: Layout
    ) -> Float[Tensor, "n p"]:
        """The prediction for every token of the row, in ``config.prediction``'s terms.

        ``patches`` are noisy to the degree ``sigma``, each token's own noise level in [0, 1]. The result
        has the type of ``patches``, whatever the network computes in.
        """
        rotation = rotary_position(layout.position, self.config.head_dim)
        x = self.patch_in(patches.to(self.patch_in.weight.dtype)) + self.place_in(rotation, layout.one_frame)
        text = self.text_in(layout.text, layout.register_index)
        level, span, condition_of_token = distinct_conditions(sigma, layout.span_of_token)
        pooled = mean_text(text, layout)[span]
        condition = F.silu(BLOCKS[self.config.conditioning].condition(self.sigma_in(level), pooled))
        context = RowContext(layout, rotation, self.modulation(condition), condition_of_token)
        for block in self.blocks:
            x, text = block(x, text, context)
        shift, scale = look_up(self.final_modulation(condition), condition_of_token, 2)
        return self.patch_out(modulate(x, shift, scale)).to(patches.dtype)

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())


class PlaceEmbedding(nn.Module):
    """Where a token stands, as a vector: waves of its time and place, and whether its latent holds one frame.

    Rotary positions only tell how tokens stand to each other; alone, they leave pure noise without an up and a down.
    """

    def __init__(self, head_dim: int, width: int):
        super().__init__()
        self.waves = nn.Linear(head_dim, width, bias=False)
        self.one_frame = nn.Parameter(torch.randn(width) / width**0.5)

    def forward(self, rotation: Complex[Tensor, "n pairs"], one_frame: Bool[Tensor, " n"]) -> Float[Tensor, "n d"]:
        waves = torch.view_as_real(rotation).flatten(1)
        return self.waves(waves.to(self.one_frame.dtype)) + self.one_frame * one_frame[:, None]


class TextEmbedding(nn.Module):
    """Text states brought to the network's width; a learned register token opens each span's text."""

    def __init__(self, text_width: int, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(text_width, eps=1e-6, bias=False)
        self.mlp = nn.Sequential(nn.Linear(text_width, width), nn.SiLU(), nn.Linear(width, width))
        self.register = nn.Parameter(torch.randn(width) / width**0.5)

    def forward(self, text: Float[Tensor, "s e"], register_index: Int[Tensor, " spans"]) -> Float[Tensor, "s d"]:
        states = self.mlp(self.norm(text.to(self.register.dtype)))
        registers = self.register.expand(len(register_index), -1).to(states.dtype)
        return states.index_copy(0, register_index, registers)


def distinct_conditions(
    sigma: Float[Tensor, " n"], span_of_token: Int[Tensor, " n"]
) -> tuple[Float[Tensor, " conditions"], Int[Tensor, " conditions"], Int[Tensor, " n"]]:
    """The different pairs of noise level and span in a row, and which of them each token has.

    A row has thousands of tokens but few pairs, so modulation is computed once per pair.
    """
    levels, level_of_token = sigma.float().unique(return_inverse=True)
    pairs, condition_of_token = (span_of_token * len(levels) + level_of_token).unique(return_inverse=True)
    return levels[pairs % len(levels)], pairs // len(levels), condition_of_token


def mean_text(text: Float[Tensor, "s d"], layout: Layout) -> Float[Tensor, "spans d"]:
    """The mean of each span's text tokens, the register included."""
    num_spans = len(layout.register_index)
    total = text.new_zeros(num_spans, text.shape[1]).index_add(0, layout.span_of_text, text)
    return total / layout.span_of_text.bincount(minlength=num_spans)[:, None]
