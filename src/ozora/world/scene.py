"""What is a simulated scene, and what happened in it?

A ``Scene`` is the whole specification: with one MuJoCo version it simulates bit-identically. A ``Trajectory`` is what
really happened: poses at every frame, contacts, events. Lengths are metres, times seconds, masses kilograms, angles
degrees. The floor is z = 0, +x is to the right and +y away from a camera at azimuth 90.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

Vector = tuple[float, float, float]
Color = tuple[float, float, float]

# Saturated hues at least 20 degrees apart, so that a colour can be read back from pixels.
COLORS: dict[str, Color] = {
    "red": (0.90, 0.10, 0.10),
    "orange": (1.00, 0.50, 0.04),
    "yellow": (0.98, 0.90, 0.08),
    "green": (0.12, 0.74, 0.17),
    "cyan": (0.08, 0.84, 0.88),
    "blue": (0.14, 0.26, 0.95),
    "purple": (0.54, 0.16, 0.86),
    "pink": (1.00, 0.42, 0.73),
}
# Props, floors and skies are of low saturation, so that objects stand out.
PROP_COLORS: dict[str, Color] = {
    "white": (0.93, 0.93, 0.92),
    "light grey": (0.74, 0.74, 0.75),
    "grey": (0.50, 0.50, 0.51),
    "dark grey": (0.27, 0.27, 0.29),
    "brown": (0.47, 0.41, 0.36),
}
# ``Trajectory.color`` indexes this.
PALETTE: tuple[str, ...] = (*COLORS, *PROP_COLORS)

# Half extents (x, y, z) of an object of size 1; sizes are chosen so that all shapes look about equally large.
SHAPES: dict[str, Vector] = {
    "sphere": (1.0, 1.0, 1.0),
    "cube": (0.84, 0.84, 0.84),
    "cylinder": (0.80, 0.80, 0.95),
    "cone": (0.98, 0.98, 1.08),
    "capsule": (0.62, 0.62, 1.20),
    "ellipsoid": (1.15, 0.80, 0.80),
}
# Props have size 1 and their half extents in metres as ``stretch``. All are boxes but the ramp, a wedge that falls
# towards its own +x, and the patch, a disc painted on the floor that nothing can stumble over.
PROP_SHAPES: tuple[str, ...] = ("wall", "ramp", "belt", "beam", "table", "patch")

# Two tones of the checker, equal for a plain floor.
FLOORS: dict[str, tuple[Color, Color]] = {
    "grey": ((0.56, 0.56, 0.57), (0.56, 0.56, 0.57)),
    "beige": ((0.76, 0.70, 0.61), (0.76, 0.70, 0.61)),
    "dark": ((0.25, 0.27, 0.30), (0.25, 0.27, 0.30)),
    "pale": ((0.86, 0.87, 0.88), (0.86, 0.87, 0.88)),
    "checkered grey": ((0.62, 0.62, 0.63), (0.48, 0.48, 0.49)),
    "checkered beige": ((0.80, 0.75, 0.67), (0.66, 0.60, 0.52)),
}
# Colour at the zenith and at the horizon.
SKIES: dict[str, tuple[Color, Color]] = {
    "pale": ((0.80, 0.83, 0.87), (0.93, 0.94, 0.95)),
    "blue": ((0.50, 0.60, 0.72), (0.80, 0.85, 0.90)),
    "grey": ((0.44, 0.45, 0.47), (0.66, 0.67, 0.68)),
    "warm": ((0.72, 0.66, 0.62), (0.93, 0.87, 0.80)),
    "dark": ((0.07, 0.08, 0.10), (0.19, 0.20, 0.23)),
}

MOTION_FAMILIES: tuple[str, ...] = (
    "drop",
    "roll",
    "slide",
    "collide",
    "ramp",
    "topple",
    "swing",
    "hide",
    "rest",
)
PERPETUAL_FAMILIES: tuple[str, ...] = ("pendulum", "conveyor", "orbit", "stream")
STATE_FAMILIES: tuple[str, ...] = ("break", "consume", "mark")
FAMILIES: tuple[str, ...] = (*MOTION_FAMILIES, *PERPETUAL_FAMILIES, *STATE_FAMILIES)

# (motion, direction): orbit left = the camera goes to its left around the scene, dolly in = it comes closer,
# pan left = it stays where it is and turns to its left, so that things go right in the frame.
CAMERAS: tuple[tuple[str, str], ...] = (
    ("static", ""),
    ("orbit", "left"),
    ("orbit", "right"),
    ("dolly", "in"),
    ("dolly", "out"),
    ("pan", "left"),
    ("pan", "right"),
)
EVENTS: tuple[str, ...] = (
    "fall",  # an object is in the air and comes down
    "land",  # it reaches the floor or a prop
    "bounce",  # it leaves the floor or a prop again, upwards
    "hit",  # two objects, or an object and a wall, meet
    "topple",  # an upright body at rest tips over
    "swing",  # a hanging body passes its lowest point
    "hidden",  # an object is wholly behind a prop, seen from the camera
    "appear",  # an object comes into view: from behind a prop, or into the frame
    "leave",  # an object leaves the frame
    "stop",  # a moving object comes to rest
    "break",
    "consume",
    "mark",
)


@dataclass(frozen=True)
class Body:
    """One thing in a scene, at its state at time 0.

    An ``object`` is what a caption speaks of; a ``prop`` is scenery; a ``piece`` is unseen until the body named
    ``part_of`` breaks. ``pivot`` hangs the body on a rod from that point, swinging about the y axis. ``reaction`` is
    what an impact of at least ``threshold`` m/s (impulse over own mass) does to it: "break", "consume" (it is
    removed) or "mark" (it takes the striker's colour); "" is nothing.
    """

    name: str
    shape: str  # of SHAPES or PROP_SHAPES
    color: str  # of COLORS or PROP_COLORS
    size: float  # like a radius, metres
    position: Vector  # of the centre
    role: str = "object"  # "object" | "prop" | "piece"
    stretch: Vector = (1.0, 1.0, 1.0)  # times SHAPES[shape] * size = half extents
    quaternion: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)  # w x y z
    velocity: Vector = (0.0, 0.0, 0.0)  # m/s
    spin: Vector = (0.0, 0.0, 0.0)  # rad/s, about the world's axes
    density: float = 300.0  # kg/m3
    friction: float = 0.6
    rolling_friction: float = 0.0  # metres; 0 rolls for ever
    bounce: float = 0.3  # speed after / speed before an impact, 0 to 1; kept to within 0.05
    fixed: bool = False  # immovable
    pivot: Vector | None = None
    drive: float = 0.0  # m/s along x: a belt that moves whatever touches it
    attraction: float = 0.0  # m3/s2: pulls every other free body as a gravitational parameter does
    start: float = 0.0  # seconds: unseen and untouchable before
    reaction: str = ""
    threshold: float = 0.0
    part_of: str = ""
    octant: int = -1  # which eighth of the whole a piece is

    @property
    def half_extents(self) -> Vector:
        """Half extents (x, y, z) of its bounding box in its own frame, metres."""
        x, y, z = SHAPES.get(self.shape, (1.0, 1.0, 1.0))
        a, b, c = self.stretch
        return (x * a * self.size, y * b * self.size, z * c * self.size)


@dataclass(frozen=True)
class Camera:
    """Where the camera is and how it moves; ``camera.py`` turns it into a pose at a time.

    ``amount`` is how far it moves over the clip: degrees for an orbit and a pan, share of the distance for a dolly. The
    middle of the move is the pose given here.
    """

    motion: str = "static"
    direction: str = ""
    look_at: Vector = (0.0, 0.0, 0.7)
    azimuth: float = 90.0  # degrees; 90 looks along +y with +x to the right
    elevation: float = -15.0  # degrees; negative looks down
    distance: float = 4.0
    field_of_view: float = 40.0  # degrees, of the short side
    amount: float = 0.0


@dataclass(frozen=True)
class Scene:
    """The complete specification. ``parameters`` holds what was drawn and what a split or a caption asks for.

    ``parameters["speed"]`` (m/s) is always there: the fastest speed that was asked for, 0 where nothing moves. A
    travelling family also has ``parameters["direction"]``, "left" or "right" as the camera sees it at time 0.
    """

    family: str
    seed: int
    bodies: tuple[Body, ...]
    floor: str = "grey"
    sky: str = "pale"
    camera: Camera = field(default_factory=Camera)
    light: Vector = (0.25, 0.18, -0.95)  # the direction it shines in
    gravity: float = 9.81
    width: int = 64
    height: int = 64
    num_frames: int = 17
    fps: float = 8.0
    parameters: Mapping[str, float | int | str] = field(default_factory=dict)

    @property
    def objects(self) -> tuple[Body, ...]:
        """What a caption speaks of, in order."""
        return tuple(body for body in self.bodies if body.role == "object")

    @property
    def seconds(self) -> float:
        """Time of the last frame."""
        return (self.num_frames - 1) / self.fps

    def index(self, name: str) -> int:
        """Which body has this name: its column in a ``Trajectory``, its mask value less one."""
        for i, body in enumerate(self.bodies):
            if body.name == name:
                return i
        raise ValueError(f"no body is called {name!r}; the scene has {[body.name for body in self.bodies]}")

    def to_json(self) -> str:
        """One line; floats keep every bit."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> "Scene":
        """The inverse of ``to_json``. Raises ``ValueError`` for anything else."""
        try:
            fields = json.loads(text)
            bodies = tuple(Body(**_tuples(body)) for body in fields.pop("bodies"))
            camera = Camera(**_tuples(fields.pop("camera")))
            return Scene(bodies=bodies, camera=camera, **_tuples(fields))
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"no scene in {text[:80]!r}: {error}; a scene is what Scene.to_json writes") from error

    def with_seed(self, seed: int) -> "Scene":
        """The same scene under another number."""
        return replace(self, seed=seed)


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


@dataclass(frozen=True)
class Contact:
    """Bodies ``a`` and ``b`` (names; "floor" is one) began to touch; ``impulse`` in N s over the first 50 ms."""

    time: float
    a: str
    b: str
    impulse: float


@dataclass(frozen=True)
class Event:
    """What happened (one of EVENTS), when, to which body, and by or with which other ("floor" is one)."""

    kind: str
    time: float
    subject: str
    object: str | None = None


@dataclass(frozen=True, eq=False)
class Trajectory:
    """State at every frame, ``t`` frames by ``k`` bodies in the scene's order, and what happened between."""

    times: Float[np.ndarray, " t"]
    position: Float[np.ndarray, "t k 3"]
    quaternion: Float[np.ndarray, "t k 4"]
    velocity: Float[np.ndarray, "t k 3"]
    spin: Float[np.ndarray, "t k 3"]  # rad/s, about the world's axes
    visible: Bool[np.ndarray, "t k"]  # drawn at all; it may still be behind something or out of frame
    scale: Float[np.ndarray, "t k"]  # 1, or less while it is consumed
    color: Int[np.ndarray, "t k"]  # index into PALETTE
    contacts: tuple[Contact, ...]
    events: tuple[Event, ...]
