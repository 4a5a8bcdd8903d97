"""Where is the camera at a time, and what does it see?"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ozora.world.scene import Camera, Scene


@dataclass(frozen=True, eq=False)
class Pose:
    """A camera at one time: unit vectors ``forward``, ``right`` and ``up``, and tangents of half the field of view."""

    position: Float[np.ndarray, " 3"]
    forward: Float[np.ndarray, " 3"]
    right: Float[np.ndarray, " 3"]
    up: Float[np.ndarray, " 3"]
    tangent_x: float
    tangent_y: float
    azimuth: float
    elevation: float


def pose(camera: Camera, progress: float, width: int, height: int) -> Pose:
    """The camera when a share ``progress`` (0 to 1) of the clip has passed, for frames of ``width`` x ``height``.

    Moves are at constant speed. Raises ``ValueError`` for an unknown motion or direction.
    """
    sign = {"left": -1.0, "right": 1.0, "in": -1.0, "out": 1.0, "": 0.0}.get(camera.direction)
    if sign is None:
        raise ValueError(f"camera direction is {camera.direction!r}; it must be left, right, in, out or empty")
    moved = sign * camera.amount * (progress - 0.5)
    target = np.array(camera.look_at)
    azimuth, distance = camera.azimuth, camera.distance
    match camera.motion:
        case "static":
            pass
        case "orbit":
            azimuth += moved
        case "dolly":
            distance *= 1 + moved
        case "pan":
            pass
        case _:
            raise ValueError(f"camera motion is {camera.motion!r}; it must be static, orbit, dolly or pan")
    position = target - distance * _forward(azimuth, camera.elevation)
    if camera.motion == "pan":
        azimuth -= moved
    short = np.tan(np.radians(camera.field_of_view) / 2)
    across, up = short * width / min(width, height), short * height / min(width, height)
    return _looking(position, azimuth, camera.elevation, across, up)


def poses(scene: Scene) -> list[Pose]:
    """The camera at every frame of the scene."""
    last = max(1, scene.num_frames - 1)
    return [pose(scene.camera, i / last, scene.width, scene.height) for i in range(scene.num_frames)]


def between(one: Pose, two: Pose, share: float) -> Pose:
    """The pose at a ``share`` (0 to 1) of the way from one to the other, which turns the short way round."""

    def mean(first, second):
        return (1 - share) * first + share * second

    turned = (two.azimuth - one.azimuth + 180) % 360 - 180
    azimuth, elevation = one.azimuth + share * turned, mean(one.elevation, two.elevation)
    return _looking(
        mean(one.position, two.position),
        azimuth,
        elevation,
        mean(one.tangent_x, two.tangent_x),
        mean(one.tangent_y, two.tangent_y),
    )


def project(seen_from: Pose, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Points in the world -> (x, y, depth): x from -1 (left edge) to 1, y from -1 (bottom) to 1, depth in metres.

    What is behind the camera has x and y of infinity.
    """
    offset = points - seen_from.position
    depth = offset @ seen_from.forward
    safe = np.where(depth > 1e-6, depth, np.nan)
    x = offset @ seen_from.right / (safe * seen_from.tangent_x)
    y = offset @ seen_from.up / (safe * seen_from.tangent_y)
    return np.stack([np.nan_to_num(x, nan=np.inf), np.nan_to_num(y, nan=np.inf), depth], axis=-1)


def _looking(
    position: Float[np.ndarray, " 3"], azimuth: float, elevation: float, tangent_x: float, tangent_y: float
) -> Pose:
    forward = _forward(azimuth, elevation)
    right = np.array([np.sin(np.radians(azimuth)), -np.cos(np.radians(azimuth)), 0.0])
    return Pose(position, forward, right, np.cross(right, forward), tangent_x, tangent_y, azimuth, elevation)


def _forward(azimuth: float, elevation: float) -> Float[np.ndarray, " 3"]:
    a, e = np.radians(azimuth), np.radians(elevation)
    return np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
