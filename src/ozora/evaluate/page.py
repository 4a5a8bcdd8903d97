"""How does a report read in a browser? One page that needs no network: tables with their intervals drawn, and clips.

The page is a pure function of the report and of the clips' bytes. Everything that comes from outside (prompts, names)
is escaped, and a content policy forbids the page to load or send anything.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from ozora.evaluate import plots
from ozora.evaluate.figures import cell, draw_table, merged, row_class, wide, write_number
from ozora.evaluate.tables import Share
from ozora.evaluate.verdicts import Metric, distance_to_aim, metric_of, shares_of

MAX_STRIP_BYTES = 1_900_000
"""Of all clips together; in a page they take a third more."""
STYLE = Path(__file__).with_name("page.css")
SCRIPT = Path(__file__).with_name("page.js")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; media-src data:; img-src data:"


def render_page(report: Mapping, clips: Mapping[str, bytes]) -> str:
    """The whole page. ``report`` is what ``report.json`` holds, ``clips`` the strips' bytes by their file names.

    Strips that are not among ``clips`` are left out.
    """
    parts = report["parts"]
    title = escape(f"Evaluation of {report['model']}")
    head = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n"
    )
    body = [
        f'<body>\n<a class="skip" href="#results">Skip to the results</a>\n<header>\n<h1>{title}</h1>\n',
        f"{_identity(report)}\n</header>\n",
        f'<nav aria-label="Contents">\n{_contents(parts)}</nav>\n<main id="results">\n',
        _glance(parts),
        _HOW_TO_READ,
        *(_part(name, part, clips) for name, part in parts.items()),
        _thrown_out(report),
        f"<footer>\n{_sets(report)}</footer>\n</main>\n",
        '<button id="pause" type="button" hidden>Pause clips</button>\n',
        f"<script>\n{SCRIPT.read_text(encoding='utf-8')}</script>\n</body>\n</html>\n",
    ]
    return head + "".join(body)


def choose_strips(report: Mapping, folder: Path, limit: int = MAX_STRIP_BYTES) -> dict[str, bytes]:
    """The bytes of the strips that fit into ``limit``: the first of every section, then the second of each, and so on.

    Files that are not in ``folder`` are left out.
    """
    lists = [strips for part in report["parts"].values() for strips in part["strips"].values()]
    order = [strips[i] for i in range(max(map(len, lists), default=0)) for strips in lists if i < len(strips)]
    chosen: dict[str, bytes] = {}
    left = limit
    for strip in order:
        path = folder / strip["file"]
        if strip["file"] in chosen or not path.is_file() or path.stat().st_size > left:
            continue
        chosen[strip["file"]] = path.read_bytes()
        left -= len(chosen[strip["file"]])
    return chosen


def anchor(*names: str) -> str:
    """An id for a heading, of a-z, 0-9 and hyphens."""
    return "-".join(re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") for name in names)


def _identity(report: Mapping) -> str:
    if report["model_hash"] is None:
        told = ["The simulator and the controls alone: no model was judged."]
    else:
        told = [f"Model <b>{escape(str(report['model']))}</b>, hash <code>{report['model_hash']}</code>."]
    told.append(f"Steps: {_own(report['steps'])}; guidance: {_own(report['guidance'])};")
    told.append(f"clips: {report['num_clips'] or 'as many as each part asks for'}.")
    versions = ", ".join(f"{escape(name)} {escape(str(version))}" for name, version in report["versions"].items())
    return f'<p>{" ".join(told)}<br><span class="soft">Measured with {versions}.</span></p>'


def _own(value: int | float | None) -> str:
    return "the model's own" if value is None else f"{value:g}"


def _contents(parts: Mapping[str, Mapping]) -> str:
    lines = ['<h2 id="contents">Contents</h2>\n<ol>\n<li><a href="#glance">At a glance</a></li>\n']
    lines.append('<li><a href="#reading">How to read this</a></li>\n')
    for name, part in parts.items():
        inner = ""
        if len(part["sections"]) > 1:
            links = (f'<li><a href="#{anchor(name, s)}">{escape(_title(s))}</a></li>' for s in part["sections"])
            inner = f"\n<ul>{''.join(links)}</ul>"
        lines.append(f'<li><a href="#{anchor(name)}">{escape(part["title"])}</a>{inner}</li>\n')
    lines.append('<li><a href="#thrown-out">What was thrown out</a></li>\n</ol>\n')
    return "".join(lines)


def _title(section: str) -> str:
    return section[:1].upper() + section[1:]


def _glance(parts: Mapping[str, Mapping]) -> str:
    """Every metric that has an aim: how far is the model?"""
    lines = [
        _glance_row(anchor(name, section) if len(part["sections"]) > 1 else anchor(name), title, column, part, rows)
        for name, part in parts.items()
        for section, tables in part["sections"].items()
        for title, rows in tables.items()
        for column, fields in part["metrics"].get(title, {}).items()
        if fields["aim"] is not None and any(column in row for row in rows.values())
    ]
    text = '<section aria-labelledby="glance">\n<h2 id="glance">At a glance</h2>\n'
    if not lines:
        return f"{text}<p>No metric of this report has an aim.</p>\n</section>\n"
    head = "".join(f'<th scope="col" class="number">{h}</th>' for h in ("model", "ceiling", "truth", "aim"))
    table = (
        f'<table><thead><tr><th scope="col">asked</th><th scope="col" class="plot">{_keys()}</th>{head}'
        f'<th scope="col">how far</th></tr></thead>\n<tbody>\n{"".join(lines)}</tbody></table>'
    )
    told = "<p>What was wanted of the model, and where it is. The dashed line is the aim.</p>"
    return f"{text}{told}\n{wide(table, 'At a glance')}</section>\n"


def _keys() -> str:
    return " ".join(f"{plots.key(source)}{source} " for source in ("model", "reconstruction", "simulator"))


def _glance_row(target: str, title: str, column: str, part: Mapping, plain: Mapping) -> str:
    metric, rows = metric_of(part["metrics"][title][column]), shares_of(plain)
    ranks = part["verdicts"].get(title, {}).get(column, {}).get("ranks")
    shares: dict[str, Share | None] = {"model": None, "reconstruction": None, "simulator": None}
    for source, row in reversed(list(rows.items())):
        if plots.role(source) in shares:
            shares[plots.role(source)] = row.get(column)
    shares["simulator"] = rows.get(metric.truth, {}).get(column)
    assert metric.aim is not None
    state = distance_to_aim(shares["model"], metric.aim, metric.better) if shares["model"] else "not judged"
    if ranks is False:
        state = "thrown out: does not rank its controls"
    kind = {"reached": "reached", "short": "short"}.get(state, "soft")
    cells = "".join(cell(source, column, share) for source, share in shares.items())
    asked = f'<a href="#{target}">{escape(column)}</a><small>{escape(title)}</small>'
    return (
        f'<tr{row_class(ranks)}><th scope="row">{asked}</th>'
        f'<td class="plot">{plots.whiskers(column, shares, metric.aim)}</td>{cells}'
        f'<td class="number"><b>{_aim(metric, column)}</b></td>'
        f'<td class="{kind}">{escape(state)}</td></tr>\n'
    )


def _aim(metric: Metric, column: str) -> str:
    """The aim in words: a bound, or how far from its best a value may be."""
    assert metric.aim is not None
    if isinstance(metric.better, str):
        return f"{'≥' if metric.better == 'high' else '≤'} {write_number(metric.aim, column)}"
    best, far = write_number(metric.better, column), write_number(abs(metric.aim - metric.better), column)
    return f"{best} ± {far}"


def _part(name: str, part: Mapping, clips: Mapping[str, bytes]) -> str:
    several = len(part["sections"]) > 1
    text = [f'<section aria-labelledby="{anchor(name)}">\n<h2 id="{anchor(name)}">{escape(part["title"])}</h2>\n']
    if part.get("about"):
        text.append(f"<p>{escape(part['about'])}</p>\n")
    for section, tables in part["sections"].items():
        if several:
            text.append(f'<h3 id="{anchor(name, section)}">{escape(_title(section))}</h3>\n')
        if part["asks"].get(section):
            text.append(f"<p>{escape(part['asks'][section])}</p>\n")
        text.append(_strips(part["strips"].get(section, ()), clips))
        for title, rows in merged(tables).items():
            text.append(draw_table(title, rows, part["metrics"].get(title, {}), part["verdicts"].get(title, {})))
    return "".join([*text, "</section>\n"])


def _strips(strips: Sequence[Mapping], clips: Mapping[str, bytes]) -> str:
    shown = []
    for strip in strips:
        if strip["file"] not in clips:
            continue
        width, height = strip["size"]
        data = base64.b64encode(clips[strip["file"]]).decode("ascii")
        sources = "".join(f"<span>{escape(source)}</span>" for source in strip["sources"])
        told = escape(f"{strip['caption']} ({', '.join(strip['sources'])}, side by side)")
        labels = f'<div class="sources" style="width:{width}px" aria-hidden="true">{sources}</div>'
        shown.append(
            f'<figure style="width:{max(width, 190)}px">{labels}'
            f'<video controls loop muted playsinline width="{width}" height="{height}" aria-label="{told}" '
            f'src="data:video/mp4;base64,{data}"></video><figcaption>{escape(strip["caption"])}</figcaption></figure>\n'
        )
    return f'<div class="strips">\n{"".join(shown)}</div>\n' if shown else ""


def _thrown_out(report: Mapping) -> str:
    text = ['<section aria-labelledby="thrown-out">\n<h2 id="thrown-out">What was thrown out</h2>\n']
    text.append(
        "<p>A metric that does not rank its controls says nothing about a model, whatever it says of this one: its "
        "numbers stay on the page, struck out, and count for nothing. With few clips intervals are wide, and sound "
        "metrics land here too.</p>\n"
    )
    items = [
        f"<li><b>{escape(one['column'])}</b> in {escape(one['table'])}: {escape(one['reason'])}</li>\n"
        for one in report["thrown_out"]
    ]
    text.append(f"<ul>\n{''.join(items)}</ul>\n" if items else "<p>Nothing: every metric ranked its controls.</p>\n")
    missing = [f"<li>{escape(name)}: {escape(reason)}</li>\n" for name, reason in report["left_out"].items()]
    if missing:
        text.append(f"<h3>Parts that were left out</h3>\n<ul>\n{''.join(missing)}</ul>\n")
    return "".join([*text, "</section>\n"])


def _sets(report: Mapping) -> str:
    lines = [
        f"<li>{escape(name)}: <code>{escape(str(value))}</code></li>\n"
        for part in report["parts"].values()
        for name, value in part["evaluation_sets"].items()
    ]
    return f'<h2 id="sets">Evaluation sets</h2>\n<ul class="soft">\n{"".join(lines)}</ul>\n'


_HOW_TO_READ = """<section aria-labelledby="reading">
<h2 id="reading">How to read this</h2>
<p>Every number is read from frames alone, and stands with the 95 % interval of a bootstrap over cases (of a jackknife
where sets of clips are compared): two numbers whose intervals overlap are not told apart here. Names that end in % hold
shares of clips.</p>
<ul>
<li><b>simulator</b>: what really happened, rendered and judged like any clip. Measures make mistakes too, and this is
how many: no model can be shown to do better.</li>
<li><b>reconstruction</b>: the same clips through the model's autoencoder. All that a model shows has gone through it,
so this is its ceiling.</li>
<li><b>all other columns</b> are controls: clips that are wrong on purpose, or that take no understanding. A metric
names those which it must rank below the simulator, with intervals apart. One that fails to is <b>thrown out</b>.</li>
<li><span class="badge ranks">ranks its controls</span> means that this was checked on the clips of this very report.
Without a badge nothing was claimed: the row is there to be looked at.</li>
</ul>
</section>
"""
