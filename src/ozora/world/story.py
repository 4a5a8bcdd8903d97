"""Who did what, as the camera saw it? Deeds of every object, from which captions and facts are made.

Left, right, near and far are those of the camera at frame 0. A deed that cannot be found in the trajectory is not told.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from ozora.world.camera import pose, poses, project
from ozora.world.scene import PALETTE, Body, Event, Scene, Trajectory

ROUND = ("sphere", "cylinder", "capsule", "ellipsoid", "cone")
VIEWS = ("hidden", "appear", "leave")  # events of being seen
_TRAVEL = 0.15  # metres: less is not called a motion
_EDGE = 0.3  # of half the frame: further out is "left" or "right", not "middle"


@dataclass(frozen=True)
class Deed:
    """One thing that an object did or that befell it.

    ``weight`` is how much it matters: 2 in every caption, 1 not in short ones, 0 in dense ones only. ``other``
    is the name of the other body (of "mark" the new colour), "" for none; ``way`` is "left", "right", "near" or
    "far"; ``count`` counts bounces.
    """

    kind: str
    time: float
    weight: int
    other: str = ""
    way: str = ""
    count: int = 0


@dataclass(frozen=True, eq=False)
class Actor:
    """An object of the scene, where it was seen, and its deeds in order of time."""

    body: Body
    screen: Float[np.ndarray, "t 3"]  # x and y from -1 to 1 and depth in metres, by the camera of frame 0
    view: Float[np.ndarray, "t 3"]  # the same by the camera of that frame
    in_frame: Bool[np.ndarray, " t"]  # it is drawn, and its centre is in the frame
    seen_first: bool  # at frame 0
    support: str  # what it is on at frame 0: "floor", "air", "rod", or a prop's name
    deeds: tuple[Deed, ...]

    @property
    def place(self) -> str:
        """ "left", "middle" or "right" at frame 0."""
        x = self.screen[0, 0]
        return "left" if x < -_EDGE else "right" if x > _EDGE else "middle"

    @property
    def upright(self) -> bool:
        """Whether it has a foot and stands on it at frame 0."""
        _, x, y, _ = self.body.quaternion
        return self.body.shape not in ("sphere", "ellipsoid") and abs(1 - 2 * (x * x + y * y)) > 0.9

    @property
    def size_word(self) -> str:
        return "small" if self.body.size < 0.22 else "large" if self.body.size > 0.27 else "medium"

    def did(self, *kinds: str) -> bool:
        return any(deed.kind in kinds for deed in self.deeds)


def read_story(scene: Scene, trajectory: Trajectory) -> tuple[Actor, ...]:
    """One actor for each object of the scene, in the scene's order."""
    return tuple(_actor(scene, trajectory, body) for body in scene.objects)


def views(scene: Scene, name: str, events: tuple[Event, ...]) -> list[Event]:
    """When the object went behind a wall, came into view, or left the frame, in order of time.

    A wall alone hides: what lies on a ramp is within the ramp's box, but not behind the ramp.
    """
    kept: list[Event] = []
    behind_other = False
    for event in events:
        if event.subject != name or event.kind not in VIEWS:
            continue
        if event.kind == "hidden":
            behind_other = event.object is None or scene.bodies[scene.index(event.object)].shape != "wall"
        if not (behind_other and event.kind in ("hidden", "appear")):
            kept.append(event)
        behind_other = behind_other and event.kind == "hidden"
    return kept


def prop_deeds(scene: Scene, trajectory: Trajectory) -> tuple[tuple[Body, Deed], ...]:
    """What befell the scenery: a prop that broke, vanished or took a colour."""
    deeds = []
    for event in trajectory.events:
        body = scene.bodies[scene.index(event.subject)]
        if body.role == "prop" and event.kind in ("break", "consume", "mark"):
            deeds.append((body, _reaction(scene, trajectory, event)))
    return tuple(deeds)


def overlap(scene: Scene, one: Actor, two: Actor) -> Bool[np.ndarray, " t"]:
    """Frames in which the two are so nearly behind one another that the further one can hardly be seen."""
    first = pose(scene.camera, 0.0, scene.width, scene.height)
    across = (one.view - two.view)[:, :2] * [first.tangent_x, first.tangent_y]
    reach = one.body.size / one.view[:, 2] + two.body.size / two.view[:, 2]
    return one.in_frame & two.in_frame & (np.linalg.norm(across, axis=1) < 0.45 * reach)


def _actor(scene: Scene, trajectory: Trajectory, body: Body) -> Actor:
    k = scene.index(body.name)
    first = pose(scene.camera, 0.0, scene.width, scene.height)
    view = np.concatenate([project(seen, trajectory.position[i, k][None]) for i, seen in enumerate(poses(scene))])
    in_frame = (np.abs(view[:, :2]) < 1).all(axis=1) & (view[:, 2] > 0) & trajectory.visible[:, k]
    x, y, depth = view[0]
    half = 0.5 * body.size / (np.tan(np.radians(scene.camera.field_of_view) / 2) * depth)
    part_in_frame = depth > 0 and abs(x) < 1 + half and abs(y) < 1 + half
    comings = [event.kind for event in views(scene, body.name, trajectory.events)]
    return Actor(
        body=body,
        screen=project(first, trajectory.position[:, k]),
        view=view,
        in_frame=in_frame,
        seen_first=bool(part_in_frame and trajectory.visible[0, k]) and comings[:1] != ["appear"],
        support=_support(scene, trajectory, body),
        deeds=_deeds(scene, trajectory, k),
    )


