import numpy as np
import pytest

from ozora.evaluate.drift import FPS, breaks_after, read_seconds, score_seconds

COLORS = ["red", "blue"]


@pytest.fixture(scope="module")
def swinging(draw_discs):
    """Six seconds of a red disc that swings beside a blue one at rest."""
    times = np.arange(6 * FPS) / FPS
    swing = np.stack([np.full(len(times), 24.0), 32 + 16 * np.sin(2 * np.pi * times / 2)], axis=1)
    return draw_discs({"red": swing, "blue": np.tile([50.0, 12.0], (len(times), 1))})


def scored(frames, reference):
    motion = float(np.mean([second.motion for second in read_seconds(reference, COLORS)]))
    return score_seconds(read_seconds(frames, COLORS), COLORS, motion)


def test_what_swings_on_stays_whole(swinging):
    scores = scored(swinging, swinging)
    assert len(scores) == 6
    assert all(score["moves %"] and score["colors %"] and score["number %"] for score in scores)
    assert all(score["as in the first second %"] for score in scores)
    assert [score["sharpness / first second's"] for score in scores] == pytest.approx([1] * 6, abs=0.1)
    assert breaks_after(scores) == 6


def test_what_stops_is_not_counted_from_then_on(swinging):
    stopped = np.concatenate([swinging[: 3 * FPS], np.repeat(swinging[3 * FPS - 1][None], 3 * FPS, axis=0)])
    scores = scored(stopped, swinging)
    assert [score["moves %"] for score in scores] == [True] * 3 + [False] * 3
    assert scores[4]["colors %"] is scores[4]["sharpness / first second's"] is None
    assert breaks_after(scores) == 3


def test_a_change_of_color_breaks_a_clip_where_it_happens(swinging):
    changed = swinging.copy()
    changed[4 * FPS :] = swinging[4 * FPS :, :, :, [1, 0, 2]]  # red becomes green
    scores = scored(changed, swinging)
    assert breaks_after(scores) == 4


def test_blur_is_a_loss_of_sharpness(swinging):
    blurred = swinging.copy().astype(float)
    blurred[3 * FPS :] = sum(np.roll(blurred[3 * FPS :], shift, axis=2) for shift in (-2, -1, 0, 1, 2)) / 5
    scores = scored(blurred.round().astype(np.uint8), swinging)
    before, after = (scores[second]["sharpness / first second's"] or 0.0 for second in (1, 4))
    assert 0 < after < 0.8 < before


@pytest.mark.parametrize(("whole", "seconds"), [("1111", 4), ("0011", 0), ("1011", 4), ("1100", 2), ("1101001", 4)])
def test_one_bad_second_is_forgiven_and_two_are_not(whole, seconds):
    scores = [{"moves %": True, "colors %": sign == "1", "number %": True} for sign in whole]
    assert breaks_after(scores) == seconds
