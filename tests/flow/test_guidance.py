import pytest
import torch

from ozora.flow.guidance import fitted_scale, guide


@pytest.fixture
def velocities():
    conditional, unconditional = torch.randn(2, 12, 4, generator=torch.Generator().manual_seed(0))
    return conditional, unconditional, torch.full((12, 1), 0.5)


def test_scale_one_is_no_guidance_and_scale_zero_the_base(velocities):
    conditional, unconditional, sigma = velocities
    torch.testing.assert_close(guide(conditional, unconditional, sigma, 1.0), conditional)
    torch.testing.assert_close(guide(conditional, unconditional, sigma, 0.0, fitted=False), unconditional)
    plain = guide(conditional, unconditional, sigma, 3.0, fitted=False)
    torch.testing.assert_close(plain, 3 * conditional - 2 * unconditional)


def test_the_fitted_scale_is_the_least_squares_fit(velocities):
    conditional, unconditional, sigma = velocities
    fit = torch.linalg.lstsq(unconditional.reshape(-1, 1), conditional.reshape(-1, 1)).solution.squeeze()
    torch.testing.assert_close(fitted_scale(conditional, unconditional, sigma), fit)
    torch.testing.assert_close(fitted_scale(2 * unconditional, unconditional, sigma), torch.tensor(2.0))


def test_guidance_of_twice_the_same_changes_nothing(velocities):
    conditional, _, sigma = velocities
    torch.testing.assert_close(guide(conditional, 0.5 * conditional, sigma, 7.0), conditional)


def test_known_tokens_do_not_sway_the_fit(velocities):
    conditional, unconditional, sigma = velocities
    sigma[4:] = 0
    wild = torch.cat([conditional[:4], 1e6 * conditional[4:]])
    alone = fitted_scale(conditional[:4], unconditional[:4], sigma[:4])
    torch.testing.assert_close(fitted_scale(wild, unconditional, sigma), alone)


def test_outside_the_interval_the_velocity_is_the_conditional_one(velocities):
    conditional, unconditional, _ = velocities
    sigma = torch.linspace(0.05, 1, 12)[:, None]
    guided = guide(conditional, unconditional, sigma, 3.0, (0.3, 0.8))
    inside = ((sigma >= 0.3) & (sigma <= 0.8)).squeeze(1)
    assert torch.equal(guided[~inside], conditional[~inside])
    assert (guided[inside] != conditional[inside]).all()


def test_no_length_to_fit_is_no_accident(velocities):
    conditional, unconditional, sigma = velocities
    assert guide(conditional, torch.zeros_like(unconditional), sigma, 3.0).isfinite().all()
    assert guide(conditional, unconditional, torch.zeros_like(sigma), 3.0).isfinite().all()
