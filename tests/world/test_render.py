"""Do the pictures show what the scene says?"""

import colorsys
from dataclasses import replace

import numpy as np
import pytest

from ozora.world.camera import poses, project
from ozora.world.families import sample_scene
from ozora.world.render import LARGEST_SIDE, render, render_depth, render_masks
from ozora.world.scene import COLORS, FAMILIES, FLOORS, SHAPES, SKIES, Body, Camera, Scene
from ozora.world.simulate import simulate

STATIC = [("static", "")]


def still(*bodies: Body, **fields) -> Scene:
    return replace(Scene("rest", 0, bodies, num_frames=1), **fields)


def test_the_same_trajectory_gives_the_same_pixels() -> None:
    scene = sample_scene("collide", 5, num_frames=5)
    trajectory = simulate(scene)
    first = render(scene, trajectory).frames
    other = sample_scene("swing", 2, num_frames=2, width=80, height=48)  # one renderer serves both
    render(other, simulate(other))
    assert np.array_equal(render(scene, trajectory).frames, first)
    assert np.array_equal(render(scene, simulate(Scene.from_json(scene.to_json()))).frames, first)
    assert first.shape == (5, 64, 64, 3) and render(scene, trajectory).fps == scene.fps


@pytest.mark.parametrize("floor", FLOORS)
def test_every_colour_keeps_its_hue_on_every_floor(floor: str) -> None:
    sky = list(SKIES)[list(FLOORS).index(floor) % len(SKIES)]
    for name, rgb in COLORS.items():
        scene = still(Body("a", "sphere", name, 0.3, (0.0, 0.0, 0.3)), floor=floor, sky=sky)
        trajectory = simulate(scene)
        frame, mask = render(scene, trajectory).frames[0], render_masks(scene, trajectory)[0]
        inside = frame[_shrunk(mask == 1)] / 255.0
        hues = np.array([360 * colorsys.rgb_to_hsv(*pixel)[0] for pixel in inside])
        wanted = 360 * colorsys.rgb_to_hsv(*rgb)[0]
        assert np.median(np.abs((hues - wanted + 180) % 360 - 180)) < 5
        outside = frame[~_grown(mask == 1)] / 255.0
        assert np.ptp(outside, axis=-1).max() < 0.35  # everything else is pale


@pytest.mark.parametrize("family", FAMILIES)
def test_masks_agree_with_pixels_and_positions(family: str) -> None:
    scene = sample_scene(family, 1, num_frames=7, cameras=STATIC)
    trajectory = simulate(scene)
    frames, masks = render(scene, trajectory).frames, render_masks(scene, trajectory)
    names = [*COLORS]
    seen = poses(scene)
    for i in (0, 3, 6):
        for k, body in enumerate(scene.bodies):
            inside = _shrunk(masks[i] == k + 1)
            if body.role != "object" or inside.sum() < 12:
                continue
            color = COLORS[names[trajectory.color[i, k]]]
            middle = np.median(frames[i][inside], axis=0) / 255
            gap = 360 * (colorsys.rgb_to_hsv(*middle)[0] - colorsys.rgb_to_hsv(*color)[0])
            assert abs((gap + 180) % 360 - 180) < 8, (family, body.name, i)
            x, y, _ = project(seen[i], trajectory.position[i, k][None])[0]
            rows, columns = np.nonzero(masks[i] == k + 1)
            if abs(x) < 0.7 and abs(y) < 0.7 and family in ("drop", "slide", "rest", "swing"):
                assert abs(columns.mean() - (x + 1) * 32) < 6
                assert abs(rows.mean() - (1 - y) * 32) < 6


def test_depth_is_the_distance_along_the_axis() -> None:
    camera = Camera(elevation=0.0, distance=4.0, look_at=(0.0, 0.0, 1.0))
    box = Body("a", "wall", "white", 1.0, (0.0, 0.0, 1.0), "prop", (0.3, 0.5, 0.3), fixed=True)
    scene = still(box, camera=camera, width=65, height=65)
    depth = render_depth(scene, simulate(scene))
    assert depth.dtype == np.float32 and depth.shape == (1, 65, 65)
    assert depth[0, 32, 32] == pytest.approx(3.5, abs=0.01)  # the near face
    assert np.isinf(depth[0, 0]).all()  # sky
    row = 60
    down = np.tan(np.radians(20)) * (row + 0.5 - 32.5) / 32.5
    assert depth[0, row, 2] == pytest.approx(1.0 / down, rel=0.02)  # the floor, 1 m below the eye


def test_what_is_nearer_covers_what_is_farther() -> None:
    front = Body("front", "cube", "red", 0.3, (0.0, -0.6, 0.252))
    back = Body("back", "cube", "blue", 0.3, (0.0, 0.6, 0.252))
    scene = still(back, front, camera=Camera(elevation=-5.0, look_at=(0.0, 0.0, 0.3)))
    masks = render_masks(scene, simulate(scene))
    assert (masks == 2).sum() > 3 * (masks == 1).sum()


def test_shapes_have_about_the_same_area_and_differ_in_outline() -> None:
    masks = {}
    for shape in SHAPES:
        body = Body("a", shape, "red", 0.3, (0.0, 0.0, 0.0))
        body = replace(body, position=(0.0, 0.0, body.half_extents[2]))
        scene = still(body, camera=Camera(elevation=-15.0, look_at=(0.0, 0.0, 0.3)))
        masks[shape] = render_masks(scene, simulate(scene))[0] == 1
    areas = np.array([mask.sum() for mask in masks.values()])
    assert areas.max() / areas.min() < 2.1
    shapes = list(masks)
    for i, one in enumerate(shapes):
        for other in shapes[i + 1 :]:
            overlap = (masks[one] & masks[other]).sum() / (masks[one] | masks[other]).sum()
            assert overlap < 0.97, (one, other)


def test_consumed_and_broken_bodies_are_drawn_as_they_are() -> None:
    scene = sample_scene("consume", 0, num_objects=2, cameras=STATIC)
    trajectory = simulate(scene)
    masks = render_masks(scene, trajectory)
    area = (masks == 2).sum(axis=(1, 2))
    assert area[0] > 20 and area[-1] == 0
    assert ((area > 0) <= trajectory.visible[:, 1]).all()


def test_a_moving_camera_moves_the_picture() -> None:
    for camera in (("orbit", "left"), ("dolly", "in"), ("pan", "right")):
        scene = sample_scene("rest", 4, num_frames=3, cameras=[camera])
        frames = render(scene, simulate(scene)).frames.astype(int)
        assert np.abs(frames[0] - frames[2]).mean() > 1.0


def test_shadows_darken_the_floor_below() -> None:
    scene = still(Body("a", "sphere", "red", 0.3, (0.0, 0.0, 0.3)), floor="pale")
    trajectory = simulate(scene)
    with_shadow = render(scene, trajectory).frames.astype(int)
    without = render(scene, trajectory, shadows=False).frames.astype(int)
    darker = (without - with_shadow).sum(axis=-1)[0]
    assert darker.max() > 60 and np.mean(darker > 30) < 0.2


def test_too_large_a_picture_is_refused() -> None:
    scene = still(width=LARGEST_SIDE, height=64)
    with pytest.raises(ValueError, match=str(LARGEST_SIDE)):
        render(scene, simulate(scene))
    assert render(scene, simulate(scene), oversample=1).width == LARGEST_SIDE


def _shrunk(mask: np.ndarray) -> np.ndarray:
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    return inner


def _grown(mask: np.ndarray) -> np.ndarray:
    return ~_shrunk(_shrunk(~mask))
