"""Is a scene a complete, repeatable specification, and does every family draw good ones?"""

import colorsys
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from ozora.world.camera import pose, poses, project
from ozora.world.families import FAMILY_FUNCTIONS, NUM_OBJECTS, sample_scene
from ozora.world.meshes import BREAKABLE, OCTANTS, octant_points
from ozora.world.scene import CAMERAS, COLORS, FAMILIES, FLOORS, PALETTE, PROP_COLORS, SKIES, Camera, Scene
from ozora.world.simulate import simulate


def test_every_family_is_there() -> None:
    assert set(FAMILY_FUNCTIONS) == set(FAMILIES) == set(NUM_OBJECTS)


def test_hues_are_apart_and_props_are_pale() -> None:
    hues = [360 * colorsys.rgb_to_hsv(*rgb)[0] for rgb in COLORS.values()]
    gaps = [abs((a - b + 180) % 360 - 180) for a, b in itertools.combinations(hues, 2)]
    assert min(gaps) >= 20
    assert min(colorsys.rgb_to_hsv(*rgb)[1] for rgb in COLORS.values()) > 0.5
    backdrop = [*PROP_COLORS.values(), *(c for pair in (*FLOORS.values(), *SKIES.values()) for c in pair)]
    assert max(colorsys.rgb_to_hsv(*rgb)[1] for rgb in backdrop) <= 0.36
    assert len(set(PALETTE)) == len(COLORS) + len(PROP_COLORS)


@pytest.mark.parametrize("family", FAMILIES)
def test_sampling_is_a_function_of_family_and_seed(family: str) -> None:
    scene = sample_scene(family, 12)
    assert scene == sample_scene(family, 12)
    assert scene != replace(sample_scene(family, 13), seed=12)
    assert Scene.from_json(scene.to_json()) == scene
    assert "\n" not in scene.to_json()
    json.loads(scene.to_json())


@pytest.mark.parametrize("family", FAMILIES)
def test_objects_are_as_asked(family: str) -> None:
    least, most = NUM_OBJECTS[family]
    for num in range(least, most + 1):
        scene = sample_scene(family, 7, num_objects=num, width=80, height=48)
        assert len(scene.objects) == num
        assert len({body.color for body in scene.objects}) == num
        assert len({body.name for body in scene.bodies}) == len(scene.bodies)
        assert isinstance(scene.parameters["speed"], float)
        assert (scene.width, scene.height) == (80, 48)


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_overlaps_at_the_start(family: str) -> None:
    """What overlaps is thrown apart at once, so nobody who should be at rest may be fast after 60 ms."""
    for seed in range(2):
        scene = sample_scene(family, seed, num_objects=NUM_OBJECTS[family][1], num_frames=2, fps=16.0)
        trajectory = simulate(scene)
        for k, body in enumerate(scene.bodies):
            if body.role == "object" and body.start == 0 and not body.fixed:
                slower = np.linalg.norm(trajectory.velocity[1, k]) - np.linalg.norm(body.velocity)
                assert slower < 1.3, (family, seed, body.name)  # gravity alone gives 0.6 m/s


@pytest.mark.parametrize("size", [(64, 64), (80, 48), (48, 80)])
def test_objects_begin_in_frame_and_large_enough(size: tuple[int, int]) -> None:
    inside, widths = [], []
    for family in FAMILIES:
        for seed in range(4):
            scene = sample_scene(family, seed, width=size[0], height=size[1])
            first = poses(scene)[0]
            for body in scene.objects[: 1 if family in ("stream", "conveyor") else None]:
                x, y, depth = project(first, np.array([body.position]))[0]
                inside.append(abs(x) < 1.0 and abs(y) < 1.0)
                widths.append(body.size / (depth * min(first.tangent_x, first.tangent_y)))
    assert np.mean(inside) > 0.97
    assert 0.12 < np.mean(widths) < 0.30


