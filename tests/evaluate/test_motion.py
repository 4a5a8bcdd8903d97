import numpy as np
import pytest

from ozora.evaluate.motion import NOISE, change, find_paths, moving_region, sharpness, steps, travel, velocity


def test_paths_are_where_discs_were_drawn(draw_discs, line):
    places = {"red": line((20, 15), (0.5, 2.25), 10), "blue": line((45, 45), (0, 0), 10)}
    paths = find_paths(draw_discs(places), ["blue", "red", "green"])
    assert np.abs(paths.centers[:, 0] - places["blue"]).max() < 0.3
    assert np.abs(paths.centers[:, 1] - places["red"]).max() < 0.3
    assert np.isnan(paths.centers[:, 2]).all()
    assert paths.found == (1, 1, 0)
    assert paths.radii[:2] == pytest.approx([7, 7], abs=0.5)


def test_travel_is_the_widest_way_and_nothing_for_what_is_never_seen():
    back_and_forth = np.array([[10, 10], [10, 22], [10, 10]], float)
    unseen = np.full((3, 2), np.nan)
    assert travel(np.stack([back_and_forth, unseen], axis=1)).tolist() == [12, 0]


def test_velocity_is_in_pixels_per_frame():
    places = np.array([[0, 0], [2, 1], [4, 2]], float)[:, None]
    assert velocity(places, 0, 2).tolist() == [[2, 1]]


@pytest.mark.parametrize("speed", [1.0, 2.0, 3.0])
def test_a_step_is_as_large_as_the_motion(draw_discs, line, speed):
    one = steps(draw_discs({"red": line((32, 20), (0, 1), 6)})).mean()
    more = steps(draw_discs({"red": line((32, 20), (0, speed), 6)})).mean()
    assert more / one == pytest.approx(speed, rel=0.2)


def test_noise_is_no_change():
    still = np.full((8, 8, 3), 100, np.uint8)
    assert change(still, still + np.uint8(NOISE - 1)).max() == 0
    assert change(still, still + np.uint8(NOISE)).min() == NOISE


def test_the_moving_region_holds_the_next_step_and_leaves_out_what_is_still(draw_discs, line):
    places = {"red": line((20, 12), (1, 4), 6), "blue": line((50, 50), (0, 0), 6)}
    frames = draw_discs(places)
    region = moving_region(frames[:5])
    assert region[change(frames[4], frames[5]) > 0].all()
    assert not region[40:, 40:].any()


def test_blending_unlike_frames_halves_sharpness():
    one, two = np.random.default_rng(0).integers(0, 256, (2, 1, 64, 64, 3), dtype=np.uint8)
    blended = ((one.astype(float) + two) / 2).round().astype(np.uint8)
    assert sharpness(blended)[0] / sharpness(one)[0] == pytest.approx(0.5, abs=0.05)
