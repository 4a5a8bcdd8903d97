"""What does a clip look like whose world is broken on purpose? Controls that a measure of worlds must rank last.

Some are made of frames alone; others are simulated again, or drawn anew from a trajectory that was tampered with.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from ozora.evaluate.bench import Bench
from ozora.evaluate.cases import Case
from ozora.evaluate.motion import Frames
from ozora.evaluate.pixel_cases import scene_of
from ozora.world.render import render
from ozora.world.scene import COLORS, PALETTE, Scene, Trajectory
from ozora.world.simulate import simulate

NOISE_SIDE = 8
"""Pixels of a square of noise: as large as what one latent covers."""
Sources = dict[str, list[Frames]]


def world_sources(bench: Bench, broken: dict[str, Callable[[Case, Frames], Frames]]) -> Sources:
    """Rows of clips: the model, its ceiling, the simulator, three controls that suit everything, and ``broken``."""
    sources: Sources = {}
    if bench.generator is not None:
        sources["model"] = bench.from_text
        sources["reconstruction"] = bench.reconstructed
    sources["simulator"] = bench.simulated
    everywhere = {"shuffled frames": shuffled, "frozen frame": frozen, "noise": noise}
    for name, make in {**everywhere, **broken}.items():
        sources[name] = [make(case, frames) for case, frames in zip(bench.cases, bench.simulated, strict=True)]
    return sources


def shuffled(case: Case, frames: Frames) -> Frames:
    """The same frames in an order drawn by lot."""
    return frames[np.random.default_rng([0, case.seed]).permutation(len(frames))]


def frozen(case: Case, frames: Frames) -> Frames:
    """The first frame, for as long."""
    return np.repeat(frames[:1], len(frames), axis=0)


def noise(case: Case, frames: Frames) -> Frames:
    """Squares of any color, new in every frame."""
    num_frames, height, width, _ = frames.shape
    rng = np.random.default_rng([1, case.seed])
    rows, columns = -(-height // NOISE_SIDE), -(-width // NOISE_SIDE)
    squares = rng.integers(0, 256, (num_frames, rows, columns, 3), np.uint8)
    return squares.repeat(NOISE_SIDE, axis=1).repeat(NOISE_SIDE, axis=2)[:, :height, :width]


def backwards(case: Case, frames: Frames) -> Frames:
    """From the last frame to the first."""
    return frames[::-1].copy()


def hue_turns(case: Case, frames: Frames, degrees: float = 40.0) -> Frames:
    """Every hue turns, evenly over the clip: a rotation of the colors about the greys."""
    turned = np.empty_like(frames)
    for t, frame in enumerate(frames):
        angle = np.radians(degrees) * t / max(1, len(frames) - 1)
        turned[t] = np.clip(frame @ _about_grey(angle).T, 0, 255).round()
    return turned


@lru_cache(maxsize=128)
def _staged(scene: str) -> tuple[Scene, Trajectory]:
    read = Scene.from_json(scene)
    return read, simulate(read)


def staged(case: Case) -> tuple[Scene, Trajectory]:
    """The scene of a case and what happened in it."""
    return _staged(scene_of(case).to_json())


def drawn(scene: Scene, trajectory: Trajectory) -> Frames:
    """Its frames."""
    return render(scene, trajectory).frames


def light_gravity(case: Case, frames: Frames) -> Frames:
    """A fifth of the gravity."""
    scene = replace(scene_of(case), gravity=scene_of(case).gravity / 5)
    return drawn(scene, simulate(scene))


def ghosts(case: Case, frames: Frames) -> Frames:
    """Every object moves as if it were alone: they pass through each other."""
    scene, trajectory = staged(case)
    position, quaternion = trajectory.position.copy(), trajectory.quaternion.copy()
    for body in scene.objects:
        others = {other.name for other in scene.objects} - {body.name}
        alone = replace(scene, bodies=tuple(b for b in scene.bodies if b.name not in others))
        ran, k, only = simulate(alone), scene.index(body.name), alone.index(body.name)
        position[:, k], quaternion[:, k] = ran.position[:, only], ran.quaternion[:, only]
    return drawn(scene, replace(trajectory, position=position, quaternion=quaternion))


def held_in_place(case: Case, frames: Frames) -> Frames:
    """The second object stays where it is, whatever strikes it; the first moves as it did."""
    scene, trajectory = staged(case)
    position, quaternion = trajectory.position.copy(), trajectory.quaternion.copy()
    k = scene.index(scene.objects[1].name)
    position[:, k], quaternion[:, k] = position[0, k], quaternion[0, k]
    return drawn(scene, replace(trajectory, position=position, quaternion=quaternion))


def nothing_reacts(case: Case, frames: Frames) -> Frames:
    """Nothing breaks, is consumed or takes a color, however hard it is struck."""
    scene = scene_of(case)
    scene = replace(scene, bodies=tuple(replace(body, reaction="") for body in scene.bodies))
    return drawn(scene, simulate(scene))


def changes_by_itself(case: Case, frames: Frames) -> Frames:
    """Half-way something breaks, is gone or takes a color, although nothing happens to it."""
    scene, trajectory = staged(case)
    if scene.family == "break":
        scene = replace(scene, bodies=tuple(replace(b, threshold=min(b.threshold, 0.05)) for b in scene.bodies))
        return drawn(scene, simulate(scene))
    k, half = _reactor(scene), len(frames) // 2
    visible, color = trajectory.visible.copy(), trajectory.color.copy()
    if scene.family == "consume":
        visible[half:, k] = False
    else:
        color[half:, k] = color[0, scene.index(scene.objects[0].name)]
    return drawn(scene, replace(trajectory, visible=visible, color=color))


def changes_undone(case: Case, frames: Frames, after: int = 4) -> Frames:
    """What broke, was consumed or took a color is as it was before, ``after`` frames later."""
    scene, trajectory = staged(case)
    k = _reactor(scene)
    recolored = trajectory.color[:, k] != trajectory.color[0, k]
    changed = ~trajectory.visible[:, k] | (trajectory.scale[:, k] < 1) | recolored
    if not changed.any():
        return frames
    back = min(int(changed.argmax()) + after, len(frames) - 3)
    visible, scale, color = trajectory.visible.copy(), trajectory.scale.copy(), trajectory.color.copy()
    visible[back:, k], scale[back:, k], color[back:, k] = True, 1.0, color[0, k]
    for j, body in enumerate(scene.bodies):
        if body.role == "piece":
            visible[back:, j] = False
    return drawn(scene, replace(trajectory, visible=visible, scale=scale, color=color))


def turned_away(case: Case, frames: Frames) -> Frames:
    """What moves goes the other way, what falls stays half a metre too high: nothing is touched, yet all change."""
    scene, trajectory = staged(case)
    position = trajectory.position.copy()
    mover = next((k for k, body in enumerate(scene.bodies) if abs(body.velocity[0]) > 0), None)
    if mover is None:
        falls = [k for k, body in enumerate(scene.bodies) if body.reaction or body.role == "piece"]
        position[:, falls, 2] += 0.5
    else:
        position[:, mover, 0] = 2 * position[0, mover, 0] - position[:, mover, 0]
    return drawn(scene, replace(trajectory, position=position))


def removed_halfway(case: Case, frames: Frames) -> Frames:
    """The first object is gone from the middle of the clip on."""
    scene, trajectory = staged(case)
    visible = trajectory.visible.copy()
    visible[len(frames) // 2 :, scene.index(scene.objects[0].name)] = False
    return drawn(scene, replace(trajectory, visible=visible))


def added_halfway(case: Case, frames: Frames) -> Frames:
    """One more object, of a color of its own, stands there from the middle of the clip on, apart from the others."""
    scene, trajectory = staged(case)
    first = scene.objects[0]
    places = trajectory.position[len(frames) // 2 :, [scene.index(body.name) for body in scene.objects], 0]
    free = max(np.linspace(-0.6, 0.6, 9), key=lambda x: float(np.abs(places - x).min()))
    color = next(color for color in COLORS if color not in {body.color for body in scene.bodies})
    extra = replace(first, name="extra", color=color, position=(float(free), 0.0, first.half_extents[2]))
    size = len(scene.bodies)
    grown = {}
    for field in ("position", "quaternion", "velocity", "spin", "visible", "scale", "color"):
        states = getattr(trajectory, field)
        grown[field] = np.concatenate([states, states[:, :1]], axis=1)
    grown["position"][:, size] = extra.position
    grown["quaternion"][:, size] = (1.0, 0.0, 0.0, 0.0)
    grown["visible"][:, size] = np.arange(len(frames)) >= len(frames) // 2
    grown["scale"][:, size] = 1.0
    grown["color"][:, size] = PALETTE.index(color)
    return drawn(replace(scene, bodies=(*scene.bodies, extra)), replace(trajectory, **grown))


def never_returns(case: Case, frames: Frames) -> Frames:
    """What passes behind the wall is gone from the frame on in which it is hidden."""
    scene, trajectory = staged(case)
    first = scene.objects[0].name
    hidden = [event.time for event in trajectory.events if event.kind == "hidden" and event.subject == first]
    if not hidden:
        return frames
    visible = trajectory.visible.copy()
    visible[trajectory.times >= hidden[0] - 1e-9, scene.index(first)] = False
    return drawn(scene, replace(trajectory, visible=visible))


def changes_shape(case: Case, frames: Frames) -> Frames:
    """From the middle of the clip on every object has another shape: cubes are spheres, all others cubes."""
    scene, trajectory = staged(case)
    bodies = tuple(
        replace(body, shape="sphere" if body.shape == "cube" else "cube") if body.role == "object" else body
        for body in scene.bodies
    )
    half = len(frames) // 2
    return np.concatenate([frames[:half], drawn(replace(scene, bodies=bodies), trajectory)[half:]])


def melting(case: Case, frames: Frames, pixels: float = 2.0) -> Frames:
    """Every frame is bent smoothly by up to ``pixels``, each time in another way."""
    rng = np.random.default_rng([2, case.seed])
    num_frames, height, width, _ = frames.shape
    y, x = np.mgrid[:height, :width].astype(np.float64)
    waves, speeds = rng.uniform(0, 2 * np.pi, (2, 2)), rng.uniform(0.5, 0.9, 2)
    bent = np.empty_like(frames)
    for t in range(num_frames):
        shift_y = pixels * np.sin(2 * np.pi * 2 * x / width + waves[0, 0] + speeds[0] * t)
        shift_x = pixels * np.sin(2 * np.pi * 2 * y / height + waves[1, 0] + speeds[1] * t)
        bent[t] = _sampled(frames[t], y + shift_y, x + shift_x)
    return bent


def things_drift(case: Case, frames: Frames, metres: float = 0.5) -> Frames:
    """While the camera goes around, objects glide over the floor, each its own way."""
    scene, trajectory = staged(case)
    position = trajectory.position.copy()
    share = np.linspace(-0.5, 0.5, len(frames))[:, None]
    for i, body in enumerate(scene.objects):
        angle = 2.4 * i + case.seed
        position[:, scene.index(body.name), :2] += metres * share * [np.cos(angle), np.sin(angle)]
    return drawn(scene, replace(trajectory, position=position))


def _reactor(scene: Scene) -> int:
    """Which body reacts."""
    return next(k for k, body in enumerate(scene.bodies) if body.reaction)


def _about_grey(angle: float) -> Float[np.ndarray, "3 3"]:
    """A rotation about (1, 1, 1) (Rodrigues)."""
    axis = np.full(3, 1 / np.sqrt(3))
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * np.outer(axis, axis)


def _sampled(frame: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The frame's colors at places between pixels."""
    height, width = frame.shape[:2]
    y, x = y.clip(0, height - 1.001), x.clip(0, width - 1.001)
    top, left = y.astype(int), x.astype(int)
    v, u = (y - top)[..., None], (x - left)[..., None]
    upper = (1 - u) * frame[top, left] + u * frame[top, left + 1]
    lower = (1 - u) * frame[top + 1, left] + u * frame[top + 1, left + 1]
    return ((1 - v) * upper + v * lower).round().astype(np.uint8)
