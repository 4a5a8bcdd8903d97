import math

import pytest
import torch

from ozora.flow.path import VARIANCE_PRESERVING, coefficients
from ozora.flow.schedule import (
    ancestral_sigmas,
    chain_sigmas,
    draw_chain_sigmas,
    draw_sigmas,
    shift_for,
    shifted,
    sigmas,
    stratified,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_levels_fall_from_one_to_zero():
    for shift in (0.5, 1.0, 3.0):
        levels = sigmas(7, shift)
        assert levels.shape == (8,) and levels[0] == 1 and levels[-1] == 0
        assert (levels.diff() < 0).all()
    torch.testing.assert_close(sigmas(4), torch.tensor([1, 0.75, 0.5, 0.25, 0]))


def test_the_shift_in_closed_form():
    # 4 times the tokens: the odds of noise double, so a half becomes two thirds.
    assert shift_for(320, 80) == 2
    torch.testing.assert_close(shifted(torch.tensor(0.5), 2.0), torch.tensor(2 / 3))
    sigma = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    odds = sigma / (1 - sigma)
    after = shifted(sigma, 1.7)
    torch.testing.assert_close(after / (1 - after), 1.7 * odds)
    torch.testing.assert_close(shifted(after, 1 / 1.7), sigma)


def test_the_shift_equals_the_tokens_signal_to_noise():
    # SD3, eq. 23: the mean of m noisy copies has the noise std sigma / (1 - sigma) / sqrt(m).
    sigma, m = torch.tensor(0.3), 9
    level = shifted(sigma, shift_for(m * 80, 80))
    torch.testing.assert_close(level / (1 - level) / math.sqrt(m), sigma / (1 - sigma))


def test_stratified_draws_fall_one_in_each_part():
    draws = stratified(64, seeded())
    assert sorted((draws * 64).long().tolist()) == list(range(64))
    assert draws.tolist() != sorted(draws.tolist())
    assert torch.equal(stratified(64, seeded()), draws)
    assert stratified(0, seeded()).shape == (0,)


@pytest.mark.parametrize("n", [1, 7, 2000])
def test_draws_are_logit_normal(n):
    # Whatever the size of the batch, a draw has the logit-normal's distribution: compare the quantiles.
    generator = seeded(3)
    draws = torch.cat([draw_sigmas(n, generator, mean=-0.4, std=1.3) for _ in range(14_000 // n)]).double()
    normal = torch.logit(draws)
    levels = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95], dtype=torch.float64)
    expected = -0.4 + 1.3 * math.sqrt(2) * torch.erfinv(2 * levels - 1)
    torch.testing.assert_close(torch.quantile(normal, levels), expected, atol=0.08, rtol=0)


def test_draws_shift_one_by_one():
    shift = torch.tensor([0.5, 1.0, 2.0, 4.0])
    plain, moved = draw_sigmas(4, seeded()), draw_sigmas(4, seeded(), shift=shift)
    torch.testing.assert_close(moved, shifted(plain, shift))


def test_ddpms_chain():
    # The first and last alpha_bar of the linear schedule of 1000 steps, from Ho et al. 2020.
    levels = chain_sigmas().double()
    alpha, _ = coefficients(levels, VARIANCE_PRESERVING)
    assert alpha[0].item() ** 2 == pytest.approx(1 - 1e-4, rel=1e-6)
    assert alpha[-1].item() ** 2 == pytest.approx(4.04e-5, rel=0.01)
    assert (levels.diff() > 0).all()
    steps = ancestral_sigmas(1000)
    torch.testing.assert_close(steps[:-1].flip(0), chain_sigmas())
    assert ancestral_sigmas(10).shape == (11,) and ancestral_sigmas(10)[0] == steps[0] and ancestral_sigmas(10)[-1] == 0
    draws = draw_chain_sigmas(1000, seeded())
    torch.testing.assert_close(draws.sort().values, chain_sigmas())


@pytest.mark.parametrize(
    "call", [lambda: sigmas(0), lambda: shift_for(0, 80), lambda: ancestral_sigmas(1001), lambda: chain_sigmas(5)]
)
def test_senseless_numbers_are_refused(call):
    with pytest.raises(ValueError, match=r"at least|1 to"):
        call()
