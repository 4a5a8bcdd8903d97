"""How are measures of unlike kinds put in one table? A column that ends with "%" holds shares, any other holds means.

Every value stands with its 95 % bootstrap interval over cases; a case that cannot be judged is left out of a column.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from rich.table import Table

from ozora.evaluate.tables import Rows, Share, bootstrap

Scores = Mapping[str, float | bool | None]
"""What one clip gets in each column; None where it cannot be judged."""


def summarize(scores: Sequence[Scores]) -> dict[str, Share | None]:
    """The mean of every column over the clips that have a finite value in it; None where none has."""
    means: dict[str, Share | None] = {}
    for column in dict.fromkeys(column for score in scores for column in score):
        values = [score.get(column) for score in scores]
        judged = [float(value) for value in values if value is not None and np.isfinite(value)]
        means[column] = bootstrap(np.array(judged)) if judged else None
    return means


def judge_all(sources: Mapping[str, Sequence], judge: Callable[[int, np.ndarray], Scores]) -> Rows:
    """A row for each source of clips: ``judge`` scores clip number i of it."""
    return {name: summarize([judge(i, frames) for i, frames in enumerate(clips)]) for name, clips in sources.items()}


def all_of(values: Sequence[bool | None]) -> bool | None:
    """Whether all that could be judged are true; None where nothing could be."""
    judged = [value for value in values if value is not None]
    return all(judged) if judged else None


def terminal_measures(title: str, rows: Rows) -> Table:
    """A rich table."""
    table = Table(title=title, title_justify="left")
    header, *lines = _cells(rows)
    for i, column in enumerate(header):
        table.add_column(column, justify="right" if i else "left")
    for line in lines:
        table.add_row(*line)
    return table


def markdown_measures(title: str, rows: Rows) -> str:
    """The same as a Markdown section."""
    header, *lines = _cells(rows)
    rule = "|---" + "|--:" * (len(header) - 1) + "|"
    return "\n".join([f"### {title}", "", _line(header), rule, *map(_line, lines)]) + "\n"


def write_measure(column: str, share: Share | None) -> str:
    """A value with its interval, in percent where the column is one of shares."""
    if share is None:
        return ""
    if column.endswith("%"):
        return str(share)
    return f"{share.value:.3g} ({share.low:.3g}-{share.high:.3g})"


def _cells(rows: Rows) -> list[list[str]]:
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = [["", "clips", *columns]]
    for name, row in rows.items():
        counts = [share.num_clips for share in row.values() if share]
        cells = [write_measure(column, row.get(column)) for column in columns]
        lines.append([name, str(max(counts, default=0)), *cells])
    return lines


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
