"""What happens when one object runs into another? Momentum and energy across the hit, and whether they overlap.

A broken interaction is a failure that Sora's authors admit. Everything is read from frames: speeds along the stage in
metres a second, masses as an even material's from the visible area and the shape that was asked for.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ozora.evaluate.bench import Bench
from ozora.evaluate.broken import backwards, ghosts, held_in_place, world_sources
from ozora.evaluate.cases import Case
from ozora.evaluate.measures import Scores, judge_all
from ozora.evaluate.motion import Frames
from ozora.evaluate.pixel_cases import scene_of
from ozora.evaluate.ranking import COVERAGE, Judged
from ozora.evaluate.regions import Region, find_regions, gaps
from ozora.evaluate.stage import on_stage
from ozora.evaluate.verdicts import Metric

NEAR = 2
"""Pixels between two objects that meet: blurred edges keep them so far apart."""
NUM_BEFORE, NUM_AFTER = 3, 4
"""Frames on either side of a hit from which speeds are taken."""
FILL = {"sphere": 0.75, "cube": 0.74, "cylinder": 0.59, "cone": 0.57}
"""Volume by visible area to the power of 3/2, seen from a little above."""
STILL = 0.06
"""Metres: by less what rests may seem to move."""
STRUCK = 0.1
"""Metres: so far what is struck must be in the end from where it rested."""
NUM_LAST = 3
GAIN = 1.15
"""Times the energy before: with more it has grown."""
LARGEST = 4.0
"""No ratio counts as larger."""


@dataclass(frozen=True)
class Hit:
    """A hit in frame ``frame``. Speeds along the stage in m/s, of the striker and of the struck one."""

    frame: int
    before: tuple[float, float]
    after: tuple[float, float]
    masses: tuple[float, float]

    @property
    def momentum(self) -> float | None:
        """After by before, within ``LARGEST``; None where nothing moved before."""
        start, end = (sum(m * v for m, v in zip(self.masses, speeds)) for speeds in (self.before, self.after))
        return float(np.clip(end / start, -LARGEST, LARGEST)) if self._moved else None

    @property
    def energy(self) -> float | None:
        """After by before, of motion along the stage; at most ``LARGEST``. None where nothing moved before."""
        start, end = (sum(m * v * v for m, v in zip(self.masses, speeds)) for speeds in (self.before, self.after))
        return min(end / start, LARGEST) if self._moved else None

    @property
    def _moved(self) -> bool:
        return abs(self.before[0]) > 0.25


def meeting(striker: Region, struck: Region) -> int | None:
    """The first frame in which the two are ``NEAR`` pixels apart or less; None where they never are."""
    met = np.flatnonzero(gaps(striker.mask, struck.mask) <= NEAR)
    return int(met[0]) if len(met) else None


def read_hit(case: Case, striker: Region, struck: Region, shapes: tuple[str, str]) -> Hit | None:
    """The first meeting of two regions, None without two frames on each side of it in which both are seen."""
    frame = meeting(striker, struck)
    if frame is None:
        return None
    scene, fps = scene_of(case), case.record.fps
    before, after = range(max(0, frame - NUM_BEFORE), frame), range(frame + 1, min(frame + 1 + NUM_AFTER, 17))
    places = [on_stage(scene, region.centers)[:, 0] for region in (striker, struck)]
    speeds = [[_speed(place, span, fps) for place in places] for span in (before, after)]
    if any(speed is None for pair in speeds for speed in pair):
        return None
    masses = tuple(FILL[shape] * _ordinary(region, frame) ** 1.5 for region, shape in zip((striker, struck), shapes))
    return Hit(frame, tuple(speeds[0]), tuple(speeds[1]), masses)  # pyright: ignore[reportArgumentType]


def overlap(striker: Region, struck: Region) -> float | None:
    """The largest share of the smaller object that is missing while the two meet, as if inside the other.

    None where they never meet, or are never apart before. In [0, 1].
    """
    apart = gaps(striker.mask, struck.mask)
    close = np.flatnonzero(apart <= NEAR)
    before = np.flatnonzero(np.isfinite(apart) & (apart > NEAR) & (np.arange(len(apart)) < close.min(initial=99)))
    if not len(close) or not len(before):
        return None
    whole = [float(np.median(region.total[before])) for region in (striker, struck)]
    seen = (striker.total + struck.total)[close]
    return float(np.clip((sum(whole) - seen.min()) / min(whole), 0, 1))


def roles(case: Case) -> tuple[int, int]:
    """Numbers of striker and struck one in the facts: of the first hit in the simulator."""
    facts = case.record.facts
    assert facts is not None
    hit = next(event for event in facts.events if event.kind == "hit" and event.object >= 0)
    return hit.subject, hit.object


def judge_contact(case: Case, frames: Frames) -> Scores:
    """One clip's scores."""
    numbers, objects = roles(case), case.facts.objects
    regions = find_regions(frames)
    striker, struck = (regions[objects[k].color] for k in numbers)
    hit = read_hit(case, striker, struck, (objects[numbers[0]].shape, objects[numbers[1]].shape))
    if hit is None:
        return {COVERAGE: False}
    place = on_stage(scene_of(case), struck.centers)[:, 0]
    before, last = place[: hit.frame], place[hit.frame :]
    moved = abs(np.mean(last[np.isfinite(last)][-NUM_LAST:]) - np.nanmean(before))
    energy = hit.energy
    return {
        COVERAGE: True,
        "rests until it is touched %": float(np.nanmax(before) - np.nanmin(before)) <= STILL,
        "the struck one moves %": bool(moved >= STRUCK),
        "momentum after / before": hit.momentum,
        "energy after / before": energy,
        "gains energy %": None if energy is None else energy > GAIN,
        "overlap / the smaller one": overlap(striker, struck),
    }


def contacts(bench: Bench) -> list[Judged]:
    """An object runs into another that rests, under a camera that stands still."""
    broken = {"ghosts": ghosts, "held in place": held_in_place, "backwards": backwards}
    rows = judge_all(world_sources(bench, broken), lambda i, frames: judge_contact(bench.cases[i], frames))
    metrics = {
        "rests until it is touched %": Metric("high", worse=("backwards", "shuffled frames")),
        "the struck one moves %": Metric("high", worse=("ghosts", "held in place")),
        "momentum after / before": Metric(
            1.0,
            worse=("held in place", "shuffled frames"),
            about="of both, near the hit",
        ),
        "gains energy %": Metric("low", worse=("backwards",)),
        "overlap / the smaller one": Metric("low", worse=("ghosts",), about="penetration: what is missing there"),
    }
    return [Judged("Broken interactions (admitted of Sora): one object runs into another", rows, metrics)]


def _speed(places: Float[np.ndarray, " t"], span: range, fps: float) -> float | None:
    """The slope of the places seen in the span; None for fewer than two."""
    times = np.array([t for t in span if np.isfinite(places[t])])
    return float(np.polyfit(times / fps, places[times], 1)[0]) if len(times) >= 2 else None


def _ordinary(region: Region, frame: int) -> float:
    """Pixels it shows before the meeting."""
    return float(np.median(region.total[:frame][region.seen[:frame]]))
