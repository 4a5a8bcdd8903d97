import pytest

from ozora.evaluate.tables import Share
from ozora.evaluate.verdicts import Metric, check, distance_to_aim, metric_of, shares_of


def share(value: float, half: float = 0.05) -> Share:
    return Share(value, value - half, value + half, 40)


def rows(truth: float, **controls: float):
    return {"simulator": {"m %": share(truth)}, **{name: {"m %": share(value)} for name, value in controls.items()}}


def test_a_metric_that_ranks_its_controls_stands():
    found = check(rows(0.9, frozen=0.1, noise=0.2), "m %", Metric(worse=("frozen", "noise")))
    assert found.ranks is True
    assert "frozen and noise" in found.reason


def test_a_control_that_is_as_good_throws_a_metric_out_and_is_named_with_its_numbers():
    found = check(rows(0.9, frozen=0.1, noise=0.86), "m %", Metric(worse=("frozen", "noise")))
    assert found.ranks is False
    assert "noise" in found.reason and "86 (81-91)" in found.reason and "frozen" not in found.reason


def test_touching_intervals_are_not_told_apart():
    assert check(rows(0.5, frozen=0.4), "m %", Metric(worse=("frozen",))).ranks is False


@pytest.mark.parametrize(
    ("better", "truth", "control", "ranks"),
    [
        ("low", 0.1, 0.9, True),
        ("low", 0.9, 0.1, False),
        ("high", 0.1, 0.9, False),
        (1.0, 1.02, 2.0, True),
        (1.0, 1.02, 0.0, True),
        (1.0, 0.5, 1.4, False),
    ],
)
def test_the_good_direction(better, truth, control, ranks):
    assert check(rows(truth, other=control), "m %", Metric(better, worse=("other",))).ranks is ranks


def test_what_cannot_be_judged_is_no_verdict():
    only = rows(0.9)
    assert check(only, "m %", Metric(worse=("text to video",))).ranks is None
    assert check(only, "m %", Metric()).ranks is None
    assert (
        check({"simulator": {"m %": None}, "frozen": {"m %": share(0.1)}}, "m %", Metric(worse=("frozen",))).ranks
        is None
    )
    assert check(rows(0.9, frozen=0.1), "m %", Metric(truth="cross-fade", worse=("frozen",))).ranks is None


def test_two_clips_are_no_test():
    few = {"simulator": {"m %": Share(1.0, 1.0, 1.0, 2)}, "frozen": {"m %": Share(0.0, 0.0, 0.0, 9)}}
    assert check(few, "m %", Metric(worse=("frozen",))).ranks is None
    few = {"simulator": few["frozen"], "frozen": few["simulator"]}
    assert check(few, "m %", Metric("low", worse=("frozen",))).ranks is None


def test_how_far_an_aim_is():
    assert distance_to_aim(share(0.95), 0.95, "high") == "reached"
    assert distance_to_aim(share(0.92), 0.95, "high") == "within the interval"
    assert distance_to_aim(share(0.5), 0.95, "high") == "short"
    assert distance_to_aim(share(0.04, 0.01), 0.05, "low") == "reached"
    assert distance_to_aim(share(0.5), 0.05, "low") == "short"
    assert distance_to_aim(share(0.95), 1.1, 1.0) == "reached"
    assert distance_to_aim(share(1.12), 1.1, 1.0) == "within the interval"
    assert distance_to_aim(share(1.5), 1.1, 1.0) == "short"


def test_a_report_in_json_gives_the_same_rows_and_metrics():
    plain = {"model": {"m": {"value": 0.5, "low": 0.4, "high": 0.6, "num_clips": 9}, "n": None}}
    assert shares_of(plain) == {"model": {"m": Share(0.5, 0.4, 0.6, 9), "n": None}}
    fields = {"better": "low", "truth": "source", "worse": ["noise"], "aim": 0.1, "about": "x"}
    assert metric_of(fields) == Metric("low", "source", ("noise",), 0.1, "x")
    assert metric_of(None) == Metric()
