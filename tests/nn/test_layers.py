"""Rotary positions see differences alone; noise levels get vectors that tell them apart."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ozora.nn.layers import SigmaEmbedding, SwiGLU, normalize, rotary_position, rotate

HEAD_DIM = 64


def scores(q, k, q_position, k_position):
    q = rotate(q, rotary_position(q_position, HEAD_DIM))
    k = rotate(k, rotary_position(k_position, HEAD_DIM))
    return torch.einsum("nhd,nhd->nh", q, k)


shifts = st.tuples(*[st.floats(-3, 3)] * 3)


@settings(max_examples=20, deadline=None)
@given(shifts)
def test_rotary_scores_depend_on_relative_position_alone(shift):
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 50, 2, HEAD_DIM, generator=generator)
    q_position, k_position = torch.rand(2, 50, 3, generator=generator)
    moved = torch.tensor(shift)
    before = scores(q, k, q_position, k_position)
    assert torch.allclose(scores(q, k, q_position + moved, k_position + moved), before, atol=2e-3)
    assert torch.allclose(rotate(q, rotary_position(q_position, HEAD_DIM)).norm(dim=-1), q.norm(dim=-1), rtol=1e-5)


def test_every_axis_turns_its_own_pairs_at_its_own_wavelengths():
    pairs = {}
    for axis, name in enumerate(["seconds", "y", "x"]):
        position = torch.zeros(1, 3)
        position[0, axis] = 0.1
        pairs[name] = rotary_position(position, HEAD_DIM).angle()[0]
        wavelengths = 2 * math.pi * 0.1 / pairs[name][pairs[name] > 0]
        shortest, longest = (0.6, 20.0) if name == "seconds" else (0.3, 8.0)
        assert math.isclose(wavelengths.min(), shortest, rel_tol=1e-4)
        assert math.isclose(wavelengths.max(), longest, rel_tol=1e-4)
    turned = torch.stack(list(pairs.values())) > 0
    assert torch.equal(turned.sum(0), torch.ones(HEAD_DIM // 2).long())
    assert turned.sum(1).tolist() == [12, 10, 10]


def test_sigma_embedding_tells_levels_apart():
    torch.manual_seed(0)
    embed = SigmaEmbedding(32)
    sigma = torch.linspace(0, 1, 101)
    vectors = embed(sigma)
    distance = torch.cdist(vectors, vectors) + 1e9 * torch.eye(len(sigma))
    assert distance.min() > 1e-2
    nearest = (distance.argmin(1) - torch.arange(len(sigma))).abs()
    assert (nearest == 1).float().mean() > 0.95


def test_normalize_and_swiglu_are_their_formulas():
    x = torch.randn(5, 16, generator=torch.Generator().manual_seed(0)) * 3 + 1
    y = normalize(x)
    assert torch.allclose(y.mean(-1), torch.zeros(5), atol=1e-5)
    assert torch.allclose(y.square().mean(-1), torch.ones(5), atol=1e-4)
    mlp = SwiGLU(16, 24)
    gate, up, out = mlp.gate.weight, mlp.up.weight, mlp.out.weight
    expected = ((x @ gate.T) * torch.sigmoid(x @ gate.T) * (x @ up.T)) @ out.T
    assert torch.allclose(mlp(x), expected, atol=1e-5)
