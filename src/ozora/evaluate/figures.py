"""How does one table of a report look? As intervals beside their numbers, as a long list, or as curves.

Tables come as the report holds them: row (a source of clips) -> column (what is measured) -> value and interval. With
few sources a line of the page is a measure and has all sources side by side; with many it is a source; a table whose
rows count something ("second 1", "second 2") becomes curves.
"""

import re
from collections.abc import Iterable, Mapping
from html import escape

from ozora.evaluate import plots
from ozora.evaluate.tables import Rows, Share
from ozora.evaluate.verdicts import Metric, metric_of, shares_of

MAX_SOURCES = 8
"""More do not fit side by side."""
CELL_WIDTH = 120
_ROLES = ("model", "reconstruction", "simulator", "control")


def draw_table(title: str, plain: Mapping, metrics: Mapping, verdicts: Mapping) -> str:
    """One table as HTML. ``metrics`` and ``verdicts`` are those of its columns, as the report holds them."""
    rows = shares_of(plain)
    places = counted(rows)
    if places:
        return _curves_by_row(title, rows, places)
    columns = _columns(rows)
    steps = counted(column for column in columns if not column.endswith("%"))
    if steps:
        rest = [column for column in columns if column not in steps]
        curves = _curves_by_column(title, rows, steps)
        return curves + (_table(title, rows, rest, metrics, verdicts) if rest else "")
    return _table(title, rows, columns, metrics, verdicts)


def merged(tables: Mapping[str, Mapping]) -> dict[str, Mapping]:
    """Tables of one count for several sources ("A minute: model, second by second") as one, the others as they are.

    The columns of the one are named "model: colors %", and become the curves of one chart.
    """
    found: dict[str, dict[str, dict]] = {}
    for title, rows in tables.items():
        match = re.fullmatch(r"(.+): (model|simulator|reconstruction), (.+)", title)
        if not (match and counted(rows)):
            found[title] = dict(rows)
            continue
        joined = found.setdefault(f"{match[1]}, {match[3]}", {})
        for name, row in rows.items():
            joined.setdefault(name, {}).update({f"{match[2]}: {column}": share for column, share in row.items()})
    return dict(found)


def counted(names: Iterable[str]) -> dict[str, float]:
    """Names that count something ("second 1", "second 2", "second 4") with their numbers; empty unless all do."""
    names = list(names)
    found = [re.fullmatch(r"(\D*?) ?(-?[0-9]+(?:\.[0-9]+)?)", name) for name in names]
    if len(found) < 3 or not all(found) or len({match[1] for match in found if match}) > 1:
        return {}
    numbers = {name: float(match[2]) for name, match in zip(names, found) if match}
    return numbers if sorted(numbers.values()) == list(numbers.values()) else {}


def cell(source: str, column: str, share: Share | None, plot: str = "") -> str:
    """A value above its interval, and what is drawn of them."""
    kind = plots.role(source)
    if share is None:
        return f'<td class="number {kind}"><span>not judged</span></td>'
    value, low, high = (write_number(number, column) for number in (share.value, share.low, share.high))
    return f'<td class="number {kind}"><b>{value}</b><span>{low} to {high}</span>{plot}</td>'


def write_number(value: float, column: str) -> str:
    """Whole percent where the column holds shares, else three digits."""
    return f"{100 * value:.0f}" if column.endswith("%") else f"{value:.3g}"


def wide(table: str, label: str) -> str:
    """A table that scrolls sideways by itself where the window is narrow, by keyboard too."""
    return f'<div class="wide" role="region" tabindex="0" aria-label="{escape(label)}">\n{table}\n</div>\n'


def row_class(ranks: bool | None) -> str:
    """The attribute that marks what was thrown out."""
    return ' class="out"' if ranks is False else ""


def _columns(rows: Rows) -> list[str]:
    return list(dict.fromkeys(column for row in rows.values() for column in row))


def _table(title: str, rows: Rows, columns: list[str], metrics: Mapping, verdicts: Mapping) -> str:
    roles = [plots.role(source) for source in rows]
    if len(rows) > MAX_SOURCES or set(roles) == {"control"}:
        return _long_table(title, rows, columns, metrics, verdicts)
    ordered = {name: rows[name] for name in sorted(rows, key=lambda name: _ROLES.index(plots.role(name)))}
    heads = "".join(f'<th scope="col" class="number">{plots.key(name)}{escape(name)}</th>' for name in ordered)
    lines = []
    for column in columns:
        metric = metric_of(metrics.get(column))
        shares = {source: row.get(column) for source, row in ordered.items()}
        cells = "".join(cell(source, column, share) for source, share in shares.items())
        lines.append(
            f"<tr{row_class(_ranks(verdicts, column))}>{_measure('row', column, shares, metrics, verdicts)}"
            f'<td class="plot">{plots.whiskers(column, shares, metric.aim)}</td>{cells}</tr>\n'
        )
    table = (
        f'<table><caption>{escape(title)}</caption>\n<thead><tr><th scope="col">what is measured</th>'
        f'<th scope="col" class="plot"><span class="small">value and 95 % interval</span></th>{heads}</tr></thead>\n'
        f"<tbody>\n{''.join(lines)}</tbody></table>"
    )
    return wide(table, title)


