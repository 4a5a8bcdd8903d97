"""Which held-out clips are models prompted with, and what is true of them? A pure function of one seed.

Scenes of the split "new_seeds", of families in which objects keep their colors and stay in view, under a camera that
stands still: what moves is an object, and what a clip keeps or loses can be read from its frames.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from ozora.clip import Clip
from ozora.data.record import Facts, ObjectFacts
from ozora.evaluate.cases import Case
from ozora.evaluate.motion import travel
from ozora.evaluate.segment import MIN_AREA
from ozora.world.build import Plan, draw_scene, make_record
from ozora.world.camera import poses, project
from ozora.world.describe import is_shown
from ozora.world.mix import WorldMix
from ozora.world.render import render, render_masks
from ozora.world.scene import COLORS, Scene, Trajectory
from ozora.world.simulate import simulate
from ozora.world.split import HELD_OUT_PAIRS, split_of
from ozora.world.turning import render_between

PIXELS_SEED = 20261124
MOVING_FAMILIES = "drop:2,roll:2,slide:2,collide:2,swing:2,ramp,topple,pendulum,conveyor,orbit"
"""Whose objects are in view from the first frame to the last, more or less."""
PERPETUAL_FAMILIES = "swing:2,pendulum,orbit"
"""Whose objects go on moving for ever."""
NUM_FRAMES = 17
NUM_GIVEN = 9
"""Frames that an extension sees: a prefix of the first frame and two latent frames."""
NUM_PHYSICS = 5
"""Frames that are given at most where a clip is compared with what physics did."""
MAX_ATTEMPTS = 4000
TUNING_START = 100_000
"""Cases from this index on are for choosing settings; no table is made from them."""
DRIFT_START = 200_000
"""Cases from this index on are of ``PERPETUAL_FAMILIES``."""
PHYSICS_START = 300_000
"""Cases from this index on need not move at the join: things fall, land, stop and tip over as well."""
_JOIN = slice(NUM_GIVEN - 2, NUM_GIVEN + 2)


@dataclass(frozen=True, eq=False)
class Truth:
    """What happened in a case. ``centers``: mean y and x of each object's visible pixels, NaN where there are few.

    ``masks`` is 0 where no object is seen, i + 1 where object i of the facts is; ``radii`` are those of discs as large
    as the objects' median visible area, in pixels.
    """

    clip: Clip
    masks: UInt8[np.ndarray, "t h w"]
    centers: Float[np.ndarray, "t k 2"]
    radii: Float[np.ndarray, " k"]


def pixel_cases(num: int, start: int = 0, cache: Path | None = None) -> list[Case]:
    """``num`` cases from index ``start``, read from ``cache`` where it holds as many: 64x64, 17 frames at 8 fps.

    One object or two, of which something travels its own width. At frames 7 to 10, where an extension begins or ends,
    it moves by a pixel a frame at least (below ``PHYSICS_START``). The prompts are medium captions. Raises
    ``ValueError`` where too few scenes are of that kind.
    """
    if cache is not None and cache.exists():
        cases = [Case.from_json(line) for line in cache.read_text(encoding="utf-8").splitlines()]
        if len(cases) == num:
            return cases
    cases = [_case(start + i) for i in range(num)]
    if cache is not None:
        part = cache.with_name(f".{cache.name}.part")
        part.write_text("".join(case.to_json() + "\n" for case in cases), encoding="utf-8")
        part.replace(cache)
    return cases


def num_minutes(num_clips: int) -> int:
    """How many cases are drawn for a minute, where ``num_clips`` are for all else: one is as much work as thirty."""
    return max(2, num_clips // 8)


def _case(index: int) -> Case:
    families = PERPETUAL_FAMILIES if DRIFT_START <= index < PHYSICS_START else MOVING_FAMILIES
    at_join = index < PHYSICS_START
    mix = WorldMix.mini().change(
        families=families, num_objects="1:0.6,2:0.4", sizes="64x64", num_frames=str(NUM_FRAMES), cameras="static"
    )
    plan = Plan(PIXELS_SEED, mix, "new_seeds")
    for attempt in range(MAX_ATTEMPTS):
        scene = draw_scene(plan, index, attempt)
        if split_of(scene) != plan.split:
            continue
        trajectory = simulate(scene)
        if _moves(scene, trajectory, at_join) and is_shown(scene, trajectory):
            record = make_record(f"pixels-{index:06d}", scene, trajectory)
            prompt, facts = record.text("medium"), record.facts
            assert prompt is not None and facts is not None
            case = Case(record.id, prompt, index, Facts(facts.objects, facts.event, facts.camera), record)
            if _is_telling(truth_of(case), at_join):
                return case
    raise ValueError(f"{MAX_ATTEMPTS} scenes in a row from index {index} do not move in view; widen the families")


def _moves(scene: Scene, trajectory: Trajectory, at_join: bool) -> bool:
    """Whether some object's center moves enough for ``_is_telling``: cheap to know, so it is asked first."""
    objects = [scene.index(body.name) for body in scene.objects]
    places = np.stack([project(v, x)[:, :2] for v, x in zip(poses(scene), trajectory.position[:, objects])])
    centers = places * [scene.width / 2, scene.height / 2]
    return _moves_at_join(centers) if at_join else bool((travel(centers) >= 4).any())


