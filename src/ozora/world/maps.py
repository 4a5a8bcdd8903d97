"""What is where in a simulated clip, cell by cell of a latent grid, and where does it move? Shares by shape and
colour, nearness, and the motion of the picture.

Masks and depth are rendered anew from the record and averaged over what one latent cell covers, so that whoever reads
latents can be told what they show.
"""

import json
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
from einops import rearrange, reduce
from jaxtyping import Float, UInt8

from ozora.data.record import Record
from ozora.data.shards import ShardReader
from ozora.geometry import Geometry
from ozora.world.camera import poses, project
from ozora.world.render import render_depth, render_masks
from ozora.world.scene import PALETTE, SHAPES, Scene, Trajectory

QUARTERS = 2  # a cell is cut into this many parts each way, and each part has its own share of objects
NUM_MAPS = QUARTERS**2 + len(SHAPES) + len(PALETTE) + 1
SLOW = 0.1  # short sides of the frame a second: the speed that is told as a half
FAR = 100.0  # metres: where the sky is taken to be


def stored_scene(record: Record, array: Callable[[str], np.ndarray]) -> tuple[Scene, Trajectory]:
    """The scene of a simulated clip and its states, from a record and the arrays that ``build`` kept beside it.

    The trajectory is without contacts and events. Raises ``ValueError`` for a clip that was not simulated, and for one
    that shows a scene turning into another.
    """
    if "scene" not in record.source:
        raise ValueError(
            f"{record.id} has no scene of its own; only clips of `ozora world build` without --transitions do"
        )
    scene = Scene.from_json(json.dumps(record.source["scene"]))
    return scene, Trajectory(
        times=np.arange(scene.num_frames) / scene.fps,
        position=array("position").astype(np.float64),
        quaternion=array("quaternion").astype(np.float64),
        velocity=array("velocity").astype(np.float64),
        spin=array("spin").astype(np.float64),
        visible=array("visible").astype(bool),
        scale=array("scale").astype(np.float64),
        color=array("color").astype(np.int64),
        contacts=(),
        events=(),
    )


def truth_maps(scene: Scene, trajectory: Trajectory, geometry: Geometry) -> Float[np.ndarray, "c t h w"]:
    """``NUM_MAPS`` channels in [0, 1] on the latent grid of a clip whose size ``geometry`` allows.

    In order: the share of object pixels (props do not count) in each part of a cell, the shares of a cell by shape of
    object, those by colour at that time, and the mean of 1 / (1 + depth in metres), which is 0 in the sky.
    """
    masks = render_masks(scene, trajectory)
    shapes = np.array([-1, *(_shape_index(body.shape, body.role) for body in scene.bodies)])[masks]
    frames = np.arange(scene.num_frames)[:, None, None]
    colors = np.where(shapes >= 0, trajectory.color[frames, np.maximum(masks.astype(np.int64) - 1, 0)], -1)
    nearness = 1 / (1 + render_depth(scene, trajectory))
    space, part = geometry.space_stride, geometry.space_stride // QUARTERS
    objects = reduce((shapes >= 0).astype(np.float64), "t (h i) (w j) -> t h w", "mean", i=part, j=part)
    maps = [
        rearrange(objects, "t (h i) (w j) -> (i j) t h w", i=QUARTERS, j=QUARTERS),
        *(_cells(shapes == i, space)[None] for i in range(len(SHAPES))),
        *(_cells(colors == i, space)[None] for i in range(len(PALETTE))),
        _cells(nearness, space)[None],
    ]
    return _over_time(np.concatenate(maps), geometry.time_stride)


def motion_maps(scene: Scene, trajectory: Trajectory, geometry: Geometry) -> Float[np.ndarray, "4 t h w"]:
    """How fast what a cell shows has been moving over the picture, to the right and up, in (-1, 1) on the latent grid.

    Two channels for the camera's share of it, as though the world stood still, and two for the bodies' own, whose
    turning does not count. A speed of v short sides a second is told as v / (``SLOW`` + |v|); motion is that since
    the frame before, so the first frame's is 0, and a picture's, too.
    """
    speed = np.zeros((4, scene.num_frames, scene.height, scene.width))
    if scene.num_frames > 1:
        speed[:, 1:] = _speeds(scene, trajectory, render_masks(scene, trajectory), render_depth(scene, trajectory))
    return _over_time(_cells(speed / (SLOW + np.abs(speed)), geometry.space_stride), geometry.time_stride)


def _speeds(
    scene: Scene, trajectory: Trajectory, masks: UInt8[np.ndarray, "t h w"], depth: Float[np.ndarray, "t h w"]
) -> Float[np.ndarray, "4 _ h w"]:
    """Short sides a second of every pixel since the frame before, frame 1 and on: the camera's share, then its own."""
    y, x = np.meshgrid(*(1 - (2 * np.arange(side) + 1) / side for side in (scene.height, scene.width)), indexing="ij")
    now = np.stack([-x, y], axis=-1).reshape(-1, 2)
    halves = np.array([scene.width, scene.height]) / (2 * min(scene.width, scene.height)) * scene.fps
    steps = np.pad(np.diff(trajectory.position, axis=0), ((0, 0), (1, 0), (0, 0)))  # label 0, floor and sky, rests
    seen_from, speeds = poses(scene), []
    for i in range(1, scene.num_frames):
        here, before = seen_from[i], seen_from[i - 1]
        rays = here.forward + now @ np.stack([here.tangent_x * here.right, here.tangent_y * here.up])
        points = here.position + np.minimum(depth[i], FAR).reshape(-1, 1) * rays
        stood, was = (project(before, p)[:, :2] for p in (points, points - steps[i - 1, masks[i].reshape(-1)]))
        in_view = np.isfinite(stood + was)  # not behind the camera of the frame before
        camera, own = (
            np.subtract(*pair, out=np.zeros_like(now), where=in_view) for pair in ((now, stood), (stood, was))
        )
        speeds.append(np.concatenate([camera * halves, own * halves], axis=1))
    return rearrange(np.stack(speeds), "t (h w) c -> c t h w", h=scene.height)


def _shape_index(shape: str, role: str) -> int:
    return list(SHAPES).index(shape) if role != "prop" else -1


def _cells(pixels: np.ndarray, space: int) -> np.ndarray:
    return reduce(pixels.astype(np.float64), "... (h i) (w j) -> ... h w", "mean", i=space, j=space)


def _over_time(maps: np.ndarray, stride: int) -> np.ndarray:
    """The first frame alone, then means over groups of ``stride``, as the autoencoder sees them."""
    rest = reduce(maps[:, 1:], "c (t k) h w -> c t h w", "mean", k=stride)
    return np.concatenate([maps[:, :1], rest], axis=1).astype(np.float32)


def maps_of_clips(
    folder: Path,
    indices: Sequence[int],
    geometry: Geometry,
    make: Callable[[Scene, Trajectory, Geometry], Float[np.ndarray, "c t h w"]] = truth_maps,
) -> list[tuple[int, Float[np.ndarray, "c t h w"]]]:
    """What ``make`` makes of some clips of a folder of shards, with their indices, but for those of a size that is not
    legal and those that are not of one simulated scene."""
    reader = _reader(folder)
    made = []
    for index in indices:
        record = reader.record(index)
        if "scene" not in record.source:
            continue
        try:
            geometry.latent_grid(record.num_frames, record.height, record.width)
        except ValueError:
            continue
        made.append((index, make(*stored_scene(record, partial(reader.array, index)), geometry)))
    return made


@cache
def _reader(folder: Path) -> ShardReader:
    return ShardReader(folder)
