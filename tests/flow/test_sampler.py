from itertools import pairwise

import pytest
import torch

from ozora.flow.path import convert
from ozora.flow.sampler import SAMPLERS, Point, noise_levels, take, walk
from ozora.flow.schedule import ancestral_sigmas, sigmas

MEAN, STD = 0.7, 0.3


def gaussian(x, sigma):
    """The exact velocity for data distributed as N(MEAN, STD**2): E[noise - clean | x]."""
    variance = ((1 - sigma) * STD) ** 2 + sigma**2
    away = (x - (1 - sigma) * MEAN) / variance
    clean = MEAN + (1 - sigma) * STD**2 * away
    noise = sigma * away
    return noise - clean


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise_of(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def drawing(x, seed=1):
    generator = seeded(seed)
    return lambda: torch.randn(x.shape, generator=generator, dtype=x.dtype)


@pytest.mark.parametrize("sampler, order", [("euler", 1), ("heun", 2), ("multistep", 2)])
@pytest.mark.parametrize("shift", [1.0, 2.0])
def test_order_of_convergence_on_a_gaussian(sampler, order, shift):
    # The exact flow carries N(0, 1) to N(MEAN, STD**2) quantile by quantile.
    x = noise_of(64)
    errors = [
        (walk(sampler, gaussian, x, sigmas(steps, shift).double()) - (MEAN + STD * x)).abs().mean().item()
        for steps in (64, 128, 256)
    ]
    ratios = [before / after for before, after in pairwise(errors)]
    assert ratios == pytest.approx([2**order] * 2, rel=0.12)


def test_second_order_is_worth_it():
    x = noise_of(64)
    samplers = ("euler", "heun", "multistep")
    error = {s: (walk(s, gaussian, x, sigmas(20).double()) - (MEAN + STD * x)).abs().mean() for s in samplers}
    assert error["multistep"] < error["euler"] / 4 and error["heun"] < error["euler"] / 4


@pytest.mark.parametrize("levels", [ancestral_sigmas(500), sigmas(250)], ids=["chain", "straight"])
def test_ancestral_sampling_recovers_mean_and_variance(levels):
    x = noise_of(40_000)
    made = walk("ancestral", gaussian, x, levels.double(), drawing(x))
    assert made.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert made.std().item() == pytest.approx(STD, rel=0.03)
    # It is no deterministic map of its start: most of that is forgotten.
    assert abs(torch.corrcoef(torch.stack([x, made]))[0, 1].item()) < 0.1


def test_ancestral_steps_are_ddpms():
    # One step in the variance-preserving chain's own coordinates, with the formulas of Ho et al. 2020, eq. 6 and 7.
    beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    alpha_bar = torch.cumprod(1 - beta, 0)
    t = 600
    x, clean, fresh = noise_of(3, 50)
    mean = (
        alpha_bar[t - 1].sqrt() * beta[t] / (1 - alpha_bar[t]) * clean
        + (1 - beta[t]).sqrt() * (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * x
    )
    expected = mean + ((1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * beta[t]).sqrt() * fresh

    total = alpha_bar.sqrt() + (1 - alpha_bar).sqrt()
    levels = ((1 - alpha_bar).sqrt() / total)[[t, t - 1]]

    def velocity(x, sigma):
        return convert(clean, "clean", "velocity", x, sigma)

    made = walk("ancestral", velocity, x / total[t], levels, lambda: fresh) * total[t - 1]
    torch.testing.assert_close(made, expected)


def test_ancestral_sampling_asks_for_noise():
    with pytest.raises(ValueError, match="draw_noise is None"):
        walk("ancestral", gaussian, noise_of(3), sigmas(3))


@pytest.mark.parametrize("name", SAMPLERS)
def test_known_cells_come_out_exactly(name):
    x = noise_of(6, 4).float()
    known = torch.tensor([1, 0, 1, 0.5, 0, 1.0])[:, None]

    def poisonous(x, sigma):
        # What a network says of known cells must not matter, however wild.
        return torch.where(sigma == 0, 1e6, gaussian(x, sigma))

    made = walk(name, poisonous, x, noise_levels(sigmas(8), known), drawing(x))
    assert torch.equal(made[known[:, 0] == 1], x[known[:, 0] == 1])
    assert (made[known[:, 0] < 1] != x[known[:, 0] < 1]).all() and made.isfinite().all()


@pytest.mark.parametrize("name", SAMPLERS)
def test_known_in_part_everywhere_is_sdedit(name):
    clean, noise = noise_of(2, 5, 4).float()
    x = 0.4 * clean + 0.6 * noise
    runs = [
        walk(name, gaussian, x, levels, drawing(x))
        for levels in (noise_levels(sigmas(12), torch.full((5, 4), 0.4)), 0.6 * sigmas(12))
    ]
    torch.testing.assert_close(runs[0], runs[1], atol=1e-5, rtol=0)


def test_every_token_walks_its_own_schedule():
    x = noise_of(2, 50)
    levels = torch.stack([sigmas(9), sigmas(9, 2.5)], dim=1)[:, :, None].double()
    together = walk("multistep", gaussian, x, levels)
    alone = [walk("multistep", gaussian, x[i], levels[:, i, 0]) for i in range(2)]
    torch.testing.assert_close(together, torch.stack(alone))


def test_unlike_samplers_walk_side_by_side_as_they_walk_alone():
    names, levels = list(SAMPLERS), sigmas(6).double()
    starts = [noise_of(5 + i, seed=i) for i in range(len(names))]
    noises = [drawing(x) for x in starts]
    asked = []

    def velocities(questions):
        asked.append(sorted(questions))
        return {i: gaussian(x, sigma) for i, (x, sigma) in questions.items()}

    points = [Point(x) for x in starts]
    for sigma, following in pairwise(levels):
        steps = [SAMPLERS[n](point, sigma, following, noise) for n, point, noise in zip(names, points, noises)]
        points = take(steps, velocities)
    # Heun's asks a second time in every step but the last.
    assert asked == [[0, 1, 2, 3, 4], [names.index("heun")]] * 5 + [[0, 1, 2, 3, 4]]
    for name, point, x in zip(names, points, starts):
        assert torch.equal(point.x, walk(name, gaussian, x, levels, drawing(x)))


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_walk_can_be_laid_aside_at_any_point(name):
    levels, noise = sigmas(5).double(), drawing(noise_of(7))
    point = Point(noise_of(7))
    for sigma, following in pairwise(levels):
        point = Point(**{field: value for field, value in vars(point).items() if value is not None})
        (point,) = take([SAMPLERS[name](point, sigma, following, noise)], lambda asked: {0: gaussian(*asked[0])})
    assert torch.equal(point.x, walk(name, gaussian, noise_of(7), levels, drawing(noise_of(7))))


def test_noise_levels_broadcast():
    levels = noise_levels(torch.tensor([1.0, 0.5, 0.0]), torch.tensor([[0.0, 0.2], [1.0, 0.5]]))
    assert levels.shape == (3, 2, 2)
    torch.testing.assert_close(levels[1], torch.tensor([[0.5, 0.4], [0.0, 0.25]]))
    of_tokens = noise_levels(torch.ones(3, 4, 1), torch.zeros(4, 1))
    assert of_tokens.shape == (3, 4, 1)


def test_a_walk_ends_where_there_is_less_noise_than_the_least():
    known = torch.tensor([0.0, 0.5, 0.9, 1.0])
    levels = noise_levels(torch.tensor([1.0, 0.6, 0.3, 0.1, 0.05, 0.0]), known, least=0.08)
    expected = [[1.0, 0.5, 0.1, 0.0], [0.6, 0.3, 0.0, 0.0], [0.3, 0.15, 0.0, 0.0], [0.1, 0.0, 0.0, 0.0], [0.0] * 4]
    torch.testing.assert_close(levels, torch.tensor(expected))
    assert len(noise_levels(torch.tensor([1.0, 0.5, 0.0]), torch.ones(4), least=0.08)) == 2


def test_progress_is_told_every_step():
    seen = []
    x = noise_of(3)
    for name in SAMPLERS:
        walk(name, gaussian, x, sigmas(3).double(), drawing(x), lambda step, total: seen.append((step, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)] * len(SAMPLERS)


def test_equal_levels_are_no_step():
    x = noise_of(5)
    levels = torch.tensor([1.0, 1.0, 0.5, 0.5, 0.0], dtype=torch.float64)
    for name in SAMPLERS:
        assert walk(name, gaussian, x, levels, drawing(x)).isfinite().all()
    fewer = levels.unique().flip(0)
    torch.testing.assert_close(walk("euler", gaussian, x, levels), walk("euler", gaussian, x, fewer))