def _is_telling(truth: Truth, at_join: bool) -> bool:
    """Whether objects are seen where they must be, and something travels its width and moves at the join."""
    seen = ~np.isnan(truth.centers[..., 0])
    must_be_seen = [0, *range(NUM_FRAMES)[_JOIN], -1] if at_join else range(NUM_PHYSICS)
    if not (seen[list(must_be_seen)].all() and (seen.mean(axis=0) >= 0.8).all()):
        return False
    if at_join:
        moves = _moves_at_join(truth.centers)
    else:
        moves = bool((travel(truth.centers[NUM_PHYSICS:]) >= truth.radii).any())
    return moves and bool((travel(truth.centers) >= 2 * truth.radii).any())


def _moves_at_join(centers: Float[np.ndarray, "t k 2"]) -> bool:
    steps = np.linalg.norm(np.diff(centers[_JOIN], axis=0), axis=2)
    return bool((steps.min(axis=0) >= 1).any())


def scene_of(case: Case) -> Scene:
    """The scene that a case was made from."""
    return Scene.from_json(json.dumps(case.record.source["scene"]))


@lru_cache(maxsize=256)
def _truth(scene: str) -> Truth:
    return scene_truth(Scene.from_json(scene))


def truth_of(case: Case) -> Truth:
    """The simulator's own clip of the case, and where its objects are."""
    return _truth(scene_of(case).to_json())


def scene_truth(scene: Scene) -> Truth:
    """Simulate and render a scene of objects whose bodies are the first of the scene's."""
    trajectory = simulate(scene)
    labels = render_masks(scene, trajectory)
    masks = np.zeros_like(labels)
    for k, body in enumerate(scene.objects):
        masks[labels == scene.index(body.name) + 1] = k + 1
    return Truth(render(scene, trajectory), masks, *_places(masks, len(scene.objects)))


def turned(one: Scene, two: Scene, num_frames: int) -> UInt8[np.ndarray, "t h w 3"]:
    """What the simulator shows between the end of one scene and the beginning of another that it turns into."""
    return render_between(one, simulate(one), two, simulate(two), num_frames).frames


def _places(
    masks: UInt8[np.ndarray, "t h w"], num_objects: int
) -> tuple[Float[np.ndarray, "t k 2"], Float[np.ndarray, " k"]]:
    """Centers and radii of the objects in masks."""
    least = MIN_AREA * masks[0].size
    centers = np.full((len(masks), num_objects, 2), np.nan)
    areas = np.zeros((len(masks), num_objects))
    for k in range(num_objects):
        for t, mask in enumerate(masks == k + 1):
            areas[t, k] = mask.sum()
            if areas[t, k] >= least:
                centers[t, k] = np.argwhere(mask).mean(axis=0)
    seen = [areas[areas[:, k] >= least, k] for k in range(num_objects)]
    return centers, np.array([np.sqrt(np.median(area) / np.pi) if len(area) else 0.0 for area in seen])


def recolored(case: Case) -> Case:
    """The same scene with its first object in another color, and the caption in the same words but that color.

    No two objects are of one color, and no pair of color and shape is held out from training.
    """
    scene = scene_of(case)
    first = scene.objects[0]
    taken = {body.color for body in scene.bodies}
    free = [c for c in COLORS if c not in taken and (c, first.shape) not in HELD_OUT_PAIRS]
    color = str(np.random.default_rng([PIXELS_SEED, case.seed]).choice(free))
    bodies = tuple(replace(body, color=color) if body.name == first.name else body for body in scene.bodies)
    changed = replace(scene, bodies=bodies)
    record = make_record(f"{case.record.id}-recolored", changed, simulate(changed))
    prompt = record.text("medium")
    assert prompt is not None and record.facts is not None
    objects = tuple(ObjectFacts(item.color, item.shape, item.size) for item in record.facts.objects)
    return Case(record.id, prompt, case.seed, Facts(objects, record.facts.event, record.facts.camera), record)


def prolonged(case: Case, num_frames: int) -> Clip:
    """The simulator's clip of the case's scene when it goes on for ``num_frames``."""
    scene = replace(scene_of(case), num_frames=num_frames)
    return render(scene, simulate(scene))


def colors_of(case: Case) -> Sequence[str]:
    """The color of each object, in the order of the facts."""
    return [item.color for item in case.facts.objects]
