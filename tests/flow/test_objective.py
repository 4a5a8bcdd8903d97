import pytest
import torch

from ozora.flow.objective import SIGMA_FLOOR, flow_loss
from ozora.flow.path import STRAIGHT, VARIANCE_PRESERVING, from_velocity, mix, to_straight, to_velocity


def example(n=200, seed=0, low=SIGMA_FLOOR, high=1 - SIGMA_FLOOR):
    generator = torch.Generator().manual_seed(seed)
    clean, noise, guess = torch.randn(3, n, 5, generator=generator)
    return clean, noise, guess, low + (high - low) * torch.rand(n, generator=generator)


@pytest.mark.parametrize("path", [STRAIGHT, VARIANCE_PRESERVING])
@pytest.mark.parametrize("kind", ["clean", "velocity", "noise"])
def test_the_loss_is_the_squared_velocity_error_of_any_prediction_on_any_path(kind, path):
    clean, noise, guess, sigma = example()
    levels = sigma[:, None]
    x = to_straight(mix(clean, noise, levels, path), levels, path)
    expected = (to_velocity(guess, kind, x, levels) - (noise - clean)).square().mean()
    torch.testing.assert_close(flow_loss(guess, clean, noise, sigma, kind).mean, expected)


def test_one_error_costs_the_same_in_every_kind_of_prediction():
    clean, noise, velocity, sigma = example()
    x = mix(clean, noise, sigma[:, None])
    losses = [
        flow_loss(from_velocity(velocity, kind, x, sigma[:, None]), clean, noise, sigma, kind).mean
        for kind in ("clean", "velocity", "noise")
    ]
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(losses[2], losses[1])


def test_the_truth_costs_nothing_and_known_tokens_never_do():
    clean, noise, guess, sigma = example(low=0.0)
    assert flow_loss(clean, clean, noise, sigma).mean == 0
    sigma[:100] = torch.linspace(0, 0.039, 100)
    guess.requires_grad_()
    loss = flow_loss(guess, clean, noise, sigma)
    (gradient,) = torch.autograd.grad(loss.mean, guess)
    assert (gradient[:100] == 0).all() and (gradient[100:][sigma[100:] > 0.04] != 0).all()
    assert loss.weights.sum() == (sigma >= 0.04).sum()


def test_bins_and_weights_add_up():
    clean, noise, guess, sigma = example()
    weight = torch.rand(200, generator=torch.Generator().manual_seed(1))
    loss = flow_loss(guess, clean, noise, sigma, weight=weight)
    torch.testing.assert_close(loss.sums.sum() / loss.weights.sum(), loss.mean)
    low = (sigma >= 0.3) & (sigma < 0.4)
    alone = flow_loss(guess[low], clean[low], noise[low], sigma[low], weight=weight[low])
    torch.testing.assert_close(loss.by_noise[3], alone.mean)


def test_padding_does_not_count():
    clean, noise, guess, sigma = example()
    weight = torch.ones(200)
    weight[150:] = 0
    whole = flow_loss(guess, clean, noise, sigma, weight=weight)
    torch.testing.assert_close(whole.mean, flow_loss(guess[:150], clean[:150], noise[:150], sigma[:150]).mean)


def test_a_row_with_nothing_to_learn_has_loss_zero():
    clean, noise, guess, sigma = example()
    guess.requires_grad_()
    loss = flow_loss(guess, clean, noise, torch.zeros_like(sigma))
    loss.mean.backward()
    assert loss.mean == 0 and guess.grad is not None and (guess.grad == 0).all()
    assert loss.by_noise.isnan().all()


def test_the_loss_stays_bounded_near_clean():
    clean, noise, _, _ = example()
    sigma = torch.full((200,), 0.041)
    wrong = clean + 1
    assert flow_loss(wrong, clean, noise, sigma).mean.item() == pytest.approx(1 / SIGMA_FLOOR**2, rel=1e-4)
