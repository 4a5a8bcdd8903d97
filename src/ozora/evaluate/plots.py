"""How is an interval drawn? Dots with whiskers and lines with bands, as SVG that stands in a page by itself.

Nothing is drawn that the tables beside it do not say in numbers, so readers of screens lose nothing. Colors come from
the page's classes, so that both of its themes are served.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from ozora.evaluate.tables import Share

PLOT_WIDTH = 250
LINE_HEIGHT = 12
MARGIN = 8
AXIS_HEIGHT = 15
CHART_WIDTH, CHART_HEIGHT = 300, 150
CHART_LEFT, CHART_RIGHT, CHART_TOP, CHART_BOTTOM = 38, 8, 10, 22


@dataclass(frozen=True)
class Axis:
    """From ``low`` to ``high``, with ``ticks`` between."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """Where a value lies, 0 at the left end and 1 at the right one; what is outside lies on the end."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


def share_axis() -> Axis:
    """0 to 100 %, for values in [0, 1]."""
    return Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0))


def fitted_axis(values: Sequence[float]) -> Axis:
    """An axis of round numbers around ``values``; 0 is on it unless they are all far from it.

    Raises ``ValueError`` where there is no finite value.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        raise ValueError("no finite value; an axis needs one at least")
    low, high = min(finite), max(finite)
    if low > 0 and low < 0.6 * high:
        low = 0.0
    if high < 0 and high > 0.6 * low:
        high = 0.0
    spread = high - low or abs(high) or 1.0
    step = 10.0 ** math.floor(math.log10(spread / 3))
    step *= next(times for times in (1, 2, 5, 10) if spread / (step * times) <= 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    return Axis(first * step, last * step, tuple(round(i * step, 12) for i in range(first, last + 1)))


def axis_of(shares: Sequence[Share], column: str, *marks: float | None) -> Axis:
    """The axis of a column of a table; ``marks`` are further values that must be on it."""
    if column.endswith("%") and all(share.low >= 0 and share.high <= 1 for share in shares):
        return share_axis()
    ends = [end for share in shares for end in (share.low, share.value, share.high)]
    return fitted_axis([*ends, *(mark for mark in marks if mark is not None)])


def whiskers(column: str, shares: Mapping[str, Share | None], aim: float | None = None) -> str:
    """A line for every source: its value as a mark, its interval as a whisker. ``aim`` is a dashed upright line.

    Hidden from readers of screens: the cells beside it hold the same numbers.
    """
    known = [share for share in shares.values() if share is not None]
    if not known:
        return ""
    axis = axis_of(known, column, aim)
    height = LINE_HEIGHT * len(shares) + AXIS_HEIGHT
    bottom = height - AXIS_HEIGHT + 2

    def x(value: float) -> float:
        return MARGIN + axis.at(value) * (PLOT_WIDTH - 2 * MARGIN)

    parts = [_svg(PLOT_WIDTH, height, 'class="whiskers" aria-hidden="true"')]
    for i, tick in enumerate(axis.ticks):
        anchor = "start" if i == 0 else "end" if i == len(axis.ticks) - 1 else "middle"
        place = x(tick) + (-MARGIN + 1 if i == 0 else MARGIN - 1 if i == len(axis.ticks) - 1 else 0)
        parts.append(f'<path class="grid" d="M{x(tick):.1f} 0V{bottom}"/>')
        parts.append(f'<text x="{place:.1f}" y="{height - 2}" text-anchor="{anchor}">{write_tick(tick, column)}</text>')
    if aim is not None:
        parts.append(f'<path class="aim" d="M{x(aim):.1f} 0V{bottom}"/>')
    for i, (source, share) in enumerate(shares.items()):
        if share is None:
            continue
        y = LINE_HEIGHT * (i + 0.5) + 1
        group = f'<g class="{role(source)}"><path class="bar" d="M{x(share.low):.1f} {y}H{x(share.high):.1f}"/>'
        parts.append(f"{group}{mark(source, x(share.value), y)}</g>")
    return "".join([*parts, "</svg>"])


def whisker(source: str, share: Share, axis: Axis, aim: float | None, width: int) -> str:
    """One source's mark and whisker alone, on an axis that others share; hidden from readers of screens like them."""
    parts = [_svg(width, LINE_HEIGHT, 'class="whiskers" aria-hidden="true"')]
    low, value, high = (5 + axis.at(number) * (width - 10) for number in (share.low, share.value, share.high))
    parts.append(f'<path class="grid" d="M5 6H{width - 5}"/>')
    if aim is not None:
        parts.append(f'<path class="aim" d="M{5 + axis.at(aim) * (width - 10):.1f} 0V{LINE_HEIGHT}"/>')
    drawn = f'<path class="bar" d="M{low:.1f} 6H{high:.1f}"/>{mark(source, value, 6.0)}'
    return "".join([*parts, f'<g class="{role(source)}">{drawn}</g></svg>'])


