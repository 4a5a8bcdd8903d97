"""The counts agree with what torch counts while the networks run."""

from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ozora.model.autoencoder import Autoencoder, AutoencoderConfig
from ozora.model.transformer import Transformer, TransformerConfig
from ozora.nn.rows import Segment, Span, pack
from ozora.train.compute import (
    autoencoder_training_flops,
    decode_flops,
    encode_flops,
    even_row,
    forward_flops,
    training_flops,
)

SMALL = TransformerConfig(patch_width=12, text_width=20, width=32, num_blocks=2, num_heads=2)
TINY = AutoencoderConfig(
    latent_channels=4, fine_width=8, coarse_width=12, num_encoder_blocks=(1, 2), num_decoder_blocks=(2, 1)
)


def row(lengths: list[int], text: int = 5):
    """Segments of these lengths without padding."""
    spans = [Span(length, torch.randn(text, SMALL.text_width)) for length in lengths]
    return pack(
        [Segment(torch.rand(s.num_tokens, 3), torch.zeros(s.num_tokens, dtype=torch.bool), (s,)) for s in spans]
    )


@pytest.mark.parametrize("conditioning", ["in_context", "cross_attention", "adaln", "adaln_zero"])
def test_a_transformer_costs_what_torch_counts(conditioning):
    config = replace(SMALL, conditioning=conditioning)
    torch.manual_seed(0)
    layout, network = row([24, 24, 24]), Transformer(config)
    sigma = torch.tensor([0.2, 0.5, 0.9]).repeat_interleave(24)
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernel of the CPU is not counted by torch
        with FlopCounterMode(display=False) as forward:
            prediction = network(torch.randn(72, 12), sigma, layout)
        with FlopCounterMode(display=False) as backward:
            prediction.square().mean().backward()
    assert forward.get_total_flops() == forward_flops(config, layout)
    assert forward.get_total_flops() + backward.get_total_flops() == training_flops(config, layout)


def test_attention_makes_long_segments_dearer_than_short_ones():
    short, long = even_row(1600, 16, 0), even_row(1600, 1600, 0)
    config = TransformerConfig(conditioning="adaln_zero")
    per_block = 4 * config.width * (1600**2 - 100 * 16**2)
    conditions = 99 * 2 * config.width * (9 * config.width + config.text_width + config.width + 64)
    assert forward_flops(config, long) - forward_flops(config, short) == config.num_blocks * per_block - conditions


def test_a_row_without_room_for_a_segment_is_refused():
    with pytest.raises(ValueError, match="at most 10"):
        even_row(10, 16)


@pytest.mark.parametrize("num_frames", [1, 9])
def test_an_autoencoder_costs_what_torch_counts(num_frames):
    torch.manual_seed(0)
    network = Autoencoder(TINY).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as encoding:
        mean, _ = network.posterior(torch.randn(1, 3, num_frames, 32, 48))
    with torch.no_grad(), FlopCounterMode(display=False) as decoding:
        network.run_decoder(mean)
    assert encoding.get_total_flops() == encode_flops(TINY, num_frames, 32, 48)
    assert decoding.get_total_flops() == decode_flops(TINY, num_frames, 32, 48)


def test_training_an_autoencoder_is_three_passes_and_a_quarter_of_a_quarter():
    encode, decode = encode_flops(TINY, 5, 32, 32), decode_flops(TINY, 5, 32, 32)
    assert autoencoder_training_flops(TINY, 5, 32, 32) == 3 * (encode + decode * 1.0625)
    with pytest.raises(ValueError, match="1 \\+ 4k"):
        encode_flops(TINY, 6, 32, 32)
