from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ozora.generate.windows import WindowLengths, plan_windows
from ozora.serve.cost import Budget, CostModel, Speed, num_loop_frames, poll_after_ms, seconds_left
from ozora.serve.measure import company_tokens, fit_speed, peak_bytes
from ozora.serve.spec import Media, VideoSpec

SPEED = Speed(0.01, 1e-5, 1e-9, 1e-8, 2e-8, 1e5, 1e4, 0.7)
MINI = CostModel(16, 4, 64, 5, 4, 2, 8.0, 20, 3.0, 4096, SPEED)
BUDGET = Budget(4096, 2**30, 600.0, 4096)
PLAIN = VideoSpec("a red ball falls", (720, 1280), 4.0)


@given(
    st.integers(1, 60),
    st.integers(0, 5),
    st.integers(1, 9),
    st.integers(0, 3),
)
def test_windows_are_counted_as_the_generator_plans_them(num_latents, num_known, longest, context):
    lengths = WindowLengths.trained_on(longest, context)
    model = replace(MINI, first=lengths.first, later=lengths.later, context=lengths.context)
    num_known = min(num_known, num_latents - 1)
    known = torch.zeros(num_latents, 1, 1)
    known[:num_known] = 1
    planned = [stop - start for start, stop in plan_windows(known, lengths)]
    assert model.windows(num_latents, num_known) == planned


def test_the_plainest_call_is_drawn_as_large_as_the_model_is_good_for():
    assert MINI.render_size(PLAIN, BUDGET) == (48, 80)
    assert MINI.render_size(replace(PLAIN, size=(1280, 720)), BUDGET) == (80, 48)
    assert MINI.render_size(replace(PLAIN, size=(1024, 1024)), BUDGET) == (64, 64)


@pytest.mark.parametrize("size", [(16, 16), (720, 1280), (1000, 1000), (1792, 1024), (64, 256), (333, 222)])
@pytest.mark.parametrize(("seconds", "steps"), [(1.0, 20), (60.0, 100)])
def test_a_render_size_is_within_the_budget_and_twice_it_is_not(size, seconds, steps):
    spec = replace(PLAIN, size=size, seconds=seconds, steps=steps)
    drawn = MINI.render_size(spec, BUDGET)
    assert drawn is not None and MINI.why_not(replace(spec, render_size=drawn), BUDGET) == ""
    if size != (16, 16):
        assert MINI.why_not(replace(spec, render_size=(2 * drawn[0], 2 * drawn[1])), BUDGET)
    assert drawn[0] / drawn[1] == pytest.approx(size[0] / size[1], rel=0.35)


def test_a_refusal_names_the_largest_size_that_fits():
    words = MINI.why_not(PLAIN, BUDGET)
    assert "720x1280" in words and "48x80 is the largest that fits" in words
    assert "another shape or less time" in MINI.why_not(PLAIN, replace(BUDGET, seconds=0.1))
    assert "MiB" in MINI.why_not(replace(PLAIN, size=(64, 64)), replace(BUDGET, num_bytes=1000))
    assert "tokens" in MINI.why_not(replace(PLAIN, size=(64, 64)), replace(BUDGET, row_tokens=100))
    assert "multiples of 16" in MINI.why_not(replace(PLAIN, size=(70, 64)), BUDGET)


def test_more_to_do_never_costs_less():
    small = MINI.estimate(replace(PLAIN, size=(64, 64), seconds=1.0))
    for more in (
        replace(PLAIN, size=(64, 64), seconds=8.0),
        replace(PLAIN, size=(128, 128), seconds=1.0),
        replace(PLAIN, size=(64, 64), seconds=1.0, steps=40),
        replace(PLAIN, size=(64, 64), seconds=1.0, loop=True),
    ):
        cost = MINI.estimate(more)
        assert cost.seconds > small.seconds and cost.num_tokens >= small.num_tokens
        assert cost.num_bytes >= small.num_bytes


