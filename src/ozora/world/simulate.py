"""What happens in a scene? MuJoCo steps it, and we write down poses, contacts and events.

Rigid bodies, rolling and sliding friction, rods and impacts are MuJoCo's. Three things are added between its steps: a
body that reacts to an impact (it breaks into eighths, is consumed, or is marked with a colour), a body that enters
late, and the pull of an attracting centre. An impact's strength is the impulse of one touch in its first 50 ms, less
what bears the body's weight, over the body's mass: for a body that strikes a floor and rebounds with restitution e it
is (1 + e) times the impact speed.
"""

# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules that pyright does not see.

from dataclasses import dataclass, replace

import mujoco
import numpy as np
from jaxtyping import Float

from ozora.world.compile import compile_scene
from ozora.world.events import Run, find_events
from ozora.world.meshes import OCTANTS
from ozora.world.scene import PALETTE, Contact, Event, Scene, Trajectory

LONGEST_STEP = 0.002  # seconds
TOUCH_WINDOW = 0.05  # seconds over which the impulse of a touch is summed
CONSUME_SECONDS = 0.3  # from touch to gone
_BURST = 0.22  # speed of pieces away from the middle of what broke, per impact strength
_PARKED = 1000.0  # metres below the floor, where absent bodies wait
_HINGE = mujoco.mjtJoint.mjJNT_HINGE
_FREE = mujoco.mjtJoint.mjJNT_FREE


def simulate(scene: Scene) -> Trajectory:
    """Run the scene from its first frame to its last. Bit-identical from run to run with one MuJoCo version.

    Raises ``ValueError`` for a scene without frames, one that MuJoCo refuses (two bodies of one name, a size that is
    not positive), or one that becomes unstable.
    """
    if scene.num_frames < 1 or not scene.fps > 0:
        raise ValueError(
            f"the scene has {scene.num_frames} frames at {scene.fps} fps; it needs one at least, at a positive rate"
        )
    world = _World(scene)
    frames = []
    for i in range(scene.num_frames):
        if i > 0:
            world.advance()
        position, quaternion, velocity, spin = world.state()
        scale = world.scale()
        frames.append((position, quaternion, velocity, spin, world.present & (scale > 0), scale, world.color.copy()))
    position, quaternion, velocity, spin, visible, scale, color = (np.array(c) for c in zip(*frames, strict=True))
    if not np.isfinite(position).all() or np.abs(velocity).max(initial=0) > 1e3:
        raise ValueError(f"the scene {scene.family} {scene.seed} became unstable; use softer or slower bodies")
    run = world.run()
    trajectory = Trajectory(
        times=np.arange(scene.num_frames) / scene.fps,
        position=position,
        quaternion=quaternion,
        velocity=velocity,
        spin=spin,
        visible=visible,
        scale=scale,
        color=color,
        contacts=run.contacts,
        events=(),
    )
    return replace(trajectory, events=find_events(scene, trajectory, run, tuple(world.reactions)))


@dataclass
class _Touch:
    start: float
    last: float
    impulse: float = 0.0


