"""The update keeps the gradient's singular vectors and evens out its singular values; shapes are treated alike."""

import pytest
import torch

from ozora.train.muon import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(6, 6), (4, 10), (10, 4)])
def test_singular_vectors_stay_and_values_come_near_one(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(shape, generator=generator)
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    spread = u @ torch.diag(torch.linspace(1.0, 0.1, len(values))) @ v
    result = orthogonalize(spread[None], 5)[0]
    inner = u.T @ result @ v.T
    assert (inner - torch.diag(inner.diagonal())).abs().max() < 1e-4
    assert inner.diagonal().min() > 0.6 and inner.diagonal().max() < 1.25


def test_scale_does_not_matter_and_a_batch_is_its_members() -> None:
    matrices = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(1))
    together = orthogonalize(matrices, 3)
    torch.testing.assert_close(orthogonalize(1e-3 * matrices, 3), together, atol=2e-3, rtol=0)
    for one, whole in zip(matrices, together):
        torch.testing.assert_close(orthogonalize(one[None], 3)[0], whole)


def test_one_step_is_the_scaled_direction_and_decay() -> None:
    weight = torch.nn.Parameter(torch.ones(4, 9))
    gradient = torch.randn(4, 9, generator=torch.Generator().manual_seed(2))
    weight.grad = gradient.clone()
    Muon([weight], lr=0.1, weight_decay=0.5, steps=5).step()
    direction = orthogonalize(gradient[None], 5)[0]  # the first momentum points along the gradient
    torch.testing.assert_close(weight.detach(), torch.full((4, 9), 0.95) - 0.1 * 0.2 * 3 * direction)


def test_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match="two axes"):
        Muon([torch.nn.Parameter(torch.ones(4))], lr=0.1)
