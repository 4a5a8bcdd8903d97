"""Does a metric tell the truth from controls? One that does not is thrown out, with the reason.

A metric claims that certain controls (a frozen clip, shuffled prompts, noise) come out worse than the simulator. That
is checked where it is reported, on the clips that it is reported for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ozora.evaluate.measures import write_measure
from ozora.evaluate.tables import Rows, Share

Better = Literal["high", "low"] | float
LEAST_JUDGED = 3
"""Clips: what fewer say is no test."""


@dataclass(frozen=True)
class Metric:
    """What a column claims. ``better`` is the good direction, or the value that the truth has.

    ``truth`` names the row that must be best, ``worse`` the controls that must come out worse than it: those alone
    which the metric claims to catch. ``aim`` is the wanted value, ``about`` says in a line what the column holds.
    """

    better: Better = "high"
    truth: str = "simulator"
    worse: tuple[str, ...] = ()
    aim: float | None = None
    about: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether the controls are ranked; ``ranks`` is None where nothing was claimed or could be judged."""

    ranks: bool | None
    reason: str


def check(rows: Rows, column: str, metric: Metric) -> Verdict:
    """Every control in ``metric.worse`` must be worse than the truth, and their 95 % intervals apart.

    Controls that have no row, or a value of fewer than ``LEAST_JUDGED`` clips, are not judged: without a model some
    cannot be made.
    """
    if not metric.worse:
        return Verdict(None, "claims nothing about controls")
    truth = rows.get(metric.truth, {}).get(column)
    if truth is None or truth.num_clips < LEAST_JUDGED:
        return Verdict(None, f"{metric.truth} could be judged in fewer than {LEAST_JUDGED} clips")
    values = {name: rows[name].get(column) for name in metric.worse if name in rows}
    controls = {name: share for name, share in values.items() if share and share.num_clips >= LEAST_JUDGED}
    if not controls:
        return Verdict(None, "no control could be judged")
    worst_of_truth = _cost(truth, metric.better)[1]
    failed = [name for name, share in controls.items() if _cost(share, metric.better)[0] <= worst_of_truth]
    if not failed:
        return Verdict(True, f"{metric.truth} is better than {' and '.join(controls)}")
    told = ", ".join(f"{name} with {write_measure(column, controls[name])}" for name in failed)
    return Verdict(False, f"{told} is not clearly worse than {metric.truth} with {write_measure(column, truth)}")


def distance_to_aim(share: Share, aim: float, better: Better) -> Literal["reached", "within the interval", "short"]:
    """Where a value stands to the wanted one; reaching it exactly is reaching it."""
    if isinstance(better, str):
        sign = 1 if better == "high" else -1
        if sign * share.value >= sign * aim:
            return "reached"
        return "within the interval" if sign * (share.high if sign > 0 else share.low) >= sign * aim else "short"
    far = abs(aim - better)
    if abs(share.value - better) <= far:
        return "reached"
    return "within the interval" if _cost(share, better)[0] <= far else "short"


def shares_of(rows: Mapping[str, Mapping[str, Mapping | None]]) -> Rows:
    """Rows as they stand in a JSON report, as rows of shares."""
    return {
        name: {column: Share(**value) if value else None for column, value in row.items()} for name, row in rows.items()
    }


def metric_of(fields: Mapping | None) -> Metric:
    """A metric as it stands in a JSON report; of nothing, one that claims nothing."""
    return Metric(**{**fields, "worse": tuple(fields["worse"])}) if fields else Metric()


def _cost(share: Share, better: Better) -> tuple[float, float]:
    """The interval as one of costs, of which the lower is the better."""
    if better == "low":
        return share.low, share.high
    if better == "high":
        return -share.high, -share.low
    far = abs(share.low - better), abs(share.high - better)
    return (0.0 if share.low <= better <= share.high else min(far)), max(far)
