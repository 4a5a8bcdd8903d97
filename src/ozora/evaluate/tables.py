"""How sure is a share of right answers, and how is it shown? Bootstrap intervals; tables for terminal and Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from rich.table import Table

NUM_RESAMPLES = 2000


@dataclass(frozen=True)
class Share:
    """A share of right answers in [0, 1] with its 95 % interval, from ``num_clips`` clips."""

    value: float
    low: float
    high: float
    num_clips: int

    def __str__(self) -> str:
        return f"{100 * self.value:.0f} ({100 * self.low:.0f}-{100 * self.high:.0f})"


# row name -> column name -> share; None where a column does not apply.
Rows = Mapping[str, Mapping[str, Share | None]]


def bootstrap(values: Float[np.ndarray, " n"], groups: Sequence[str] | None = None, seed: int = 0) -> Share:
    """The mean of ``values`` with the percentile interval of ``NUM_RESAMPLES`` resamples (Efron 1979).

    Where several clips share one prompt they are no independent draws: ``groups`` names each clip's
    prompt, and whole groups are resampled. Raises ``ValueError`` where there is nothing to average.
    """
    if not len(values):
        raise ValueError("no values: a share needs one clip at least")
    names, member = np.unique(np.arange(len(values)).astype(str) if groups is None else groups, return_inverse=True)
    totals, counts = np.bincount(member, values), np.bincount(member)
    picks = np.random.default_rng(seed).integers(len(names), size=(NUM_RESAMPLES, len(names)))
    means = totals[picks].sum(axis=1) / counts[picks].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Share(float(np.mean(values)), float(low), float(high), len(values))


def terminal_table(title: str, rows: Rows) -> Table:
    """A rich table, percentages with their interval in brackets."""
    table = Table(title=title, title_justify="left")
    columns = _columns(rows)
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", no_wrap=True)
    for row in _cells(rows, columns):
        table.add_row(*row)
    return table


def markdown_table(title: str, rows: Rows) -> str:
    """The same as a Markdown section."""
    columns = _columns(rows)
    lines = [f"### {title}", "", "| " + " | ".join(columns) + " |", "|---" + "|--:" * (len(columns) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in _cells(rows, columns)]
    return "\n".join(lines) + "\n"


def _columns(rows: Rows) -> list[str]:
    parts = dict.fromkeys(part for shares in rows.values() for part in shares)
    return ["%", "clips", *parts]


def _cells(rows: Rows, columns: Sequence[str]) -> list[list[str]]:
    cells = []
    for name, shares in rows.items():
        counts = [share.num_clips for share in shares.values() if share]
        row = [str(shares[part]) if shares.get(part) else "" for part in columns[2:]]
        cells.append([name, str(max(counts, default=0)), *row])
    return cells
