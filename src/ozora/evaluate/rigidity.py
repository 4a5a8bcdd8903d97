"""Is there one rigid scene that the camera goes around? Followed points must be views of fixed places.

For every frame an angle of the camera is fitted, for all frames an elevation, and for each point a place in space: a
bundle adjustment (Triggs et al. 2000) of a camera that goes around a vertical axis. What is left over, in pixels, is
what is not rigid. The scale of space has no meaning here; the camera's distance is 1.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from ozora.evaluate.bench import Bench
from ozora.evaluate.broken import drawn, melting, staged, things_drift, world_sources
from ozora.evaluate.cases import Case
from ozora.evaluate.measures import Scores, judge_all
from ozora.evaluate.motion import Frames, find_paths
from ozora.evaluate.pixel_cases import colors_of, scene_of
from ozora.evaluate.points import follow
from ozora.evaluate.ranking import COVERAGE, Judged
from ozora.evaluate.verdicts import Metric

LAST = 0.6
"""Of the frames: a point that is followed for so long counts."""
LEAST_POINTS = 8
LEAST_WAY = 3.0
"""Pixels: a median point must go so far, or there is nothing that could be out of step."""
LARGEST = 4.0
"""Pixels: no point counts as further off."""
NUM_STEPS = 10
NUDGE = 1e-4
"""Radians, for slopes."""
TURNED = 0.5
"""Of the angle asked for."""
GUESSES = (0.3, 1.0, -0.3, -1.0)
"""Times the angles asked for: where the fit may begin."""
NEAREST = 0.6
"""Of the camera's distance from the middle: in the worlds nothing is nearer to it. Without a limit, any slide of the
whole picture would be explained by tiny things before the lens."""


@dataclass(frozen=True, eq=False)
class Orbit:
    """``angles`` of the camera in degrees, to its right, 0 in the middle frame; ``off``: pixels, for every point."""

    angles: Float[np.ndarray, " t"]
    elevation: float
    off: Float[np.ndarray, " n"]


def fit_orbit(
    places: Float[np.ndarray, "t n 2"],
    side: int,
    field_of_view: float,
    elevation: float,
    guesses: Float[np.ndarray, "k t"],
) -> Orbit:
    """The orbit that explains points best, from a guess of its elevation and the best of some of its angles (degrees).

    ``places`` are y and x from the middle of a frame of ``side`` pixels, NaN where a point is not seen. Raises
    ``ValueError`` where a point is seen fewer than three times.
    """
    seen = np.asarray(np.isfinite(places).all(axis=2))
    if (seen.sum(axis=0) < 3).any():
        raise ValueError("a point is seen fewer than 3 times; its place in space takes 3 views at least")
    scale = 2 * np.tan(np.radians(field_of_view) / 2) / side
    views = np.nan_to_num(places) * scale
    middle = len(places) // 2

    def split(values: np.ndarray) -> tuple[np.ndarray, float]:
        return values[:-1] - values[middle], float(values[-1])

    def errors(values: np.ndarray) -> np.ndarray:
        return _left_over(views, seen, *split(values)) / scale

    starts = [np.radians(np.append(guess, elevation)) for guess in guesses]
    values = min(starts, key=lambda start: _cost(errors(start)))
    damping, error = 1e-2, errors(values)
    for _ in range(NUM_STEPS):
        weight = _huber(error)
        nudged = [errors(values + NUDGE * unit) for unit in np.eye(len(values))]
        slopes = np.stack([(other - error).ravel() / NUDGE for other in nudged], axis=1)
        flat = np.repeat(weight[..., None], 2, axis=2).ravel()
        normal, right = slopes.T @ (flat[:, None] * slopes), slopes.T @ (flat * error.ravel())
        step = np.linalg.solve(normal + damping * (np.diag(np.diag(normal)) + 1e-6 * np.eye(len(values))), -right)
        new = values + step.clip(-0.2, 0.2)
        new_error = errors(new)
        if _cost(new_error) < _cost(error):
            done = _cost(error) - _cost(new_error) < 1e-5 * _cost(error)
            values, error, damping = new, new_error, damping / 4
            if done:
                break
        else:
            damping *= 8
    off = np.sqrt(np.square(error).sum(axis=(0, 2)) / seen.sum(axis=0))
    found, tilt = split(values)
    return Orbit(np.degrees(found), float(np.degrees(tilt)), off)


def judge_rigidity(case: Case, frames: Frames) -> Scores:
    """One clip's scores: its corners and the centers of its objects, against the orbit that explains them best."""
    scene = scene_of(case)
    corners = follow(frames)
    lasting = np.isfinite(corners[..., 0]).mean(axis=0) >= LAST
    stays = float(lasting.mean()) if len(lasting) else 0.0
    centers = find_paths(frames, list(colors_of(case))).centers
    places = np.concatenate([corners, centers], axis=1)
    places = places[:, np.isfinite(places[..., 0]).mean(axis=0) >= LAST]
    way = np.linalg.norm(np.nanmax(places, axis=0) - np.nanmin(places, axis=0), axis=1) if places.size else np.zeros(1)
    if places.shape[1] < LEAST_POINTS or np.median(way) < LEAST_WAY:
        return {COVERAGE: False, "points that last %": stays}
    height, width = frames.shape[1:3]
    centered = places - [(height - 1) / 2, (width - 1) / 2]
    camera = scene.camera
    asked = camera.amount * (1 if camera.direction == "right" else -1)
    guesses = np.outer(GUESSES, asked * np.linspace(-0.5, 0.5, len(frames)))
    best = fit_orbit(centered, min(height, width), camera.field_of_view, camera.elevation, guesses)
    turned = float(best.angles[-1] - best.angles[0]) / asked
    return {
        COVERAGE: True,
        "points that last %": stays,
        "off one rigid scene (pixels)": float(np.minimum(best.off, LARGEST).mean()),
        "turned / asked": float(np.clip(turned, -2, 2)),
        "turns as asked %": turned >= TURNED,
    }