class _World:
    """A scene that is running."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.num_steps = int(np.ceil(1 / (scene.fps * LONGEST_STEP)))
        self.model = compile_scene(scene, 1 / (scene.fps * self.num_steps))
        self.data = mujoco.MjData(self.model)
        bodies = scene.bodies
        self.masses = self.model.body_mass[1:].copy()
        self.owner = self.model.geom_bodyid - 1  # of each geom: the body's number; -1 is the floor
        self.present = np.ones(len(bodies), bool)
        self.color = np.array([PALETTE.index(body.color) for body in bodies], dtype=int)
        self.consumed_at = np.full(len(bodies), np.inf)
        # What is absent is shown where it was, or where it will enter.
        self.absent: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self.touches: dict[tuple[int, int], _Touch] = {}
        self.contacts: list[Contact] = []
        self.reactions: list[Event] = []
        self.steps: list[tuple[object, ...]] = []  # rows of a Run
        self.patches = [k for k, body in enumerate(bodies) if body.shape == "patch" and body.reaction]
        self.late = [k for k, body in enumerate(bodies) if body.start > 0]
        for k, body in enumerate(bodies):
            if body.role == "piece" or body.start > 0:
                self._remove(k, np.array(body.position), np.array(body.quaternion))
            else:
                self._place(k, body.position, body.quaternion, body.velocity, body.spin)
        mujoco.mj_step1(self.model, self.data)
        self._pull()
        self._note()

    def advance(self) -> None:
        """To the next frame."""
        for _ in range(self.num_steps):
            mujoco.mj_step2(self.model, self.data)
            self._feel()
            self._enter()
            for k, body in enumerate(self.scene.bodies):
                if body.drive:  # a belt does not slow down
                    self.data.qvel[self.model.body_dofadr[k + 1]] = body.drive
            mujoco.mj_step1(self.model, self.data)
            self._pull()
            self._note()

    def state(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Position, quaternion, velocity and spin of every body, in the world's axes."""
        position, quaternion = self.data.xpos[1:].copy(), self.data.xquat[1:].copy()
        velocity, spin = _velocity(position, self.data.cvel[1:], self._centers()), self.data.cvel[1:, :3].copy()
        for k, (place, turn) in self.absent.items():
            position[k], quaternion[k], velocity[k], spin[k] = place, turn, 0.0, 0.0
        return position, quaternion, velocity, spin

    def scale(self) -> Float[np.ndarray, " k"]:
        """1, or less of what is being consumed."""
        return np.clip(1 - (self.data.time - self.consumed_at) / CONSUME_SECONDS, 0, 1)

    def run(self) -> Run:
        """All steps so far."""
        open_ones = [self._contact(pair, touch) for pair, touch in self.touches.items()]
        contacts = sorted(self.contacts + open_ones, key=lambda contact: (contact.time, contact.a, contact.b))
        columns = [np.array(column) for column in zip(*self.steps, strict=True)]
        times, position, twist, centers, upright, present, touching = columns
        velocity = _velocity(position, twist, centers) * present[..., None]
        return Run(times, position, velocity, upright, present, touching, self.masses, tuple(contacts))

    def _note(self) -> None:
        data = self.data
        touching = np.zeros(len(self.masses), bool)
        touching[[k for pair in self.touches for k in pair if k >= 0]] = True
        present = self.present & np.isinf(self.consumed_at)
        position, twist, upright = data.xpos[1:].copy(), data.cvel[1:].copy(), data.xmat[1:, 8].copy()
        self.steps.append((data.time, position, twist, self._centers(), upright, present, touching))

    def _centers(self) -> Float[np.ndarray, "k 3"]:
        return self.data.subtree_com[self.model.body_rootid[1:]]

    def _contact(self, pair: tuple[int, int], touch: _Touch) -> Contact:
        return Contact(touch.start, self._name(pair[0]), self._name(pair[1]), touch.impulse)

    def _name(self, k: int) -> str:
        return "floor" if k < 0 else self.scene.bodies[k].name

    def _feel(self) -> None:
        """Sum up the impulse of every touch in the step just made, and let bodies react."""
        data, now, step = self.data, self.data.time, self.model.opt.timestep
        pushes: dict[tuple[int, int], float] = {}
        if data.ncon:
            row = data.contact.efc_address
            owners = np.sort(self.owner[data.contact.geom], axis=1)
            # The first row of a contact is its normal force.
            normal = np.where(row >= 0, data.efc_force[np.maximum(row, 0)] if data.nefc else 0.0, 0.0)
            for (a, b), force in zip(owners.tolist(), normal.tolist(), strict=True):
                if force > 0:
                    pushes[a, b] = pushes.get((a, b), 0.0) + force * step
        for pair, impulse in pushes.items():
            touch = self.touches.setdefault(pair, _Touch(now, now))
            touch.last = now
            if now - touch.start <= TOUCH_WINDOW:
                touch.impulse += impulse
        for pair in [pair for pair in self.touches if pair not in pushes]:
            self.contacts.append(self._contact(pair, self.touches.pop(pair)))
        for pair in sorted(pushes, reverse=True):  # the floor last, so that a striker gets the credit
            touch = self.touches.get(pair)
            if pair[0] < 0:
                self._tread(pair[1])
            if touch is not None and now - touch.start <= TOUCH_WINDOW:
                for k, other in (pair, pair[::-1]):
                    if k >= 0 and self.scene.bodies[k].reaction and k not in self.absent:
                        weight = self.masses[k] * self.scene.gravity * (now - touch.start)
                        self._react(k, other, touch.impulse - weight)

    def _tread(self, k: int) -> None:
        """Body ``k`` is on the floor: is it on a patch?"""
        for j in self.patches:
            patch = self.scene.bodies[j]
            near = np.hypot(*(self.data.xpos[k + 1, :2] - patch.position[:2])) < patch.half_extents[0]
            if near and self.color[j] != self.color[k]:
                self.contacts.append(Contact(self.data.time, self._name(k), patch.name, 0.0))
                self._react(j, k, 0.0)

    def _react(self, k: int, other: int, impulse: float) -> None:
        body = self.scene.bodies[k]
        by_object = other >= 0 and self.scene.bodies[other].role == "object"
        if impulse < body.threshold * self.masses[k] or not (by_object or body.reaction == "break"):
            return
        if body.reaction == "break":
            self._break(k, impulse / self.masses[k])
        elif body.reaction == "consume":
            self.consumed_at[k] = self.data.time
            self._remove(k, *self._pose(k))
            self.present[k] = True  # drawn while it shrinks
        elif body.reaction == "mark":
            if self.color[k] == self.color[other]:
                return
            self.color[k] = self.color[other]
        self.reactions.append(Event(body.reaction, self.data.time, body.name, self._name(other)))

    def _break(self, k: int, strength: float) -> None:
        """Put the pieces where the whole is, moving as it does and apart, and take the whole away."""
        place, turn = self._pose(k)
        rotation = _matrix(turn)
        dof = int(self.model.body_dofadr[k + 1])
        velocity, spin = self.data.qvel[dof : dof + 3].copy(), rotation @ self.data.qvel[dof + 3 : dof + 6]
        pieces = [j for j, piece in enumerate(self.scene.bodies) if piece.part_of == self.scene.bodies[k].name]
        away = np.array([rotation @ OCTANTS[self.scene.bodies[j].octant] for j in pieces]) / np.sqrt(3)
        away -= np.average(away, axis=0, weights=self.masses[pieces])  # the whole's momentum stays
        self._remove(k, place, turn)
        for j, outwards in zip(pieces, away, strict=True):
            self._return(j)
            self._place(j, place, turn, velocity + _BURST * strength * outwards, spin)

    def _enter(self) -> None:
        for k in [k for k in self.late if self.data.time >= self.scene.bodies[k].start]:
            body = self.scene.bodies[k]
            self._return(k)
            self._place(k, body.position, body.quaternion, body.velocity, body.spin)
            self.late.remove(k)

    def _remove(self, k: int, place: np.ndarray, turn: np.ndarray) -> None:
        self.present[k] = False
        self.absent[k] = (place, turn)
        self._touchable(k, False)
        self._place(k, (10.0 * k, 0.0, -_PARKED), (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
        for pair in [pair for pair in self.touches if k in pair]:
            self.contacts.append(self._contact(pair, self.touches.pop(pair)))

    def _return(self, k: int) -> None:
        self.present[k] = True
        del self.absent[k]
        self._touchable(k, True)

    def _touchable(self, k: int, able: bool) -> None:
        geoms = np.flatnonzero(self.owner == k)
        self.model.geom_contype[geoms] = able
        self.model.geom_conaffinity[geoms] = able

    def _pose(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Where body ``k`` is now; between the halves of a step, only a free joint knows."""
        joint = int(self.model.body_jntadr[k + 1])
        if joint < 0 or self.model.jnt_type[joint] != _FREE:
            return self.data.xpos[k + 1].copy(), self.data.xquat[k + 1].copy()
        at = int(self.model.jnt_qposadr[joint])
        return self.data.qpos[at : at + 3].copy(), self.data.qpos[at + 3 : at + 7].copy()

    def _place(self, k: int, position, quaternion, velocity, spin) -> None:
        joint = int(self.model.body_jntadr[k + 1])
        if joint < 0:
            return
        at, dof = int(self.model.jnt_qposadr[joint]), int(self.model.jnt_dofadr[joint])
        kind = self.model.jnt_type[joint]
        if kind == _FREE:
            self.data.qpos[at : at + 3], self.data.qpos[at + 3 : at + 7] = position, quaternion
            self.data.qvel[dof : dof + 3] = velocity
            self.data.qvel[dof + 3 : dof + 6] = _matrix(quaternion).T @ np.asarray(spin)  # in the body's own axes
        else:
            self.data.qvel[dof] = spin[1] if kind == _HINGE else self.scene.bodies[k].drive

    def _pull(self) -> None:
        """The force of attracting bodies."""
        for k, body in enumerate(self.scene.bodies):
            if body.attraction:
                offset = self.data.xipos[k + 1] - self.data.xipos[1:]
                distance = np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-3)
                force = body.attraction * self.masses[:, None] * offset / distance**3
                force[k] = 0
                self.data.xfrc_applied[1:, :3] = force * self.present[:, None]


def _velocity(
    position: Float[np.ndarray, "... k 3"], twist: Float[np.ndarray, "... k 6"], centers: Float[np.ndarray, "... k 3"]
) -> Float[np.ndarray, "... k 3"]:
    """Velocity of each body's origin; MuJoCo's spin and velocity are taken at the centre of mass of the body's tree."""
    return twist[..., 3:] + np.cross(twist[..., :3], position - centers)


def _matrix(quaternion) -> Float[np.ndarray, "3 3"]:
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, np.asarray(quaternion, dtype=float))
    return matrix.reshape(3, 3)