def test_speeds_are_recorded_and_differ() -> None:
    for family in ("drop", "roll", "slide", "collide"):
        speeds = [float(sample_scene(family, seed).parameters["speed"]) for seed in range(30)]
        assert max(speeds) > 1.15 * min(speeds) > 0


def test_direction_is_what_happens() -> None:
    for seed in range(8):
        scene = sample_scene("roll", seed, num_frames=5)
        moved = simulate(scene).position[-1, 0, 0] - scene.bodies[0].position[0]
        assert scene.parameters["direction"] == ("right" if moved > 0 else "left")


def test_most_cameras_are_static_and_all_moves_occur() -> None:
    drawn = [sample_scene("rest", seed).camera for seed in range(300)]
    share = np.mean([camera.motion == "static" for camera in drawn])
    assert 0.55 < share < 0.75
    assert {(camera.motion, camera.direction) for camera in drawn} == set(CAMERAS)
    only = sample_scene("rest", 0, cameras=[("pan", "left")]).camera
    assert (only.motion, only.direction) == ("pan", "left") and only.amount > 0


def test_camera_moves_go_where_they_say() -> None:
    target = np.array([[0.0, 0.0, 0.7]])
    for motion, direction in CAMERAS:
        camera = Camera(motion, direction, amount=0.4 if motion == "dolly" else 20.0)
        first, last = (pose(camera, progress, 64, 64) for progress in (0.0, 1.0))
        before, after = project(first, target)[0], project(last, target)[0]
        moved = last.position - first.position
        match motion, direction:
            case "static", _:
                assert np.allclose(moved, 0) and np.allclose(before, after)
            case "orbit", _:
                assert np.allclose(before, after, atol=1e-9)  # it keeps looking at the middle
                assert (moved @ first.right > 0) == (direction == "right")
            case "dolly", _:
                assert (after[2] < before[2]) == (direction == "in")
            case "pan", _:
                assert np.allclose(moved, 0)
                assert (after[0] > before[0]) == (direction == "left")


def test_a_pose_is_orthonormal_and_the_middle_projects_to_the_middle() -> None:
    camera = Camera(azimuth=70.0, elevation=-25.0, look_at=(0.3, -0.2, 0.5))
    seen = pose(camera, 0.5, 80, 48)
    axes = np.stack([seen.forward, seen.right, seen.up])
    assert np.allclose(axes @ axes.T, np.eye(3))
    x, y, depth = project(seen, np.array([camera.look_at]))[0]
    assert np.allclose([x, y, depth], [0, 0, camera.distance])
    assert np.isclose(seen.tangent_x / seen.tangent_y, 80 / 48)


def test_eighths_fill_the_whole() -> None:
    for shape in BREAKABLE:
        for i, signs in enumerate(OCTANTS):
            points = octant_points(shape, i)
            assert (np.abs(points) <= 1 + 1e-9).all()
            side = points * np.array(signs)
            assert (side[:, :2] >= -1e-9).all()
            assert len(points) >= 6
        extremes = np.concatenate([octant_points(shape, i) for i in range(8)])
        assert np.allclose(extremes.max(axis=0), 1) and np.allclose(extremes.min(axis=0), -1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"family": "fly"}, "drop"),
        ({"num_objects": 9}, "1 to 4"),
        ({"shapes": ["torus"]}, "sphere"),
        ({"colors": []}, "red"),
        ({"cameras": [("zoom", "in")]}, "dolly"),
        ({"width": 4}, "8 pixels"),
        ({"family": "roll", "shapes": ["cube"]}, "sphere, cylinder, capsule"),
        ({"colors": ["red"], "num_objects": 2}, "another colour"),
    ],
)
def test_bad_requests_say_what_is_possible(changes: dict, words: str) -> None:
    asked = {"family": "drop", "seed": 0} | changes
    with pytest.raises(ValueError, match=words):
        sample_scene(asked.pop("family"), asked.pop("seed"), **asked)


def test_bad_json_is_refused() -> None:
    for text in ("{}", "[1]", '{"bodies": 3}', "not json"):
        with pytest.raises(ValueError):
            Scene.from_json(text)
