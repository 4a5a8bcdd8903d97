"""All back-ends compute one thing: softmax attention inside ranges, and nothing across them."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ozora.nn.attention import attend

HEADS, DIM = 2, 8


def random_qkv(q_lengths, k_lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    q, k, v = (
        torch.randn(sum(lengths), HEADS, DIM, generator=generator) for lengths in (q_lengths, k_lengths, k_lengths)
    )
    return q, k, v, (0, *itertools.accumulate(q_lengths)), (0, *itertools.accumulate(k_lengths))


def written_out(q, k, v, q_offsets, k_offsets):
    pieces = []
    for a, b, c, d in zip(q_offsets, q_offsets[1:], k_offsets, k_offsets[1:]):
        scores = torch.einsum("nhd,mhd->hnm", q[a:b], k[c:d]) / DIM**0.5
        pieces.append(torch.einsum("hnm,mhd->nhd", scores.softmax(-1), v[c:d]))
    return torch.cat(pieces)


lengths = st.lists(st.tuples(st.integers(1, 150), st.integers(1, 150)), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None)
@given(lengths)
@pytest.mark.parametrize("backend", ["sdpa", "dense"])
def test_backends_agree_with_the_formula(backend, pairs):
    q, k, v, q_offsets, k_offsets = random_qkv([n for n, _ in pairs], [m for _, m in pairs])
    out = attend(q, k, v, q_offsets, k_offsets, backend)
    assert torch.allclose(out, written_out(q, k, v, q_offsets, k_offsets), atol=1e-5)


@pytest.mark.parametrize("q_lengths", [[80] * 4, [80, 16, 80, 70]])
def test_gradients_agree(q_lengths):
    q, k, v, q_offsets, k_offsets = random_qkv(q_lengths, [30, 41, 1, 77])
    weight = torch.randn(q.shape, generator=torch.Generator().manual_seed(1))
    gradients = []
    for backend in ("sdpa", "dense"):
        a, b, c = (x.clone().requires_grad_() for x in (q, k, v))
        (attend(a, b, c, q_offsets, k_offsets, backend) * weight).sum().backward()
        gradients.append([a.grad, b.grad, c.grad])
    for ours, reference in zip(*gradients):
        assert torch.allclose(ours, reference, atol=1e-5)


def test_a_range_does_not_see_its_company():
    q, k, v, q_offsets, k_offsets = random_qkv([80, 65, 80], [30, 41, 50])
    before = attend(q, k, v, q_offsets, k_offsets)
    k[30:], v[30:], q[80:] = 100.0, 1e8, -3.0
    assert torch.equal(attend(q, k, v, q_offsets, k_offsets)[:80], before[:80])


def test_a_plan_made_while_sampling_serves_training():
    q, k, v, q_offsets, k_offsets = random_qkv([3, 4], [5, 2], seed=2)
    with torch.inference_mode():
        attend(q, k, v, q_offsets, k_offsets)
    q.requires_grad_()
    attend(q, k, v, q_offsets, k_offsets).sum().backward()
    assert q.grad is not None


def test_half_precision_is_close_and_keeps_its_type():
    q, k, v, q_offsets, k_offsets = random_qkv([80, 80], [30, 41])
    out = attend(q, k, v.bfloat16(), q_offsets, k_offsets)
    assert out.dtype == torch.bfloat16
    assert torch.allclose(out.float(), attend(q, k, v, q_offsets, k_offsets), atol=2e-2)


def test_bad_offsets_are_refused():
    q, k, v, q_offsets, k_offsets = random_qkv([3, 4], [5, 2])
    for bad in [(0, 7, 7), (1, 3, 7), (0, 3), (0, 3, 8), (0, 5, 3, 7)]:
        with pytest.raises(ValueError, match="q_offsets"):
            attend(q, k, v, bad, k_offsets)
    with pytest.raises(ValueError, match="numbers must agree"):
        attend(q, k, v, (0, 7), k_offsets)
    with pytest.raises(ValueError, match="back-end is 'fast'"):
        attend(q, k, v, q_offsets, k_offsets, backend="fast")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_varlen_agrees_on_a_gpu():
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(n, 4, 64, generator=generator).cuda().bfloat16() for n in (225, 120, 120))
    q_offsets, k_offsets = (0, 80, 160, 225), (0, 30, 71, 120)
    reference = attend(q.float(), k.float(), v.float(), q_offsets, k_offsets, backend="dense")
    ours = attend(q, k, v, q_offsets, k_offsets, backend="varlen")
    assert torch.allclose(ours.float(), reference, atol=2e-2)
