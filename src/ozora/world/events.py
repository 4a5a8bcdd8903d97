"""Which events does a run hold? They are read from what really happened, step by step, never from what was planned."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from ozora.world.camera import Pose, poses, project
from ozora.world.scene import EVENTS, Body, Contact, Event, Scene, Trajectory

_FALL_SPEED = 0.7  # m/s downwards: a fall, not a wobble
_BOUNCE_SPEED = 0.45  # m/s upwards after a touch
_HIT_SPEED = 0.15  # m/s of change in a body's speed
_STOP_SPEED = 0.06
_MOVING_SPEED = 0.3
_UPRIGHT, _TOPPLED = 0.9, 0.6  # cosines of the tilt
_SETTLED = 0.03  # seconds until what touches from the beginning has found its place
_APART = 0.25  # seconds between two hits of one pair that count as two


@dataclass(frozen=True, eq=False)
class Run:
    """What ``k`` bodies did at each of ``n`` steps, finer than frames."""

    times: Float[np.ndarray, " n"]
    position: Float[np.ndarray, "n k 3"]
    velocity: Float[np.ndarray, "n k 3"]
    upright: Float[np.ndarray, "n k"]  # cosine between the body's z axis and the vertical
    present: Bool[np.ndarray, "n k"]
    touching: Bool[np.ndarray, "n k"]  # anything at all
    mass: Float[np.ndarray, " k"]
    contacts: tuple[Contact, ...]

    def at(self, time: float) -> int:
        return int(min(np.searchsorted(self.times, time - 1e-9), len(self.times) - 1))

    def in_air(self, k: int, time: float, seconds: float = 0.06) -> bool:
        """Whether body ``k`` touched nothing in the ``seconds`` before a time."""
        stop = self.at(time)
        start = self.at(time - seconds) if time > seconds else 0
        return start < stop and not self.touching[start:stop, k].any()

    def change(self, k: int, time: float) -> Float[np.ndarray, " 3"]:
        """How a touch that began at ``time`` changed the velocity of body ``k``, over 40 ms."""
        return self.velocity[self.at(time + 0.04), k] - self.velocity[max(0, self.at(time) - 1), k]


def find_events(scene: Scene, trajectory: Trajectory, run: Run, reactions: tuple[Event, ...]) -> tuple[Event, ...]:
    """All events of EVENTS in order of time; ``reactions`` are those that the simulation itself made happen."""
    events = list(reactions)
    seen_from = poses(scene)
    for k, body in enumerate(scene.bodies):
        if body.role == "object":
            events += _motion(k, body, run) if body.pivot is None else _swings(k, body, run)
            events += _touches(scene, k, run) if body.pivot is None else []
            events += _views(scene, trajectory, k, seen_from)
    events += _hits(scene, run)
    return tuple(sorted(events, key=lambda event: (event.time, EVENTS.index(event.kind), event.subject)))


def _motion(k: int, body: Body, run: Run) -> list[Event]:
    events = []
    present = run.present[:, k]
    speed = np.linalg.norm(run.velocity[:, k], axis=1)
    tilted = present & (np.abs(run.upright[:, k]) < _TOPPLED)
    stood = np.abs(run.upright[0, k]) > _UPRIGHT and speed[0] < _STOP_SPEED and _held(k, body, run, 0.05)
    if body.shape not in ("sphere", "ellipsoid") and stood and tilted.any():
        events.append(Event("topple", float(run.times[tilted.argmax()]), body.name))
    moving = np.flatnonzero(present & (speed > _MOVING_SPEED))
    if len(moving) and present[-1]:
        still = np.flatnonzero(speed > _STOP_SPEED)[-1] + 1
        if run.times[-1] - run.times[min(still, len(speed) - 1)] > 0.2:
            events.append(Event("stop", float(run.times[still]), body.name))
    down = run.velocity[:, k, 2]
    falling = np.flatnonzero(present & ~run.touching[:, k] & (down < -_FALL_SPEED) & (down < -0.6 * speed))
    if len(falling):
        before = np.flatnonzero(down[: falling[0]] > -0.05)
        events.append(Event("fall", float(run.times[before[-1]] if len(before) else run.times[0]), body.name))
    return events


def _touches(scene: Scene, k: int, run: Run) -> list[Event]:
    """Landings and bounces on the floor and on props."""
    name = scene.bodies[k].name
    ground = {"floor", *(body.name for body in scene.bodies if body.role == "prop")}
    events, landed, last = [], False, -1.0
    for contact in run.contacts:
        if name not in (contact.a, contact.b):
            continue
        other = contact.b if contact.a == name else contact.a
        before = run.velocity[max(0, run.at(contact.time) - 1), k]
        change = run.change(k, contact.time)
        if other not in ground or before[2] > -_FALL_SPEED / 2 or abs(change[2]) < np.linalg.norm(change[:2]):
            continue
        if contact.time - last < 0.1 or not run.in_air(k, contact.time):
            continue
        if not landed and before[2] < -_FALL_SPEED:
            events.append(Event("land", contact.time, name, other))
            landed = True
        if landed and before[2] + change[2] > _BOUNCE_SPEED:
            events.append(Event("bounce", contact.time, name, other))
            last = contact.time
    return events


def _hits(scene: Scene, run: Run) -> list[Event]:
    """Two objects that meet, or an object and the side of a prop; the faster one is the subject."""
    events: list[Event] = []
    latest: dict[frozenset[str], float] = {}
    for contact in run.contacts:
        pair = frozenset((contact.a, contact.b))
        if "floor" in pair or contact.time <= _SETTLED:
            continue
        a, b = scene.index(contact.a), scene.index(contact.b)
        roles = {scene.bodies[a].role, scene.bodies[b].role}
        if "object" not in roles or "piece" in roles:
            continue
        strength = max(contact.impulse / run.mass[j] for j in (a, b) if scene.bodies[j].role == "object")
        if strength < _HIT_SPEED or contact.time - latest.get(pair, -1.0) < _APART:
            continue
        step = max(0, run.at(contact.time) - 1)
        speeds = np.linalg.norm(run.velocity[step, [a, b]], axis=1)
        if "prop" in roles:
            prop, thing = (a, b) if scene.bodies[a].role == "prop" else (b, a)
            change = run.change(thing, contact.time)
            if scene.bodies[prop].shape in ("patch", "ramp") or np.linalg.norm(change[:2]) < max(
                _HIT_SPEED, abs(change[2])
            ):
                continue
            subject, other = thing, prop
        else:
            subject, other = (a, b) if speeds[0] >= speeds[1] else (b, a)
        latest[pair] = contact.time
        events.append(Event("hit", contact.time, scene.bodies[subject].name, scene.bodies[other].name))
    return events


def _swings(k: int, body: Body, run: Run) -> list[Event]:
    assert body.pivot is not None
    side = run.position[:, k, 0] - body.pivot[0]
    passes = np.flatnonzero((side[:-1] * side[1:] <= 0) & (np.abs(run.velocity[1:, k, 0]) > _HIT_SPEED)) + 1
    return [Event("swing", float(run.times[i]), body.name) for i in passes]


def _views(scene: Scene, trajectory: Trajectory, k: int, seen_from: list[Pose]) -> list[Event]:
    """Comings and goings, at the resolution of frames."""
    events, name = [], scene.bodies[k].name
    views = [_view(scene, trajectory, k, i, seen) for i, seen in enumerate(seen_from)]
    for i in range(1, len(views)):
        change = (views[i - 1][0], views[i][0])
        if change == ("seen", "hidden"):
            events.append(Event("hidden", float(trajectory.times[i]), name, views[i][1]))
        elif change in (("hidden", "seen"), ("out", "seen"), ("absent", "seen")):
            events.append(Event("appear", float(trajectory.times[i]), name))
        elif change == ("seen", "out"):
            events.append(Event("leave", float(trajectory.times[i]), name))
    return events


def _view(scene: Scene, trajectory: Trajectory, k: int, i: int, seen: Pose) -> tuple[str, str | None]:
    """ "seen", "hidden" (with the name of what hides it), "out" of frame or "absent", of body ``k`` at frame ``i``."""
    if not trajectory.visible[i, k]:
        return "absent", None
    body = scene.bodies[k]
    reach = 0.7 * float(np.mean(body.half_extents))
    center = trajectory.position[i, k]
    offsets = reach * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    points = center + offsets[:, :1] * seen.right + offsets[:, 1:] * seen.up
    x, y, depth = project(seen, points).T
    inside = (np.abs(x) < 1) & (np.abs(y) < 1) & (depth > 0)
    if not inside.any():
        return "out", None
    for other in scene.bodies:
        if other.role == "prop" and other.fixed and all(_blocked(seen.position, p, other) for p in points[inside]):
            return "hidden", other.name
    return "seen", None


def _blocked(eye: Float[np.ndarray, " 3"], point: Float[np.ndarray, " 3"], box: Body) -> bool:
    """Whether a box, or a ramp, stands between the eye and a point (slab method)."""
    turn = _rotation(box.quaternion)
    start = (eye - np.array(box.position)) @ turn
    along = (point - np.array(box.position)) @ turn - start
    along = np.where(np.abs(along) < 1e-12, 1e-12, along)
    half = np.array(box.half_extents)
    one, two = (-half - start) / along, (half - start) / along
    enters, leaves = np.minimum(one, two).max(), np.maximum(one, two).min()
    if box.shape == "ramp":  # only what is below its slope, x / a + z / c < 0
        height, climb = start[0] / half[0] + start[2] / half[2], along[0] / half[0] + along[2] / half[2]
        if climb > 0:
            leaves = min(leaves, -height / climb)
        elif climb < 0:
            enters = max(enters, -height / climb)
        elif height > 0:
            return False
    return bool(enters < leaves and 0 < enters < 1)


def _rotation(quaternion: tuple[float, float, float, float]) -> Float[np.ndarray, "3 3"]:
    w, x, y, z = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _held(k: int, body: Body, run: Run, seconds: float) -> bool:
    """Whether the body touches something at the very beginning."""
    return any(body.name in (contact.a, contact.b) and contact.time <= seconds for contact in run.contacts)
