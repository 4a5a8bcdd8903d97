"""How far apart are two sets of clips, as clouds of features? Fréchet and MMD distances, with intervals.

Both are 0 where the clouds are alike. The Fréchet distance is that of two Gaussians with the clouds' means and
covariances; a covariance of few clips is too flat, so the distance of two samples of one cloud is not 0 but about
d (d + 4) / (2 n) for d independent features of deviation 1 and n clips a sample: 6 for 48 features and 200 clips.
``jackknife`` removes what falls as one over the number of clips. The MMD has an estimator that is right on average from
any number of clips (so it may come out below 0), and looks beyond means and covariances.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from ozora.evaluate.tables import Share

Cloud = Float[np.ndarray, "_n _d"]
"""A row for each clip; two clouds have the same features but need not be equally large."""

NUM_GROUPS = 20
"""Of clips, of which the jackknife leaves out one after the other."""
T_QUANTILE = 2.093
"""Student's t with ``NUM_GROUPS`` - 1 degrees of freedom leaves out 2.5 % above this."""


def frechet(first: Cloud, second: Cloud) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of means m and covariances C: the squared 2-Wasserstein distance.

    Dowson and Landau 1982, used on features by Heusel et al. 2017 (FID) and Unterthiner et al. 2018 (FVD). Raises
    ``ValueError`` for fewer than two clips and for clouds of unlike features.
    """
    _check(first, second)
    means = first.mean(axis=0) - second.mean(axis=0)
    one, two = np.cov(first.T), np.cov(second.T)
    values, vectors = np.linalg.eigh(np.atleast_2d(one))
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    crossed = np.linalg.eigvalsh(root @ np.atleast_2d(two) @ root).clip(min=0)
    return float(means @ means + np.trace(np.atleast_2d(one + two)) - 2 * np.sqrt(crossed).sum())


def mmd(first: Cloud, second: Cloud) -> float:
    """The squared maximum mean discrepancy under the kernel (x . y / d + 1)^3, estimated without bias.

    Gretton et al. 2012, equation 3, with the kernel of KID (Binkowski et al. 2018). Raises ``ValueError`` as
    ``frechet`` does.
    """
    _check(first, second)
    within = sum(_mean_off_diagonal(_kernel(cloud, cloud)) for cloud in (first, second))
    return within - 2 * float(_kernel(first, second).mean())


def jackknife(distance: Callable[[Cloud, Cloud], float], first: Cloud, second: Cloud) -> Share:
    """The distance without its bias of order one over the number of clips, and its 95 % interval.

    The clips are split into ``NUM_GROUPS`` groups in a fixed random order, or into single clips where there are fewer;
    every group is left out once, of both clouds together (Quenouille 1956, Tukey 1958). ``num_clips`` is the smaller
    cloud's. Where the truth is 0 the distance is no smooth function of the clouds, and the interval is only rough.
    """
    num_clips = min(len(first), len(second))
    groups = min(NUM_GROUPS, num_clips)
    if num_clips < 3:
        raise ValueError(f"{num_clips} clips; an interval needs 3 at least, and 100 to be narrow")
    whole = distance(first, second)
    members = [np.random.default_rng(0).permutation(len(cloud)) % groups for cloud in (first, second)]
    without = np.array([distance(first[members[0] != g], second[members[1] != g]) for g in range(groups)])
    value = groups * whole - (groups - 1) * without.mean()
    half = T_QUANTILE * np.sqrt((groups - 1) * without.var())
    return Share(float(value), float(value - half), float(value + half), num_clips)


def _kernel(first: Cloud, second: Cloud) -> Float[np.ndarray, "_n _m"]:
    return (first @ second.T / first.shape[1] + 1) ** 3


def _mean_off_diagonal(values: Float[np.ndarray, "n n"]) -> float:
    n = len(values)
    return float((values.sum() - np.trace(values)) / (n * (n - 1)))


def _check(first: Cloud, second: Cloud) -> None:
    if min(len(first), len(second)) < 2 or first.shape[1] != second.shape[1]:
        raise ValueError(
            f"clouds of shapes {first.shape} and {second.shape}; both must have the same features and 2 clips at least"
        )
