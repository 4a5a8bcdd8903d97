"""Where does a body go, and how does it stand, lie, roll or hang there?"""

from dataclasses import replace

import numpy as np

from ozora.world.sampling import Lot
from ozora.world.scene import Body, Vector

ROLLERS = ("sphere", "cylinder", "capsule")
STANDERS = ("cube", "cylinder", "cone")
LYING = (float(np.sqrt(0.5)), float(np.sqrt(0.5)), 0.0, 0.0)  # turned about x, so that a cylinder's axis is along y


def on_floor(body: Body, x: float, y: float, lying: bool = False) -> Vector:
    """Where the centre is when the body stands (or a cylinder lies) on the floor at x, y."""
    half = body.half_extents
    return (float(x), float(y), float(half[0] if lying else half[2]))


def direction(sign: float) -> str:
    """The word for a travel along x."""
    return "right" if sign > 0 else "left"


def low_view(lot: Lot) -> float:
    """Where to look when everything stays near the floor."""
    return 0.5 * lot.half_height


def row(lot: Lot, num: int) -> list[float]:
    """Places along x in random order, apart from each other and within the frame."""
    if num == 1:
        return [lot.uniform(-0.4, 0.4) * lot.half_width]
    span = min(0.6 * lot.half_width, 0.24 * num)
    places = np.linspace(-span, span, num) + lot.rng.uniform(-0.04, 0.04, num)
    return [float(x) for x in lot.rng.permutation(places)]


def bystander(lot: Lot, i: int, depth: float) -> Body:
    """Object ``i`` at rest behind the scene's middle, apart from other bystanders."""
    body = lot.object(i, lot.shape(), friction=0.9, rolling_friction=0.02)
    side = (-1.0) ** i * (1.0 if lot.colors[0] < lot.colors[i] else -1.0)
    place = side * lot.uniform(0.25, 0.6) * lot.half_width
    if lot.num_objects > 2:  # a row of places, one for each
        share = (i - 1) / (lot.num_objects - 2) - 0.5
        place = share * 1.3 * lot.half_width + lot.uniform(-0.05, 0.05)
    return replace(body, position=on_floor(body, place, depth), quaternion=lot.yaw())


def rolling(body: Body, x: float, y: float, speed: float) -> Body:
    """The body, already rolling without slipping."""
    lying = body.shape != "sphere"
    turn = (0.0, speed / body.half_extents[0], 0.0)
    pose = LYING if lying else (1.0, 0.0, 0.0, 0.0)
    place = on_floor(body, x, y, lying)
    return replace(body, position=place, velocity=(speed, 0.0, 0.0), spin=turn, quaternion=pose)


def hanging(body: Body, pivot: tuple[float, float, float], length: float, angle: float) -> Body:
    """The body on a rod at an angle from the vertical, positive to the right, turned along with the rod."""
    x, y, z = pivot
    place = (float(x + length * np.sin(angle)), y, float(z - length * np.cos(angle)))
    turn = (float(np.cos(-angle / 2)), 0.0, float(np.sin(-angle / 2)), 0.0)
    return replace(body, position=place, quaternion=turn, pivot=pivot)


def beam(pivot: tuple[float, float, float], lot: Lot) -> Body:
    x, y, z = pivot
    return Body("beam", "beam", lot.prop_color(), 1.0, (x, y, z + 0.04), "prop", stretch=(0.3, 0.05, 0.04), fixed=True)


def leaning(lot: Lot, largest: float) -> tuple[float, float, float, float]:
    """Any yaw, and a tilt of at most ``largest`` radians."""
    yaw, tilt, about = lot.uniform(-np.pi, np.pi), lot.uniform(0.0, largest), lot.uniform(-np.pi, np.pi)
    turn, lean = (np.cos(yaw / 2), np.sin(yaw / 2)), (np.cos(tilt / 2), np.sin(tilt / 2))
    x, y = lean[1] * np.cos(about), lean[1] * np.sin(about)
    # The yaw first, then the lean about a horizontal axis.
    w, i, j, k = lean[0] * turn[0], x * turn[0] + y * turn[1], y * turn[0] - x * turn[1], lean[0] * turn[1]
    return (float(w), float(i), float(j), float(k))