def lines(column: str, places: Sequence[float], curves: Mapping[str, Sequence[Share | None]], label: str) -> str:
    """A curve for every source over ``places``, with the band of its intervals; ``label`` says it in words."""
    known = [share for curve in curves.values() for share in curve if share is not None]
    if not known or len(places) < 2:
        return ""
    axis = axis_of(known, column)
    first, last = min(places), max(places)

    def x(place: float) -> float:
        return CHART_LEFT + (place - first) / (last - first) * (CHART_WIDTH - CHART_LEFT - CHART_RIGHT)

    def y(value: float) -> float:
        return CHART_HEIGHT - CHART_BOTTOM - axis.at(value) * (CHART_HEIGHT - CHART_TOP - CHART_BOTTOM)

    parts = [_svg(CHART_WIDTH, CHART_HEIGHT, f'class="lines" role="img" aria-label="{escape(label)}"')]
    for tick in axis.ticks:
        parts.append(f'<path class="grid" d="M{CHART_LEFT} {y(tick):.1f}H{CHART_WIDTH - CHART_RIGHT}"/>')
        parts.append(
            f'<text x="{CHART_LEFT - 4}" y="{y(tick) + 3:.1f}" text-anchor="end">{write_tick(tick, column)}</text>'
        )
    shown = -math.inf
    for place in places:
        if x(place) - shown >= 22:
            shown = x(place)
            parts.append(f'<text x="{shown:.1f}" y="{CHART_HEIGHT - 6}" text-anchor="middle">{place:g}</text>')
    for source, curve in curves.items():
        points = [(x(place), share) for place, share in zip(places, curve, strict=True) if share is not None]
        if not points:
            continue
        above = [f"{at:.1f},{y(share.high):.1f}" for at, share in points]
        below = [f"{at:.1f},{y(share.low):.1f}" for at, share in reversed(points)]
        middle = " ".join(f"{at:.1f},{y(share.value):.1f}" for at, share in points)
        marks = "".join(mark(source, at, y(share.value)) for at, share in points)
        band = f'<polygon class="band" points="{" ".join(above + below)}"/>'
        parts.append(f'<g class="{role(source)}">{band}<polyline points="{middle}"/>{marks}</g>')
    return "".join([*parts, "</svg>"])


def role(source: str) -> str:
    """What part a row plays: "model", "reconstruction", "simulator" (what is true), or "control" for all others."""
    if "shuffled" in source or "exchanged" in source:
        return "control"
    for name in ("model", "reconstruction", "simulator"):
        if source == name or source.startswith((f"{name},", f"{name} ")):
            return name
    if source in ("source", "undamaged") or source.startswith("source, "):
        return "simulator"
    return "model" if source == "captioner" else "control"


def mark(source: str, x: float, y: float) -> str:
    """A disc for the model, a diamond for the reconstruction, a triangle for the simulator, a ring for controls."""
    match role(source):
        case "model":
            return f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        case "reconstruction":
            return f'<path class="mark" d="M{x:.1f} {y - 4.5:.1f}l4.5 4.5 -4.5 4.5 -4.5 -4.5z"/>'
        case "simulator":
            return f'<path class="mark" d="M{x:.1f} {y - 4.5:.1f}l4.5 8h-9z"/>'
        case _:
            return f'<circle class="mark ring" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'


def key(source: str) -> str:
    """The mark of a source alone, for the head of a column."""
    opened = _svg(12, 12, 'class="key" aria-hidden="true"')
    return f'{opened}<g class="{role(source)}">{mark(source, 6.0, 6.0)}</g></svg>'


def write_tick(value: float, column: str) -> str:
    """A number on an axis, in percent where the column holds shares."""
    return f"{100 * value:g}" if column.endswith("%") else f"{value:g}"


def _svg(width: int, height: int, attributes: str) -> str:
    return f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" {attributes}>'