def rigidity(bench: Bench) -> list[Judged]:
    """Things at rest on a checkered floor, and a camera that goes around them."""
    broken = {"melting": melting, "things drift": things_drift, "the camera pans": _pans}
    rows = judge_all(world_sources(bench, broken), lambda i, frames: judge_rigidity(bench.cases[i], frames))
    metrics = {
        "points that last %": Metric("high", worse=("shuffled frames", "noise"), about="of the middle frame's corners"),
        "off one rigid scene (pixels)": Metric("low", worse=("melting", "things drift"), about="mean over points"),
        "turned / asked": Metric(1.0, worse=("the camera pans", "shuffled frames"), about="the camera's angle"),
        "turns as asked %": Metric("high", worse=("the camera pans", "shuffled frames"), about="half of it at least"),
    }
    return [Judged("3-D consistency: one rigid scene under a camera that goes around it", rows, metrics)]


def _pans(case: Case, frames: Frames) -> Frames:
    """The camera turns where it stands instead of going around."""
    scene, trajectory = staged(case)
    return drawn(replace(scene, camera=replace(scene.camera, motion="pan", amount=15.0)), trajectory)


def _left_over(
    views: Float[np.ndarray, "t n 2"], seen: np.ndarray, angles: Float[np.ndarray, " t"], elevation: float
) -> Float[np.ndarray, "t n 2"]:
    """Views less those of the best places in space, for given angles (radians); 0 where nothing is seen.

    A view (y, x) of place p asks that x * depth = right . p and -y * depth = up . p, with depth = 1 + forward . p:
    linear in p. Solved twice, the second time divided by depth, so that the error is that of the picture.
    """
    forward = np.array([0.0, np.cos(elevation), np.sin(elevation)])
    up = np.array([0.0, -np.sin(elevation), np.cos(elevation)])
    right = np.array([1.0, 0.0, 0.0])
    cos, sin, zero, one = np.cos(angles), np.sin(angles), np.zeros_like(angles), np.ones_like(angles)
    turn = np.stack([cos, sin, zero, -sin, cos, zero, zero, zero, one], axis=1).reshape(-1, 3, 3)
    forwards, rights, ups = (axis @ turn for axis in (forward, right, up))
    across, upward = views[..., 1], -views[..., 0]
    rows = np.stack(
        [
            rights[:, None] - across[..., None] * forwards[:, None],
            ups[:, None] - upward[..., None] * forwards[:, None],
        ],
        axis=2,
    )
    goals = np.stack([across, upward], axis=2)
    depth = np.ones(seen.shape)
    spots = np.zeros((views.shape[1], 3))
    for _ in range(2):
        weight = (seen / depth**2)[..., None]
        normal = np.einsum("tnka,tnkb->nab", rows * weight[..., None], rows) + 1e-9 * np.eye(3)
        spots = np.linalg.solve(normal, np.einsum("tnka,tnk->na", rows * weight[..., None], goals)[..., None])[..., 0]
        spots = _away_from_lens(spots, forwards[len(angles) // 2])
        depth = np.maximum(1 + np.einsum("ta,na->tn", forwards, spots), NEAREST / 2)
    return (np.einsum("tnka,na->tnk", rows, spots) - goals) / depth[..., None] * seen[..., None]


def _away_from_lens(spots: Float[np.ndarray, "n 3"], forward: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "n 3"]:
    """Places moved along the ray on which the middle frame sees them, to a depth of ``NEAREST`` at least."""
    from_lens = spots + forward
    depth = from_lens @ forward
    near = depth < NEAREST
    moved = from_lens * (NEAREST / np.maximum(depth, 1e-3))[:, None]
    return np.where(near[:, None], moved, from_lens) - forward


def _huber(error: Float[np.ndarray, "t n 2"], bend: float = 1.0) -> Float[np.ndarray, "t n"]:
    """Weights that let errors beyond ``bend`` pixels pull no harder than one of it."""
    return bend / np.maximum(np.linalg.norm(error, axis=2), bend)


def _cost(error: Float[np.ndarray, "t n 2"], bend: float = 1.0) -> float:
    size = np.linalg.norm(error, axis=2)
    return float(np.where(size <= bend, size**2 / 2, bend * (size - bend / 2)).sum())
