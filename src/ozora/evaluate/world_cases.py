"""Which held-out scenes are worlds judged by? Cases for each question, a pure function of one seed.

All are 64x64, 17 frames at 8 fps, prompted with the dense caption of what really happened. But for the trajectories
of other splits they are of the split "new_seeds".
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ozora.data.record import Facts
from ozora.evaluate.cases import Case
from ozora.evaluate.motion import travel
from ozora.evaluate.pixel_cases import NUM_FRAMES, NUM_PHYSICS, Truth, truth_of
from ozora.world.build import Plan, draw_scene, make_record
from ozora.world.describe import is_shown
from ozora.world.mix import WorldMix
from ozora.world.scene import Scene, Trajectory
from ozora.world.simulate import simulate
from ozora.world.split import split_of

WORLD_SEED = 20261125
MAX_ATTEMPTS = 20_000
SPLITS = {
    "in distribution": "new_seeds",
    "held-out templates": "held_out_templates",
    "held-out speeds": "held_out_speeds",
    "held-out pairs": "held_out_pairs",
}
_SPLIT_FAMILIES = "drop,roll,slide,collide,swing"
"""Those that every split of ``SPLITS`` has."""
_HIT_TIMES = (0.25, 1.3)
"""Seconds: frames must be left on both sides of a hit."""
_CHANGE_TIMES = (0.35, 1.3)
_CHANGES = ("break", "consume", "mark")


@dataclass(frozen=True)
class _Kind:
    """What is drawn (as ``WorldMix.change`` takes it), and what must be true of it: cheaply known, or in pixels."""

    families: str
    num_objects: str
    cameras: str = "static"
    split: str = "new_seeds"
    happens: Callable[[Scene, Trajectory], bool] = lambda scene, trajectory: True
    shows: Callable[[Case, Truth], bool] = lambda case, truth: True


def world_cases(kind: str, num: int, cache: Path | None = None) -> list[Case]:
    """The first ``num`` cases of a kind, read from ``cache`` where it holds as many.

    Kinds are "gravity", "contacts", "state" (of every three one each breaks, is consumed, is marked; in every third
    three nothing changes), "permanence" (every other one passes behind a wall), "rigidity" and the names of ``SPLITS``.
    Raises ``ValueError`` for another kind, and where too few scenes are of it.
    """
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r} is not one of {', '.join(KINDS)}")
    if cache is not None and cache.exists():
        cases = [Case.from_json(line) for line in cache.read_text(encoding="utf-8").splitlines()]
        if len(cases) == num:
            return cases
    cases = [_case(kind, i) for i in range(num)]
    if cache is not None:
        part = cache.with_name(f".{cache.name}.part")
        part.write_text("".join(case.to_json() + "\n" for case in cases), encoding="utf-8")
        part.replace(cache)
    return cases


def _case(name: str, index: int) -> Case:
    kind = KINDS[name](index)
    start = 1_000_000 * list(KINDS).index(name)
    mix = WorldMix.mini().change(
        families=kind.families,
        num_objects=kind.num_objects,
        sizes="64x64",
        num_frames=str(NUM_FRAMES),
        cameras=kind.cameras,
    )
    plan = Plan(WORLD_SEED, mix, kind.split)
    for attempt in range(MAX_ATTEMPTS):
        scene = draw_scene(plan, start + index, attempt)
        if split_of(scene) != plan.split:
            continue
        trajectory = simulate(scene)
        if kind.happens(scene, trajectory) and is_shown(scene, trajectory):
            record = make_record(f"world-{name.replace(' ', '-')}-{index:04d}", scene, trajectory)
            prompt, facts = record.text("dense"), record.facts
            assert prompt is not None and facts is not None
            case = Case(record.id, prompt, index, Facts(facts.objects, facts.event, facts.camera), record)
            if kind.shows(case, truth_of(case)):
                return case
    raise ValueError(f"{MAX_ATTEMPTS} scenes in a row are not of kind {name!r}; widen its families")


def _seen(case: Case, truth: Truth) -> bool:
    return not np.isnan(truth.centers).any()


def _travels(case: Case, truth: Truth) -> bool:
    """As in the physics section of the pixel suite: seen while given, and something goes on by its own radius."""
    seen = ~np.isnan(truth.centers[..., 0])
    if not (seen[:NUM_PHYSICS].all() and (seen.mean(axis=0) >= 0.8).all()):
        return False
    return bool((travel(truth.centers[NUM_PHYSICS:]) >= truth.radii).any())


def _hits(scene: Scene, trajectory: Trajectory) -> bool:
    names = {body.name for body in scene.objects[:2]}
    hits = [event for event in trajectory.events if event.kind == "hit" and {event.subject, event.object} == names]
    return len(hits) > 0 and _HIT_TIMES[0] <= hits[0].time <= _HIT_TIMES[1]


def _changes(scene: Scene, trajectory: Trajectory) -> list[float]:
    return [event.time for event in trajectory.events if event.kind in _CHANGES]


def _changes_in_time(scene: Scene, trajectory: Trajectory) -> bool:
    times = _changes(scene, trajectory)
    return len(times) == 1 and _CHANGE_TIMES[0] <= times[0] <= _CHANGE_TIMES[1] and not _on_floor(scene)


def _never_changes(scene: Scene, trajectory: Trajectory) -> bool:
    return not _changes(scene, trajectory) and not _on_floor(scene)


def _on_floor(scene: Scene) -> bool:
    """A patch that takes a color: pale before, so no color of its own is lost."""
    return scene.parameters.get("on") == "floor"


def _passes_behind(scene: Scene, trajectory: Trajectory) -> bool:
    first = scene.objects[0].name
    kinds = [event.kind for event in trajectory.events if event.subject == first and event.kind in ("hidden", "appear")]
    return kinds[:2] == ["hidden", "appear"]


def _seen_at_both_ends(case: Case, truth: Truth) -> bool:
    seen = ~np.isnan(truth.centers[:, 0, 0])
    return bool(seen[:2].all() and seen[-2:].all())


def _state(index: int) -> _Kind:
    family = _CHANGES[index % 3]
    happens = _never_changes if index // 3 % 3 == 2 else _changes_in_time
    return _Kind(family, "2" if family != "break" else "1:0.5,2:0.5", happens=happens)


def _permanence(index: int) -> _Kind:
    if index % 2 == 0:
        return _Kind("hide", "1:0.6,2:0.4", happens=_passes_behind, shows=_seen_at_both_ends)
    return _Kind("roll,slide,drop,collide", "1:0.4,2:0.6", shows=lambda case, truth: _seen(case, truth))


def _is_checkered(scene: Scene, trajectory: Trajectory) -> bool:
    return scene.floor.startswith("checkered")


KINDS: dict[str, Callable[[int], _Kind]] = {
    "gravity": lambda index: _Kind("drop", "1:0.6,2:0.4", shows=_seen),
    "contacts": lambda index: _Kind("collide", "2", happens=_hits, shows=_seen),
    "state": _state,
    "permanence": _permanence,
    "rigidity": lambda index: _Kind("rest", "1:0.3,2:0.7", "orbit", happens=_is_checkered, shows=_seen),
    **{
        name: (
            lambda index, split=split: _Kind(
                _SPLIT_FAMILIES,
                "1:0.6,2:0.4",
                "static:0.65,orbit:0.13,dolly:0.11,pan:0.11",
                split,
                shows=_travels,
            )
        )
        for name, split in SPLITS.items()
    },
}
