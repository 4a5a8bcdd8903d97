"""Do things fall as they must? Gravity is fitted on arcs through the air; what hangs there, and what bounces too high.

Heights are metres above the floor by the camera that was asked for (``stage.py``), at most five percent off.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from ozora.evaluate.bench import Bench
from ozora.evaluate.broken import backwards, light_gravity, world_sources
from ozora.evaluate.cases import Case
from ozora.evaluate.measures import Scores, judge_all
from ozora.evaluate.motion import Frames
from ozora.evaluate.pixel_cases import scene_of
from ozora.evaluate.ranking import COVERAGE, Judged
from ozora.evaluate.regions import find_regions
from ozora.evaluate.stage import on_stage
from ozora.evaluate.verdicts import Metric

GRAVITY = 9.81
IN_AIR = 0.2
"""Metres: what is lower may stand on the floor behind the stage's middle, or tumble over it."""
LEAST_FRAMES = 3
"""Of a flight. Three fit any parabola, so how well one fits is asked of longer ones, or of several at once."""
BOUNCE = 0.03
"""Metres a frame, about a pixel: by as much the speed upwards must grow to be called a bounce."""
RANGE = (-2 * GRAVITY, 4 * GRAVITY)
"""No fitted gravity counts as further off."""
FLOATING = 0.25
"""Of gravity: what falls by less over ``LEAST_FRAMES`` frames floats."""
TOLERANCE = 0.25
HIGHER = 0.1
"""Metres, and share of the height: by as much a bounce may seem higher than the one before."""


@dataclass(frozen=True)
class Arcs:
    """Flights of one object as parabolas ``height = a + b t - gravity t^2 / 2`` with one gravity, in m and s.

    ``residual`` is their root mean square distance from what was seen, in metres, None where any parabola fits;
    ``tops`` how high each flight gets.
    """

    gravity: float
    residual: float | None
    tops: tuple[float, ...]


def find_flights(heights: Float[np.ndarray, " t"], bottoms: Float[np.ndarray, " t"]) -> list[range]:
    """Frames in which an object is in the air without a touch between them, ``LEAST_FRAMES`` or more in a row.

    A bounce that happens between two frames shows as a speed that grows upwards: it lies between the frame where it
    grows most and that neighbor where it grows more.
    """
    up = (bottoms > IN_AIR) & np.isfinite(heights)
    growth = np.full(len(heights), -np.inf)
    growth[1:-1] = np.nan_to_num(np.diff(heights, 2), nan=-np.inf)
    touches = np.zeros(len(heights) + 1, bool)  # touches[t]: between frames t - 1 and t
    for t in range(1, len(heights) - 1):
        if growth[t] > BOUNCE and growth[t] >= growth[t - 1] and growth[t] >= growth[t + 1]:
            touches[t + 1 if growth[t + 1] > growth[t - 1] else t] = True
    flights, start = [], 0
    for t in range(len(heights) + 1):
        if t == len(heights) or not up[t] or touches[t]:
            if t - start >= LEAST_FRAMES:
                flights.append(range(start, t))
            start = t if t < len(heights) and up[t] else t + 1
    return flights


def fit_arcs(heights: Float[np.ndarray, " t"], flights: Sequence[range], fps: float) -> Arcs:
    """Least squares over all flights at once. Raises ``ValueError`` where there is no flight."""
    if not flights:
        raise ValueError(f"there is no flight; one of at least {LEAST_FRAMES} frames is needed to fit gravity")
    rows, seen = [], []
    for number, flight in enumerate(flights):
        for t in flight:
            time = (t - flight[0]) / fps
            row = np.zeros(2 * len(flights) + 1)
            row[2 * number : 2 * number + 2], row[-1] = (1.0, time), -0.5 * time**2
            rows.append(row)
            seen.append(heights[t])
    matrix, seen = np.array(rows), np.array(seen)
    found = np.linalg.lstsq(matrix, seen, rcond=None)[0]
    freedom = len(seen) - matrix.shape[1]
    residual = float(np.sqrt(np.square(matrix @ found - seen).sum() / freedom)) if freedom > 0 else None
    tops = tuple(float(max(heights[list(flight)])) for flight in flights)
    return Arcs(float(np.clip(found[-1], *RANGE)), residual, tops)


def floats(heights: Float[np.ndarray, " t"], flights: Sequence[range], fps: float) -> bool:
    """Whether something hangs in the air: in some ``LEAST_FRAMES`` frames of a flight it hardly falls."""
    windows = [range(start, start + LEAST_FRAMES) for f in flights for start in range(f[0], f[-1] - LEAST_FRAMES + 2)]
    return any(fit_arcs(heights, [window], fps).gravity < FLOATING * GRAVITY for window in windows)


def falling_colors(case: Case) -> list[str]:
    """Colors of the objects that fall, as it happened in the simulator."""
    facts = case.record.facts
    assert facts is not None
    return list(dict.fromkeys(facts.objects[event.subject].color for event in facts.events if event.kind == "fall"))


def judge_gravity(case: Case, frames: Frames) -> Scores:
    """One clip's scores, from its frames, the colors that should fall, and the camera asked for."""
    regions, fps = find_regions(frames), case.record.fps
    scene = scene_of(case)
    found: list[Arcs] = []
    hangs, weights = [], []
    for color in falling_colors(case):
        region = regions[color]
        heights = on_stage(scene, region.centers)[:, 1]
        feet = np.stack([region.bottoms + 0.5, region.centers[:, 1]], axis=1)
        flights = find_flights(heights, on_stage(scene, feet)[:, 1])
        if flights:
            found.append(fit_arcs(heights, flights, fps))
            weights.append(sum(len(flight) ** 5 for flight in flights))  # the spread of a fitted curvature
            hangs.append(floats(heights, flights, fps))
    if not found:
        return {COVERAGE: False}
    off = [arcs.residual for arcs in found if arcs.residual is not None]
    gravity = float(np.average([arcs.gravity for arcs in found], weights=weights))
    later = [(one, two) for arcs in found for one, two in pairwise(arcs.tops)]
    return {
        COVERAGE: True,
        "gravity (m/s2)": gravity,
        "gravity right to a quarter %": abs(gravity / GRAVITY - 1) <= TOLERANCE,
        "off its parabola (cm)": 100 * max(off) if off else None,
        "floats %": any(hangs),
        "bounces get lower %": all(two <= one * (1 + HIGHER) + HIGHER for one, two in later) if later else None,
    }


def gravity(bench: Bench) -> list[Judged]:
    """Objects that fall and bounce, under a camera that stands still."""
    sources = world_sources(bench, {"a fifth of the gravity": light_gravity, "backwards": backwards})
    rows = judge_all(sources, lambda i, frames: judge_gravity(bench.cases[i], frames))
    weak = ("frozen frame", "a fifth of the gravity")
    metrics = {
        "gravity (m/s2)": Metric(GRAVITY, worse=weak, aim=1.1 * GRAVITY, about="fitted on all flights of a clip"),
        "gravity right to a quarter %": Metric("high", worse=weak),
        "off its parabola (cm)": Metric("low", worse=("shuffled frames", "noise"), about="root mean square"),
        "floats %": Metric("low", worse=weak, about="an object hangs in the air for three eighths of a second"),
        "bounces get lower %": Metric("high", worse=("backwards",), about="no bounce gains energy"),
    }
    return [Judged("Gravity, fitted on arcs through the air, and floating", rows, metrics)]
