"""Distances between clouds have their closed forms, and their intervals hold what is true."""

import numpy as np
import pytest

from ozora.evaluate.frechet import NUM_GROUPS, frechet, jackknife, mmd


def gaussian(seed: int, num: int, width: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(num, width))


def white(seed: int, num: int = 50, width: int = 4) -> np.ndarray:
    """A cloud whose mean is exactly 0 and whose covariance is exactly the identity."""
    cloud = gaussian(seed, num, width)
    cloud -= cloud.mean(axis=0)
    return cloud @ np.linalg.inv(np.linalg.cholesky(np.cov(cloud.T))).T


def test_frechet_has_its_closed_form():
    one, scales, shift = white(0), np.array([2.0, 1.0, 0.5, 3.0]), np.array([1.0, -2.0, 0.0, 0.5])
    two = white(1) * scales + shift
    assert frechet(one, two) == pytest.approx((shift**2).sum() + ((scales - 1) ** 2).sum())
    turned = np.linalg.qr(gaussian(2, 4, 4))[0]
    assert frechet(one @ turned, two @ turned) == pytest.approx(frechet(one, two))
    assert frechet(two, two) == pytest.approx(0, abs=1e-9) and frechet(two, one) == pytest.approx(frechet(one, two))


def test_mmd_is_the_sum_written_out():
    one, two = gaussian(0, 5), gaussian(1, 7) + 0.5

    def kernel(x, y):
        return (x @ y / 6 + 1) ** 3

    def within(cloud):
        return np.mean([kernel(x, y) for i, x in enumerate(cloud) for j, y in enumerate(cloud) if i != j])

    across = np.mean([kernel(x, y) for x in one for y in two])
    assert mmd(one, two) == pytest.approx(within(one) + within(two) - 2 * across)


def test_mmd_is_right_on_average_from_few_clips_and_frechet_is_not():
    pairs = [(gaussian(2 * i, 20), gaussian(2 * i + 1, 20)) for i in range(60)]
    values = np.array([mmd(*pair) for pair in pairs])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))
    assert np.mean([frechet(*pair) for pair in pairs]) > 1.0


def test_the_jackknife_removes_the_bias_of_few_clips():
    pairs = [(gaussian(2 * i, 100), gaussian(2 * i + 1, 100)) for i in range(20)]
    raw, free = (
        np.array([frechet(*pair) for pair in pairs]),
        np.array([jackknife(frechet, *pair).value for pair in pairs]),
    )
    assert abs(free.mean()) < 0.2 * raw.mean()


def test_the_jackknife_of_a_mean_is_its_standard_error():
    one, two = gaussian(3, NUM_GROUPS, 1), gaussian(4, NUM_GROUPS, 1)
    share = jackknife(lambda first, second: float(first.mean() - second.mean()), one, two)
    order = np.random.default_rng(0).permutation(NUM_GROUPS)
    error = (one - two)[np.argsort(order)].std(ddof=1) / np.sqrt(NUM_GROUPS)
    assert share.value == pytest.approx(one.mean() - two.mean()) and share.num_clips == NUM_GROUPS
    assert (share.high - share.low) / 2 == pytest.approx(2.093 * error)


def test_intervals_hold_what_is_true():
    true = 6 * 0.25
    held = [
        (share := jackknife(frechet, gaussian(2 * i, 120), gaussian(2 * i + 1, 120) + 0.5)).low <= true <= share.high
        for i in range(30)
    ]
    assert np.mean(held) > 0.8


def test_clouds_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match="2 clips at least"):
        frechet(gaussian(0, 1), gaussian(1, 5))
    with pytest.raises(ValueError, match="same features"):
        mmd(gaussian(0, 5, 3), gaussian(1, 5, 4))
    with pytest.raises(ValueError, match="3 at least"):
        jackknife(mmd, gaussian(0, 2), gaussian(1, 9))
