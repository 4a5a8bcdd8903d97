"""Tokens are the latents again, and positions are seconds and short sides."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ozora.geometry import Geometry
from ozora.model.patches import patchify, positions, segment, token_values, unpatchify
from ozora.nn.rows import Span

GEOMETRY = Geometry()
grids = st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5))


@settings(max_examples=40, deadline=None)
@given(grids, st.integers(1, 3), st.integers(1, 5))
def test_unpatchify_undoes_patchify(tokens, patch, channels):
    t, h, w = tokens
    grid = (t, h * patch, w * patch)
    latents = torch.randn(channels, *grid)
    patches = patchify(latents, patch)
    assert patches.shape == (t * h * w, channels * patch**2)
    assert torch.equal(unpatchify(patches, grid, patch), latents)


@settings(max_examples=20, deadline=None)
@given(grids)
def test_token_values_follow_the_tokens(tokens):
    t, h, w = tokens
    per_token = torch.rand(t, h, w)
    cells = per_token.repeat_interleave(2, 1).repeat_interleave(2, 2)
    values = token_values(cells, 2)
    assert torch.equal(values, per_token.flatten())
    assert torch.equal(patchify(cells[None], 2), values[:, None].expand(-1, 4))


def test_positions_are_seconds_and_scale_with_fps():
    slow, fast = (positions((4, 4, 4), fps, GEOMETRY) for fps in (8.0, 16.0))
    assert torch.allclose(slow[:, 0], 2 * fast[:, 0])
    assert torch.equal(slow[:, 1:], fast[:, 1:])
    assert torch.allclose(slow[::4, 0] * 8, torch.tensor([0.0, 2.5, 6.5, 10.5]))
    mid_clip = positions((2, 2, 2), 8.0, GEOMETRY, starts_clip=False)
    assert torch.allclose(mid_clip[:, 0] * 8, torch.tensor([1.5, 5.5]))


def test_space_is_relative_to_the_short_side():
    square = positions((1, 8, 8), 8.0, GEOMETRY)
    larger = positions((1, 16, 16), 8.0, GEOMETRY)
    wide = positions((1, 8, 16), 8.0, GEOMETRY)
    assert torch.allclose(square.amax(0), torch.tensor([0.0, 0.375, 0.375]))
    assert torch.allclose(larger.amax(0), torch.tensor([0.0, 0.4375, 0.4375]))
    assert torch.allclose(wide.amax(0), torch.tensor([0.0, 0.375, 0.875]))
    assert torch.allclose(wide.mean(0), torch.zeros(3), atol=1e-6)
    # Rows before columns: x runs fastest.
    assert wide[0, 1] == wide[7, 1] and wide[0, 2] < wide[1, 2]
    assert torch.allclose(
        positions((1, 8, 8), 8.0, GEOMETRY, jitter=(1.0, 1.1, 0.9)), square * torch.tensor([1, 1.1, 0.9])
    )


def test_a_segment_marks_the_one_frame_latent():
    spans = [Span(8, torch.zeros(2, 5)), Span(4, torch.zeros(0, 5))]
    start = segment((3, 4, 4), 8.0, GEOMETRY, spans)
    assert start.one_frame.tolist() == [True] * 4 + [False] * 8
    assert not segment((3, 4, 4), 8.0, GEOMETRY, spans, starts_clip=False).one_frame.any()


def test_bad_grids_are_refused():
    with pytest.raises(ValueError, match="multiples of 2"):
        patchify(torch.zeros(16, 1, 5, 4), 2)
    with pytest.raises(ValueError, match="has 4 tokens"):
        unpatchify(torch.zeros(5, 64), (1, 4, 4), 2)
    with pytest.raises(ValueError, match="multiples of 2"):
        positions((0, 4, 4), 8.0, GEOMETRY)