def _long_table(title: str, rows: Rows, columns: list[str], metrics: Mapping, verdicts: Mapping) -> str:
    """A line for every source, a column for every measure, with one axis down the column."""
    heads, axes = [], {}
    for column in columns:
        shares = {source: row.get(column) for source, row in rows.items()}
        known = [share for share in shares.values() if share is not None]
        aim = metric_of(metrics.get(column)).aim
        if known:
            axes[column] = plots.axis_of(known, column, aim)
        heads.append(_measure("col", column, shares, metrics, verdicts))
    lines = []
    for source, row in rows.items():
        cells = []
        for column in columns:
            share, aim = row.get(column), metric_of(metrics.get(column)).aim
            plot = plots.whisker(source, share, axes[column], aim, CELL_WIDTH) if share is not None else ""
            cells.append(cell(source, column, share, plot))
        lines.append(f'<tr><th scope="row">{plots.key(source)}{escape(source)}</th>{"".join(cells)}</tr>\n')
    table = (
        f'<table class="long"><caption>{escape(title)}</caption>\n<thead><tr><td></td>{"".join(heads)}</tr></thead>\n'
        f"<tbody>\n{''.join(lines)}</tbody></table>"
    )
    return wide(table, title)


def _measure(scope: str, column: str, shares: Mapping[str, Share | None], metrics: Mapping, verdicts: Mapping) -> str:
    """The head of a measure: its name, which way is good, of how many clips (n), and whether it ranks its controls."""
    metric, verdict = metric_of(metrics.get(column)), verdicts.get(column)
    notes = [_direction(metric) if column in metrics else "for context", _how_many(shares)]
    small = [", ".join(note for note in notes if note), metric.about]
    badge = ""
    if verdict and verdict["ranks"] is False:
        badge, small = '<span class="badge out">thrown out</span>', [*small, verdict["reason"]]
    elif verdict and verdict["ranks"]:
        badge = f'<span class="badge ranks" title="{escape(verdict["reason"])}">ranks its controls</span>'
    told = "".join(f"<small>{escape(note)}</small>" for note in small if note)
    kind = ' class="number"' if scope == "col" else ""
    return f'<th scope="{scope}"{kind}>{escape(column)}{told}{badge}</th>'


def _direction(metric: Metric) -> str:
    if metric.better == "high":
        return "higher is better"
    return "lower is better" if metric.better == "low" else f"best at {metric.better:.3g}"


def _how_many(shares: Mapping[str, Share | None]) -> str:
    counts = [share.num_clips for share in shares.values() if share]
    if not counts:
        return ""
    return f"n = {min(counts)}" if min(counts) == max(counts) else f"n = {min(counts)} to {max(counts)}"


def _ranks(verdicts: Mapping, column: str) -> bool | None:
    return verdicts[column]["ranks"] if column in verdicts else None


def _curves_by_row(title: str, rows: Rows, places: Mapping[str, float]) -> str:
    """A chart for every measure of a table whose rows count; columns named "model: colors %" share one."""
    charts: dict[str, dict[str, list[Share | None]]] = {}
    for column in _columns(rows):
        source, _, measure = column.rpartition(": ")
        charts.setdefault(measure, {})[source or "model"] = [row.get(column) for row in rows.values()]
    unit = next(iter(rows)).rpartition(" ")[0]
    columns = _columns(rows)
    heads = "".join(f'<th scope="col" class="number">{escape(column)}</th>' for column in columns)
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(cell("", c, row.get(c)) for c in columns)}</tr>\n'
        for name, row in rows.items()
    )
    table = f"<table><thead><tr><td></td>{heads}</tr></thead>\n<tbody>\n{lines}</tbody></table>"
    return _charts(title, unit, list(places.values()), charts, table)


def _curves_by_column(title: str, rows: Rows, places: Mapping[str, float]) -> str:
    """One chart of a table whose columns count, with a curve for every source."""
    unit = next(iter(places)).rpartition(" ")[0]
    chart = {source: [row.get(column) for column in places] for source, row in rows.items()}
    heads = "".join(f'<th scope="col" class="number">{escape(column)}</th>' for column in places)
    lines = "".join(
        f'<tr><th scope="row">{escape(source)}</th>{"".join(cell(source, c, row.get(c)) for c in places)}</tr>\n'
        for source, row in rows.items()
    )
    table = f"<table><thead><tr><td></td>{heads}</tr></thead>\n<tbody>\n{lines}</tbody></table>"
    return _charts(title, unit, list(places.values()), {f"by {unit}": chart}, table)


def _charts(
    title: str, unit: str, places: list[float], charts: Mapping[str, Mapping[str, list[Share | None]]], table: str
) -> str:
    figures = []
    for measure, curves in charts.items():
        label = f"{title}: {measure} by {unit or 'row'}, for {', '.join(curves)}; the numbers stand in the table below"
        figures.append(
            f"<figure><figcaption>{escape(measure)}</figcaption>{plots.lines(measure, places, curves, label)}</figure>"
        )
    sources = dict.fromkeys(source for curves in charts.values() for source in curves)
    keys = " ".join(f"{plots.key(source)}{escape(source)}" for source in sources)
    return (
        f'<p class="rows"><b>{escape(title)}</b> &nbsp; {keys}; across: {escape(unit)}</p>\n'
        f'<div class="charts">{"".join(figures)}</div>\n'
        f"<details><summary>The numbers of these charts</summary>\n{wide(table, f'{title}, numbers')}</details>\n"
    )
