"""What does training cost? Floating-point operations of both networks, counted from their sizes.

A multiplication and an addition count as two. Only matrix products and convolutions are counted, as ``torch`` counts
them (norms, activations and the optimiser are a few per cent), and only what is needed: a back-end that pads short
ranges does more.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ozora.model.autoencoder import FOLD, STRIDE, AutoencoderConfig
from ozora.model.transformer import TransformerConfig
from ozora.nn.rows import Layout, Segment, Span, pack

BACKWARD = 2  # operations of a backward pass for each one of a forward pass: gradients of inputs and of weights
NUM_WAVES = 64  # that a noise level is written in


def forward_flops(config: TransformerConfig, layout: Layout) -> int:
    """One pass of a transformer over a row, its padding included.

    Tokens of a span are taken to have one noise level; each further pair of a level and a span costs 18 ``width``
    squared more.
    """
    return sum(_forward(config, layout))


def training_flops(config: TransformerConfig, layout: Layout) -> int:
    """Forward and backward over a row. Layers that read data alone need no gradient of what they read."""
    first, rest = _forward(config, layout)
    return first * BACKWARD + rest * (1 + BACKWARD)


def _forward(config: TransformerConfig, layout: Layout) -> tuple[int, int]:
    """Operations in layers that read data, and in all the others."""
    width, num_tokens, num_text = config.width, layout.num_tokens, layout.text.shape[0]
    num_spans = len(layout.register_index)
    first = 2 * width * (num_tokens * (config.patch_width + config.head_dim) + num_spans * NUM_WAVES)
    ends = 2 * width * (num_tokens * config.patch_width + num_text * (config.text_width + width))
    conditions = 2 * width * num_spans * (width + 6 * width + 2 * width)
    segments, spans, texts = (_lengths(x) for x in (layout.segment_offsets, layout.span_offsets, layout.text_offsets))
    rows, pairs, reading = num_tokens, segments @ segments, 0
    if config.conditioning == "in_context":
        rows, pairs = num_tokens + num_text, _lengths(layout.joint.q_offsets) @ _lengths(layout.joint.k_offsets)
    elif config.conditioning == "cross_attention":
        reading = 4 * width**2 * (num_tokens + num_text) + 4 * width * int(spans @ texts)
    block = rows * (8 * width**2 + 6 * width * config.mlp_width) + 4 * width * int(pairs) + reading
    return first, ends + conditions + config.num_blocks * block


def _lengths(offsets: tuple[int, ...]) -> Float[Tensor, " n"]:
    return torch.tensor(offsets, dtype=torch.float64).diff()


def even_row(num_tokens: int = 1600, segment_tokens: int = 32, text_tokens: int = 28, text_width: int = 1) -> Layout:
    """A row of equal segments, each with one text, to count with where there is no real one; the tail is padding.

    The defaults are the means of ``recipes/mini.py``. Raises ``ValueError`` where not even one segment fits.
    """
    text = torch.zeros(text_tokens, text_width)
    tokens = torch.zeros(segment_tokens, 3), torch.zeros(segment_tokens, dtype=torch.bool)
    count = num_tokens // segment_tokens
    if not count:
        raise ValueError(f"a row of {num_tokens} tokens holds no segment of {segment_tokens}; at most {num_tokens}")
    return pack([Segment(*tokens, (Span(segment_tokens, text),))] * count, pad_to=num_tokens)


def encode_flops(config: AutoencoderConfig, num_frames: int, height: int, width: int) -> int:
    """Encoding one clip of 1 + 4k frames whose sides are multiples of 8."""
    fine, coarse, latent = config.fine_width, config.coarse_width, config.latent_channels
    first, rest, fine_cells, coarse_cells = _cells(num_frames, height, width)
    frames = first + rest
    folded = 3 * FOLD**2 * (first + FOLD * rest)
    patches = 3 * STRIDE**2 * (first + FOLD * rest)
    num_fine, num_coarse = config.num_encoder_blocks
    on_fine = 2 * fine * folded + frames * num_fine * _spatial(fine)
    on_coarse = frames * (8 * fine * coarse + num_coarse * _temporal(coarse) + 4 * coarse * latent)
    return fine_cells * on_fine + coarse_cells * (on_coarse + 2 * latent * patches)


def decode_flops(config: AutoencoderConfig, num_frames: int, height: int, width: int) -> int:
    """Decoding one clip of 1 + 4k frames whose sides are multiples of 8."""
    fine, coarse, latent = config.fine_width, config.coarse_width, config.latent_channels
    first, rest, fine_cells, coarse_cells = _cells(num_frames, height, width)
    frames = first + rest
    folded = 3 * FOLD**2 * (first + FOLD * rest)
    patches = 3 * STRIDE**2 * (first + FOLD * rest)
    num_fine, num_coarse = config.num_decoder_blocks
    on_coarse = frames * (18 * latent * coarse + num_coarse * _temporal(coarse) + 8 * coarse * fine)
    on_fine = frames * num_fine * _temporal(fine) + 18 * fine * folded
    return coarse_cells * (on_coarse + 2 * latent * patches) + fine_cells * on_fine


def autoencoder_training_flops(
    config: AutoencoderConfig, num_frames: int, height: int, width: int, equivariance: float = 0.25
) -> float:
    """Forward and backward for one clip; in a share ``equivariance`` of the steps latents of half the sides are
    decoded too. About a per cent too much: the linear maps of patches are not trained."""
    decode = decode_flops(config, num_frames, height, width) * (1 + equivariance / 4)
    return (1 + BACKWARD) * (encode_flops(config, num_frames, height, width) + decode)


def _cells(num_frames: int, height: int, width: int) -> tuple[int, int, int, int]:
    """Latent frames of one frame and of four, and cells of a frame at a quarter and at an eighth of its sides."""
    if (num_frames - 1) % FOLD or height % STRIDE or width % STRIDE or min(num_frames, height, width) < 1:
        raise ValueError(
            f"{num_frames} frames of {width}x{height}: frames must be 1 + {FOLD}k and sides multiples of {STRIDE}"
        )
    return 1, (num_frames - 1) // FOLD, height * width // FOLD**2, height * width // STRIDE**2


def _spatial(width: int) -> int:
    """A cell's share of a block of two 3x3 convolutions."""
    return 36 * width**2


def _temporal(width: int) -> int:
    return _spatial(width) + 4 * width**2
