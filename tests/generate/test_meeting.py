"""Do made frames meet given ones without a step, and is nothing that was given ever touched?"""

import numpy as np
import pytest

from ozora.canvas import Canvas
from ozora.generate.meeting import FADE, meet
from ozora.generate.tasks import Task


def noise(shape, seed, low=0, high=256):
    return np.random.default_rng(seed).integers(low, high, shape, dtype=np.uint8)


def task_of(given, kept):
    return Task(Canvas.blank((1, 2, 2), 4, 8.0), given, kept)


def joined(task, frames, cuts=()):
    return np.concatenate(list(meet(task, np.split(frames, cuts))))


def test_without_anything_given_nothing_changes():
    frames = noise((9, 8, 8, 3), 0)
    assert np.array_equal(joined(Task(Canvas.blank((1, 2, 2), 4, 8.0)), frames), frames)
    nothing = np.zeros((9, 8, 8), bool)
    assert np.array_equal(joined(task_of(frames[::-1], nothing), frames), frames)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_given_stays_and_how_the_frames_are_cut_does_not_matter(seed):
    frames, given = noise((25, 8, 8, 3), seed, 100, 120), noise((25, 8, 8, 3), seed + 10, 100, 120)
    kept = np.random.default_rng(seed).random((25, 8, 8)) < 0.3
    task = task_of(given, kept)
    met = joined(task, frames)
    assert np.array_equal(met[kept], given[kept])
    for cuts in ((1, 5, 9, 13, 17, 21), (1, 2, 3), (24,), range(1, 25)):
        assert np.array_equal(joined(task, frames, cuts), met)


@pytest.mark.parametrize("at", ["start", "end", "both"])
def test_what_stands_still_does_not_step(at):
    """A still picture, of which the decoder loses a fixed pattern."""
    truth = np.repeat(noise((1, 8, 8, 3), 0, 50, 200), 20, axis=0)
    frames = truth + noise((1, 8, 8, 3), 1, 0, 9) - np.uint8(4)
    kept = np.zeros((20, 8, 8), bool)
    kept[: 5 if at != "end" else 0] = True
    kept[15 if at != "start" else 20 :] = True
    met = joined(task_of(truth, kept), frames)
    near = met if at == "both" else met[:20] if at == "start" else met[15 - 1 :]
    assert np.array_equal(near, truth[: len(near)])
    if at == "end":  # it comes in over FADE frames, and before them nothing is taken along
        error = np.abs(met.astype(int) - truth).mean(axis=(1, 2, 3))
        assert (np.diff(error[15 - FADE : 16]) <= 0).all() and np.array_equal(met[: 15 - FADE], frames[: 15 - FADE])


def test_what_moves_takes_nothing_along():
    frames = np.full((9, 8, 8, 3), 60, np.uint8)
    frames[5:] = 200
    given = np.full((9, 8, 8, 3), 80, np.uint8)
    kept = np.zeros((9, 8, 8), bool)
    kept[:5] = True
    met = joined(task_of(given, kept), frames)
    assert (met[:5] == 80).all() and (met[5:] == 200).all()
