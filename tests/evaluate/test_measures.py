from collections.abc import Mapping

import numpy as np
import pytest

from ozora.evaluate.measures import all_of, judge_all, markdown_measures, summarize, write_measure
from ozora.evaluate.tables import Share


def share(row: Mapping[str, Share | None], column: str) -> Share:
    found = row[column]
    assert found is not None
    return found


def test_a_clip_that_cannot_be_judged_is_left_out():
    means = summarize([{"a %": True, "b": 2.0}, {"a %": False, "b": None}, {"a %": None, "b": float("inf")}])
    assert (share(means, "a %").value, share(means, "a %").num_clips) == (0.5, 2)
    assert (share(means, "b").value, share(means, "b").num_clips) == (2, 1)
    assert summarize([{"a %": None}]) == {"a %": None}


def test_shares_are_written_in_percent_and_means_as_they_are():
    means = summarize([{"exact %": True, "step": 0.12345}] * 3)
    assert write_measure("exact %", means["exact %"]) == "100 (100-100)"
    assert write_measure("step", means["step"]) == "0.123 (0.123-0.123)"
    assert write_measure("step", None) == ""


def test_a_table_has_a_row_for_every_source():
    rows = judge_all({"model": [1, 2], "frozen": [3]}, lambda i, clip: {"value": float(clip + i)})
    assert share(rows["model"], "value").value == 2 and share(rows["frozen"], "value").value == 3
    text = markdown_measures("A title", rows)
    assert text.splitlines()[2] == "|  | clips | value |"
    assert "| frozen | 1 | 3 (3-3) |" in text


@pytest.mark.parametrize(
    ("values", "expected"), [([True, None], True), ([True, False], False), ([None], None), ([], None)]
)
def test_all_of_what_could_be_judged(values, expected):
    assert all_of(values) is expected


def test_intervals_hold_the_mean():
    values = np.random.default_rng(0).normal(size=64)
    mean = share(summarize([{"x": float(value)} for value in values]), "x")
    assert mean.low < mean.value < mean.high
