import pytest
import torch

from ozora.flow.path import STRAIGHT, VARIANCE_PRESERVING, convert, from_straight, mix, to_straight, to_velocity

KINDS = ("clean", "velocity", "noise")


@pytest.fixture
def point():
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 40, 3, generator=generator, dtype=torch.float64)
    sigma = torch.linspace(0.05, 0.95, 40, dtype=torch.float64)[:, None]
    return clean, noise, sigma


def test_the_paths_begin_clean_and_end_in_noise(point):
    clean, noise, _ = point
    for path in (STRAIGHT, VARIANCE_PRESERVING):
        assert torch.equal(mix(clean, noise, torch.tensor(0.0), path), clean)
        assert torch.equal(mix(clean, noise, torch.tensor(1.0), path), noise)


def test_the_variance_preserving_path_preserves_variance():
    generator = torch.Generator().manual_seed(1)
    clean, noise = torch.randn(2, 200_000, generator=generator)
    for sigma in (0.1, 0.5, 0.8):
        x = mix(clean, noise, torch.tensor(sigma), VARIANCE_PRESERVING)
        assert x.var().item() == pytest.approx(1, abs=0.01)


def test_a_point_of_one_path_is_a_point_of_the_other_times_a_number(point):
    clean, noise, sigma = point
    x = mix(clean, noise, sigma, VARIANCE_PRESERVING)
    torch.testing.assert_close(to_straight(x, sigma, VARIANCE_PRESERVING), mix(clean, noise, sigma, STRAIGHT))
    torch.testing.assert_close(from_straight(mix(clean, noise, sigma), sigma, VARIANCE_PRESERVING), x)
    torch.testing.assert_close(to_straight(x, sigma, STRAIGHT), x)


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
def test_every_kind_of_prediction_says_the_same_and_converts_back(point, source, target):
    clean, noise, sigma = point
    truth = {"clean": clean, "noise": noise, "velocity": noise - clean}
    x = mix(clean, noise, sigma)
    torch.testing.assert_close(convert(truth[source], source, target, x, sigma), truth[target])
    anything = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=x.dtype)
    there = convert(anything, source, target, x, sigma)
    torch.testing.assert_close(convert(there, target, source, x, sigma), anything)


def test_velocities_are_finite_where_the_division_has_no_answer(point):
    clean, noise, _ = point
    assert to_velocity(clean, "clean", noise, torch.tensor(0.0)).isfinite().all()
    assert to_velocity(noise, "noise", clean, torch.tensor(1.0)).isfinite().all()