def _support(scene: Scene, trajectory: Trajectory, body: Body) -> str:
    if body.pivot is not None:
        return "rod"
    for contact in trajectory.contacts:
        pair = (contact.a, contact.b)
        if contact.time <= 0.05 and body.name in pair:
            return pair[1] if pair[0] == body.name else pair[0]
    return "air" if body.position[2] > 0.1 + max(body.half_extents) else "floor"


def _deeds(scene: Scene, trajectory: Trajectory, k: int) -> tuple[Deed, ...]:
    if scene.num_frames == 1:
        return ()
    name = scene.bodies[k].name
    mine = [event for event in trajectory.events if event.subject == name and event.time <= scene.seconds]
    end = next((event.time for event in mine if event.kind in ("break", "consume")), scene.seconds)
    motion = _motion(scene, trajectory, k, end)
    # Only what falls lands and bounces: not what tips over, or slips off what it ran into.
    kinds = {event.kind for event in mine}
    came_down = "fall" in kinds and "topple" not in kinds
    # What does not move itself goes out of view only because the camera does.
    deeds = [*motion, *_meetings(scene, trajectory, k), *(_comings(views(scene, name, tuple(mine))) if motion else ())]
    bounces = [event for event in mine if event.kind == "bounce"]
    for event in mine:
        if event.kind in ("break", "consume", "mark"):
            deeds.append(_reaction(scene, trajectory, event))
        elif event.kind == "land" and event.time <= end and came_down:
            deeds.append(Deed("land", event.time, 1, event.object or "floor"))
        elif event.kind == "topple":
            deeds.append(Deed("topple", event.time, 2))
        elif event.kind == "stop" and motion and event.time < scene.seconds - 0.2:
            deeds.append(Deed("stop", event.time, 0))
    if bounces and came_down:
        deeds.append(Deed("bounce", bounces[0].time, 2, count=len(bounces)))
    if scene.bodies[k].reaction == "break" and "break" not in kinds:
        struck = [e.time for e in trajectory.events if e.kind in ("land", "hit") and name in (e.subject, e.object)]
        deeds += [Deed("stay_whole", struck[0], 1)] if struck else []
    return tuple(sorted(deeds, key=_order))


def _order(deed: Deed) -> tuple[float, int]:
    """By time; what came into view did so before it was seen to do anything else."""
    order = ("enter", "fall", "land", "bounce", "hit", "stay_whole")
    return 0.0 if deed.kind == "enter" else deed.time, order.index(deed.kind) if deed.kind in order else len(order)


def _motion(scene: Scene, trajectory: Trajectory, k: int, end: float) -> list[Deed]:
    """How it moves by itself: up to the first meeting, and after it."""
    body, name = scene.bodies[k], scene.bodies[k].name
    if body.fixed:
        return []
    swings = [event.time for event in trajectory.events if event.kind == "swing" and event.subject == name]
    if body.pivot is not None:
        way = _way(scene, trajectory, k, 0.0, min(swings[0] + 0.2, scene.seconds)) if swings else ""
        start = 0.0 if abs(body.position[0] - body.pivot[0]) > 0.1 else swings[0] if swings else 0.0
        return [Deed("swing" if len(swings) > 1 else "swing_once", start, 2, way=way)] if swings else []
    if any(other.attraction > 0 and other.name != name for other in scene.bodies):
        center = next(other for other in scene.bodies if other.attraction > 0 and other.name != name)
        away = np.linalg.norm(trajectory.position[:, k] - trajectory.position[0, k], axis=1)
        return [Deed("orbit", 0.0, 2, center.name)] if away.max() > _TRAVEL else []
    hit = min(_first_hit(scene, trajectory, name), end)
    falls = [event.time for event in trajectory.events if event.kind == "fall" and event.subject == name]
    deeds = [Deed("fall", falls[0], 2)] if falls and falls[0] < hit else []
    way = _way(scene, trajectory, k, body.start, hit)
    if not way and np.linalg.norm(body.velocity[:2]) > 0.3:  # on its way already, and soon met
        way = _heading(scene, np.array(body.velocity))
    if way and not (falls and falls[0] < body.start + 0.3):
        deeds.append(_travel(scene, trajectory, k, body.start, hit, way))
    after = _way(scene, trajectory, k, hit, end) if hit < end else ""
    if hit < end and not (after or way or falls):
        deeds.append(Deed("hardly", hit, 0))
    if after and not way and not falls:
        kind = "roll_off" if _travel(scene, trajectory, k, hit, end, after).kind == "roll" else "pushed"
        deeds.append(Deed(kind, hit, 1, way=after))
    elif after and way and after != way:
        deeds.append(Deed("turn_back", hit, 1, way=after))
    return deeds


