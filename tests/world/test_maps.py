"""Do the maps say what the masks and the depth say, on the autoencoder's grid?"""

from dataclasses import replace

import numpy as np
import pytest

from ozora.clip import Clip
from ozora.data.record import Caption, Record
from ozora.data.shards import ShardReader
from ozora.geometry import Geometry
from ozora.world.build import build
from ozora.world.families import sample_scene
from ozora.world.maps import NUM_MAPS, QUARTERS, maps_of_clips, motion_maps, stored_scene, truth_maps
from ozora.world.mix import WorldMix
from ozora.world.render import render_depth, render_masks
from ozora.world.scene import PALETTE, SHAPES
from ozora.world.simulate import simulate

SHAPE, COLOR = QUARTERS**2, QUARTERS**2 + len(SHAPES)


def test_shares_add_up_to_the_masks() -> None:
    scene = sample_scene("hide", 3, num_frames=9)
    trajectory = simulate(scene)
    maps = truth_maps(scene, trajectory, Geometry())
    objects = np.array([0, *(body.role != "prop" for body in scene.bodies)])[render_masks(scene, trajectory)]
    assert maps.shape == (NUM_MAPS, 3, 8, 8) and maps.min() >= 0 and maps.max() <= 1
    for part in (maps[:SHAPE].mean(0), maps[SHAPE:COLOR].sum(0), maps[COLOR : COLOR + len(PALETTE)].sum(0)):
        assert part[0].mean() == pytest.approx(objects[0].mean(), abs=1e-6)
        assert part[2].mean() == pytest.approx(objects[5:9].mean(), abs=1e-6)
    shape = list(SHAPES).index(scene.objects[0].shape)
    assert maps[SHAPE + shape].sum() > 0 and not np.delete(maps[SHAPE:COLOR], shape, axis=0).any()
    depth = render_depth(scene, trajectory)[0, :8, :8]
    assert maps[-1, 0, 0, 0] == pytest.approx((1 / (1 + depth)).mean(), abs=1e-6)


def test_a_stored_clip_gives_the_maps_of_its_scene(tmp_path) -> None:
    build(tmp_path, 2, seed=4, mix=WorldMix.mini(), workers=1, clips_per_shard=2, show_progress=False)
    reader = ShardReader(tmp_path)
    scene, trajectory = stored_scene(reader.record(1), lambda name: reader.array(1, name))
    ((first, _), (second, maps)) = maps_of_clips(tmp_path, [0, 1], Geometry())
    assert (first, second) == (0, 1)
    assert np.abs(maps - truth_maps(scene, simulate(scene), Geometry())).max() < 0.05
    assert trajectory.position.shape[0] == scene.num_frames


def test_footage_has_no_scene() -> None:
    clip = Clip(np.zeros((1, 16, 16, 3), np.uint8), 8.0)
    record = Record("phone", clip.width, clip.height, 1, 8.0, (Caption("dense", "a street"),))
    with pytest.raises(ValueError, match="phone has no scene of its own"):
        stored_scene(record, lambda name: np.zeros(1))


def seen(motion: str, direction: str, family: str = "roll") -> tuple[np.ndarray, np.ndarray]:
    """The motion maps of a scene seen by a camera that moves so, and which cells show the floor or the sky alone."""
    scene = sample_scene(family, 5, num_frames=9)
    scene = replace(scene, camera=replace(scene.camera, motion=motion, direction=direction, amount=14.0))
    if motion == "dolly":
        scene = replace(scene, camera=replace(scene.camera, amount=0.5))
    trajectory = simulate(scene)
    empty = truth_maps(scene, trajectory, Geometry())[:SHAPE].sum(0) == 0
    return motion_maps(scene, trajectory, Geometry()), empty


def test_the_camera_moves_the_picture_and_a_body_itself() -> None:
    still, empty = seen("static", "")
    assert still.shape == (4, 3, 8, 8) and np.abs(still[:2]).max() < 1e-6 and np.abs(still[2:, empty]).max() < 1e-6
    assert np.abs(still[2, 1]).max() > 0.2 and not still[:, 0].any()  # it rolls sideways; the first frame has no past
    left, empty = seen("pan", "left")
    assert left[0, 1:].min() > 0.3 and np.abs(left[1, 1:].mean()) < 0.1  # who turns left sees the world go to the right
    assert np.allclose(left[0, 1:], -seen("pan", "right")[0][0, 1:], atol=0.1)
    nearer = seen("dolly", "in")[0][:2, 1:].mean(1)
    assert nearer[0, 7, 7] > 0.1 > -0.1 > nearer[0, 7, 0] and nearer[1, 7].max() < -0.1  # out of the middle


def test_a_picture_does_not_move() -> None:
    scene = sample_scene("roll", 5, num_frames=1)
    assert not motion_maps(scene, simulate(scene), Geometry()).any()
