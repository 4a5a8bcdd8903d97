"""Do windows cover a canvas of any length, each within what was trained and beside what is finished?"""

import torch
from hypothesis import given
from hypothesis import strategies as st

from ozora.generate.windows import WindowLengths, final_frames, plan_windows

RUNS = st.lists(st.integers(1, 30), min_size=1, max_size=7)
LENGTHS = st.builds(WindowLengths.trained_on, st.integers(1, 12), st.integers(1, 3))
MINI = WindowLengths.trained_on(5)


def canvas(*runs, known_first=False):
    """Runs of latent frames, unknown and known by turns."""
    values = [torch.full((length, 2, 2), float((i + known_first) % 2)) for i, length in enumerate(runs)]
    return torch.cat(values)


def test_lengths_follow_training():
    assert WindowLengths(first=5, later=4, context=2) == MINI
    assert WindowLengths.trained_on(1) == WindowLengths(first=3, later=3, context=1)
    assert WindowLengths.trained_on(33, context=8) == WindowLengths(first=33, later=32, context=8)


def test_what_fits_is_made_at_once():
    assert plan_windows(canvas(5), MINI) == [(0, 5)]
    assert plan_windows(canvas(1, 2, known_first=True), MINI) == [(0, 3)]
    assert plan_windows(torch.ones(4, 2, 2), MINI) == [] and plan_windows(torch.ones(40, 2, 2), MINI) == []


def test_a_long_clip_is_walked_forward_two_frames_at_a_time():
    assert plan_windows(canvas(12), MINI) == [(0, 5), (3, 7), (5, 9), (7, 11), (9, 12)]


def test_what_leads_to_something_known_is_walked_backward():
    assert plan_windows(canvas(9, 2), MINI) == [(7, 11), (5, 9), (3, 7), (0, 5)]


def test_a_bridge_sees_both_its_ends():
    assert plan_windows(canvas(4, 5, 3, known_first=True), MINI) == [(2, 6), (4, 8), (6, 10)]
    # Two new frames between two known ones; one alone has room for the past.
    assert plan_windows(canvas(4, 2, 3, known_first=True), MINI) == [(3, 7)]
    assert plan_windows(canvas(4, 1, 3, known_first=True), MINI) == [(2, 6)]


def test_frames_known_in_part_are_made():
    known = torch.ones(12, 2, 2)
    known[6:8, 0] = 0.4
    assert plan_windows(known, MINI) == [(5, 9)]
    assert plan_windows(torch.full((7, 2, 2), 0.5), MINI) == plan_windows(canvas(7), MINI)


@given(RUNS, st.booleans(), LENGTHS)
def test_every_frame_is_made_once_beside_finished_ones(runs, known_first, lengths):
    known = canvas(*runs, known_first=known_first)
    windows = plan_windows(known, lengths)
    finished = (known == 1).all(2).all(1)
    given_frames = finished.clone()
    for start, stop in windows:
        assert 0 <= start < stop <= len(known)
        assert stop - start <= (lengths.first if start == 0 else lengths.later)
        new = (~finished[start:stop]).nonzero()[:, 0] + start
        assert len(new) > 0
        if len(known) > lengths.first:
            first, last = int(new[0]), int(new[-1]) + 1
            assert len(new) == last - first and finished[start:first].all() and finished[last:stop].all()
            # What is finished or known beside the new frames is seen.
            assert first == 0 or not finished[first - 1] or start < first
            assert last == len(known) or not finished[last] or stop > last
        finished[start:stop] = True
    assert finished.all()
    num_unknown = int((~given_frames).sum())
    assert len(windows) <= num_unknown  # at worst one frame at a time, and linear
    if len(runs) == 1 and not known_first:
        assert len(windows) <= 1 + -(-num_unknown // (lengths.later - lengths.context))


@given(RUNS, st.booleans(), LENGTHS)
def test_final_frames_only_grow_and_end_at_the_clip_s(runs, known_first, lengths):
    known = canvas(*runs, known_first=known_first)
    windows = plan_windows(known, lengths)
    counts = final_frames(known, windows)
    assert len(counts) == len(windows) + 1 and counts == sorted(counts) and counts[-1] == len(known)
    assert counts[0] == (runs[0] if known_first else 0)


def test_a_longer_clip_begins_with_the_same_windows():
    assert plan_windows(canvas(40), MINI)[:17] == plan_windows(canvas(37), MINI)[:17]