def test_unguided_steps_are_taken_once():
    spec = replace(PLAIN, size=(64, 64), seconds=2.0)
    guided, plain = MINI.estimate(spec), MINI.estimate(replace(spec, guidance=1.0))
    assert guided.num_tokens == 2 * plain.num_tokens == 2 * 5 * 16
    assert plain.seconds < guided.seconds < 2 * plain.seconds


def test_an_extension_costs_its_new_part_and_the_file_its_whole_length():
    source = Media("jobs/x/video.mp4", "0", 64, 64, 400, 8.0, "x")
    spec = replace(PLAIN, size=(64, 64), seconds=2.0, task="extend", source=source)
    assert MINI.num_frames(spec) == 416
    assert sum(MINI.window_tokens(spec)) < sum(MINI.window_tokens(replace(PLAIN, size=(64, 64), seconds=10.0)))


def test_a_cost_model_goes_through_json():
    assert CostModel.from_json(MINI.to_json()) == MINI


def test_packing_shares_what_every_row_takes():
    assert MINI.packing([160], 4096) == 1.0
    assert MINI.packing([160] * 10, 4096) == pytest.approx(
        MINI.row_seconds([160] * 10) / (10 * MINI.row_seconds([160]))
    )
    assert MINI.packing([160] * 10, 160) == pytest.approx(1.0)


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=8))
def test_shared_seconds_are_those_of_a_machine_that_serves_all_equally(needs):
    """Against a simulation in small slices."""
    predicted = seconds_left({str(i): need for i, need in enumerate(needs)})
    remaining, clock, ended = list(needs), 0.0, {}
    while len(ended) < len(needs):
        open_jobs = [i for i in range(len(needs)) if i not in ended]
        stretch = min(remaining[i] for i in open_jobs)
        clock += stretch * len(open_jobs)
        for i in open_jobs:
            remaining[i] -= stretch
            if remaining[i] <= 1e-9:
                ended[i] = clock
    assert all(predicted[str(i)] == pytest.approx(ended[i]) for i in ended)


def test_clients_poll_soon_and_not_too_often():
    assert [poll_after_ms(seconds) for seconds in (0.0, 2.0, 8.0, 40.0, 1e6)] == [500, 500, 2000, 10000, 20000]


def test_a_fit_finds_the_numbers_it_was_made_with_and_none_below_zero():
    rows = [[16], [80] * 8, [720]]
    made = [(row, SPEED.row_seconds + MINI.work_seconds(row)) for row in rows]
    assert fit_speed(made) == pytest.approx((SPEED.row_seconds, SPEED.token_seconds, SPEED.pair_seconds))
    noisy = fit_speed([([16], 0.02), ([80] * 8, 0.02), ([720], 0.011)])
    assert min(noisy) >= 0 and max(noisy) > 0


def test_a_row_of_company_is_short_in_time_but_not_of_little_use():
    budget = replace(BUDGET, row_tokens=10**6)
    assert company_tokens(MINI, budget) == pytest.approx(50000, abs=1)
    assert company_tokens(MINI, budget, pace=10.0) == pytest.approx(10000, abs=1)  # a tenth is what every row takes
    assert company_tokens(MINI, replace(budget, row_tokens=300)) == 300
    assert company_tokens(replace(MINI, speed=replace(SPEED, token_seconds=0.0)), budget) == 10**6
    assert company_tokens(replace(MINI, speed=replace(SPEED, token_seconds=10.0)), budget) == 1


def test_the_peak_of_memory_is_seen():
    peak = peak_bytes(lambda: np.ones(2**23).sum(), torch.device("cpu"))
    assert 2**26 - 2**22 <= peak <= 2**28


def test_a_loop_keeps_most_of_its_frames():
    for num_frames in range(12, 200):
        num_new = num_loop_frames(num_frames, 4)
        assert num_new % 4 == 0 and 4 <= num_new <= num_frames / 3
