"""Which columns of a table are findings in this very run? Those whose metric ranks its controls below the simulator."""

from collections.abc import Mapping
from dataclasses import dataclass

from ozora.evaluate.tables import Rows
from ozora.evaluate.verdicts import Metric, check

LEAST_JUDGED = 3
"""Clips: what fewer of a control say is no test."""
COVERAGE = "could be judged %"
"""A column that counts, and claims nothing."""


@dataclass(frozen=True, eq=False)
class Judged:
    """One table: its title, its rows, and what its columns claim. A column without a metric claims nothing."""

    title: str
    rows: Rows
    metrics: Mapping[str, Metric]


def why_thrown_out(rows: Rows, column: str, metric: Metric) -> str | None:
    """The reason why a column is no finding in this run, or None where it ranks its controls.

    Controls of which fewer than ``LEAST_JUDGED`` clips could be judged are left out; one at least must remain.
    """
    tested = {
        name: {column: share if share is not None and share.num_clips >= LEAST_JUDGED else None}
        for name, row in rows.items()
        if (share := row.get(column)) is not None or column in row
    }
    verdict = check(tested, column, metric)
    return None if verdict.ranks else verdict.reason


def kept_and_thrown_out(judged: Judged) -> tuple[Rows, Rows, dict[str, str]]:
    """The table without the columns that are no finding, a table of those alone, and why they are none."""
    rows = judged.rows
    why = {c: reason for c, m in judged.metrics.items() if (reason := why_thrown_out(rows, c, m)) is not None}
    return _columns(rows, why, inside=False), _columns(rows, why, inside=True), why


def _columns(rows: Rows, names: Mapping[str, str], inside: bool) -> Rows:
    return {
        row: {column: share for column, share in shares.items() if (column in names) == inside}
        for row, shares in rows.items()
    }
