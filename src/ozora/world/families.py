"""Which scene does a family make of a seed? The same family, seed and choices give the same scene."""

import zlib
from collections.abc import Callable, Sequence

import numpy as np

from ozora.world import families_motion, families_perpetual, families_state
from ozora.world.sampling import Lot, Plan
from ozora.world.scene import CAMERAS, COLORS, FAMILIES, FLOORS, SHAPES, SKIES, Camera, Scene

FAMILY_FUNCTIONS: dict[str, Callable[[Lot], Plan]] = {
    "drop": families_motion.drop,
    "roll": families_motion.roll,
    "slide": families_motion.slide,
    "collide": families_motion.collide,
    "ramp": families_motion.ramp,
    "topple": families_motion.topple,
    "swing": families_motion.swing,
    "hide": families_motion.hide,
    "rest": families_motion.rest,
    "pendulum": families_perpetual.pendulum,
    "conveyor": families_perpetual.conveyor,
    "orbit": families_perpetual.orbit,
    "stream": families_perpetual.stream,
    "break": families_state.break_apart,
    "consume": families_state.consume,
    "mark": families_state.mark,
}
_MEETINGS = ("collide", "topple", "orbit", "stream", "consume")
# Fewest and most objects of a family.
NUM_OBJECTS: dict[str, tuple[int, int]] = {name: (2 if name in _MEETINGS else 1, 4) for name in FAMILIES}
STATIC_SHARE = 0.65  # of scenes, where every camera is allowed


def sample_scene(
    family: str,
    seed: int,
    *,
    num_objects: int | None = None,
    shapes: Sequence[str] = ("sphere", "cube", "cylinder", "cone"),
    colors: Sequence[str] = tuple(COLORS),
    width: int = 64,
    height: int = 64,
    num_frames: int = 17,
    fps: float = 8.0,
    cameras: Sequence[tuple[str, str]] = CAMERAS,
) -> Scene:
    """Draw a scene of a family.

    ``num_objects`` None draws one or two, or as few as the family allows (see NUM_OBJECTS). ``cameras`` are (motion,
    direction) pairs of CAMERAS; a static one, where allowed among others, is drawn STATIC_SHARE of the time. Raises
    ``ValueError`` for an unknown family, shape, colour or camera, for shapes of which none suits the family, and for
    a number of objects outside NUM_OBJECTS.
    """
    _check(family, num_objects, shapes, colors, cameras, width, height)
    rng = np.random.default_rng([zlib.crc32(family.encode()), seed])
    least, most = NUM_OBJECTS[family]
    if num_objects is None:
        num_objects = int(rng.integers(least, min(most, max(2, least)) + 1))
    short = min(width, height)
    lot = Lot(
        rng=rng,
        num_objects=num_objects,
        shapes=tuple(shapes),
        colors=tuple(str(color) for color in rng.permutation(np.array(colors))[:num_objects]),
        half_width=width / short,
        half_height=height / short,
        floor=str(rng.choice(list(FLOORS))),
        seconds=(num_frames - 1) / fps if num_frames > 1 else 2.0,
    )
    plan = FAMILY_FUNCTIONS[family](lot)
    return Scene(
        family=family,
        seed=seed,
        bodies=plan.bodies,
        floor=lot.floor,
        sky=lot.pick(tuple(SKIES)),
        camera=_camera(lot, plan, cameras),
        light=(lot.uniform(-0.3, 0.3), lot.uniform(0.1, 0.3), -0.95),
        gravity=plan.gravity,
        width=width,
        height=height,
        num_frames=num_frames,
        fps=fps,
        parameters=dict(plan.parameters),
    )


def _camera(lot: Lot, plan: Plan, cameras: Sequence[tuple[str, str]]) -> Camera:
    moving = [camera for camera in cameras if camera[0] != "static"]
    if not moving or (len(moving) < len(cameras) and lot.chance(STATIC_SHARE)):
        motion, direction = "static", ""
    else:
        motion, direction = moving[int(lot.rng.integers(len(moving)))]
    ranges = {"static": (0.0, 0.0), "orbit": (36.0, 56.0), "dolly": (0.4, 0.55), "pan": (12.0, 17.0)}
    view = 40.0
    distance = lot.uniform(1.04, 1.14) / np.tan(np.radians(view) / 2) / plan.zoom
    look_height = 0.72 * lot.half_height if plan.look_height is None else plan.look_height
    return Camera(
        motion=motion,
        direction=direction,
        look_at=(0.0, 0.0, float(look_height)),
        azimuth=90.0 + lot.uniform(-7.0, 7.0),
        elevation=lot.uniform(*plan.elevation),
        distance=float(distance * (1.0 if motion == "static" else 1.05)),
        field_of_view=view,
        amount=lot.uniform(*ranges[motion]),
    )


def _check(
    family: str,
    num_objects: int | None,
    shapes: Sequence[str],
    colors: Sequence[str],
    cameras: Sequence[tuple[str, str]],
    width: int,
    height: int,
) -> None:
    if family not in FAMILY_FUNCTIONS:
        raise ValueError(f"no family is called {family!r}; there are {', '.join(FAMILY_FUNCTIONS)}")
    for kind, chosen, known in (("shape", shapes, SHAPES), ("colour", colors, COLORS), ("camera", cameras, CAMERAS)):
        unknown = [name for name in chosen if name not in known]
        if unknown or not chosen:
            raise ValueError(f"unknown {kind} {unknown[:1] or 'none'}; choose from {', '.join(map(str, known))}")
    least, most = NUM_OBJECTS[family]
    if num_objects is not None and not least <= num_objects <= min(most, len(colors)):
        raise ValueError(
            f"{num_objects} objects in {family}; it has {least} to {min(most, len(colors))}, each of another colour"
        )
    if min(width, height) < 8:
        raise ValueError(f"frames of {width}x{height} are too small; 8 pixels a side at least, 64x64 for instance")
