import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ozora.evaluate.physics_error import WORST, constant_velocity, nothing_moves, seen_places, trajectory_error

TIMES = np.arange(17.0)
SIDE = 64
LEVEL = np.stack([np.full(17, 30.0), 5 + 3 * TIMES], axis=1)[:, None]
THROWN = np.stack([40 - 6 * TIMES + 0.3 * TIMES**2, 5 + 3 * TIMES], axis=1)[:, None]


def test_the_truth_has_no_error_and_shifts_count_by_the_side():
    assert trajectory_error(LEVEL, LEVEL, SIDE) == (0, 1)
    assert trajectory_error(LEVEL + np.array([0, 6.4]), LEVEL, SIDE) == (pytest.approx(0.1), 1)


def test_what_is_not_seen_counts_as_the_worst():
    guess = LEVEL.copy()
    guess[:4] = np.nan
    error, found = trajectory_error(guess, LEVEL, SIDE)
    assert found == pytest.approx(13 / 17)
    assert error == pytest.approx(WORST * 4 / 17)


def test_guesses_are_as_good_as_they_know():
    errors = {}
    for name, truth in (("level", LEVEL), ("thrown", THROWN)):
        for guess in (nothing_moves, constant_velocity):
            errors[name, guess] = trajectory_error(guess(truth, 5)[5:], truth[5:], SIDE)[0]
    assert errors["level", constant_velocity] == pytest.approx(0)
    assert 0 < errors["thrown", constant_velocity] < errors["thrown", nothing_moves]
    assert np.array_equal(nothing_moves(LEVEL, 5)[:5], LEVEL[:5])


def test_an_object_out_of_sight_stays_where_it_was_last_seen():
    truth = LEVEL.copy()
    truth[4] = np.nan
    assert np.array_equal(nothing_moves(truth, 5)[10], LEVEL[3])


def test_places_are_read_from_frames(draw_discs):
    frames = draw_discs({"red": LEVEL[:, 0]})
    error, found = trajectory_error(seen_places(frames, ["red"]), LEVEL, SIDE)
    assert error < 0.005 and found == 1
    assert trajectory_error(seen_places(frames, ["blue"]), LEVEL, SIDE) == (WORST, 0)


@given(arrays(float, (6, 2, 2), elements=st.floats(-200, 200)), arrays(float, (6, 2, 2), elements=st.floats(0, 64)))
def test_no_error_is_worse_than_the_worst(guess, truth):
    error, found = trajectory_error(guess, truth, SIDE)
    assert 0 <= error <= WORST and found == 1


def test_bad_questions_are_refused():
    with pytest.raises(ValueError, match="takes 2"):
        constant_velocity(LEVEL, 1)
    with pytest.raises(ValueError, match="no place"):
        trajectory_error(LEVEL, np.full_like(LEVEL, np.nan), SIDE)
