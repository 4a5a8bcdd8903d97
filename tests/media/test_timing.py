"""Is the frame rate found that a camera meant, and does every slot get the frame that was on screen?"""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ozora.media.timing import frame_rate, retime

RATES = [Fraction(r) for r in (1, 7, 8, 12, 15, 24, 25, 30, 50, 60)] + [Fraction(n * 1000, 1001) for n in (24, 30, 60)]


@given(st.sampled_from(RATES), st.integers(40, 300), st.sampled_from([1e-3, 1 / 90000, 1 / 16384]), st.floats(0, 100))
def test_rounded_time_stamps_give_the_exact_rate(rate, num_frames, tick, start):
    assume(num_frames / rate >= 2)
    times = [round((start + k / float(rate)) / tick) * tick for k in range(num_frames)]
    assert frame_rate(times, tick * 1.01, ()) in [(rate, True), (rate.limit_denominator(12), True)]
    # What the file declares settles what time stamps leave open.
    assert frame_rate(times, tick * 1.01, (rate,)) == (rate, True)


def test_a_false_declaration_is_not_believed():
    times = [k / 8 for k in range(17)]
    assert frame_rate(times, 1e-3, (Fraction(90), Fraction(25))) == (Fraction(8), True)


def test_jitter_is_even_and_pauses_are_not():
    generator = np.random.default_rng(0)
    jitter = (np.arange(90) + generator.uniform(-0.1, 0.1, 90)) / 30
    assert frame_rate(jitter.tolist(), 1e-5) == (Fraction(30), True)
    paused = np.concatenate([np.arange(60) / 30, 3 + np.arange(60) / 30])
    assert frame_rate(paused.tolist(), 1e-5) == (Fraction(30), False)
    assert frame_rate([0.0, 1.0, 3.0, 4.0, 5.0], 0.01) == (Fraction(1), False)


def test_one_frame_and_equal_time_stamps():
    assert frame_rate([0.5], 1e-3) == (Fraction(1), True)
    assert frame_rate([0.5], 1e-3, (None, Fraction(8))) == (Fraction(8), True)
    assert frame_rate([2.0, 2.0, 2.0], 1e-3)[0] == 1
    rate, is_even = frame_rate([0.0, 1e-7, 2e-7, 5.0], 1e-9)
    assert not is_even and rate <= 120


@given(st.sampled_from(RATES), st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_retiming_at_its_own_rate_changes_nothing(rate, num_frames, seed):
    """With every time stamp up to a quarter of a frame off."""
    offsets = np.random.default_rng(seed).uniform(-0.249, 0.249, num_frames)
    times = (np.arange(num_frames) + offsets) / float(rate)
    timed = list(zip(times.tolist(), range(num_frames)))
    assert list(retime(timed, float(rate), num_frames)) == list(range(num_frames))


@given(
    st.lists(st.floats(0.001, 0.5), min_size=1, max_size=40),
    st.floats(1.0, 60.0),
    st.integers(1, 100),
    st.floats(0.0, 3.0),
)
def test_each_slot_shows_a_frame_that_is_due(gaps, fps, num_slots, start):
    times = np.concatenate([[0.0], np.cumsum(gaps)])
    shown = list(retime(zip(times.tolist(), range(len(times))), fps, num_slots, start))
    assert len(shown) == num_slots and shown == sorted(shown)
    for slot, index in enumerate(shown):
        now = start + slot / fps
        # Never late: the next frame is not yet due, by half a slot; never early by more than half a slot.
        assert index == len(times) - 1 or now < times[index + 1] + 1e-9
        assert index == 0 or now >= times[index] - 0.5 / fps - 1e-8
        # Where the source is denser than the output, the nearest time stamp.
        if index and index + 1 < len(times) and max(np.diff(times)) <= 1 / fps:
            assert abs(times[index] - now) <= np.abs(times - now).min() + 1e-8


def test_long_holds_last_until_the_next_frame():
    """A slide show of one second each, sampled five times a second, changes on the second."""
    shown = list(retime([(0.0, "a"), (1.0, "b")], 5.0, 10))
    assert shown == ["a"] * 5 + ["b"] * 5


def test_no_more_is_taken_than_needed():
    taken = []

    def source():
        for k in range(1000):
            taken.append(k)
            yield k / 10, k

    assert list(retime(source(), 10.0, 3)) == [0, 1, 2] and len(taken) <= 4
    assert list(retime([], 10.0, 3)) == []


@pytest.mark.parametrize("start", [0.0, 0.5, 1.9])
def test_start(start):
    shown = list(retime(((k / 10, k) for k in range(20)), 10.0, 3, start))
    assert shown[0] == round(start * 10)