def _meetings(scene: Scene, trajectory: Trajectory, k: int) -> list[Deed]:
    """The first hit on each other thing, and touches that make it vanish or change. Who was hit does not hit back."""
    name, deeds, met = scene.bodies[k].name, [], set()
    for event in trajectory.events:
        if event.object == name and event.kind in ("consume", "mark"):
            deeds.append(Deed("touch", event.time, 2, event.subject))
        if event.object == name and event.kind in ("consume", "mark", "hit"):
            met.add(event.subject)
        elif event.subject == name and event.kind in ("consume", "mark", "hit") and event.object:
            if event.kind == "hit" and event.object not in met and not _changes(trajectory, name, event.object):
                prop = scene.bodies[scene.index(event.object)].role == "prop"
                deeds.append(Deed("hit", event.time, 1 if prop else 2, event.object))
            met.add(event.object)
    return deeds


def _changes(trajectory: Trajectory, one: str, two: str) -> bool:
    """Whether one of the two makes the other vanish or change colour: that is a touch, and not told as a hit."""
    changes = [{event.subject, event.object} for event in trajectory.events if event.kind in ("consume", "mark")]
    return {one, two} in changes


def _comings(seen: list[Event]) -> list[Deed]:
    """The first time of each: hidden, out again, into the frame, out of the frame."""
    deeds: dict[str, Deed] = {}
    last = ""
    for event in seen:
        kind = {"hidden": "hidden", "leave": "leave"}.get(event.kind, "reappear" if last == "hidden" else "enter")
        deeds.setdefault(kind, Deed(kind, event.time, 0 if kind == "leave" else 2, event.object or ""))
        last = event.kind
    return list(deeds.values())


def _reaction(scene: Scene, trajectory: Trajectory, event: Event) -> Deed:
    if event.kind == "mark":
        frame = int(np.searchsorted(trajectory.times, event.time).clip(0, len(trajectory.times) - 1))
        color = PALETTE[int(trajectory.color[frame, scene.index(event.subject)])]
        return Deed("mark", event.time, 2, color)
    return Deed(event.kind, event.time, 2, event.object or "")


def _first_hit(scene: Scene, trajectory: Trajectory, name: str) -> float:
    """When it first met another object or the side of a prop; infinity for never."""
    patches = [body.name for body in scene.bodies if body.shape == "patch"]
    met = [e for e in trajectory.events if e.kind in ("hit", "consume", "mark") and name in (e.subject, e.object)]
    return min((event.time for event in met if event.subject not in patches), default=np.inf)


def _ground(scene: Scene, trajectory: Trajectory, k: int) -> str:
    """The belt or ramp that carries it, or the empty string."""
    name = scene.bodies[k].name
    for contact in trajectory.contacts:
        if name in (contact.a, contact.b):
            other = contact.b if contact.a == name else contact.a
            if other != "floor" and scene.bodies[scene.index(other)].shape in ("belt", "ramp"):
                return other
    return ""


def _travel(scene: Scene, trajectory: Trajectory, k: int, start: float, end: float, way: str) -> Deed:
    """A "ride", "roll_down", "slide_down", "roll" or "slide"."""
    ground = _ground(scene, trajectory, k)
    frames = _frames(trajectory, start, end)
    speed = np.linalg.norm(trajectory.velocity[frames, k], axis=1)
    turn = np.linalg.norm(trajectory.spin[frames, k], axis=1) * scene.bodies[k].size
    kind = "roll" if scene.bodies[k].shape in ROUND and turn.sum() > 0.5 * speed.sum() else "slide"
    if ground and scene.bodies[scene.index(ground)].shape == "belt":
        kind = "ride"
    elif ground and trajectory.position[frames[0], k, 2] - trajectory.position[frames[-1], k, 2] > _TRAVEL / 2:
        kind = f"{kind}_down"
    return Deed(kind, start, 2, ground, way)


def _way(scene: Scene, trajectory: Trajectory, k: int, start: float, end: float) -> str:
    """Where it went between two times, seen by the camera of frame 0; "" for hardly anywhere."""
    frames = _frames(trajectory, start, end)
    moved = trajectory.position[frames[-1], k] - trajectory.position[frames[0], k]
    return _heading(scene, moved) if np.linalg.norm(moved[:2]) > _TRAVEL else ""


def _heading(scene: Scene, along: Float[np.ndarray, " 3"]) -> str:
    """ "left", "right", "near" or "far": the main part of a motion over the floor, seen by the camera of frame 0."""
    view = pose(scene.camera, 0.0, scene.width, scene.height)
    across, away = float(along[:2] @ view.right[:2]), float(along[:2] @ view.forward[:2])
    if abs(across) >= abs(away):
        return "right" if across > 0 else "left"
    return "far" if away > 0 else "near"


def _frames(trajectory: Trajectory, start: float, end: float) -> np.ndarray:
    inside = np.flatnonzero((trajectory.times >= start - 1e-9) & (trajectory.times <= end + 1e-9))
    return inside if len(inside) else np.array([int(np.argmin(np.abs(trajectory.times - start)))])
