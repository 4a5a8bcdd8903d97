"""Does the state of things change when, and only when, something happens to them, and does it stay changed?

Things break, are consumed and take a color for good. That such changes are wrong or missing is a failure that Sora's
authors admit (glass that does not shatter, food that stays whole).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from ozora.evaluate.bench import Bench
from ozora.evaluate.broken import (
    backwards,
    changes_by_itself,
    changes_undone,
    nothing_reacts,
    turned_away,
    world_sources,
)
from ozora.evaluate.cases import Case
from ozora.evaluate.measures import Scores, judge_all
from ozora.evaluate.motion import Frames
from ozora.evaluate.pixel_cases import scene_of
from ozora.evaluate.ranking import COVERAGE, Judged
from ozora.evaluate.regions import Region, find_regions, gaps
from ozora.evaluate.stage import on_stage
from ozora.evaluate.verdicts import Metric

NUM_FIRST = 2
"""Frames that say what is unchanged."""
GONE = 0.25
"""Of what was seen at first: with less it is gone."""
GAINED = 0.4
"""Of the marked object: by as much the color of the other must grow."""
SCATTERED = 1.09
"""Times what was at first: root mean square distance of pixels from their middle, by the radius of a disc as large."""
IN_SIGHT = 0.9
"""Of what was seen at first: with less it may be half hidden, and no pieces, unless they are ``FAR``."""
FAR = 1.5
COVERED = 0.5
"""Of where a thing was last seen: if another covers so much of it, it may be hidden."""
TOUCH = 3
"""Pixels between two things that may have touched between two frames."""
LOOK_BACK = 4
"""Frames: what is consumed shrinks for 0.3 s before it is gone."""
LOW = 0.25
"""Metres above the floor: from there it may have hit the floor before the next frame."""
NUM_LAST = 3
KEPT = 0.85
"""Of the frames after a change: in as many it must be seen."""


@dataclass(frozen=True)
class Change:
    """What a clip shows of one thing. ``at``: the frame from which it is changed, or None.

    It takes two frames in a row in which it is changed and nothing hides it, or that it is so to the end.
    """

    at: int | None
    at_end: bool
    stays: bool | None
    touched: bool | None


def is_changed(kind: str, thing: Region, other: Region | None) -> Bool[np.ndarray, " t"] | None:
    """In which frames ``thing`` is broken, gone, or has the color of ``other``.

    None where it is not seen whole in the first frames. ``kind`` is "break", "consume" or "mark".
    """
    if not thing.seen[:NUM_FIRST].all():
        return None
    whole = float(np.median(thing.total[:NUM_FIRST]))
    if kind == "break":
        scatter = np.array([_scatter(mask) for mask in thing.mask])
        scatter /= scatter[:NUM_FIRST].mean()
        changed = ((scatter > SCATTERED) & (thing.total > IN_SIGHT * whole)) | (scatter > FAR)
    else:
        changed = thing.total < GONE * whole
        if kind == "mark":
            assert other is not None
            if not other.seen[:NUM_FIRST].any():
                return None
            before = float(np.median(other.total[:NUM_FIRST][other.seen[:NUM_FIRST]]))
            changed &= other.total > before + GAINED * whole
    return None if changed[:NUM_FIRST].any() else changed


def read_change(case: Case, frames: Frames) -> Change | None:
    """What becomes of the thing that may change in a case; None where it cannot be judged."""
    scene = scene_of(case)
    reactor = next(body for body in scene.bodies if body.reaction)
    others = [body.color for body in scene.objects if body.name != reactor.name]
    regions = find_regions(frames)
    thing = regions[reactor.color]
    changed = is_changed(scene.family, thing, regions[others[0]] if others else None)
    if changed is None:
        return None
    hidden = np.zeros(len(frames), bool)
    if scene.family == "consume":
        hidden = _may_hide(regions[others[0]], thing, changed)
    clear = changed & ~hidden
    at_end = bool(changed[-NUM_LAST:].mean() > 0.5)
    pairs = np.flatnonzero(clear[1:] & clear[:-1])
    if not len(pairs) and not at_end:
        return Change(None, False, None, None)
    at = int(pairs[0]) if len(pairs) else int(np.flatnonzero(changed)[-1])
    while changed[at - 1]:  # it was gone already while the other stood there; in the first frames it never is
        at -= 1
    after = changed[at:][~hidden[at:] | changed[at:]]
    stays = bool(after.mean() >= KEPT)
    span = slice(max(0, at - LOOK_BACK), at + 1)
    before = Region(thing.mask[span], thing.centers[span], thing.bottoms[span], thing.areas[span])
    touched = False
    if others:
        touched = bool((gaps(before.mask, regions[others[0]].mask[span]) <= TOUCH).any())
    if not touched and scene.parameters.get("way") == "fall":
        feet = np.stack([before.bottoms + 0.5, before.centers[:, 1]], axis=1)[-3:]
        touched = bool((on_stage(scene, feet)[:, 1] <= LOW).any())
    return Change(at, at_end, stays, touched)


def judge_state(case: Case, frames: Frames) -> Scores:
    """One clip's scores. In the simulator the thing changes, or not, as the facts' event says."""
    change = read_change(case, frames)
    if change is None:
        return {COVERAGE: False}
    must = case.facts.event in ("break", "vanish", "mark")
    family = scene_of(case).family
    verb = {"break": "breaks", "consume": "is consumed", "mark": "is marked"}[family]
    return {
        COVERAGE: True,
        "changes when it must %": change.at_end if must else None,
        **({f"{verb} when it must %": change.at_end} if must else {}),
        "changes unasked %": None if must else change.at is not None,
        "only at a touch %": change.touched,
        "stays changed %": change.stays,
    }


def state(bench: Bench) -> list[Judged]:
    """Things that break, are consumed or take a color, and in every third case do not."""
    broken = {
        "nothing reacts": nothing_reacts,
        "changes by itself": changes_by_itself,
        "changes undone": changes_undone,
        "turned away": turned_away,
        "backwards": backwards,
    }
    rows = judge_all(world_sources(bench, broken), lambda i, frames: judge_state(bench.cases[i], frames))
    none = ("nothing reacts", "frozen frame")
    verbs = ("breaks", "is consumed", "is marked")
    metrics = {
        "changes when it must %": Metric("high", worse=(*none, "changes undone"), about="as it is at the end"),
        **{f"{verb} when it must %": Metric("high", worse=none) for verb in verbs},
        "changes unasked %": Metric("low", worse=("changes by itself",), about="where the blow is too weak, or misses"),
        "only at a touch %": Metric("high", worse=("turned away",), about="of the changes that are seen"),
        "stays changed %": Metric("high", worse=("changes undone", "shuffled frames")),
    }
    title = "Changes of state (admitted of Sora): broken, consumed, marked, when it must and only then"
    return [Judged(title, rows, metrics)]


def _may_hide(other: Region, thing: Region, changed: Bool[np.ndarray, " t"]) -> Bool[np.ndarray, " t"]:
    """In which frames another object stands where the thing was last seen unchanged."""
    last = thing.mask.copy()
    for t in range(1, len(last)):
        if changed[t]:
            last[t] = last[t - 1]
    covered = (last & other.mask).sum(axis=(1, 2))
    return covered >= COVERED * np.maximum(last.sum(axis=(1, 2)), 1)


def _scatter(mask: Bool[np.ndarray, "h w"]) -> float:
    places = np.argwhere(mask)
    if not len(places):
        return 0.0
    return float(np.sqrt(places.var(axis=0).sum()) / np.sqrt(len(places) / np.pi))
