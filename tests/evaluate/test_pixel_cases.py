from importlib.metadata import version

import numpy as np
import pytest

from ozora.evaluate.cases import Case, cases_hash
from ozora.evaluate.pixel_cases import (
    NUM_FRAMES,
    PHYSICS_START,
    TUNING_START,
    colors_of,
    pixel_cases,
    prolonged,
    recolored,
    scene_of,
    truth_of,
)
from ozora.world.split import split_of

MUJOCO = "4.0.0"
FROZEN = "486649671b53bfb493c55efdd4cb5257c1aa35ac1fb6517905c21a2c7cfd2aee"


def test_cases_are_held_out_and_move_under_a_still_camera(two_cases):
    for case in two_cases:
        scene, truth = scene_of(case), truth_of(case)
        assert split_of(scene) == "new_seeds" and scene.camera.motion == "static"
        assert truth.clip.num_frames == NUM_FRAMES and truth.clip.size == (64, 64)
        join = truth.centers[7:11]
        assert np.linalg.norm(np.diff(join, axis=0), axis=2).min(axis=0).max() >= 1
        assert set(np.unique(truth.masks)) <= set(range(len(case.facts.objects) + 1))
        assert Case.from_json(case.to_json()) == case


def test_the_first_cases_are_the_frozen_ones(two_cases):
    if version("mujoco") != MUJOCO:
        pytest.skip(f"what happens in a scene is exact for one MuJoCo version; the set was frozen with {MUJOCO}")
    assert cases_hash(two_cases) == FROZEN


def test_kinds_of_cases_share_no_scene(two_cases):
    others = [*pixel_cases(1, TUNING_START), *pixel_cases(1, PHYSICS_START)]
    names = [scene_of(case).to_json() for case in (*two_cases, *others)]
    assert len(set(names)) == len(names)


def test_a_recolored_case_differs_in_one_color_alone(two_cases):
    for case in two_cases:
        other = recolored(case)
        assert colors_of(other)[1:] == colors_of(case)[1:]
        old, new = colors_of(case)[0], colors_of(other)[0]
        assert old != new
        assert case.prompt.replace(old, "X").replace("An X", "A X").replace("an X", "a X") == (
            other.prompt.replace(new, "X").replace("An X", "A X").replace("an X", "a X")
        )
        assert np.array_equal(truth_of(other).masks, truth_of(case).masks)
        changed = (truth_of(other).clip.frames != truth_of(case).clip.frames).any(axis=3)
        assert changed[truth_of(case).masks == 1].mean() > 0.9


def test_a_prolonged_scene_begins_as_the_case(two_cases):
    longer = prolonged(two_cases[0], NUM_FRAMES + 8)
    assert longer.num_frames == NUM_FRAMES + 8
    assert np.array_equal(longer.frames[:NUM_FRAMES], truth_of(two_cases[0]).clip.frames)


def test_cases_are_read_from_a_cache_that_holds_as_many(tmp_path, two_cases):
    path = tmp_path / "cases.json"
    path.write_text("".join(case.to_json() + "\n" for case in two_cases), encoding="utf-8")
    assert pixel_cases(2, cache=path) == two_cases
