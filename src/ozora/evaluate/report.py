"""What is one report made of? Every part of the evaluation, measured once, judged by its controls, and put together.

A part's result is kept beside the clips, so a stopped report goes on, and is measured again only when the model, the
settings or the simulator are others. After every part report.json, report.md and report.html of all that is there are
written.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from rich.console import Console

from ozora.evaluate.bench import Bench
from ozora.evaluate.cases import TABLES, make_cases
from ozora.evaluate.claims import (
    CAPTION_COLUMNS,
    EXPANSION_CLAIM,
    PIXEL_ASKS,
    PIXEL_CLAIMS,
    PROMPT_COLUMNS,
    SUBSET_COLUMNS,
)
from ozora.evaluate.measures import markdown_measures
from ozora.evaluate.page import choose_strips, render_page
from ozora.evaluate.parts import write_text
from ozora.evaluate.verdicts import Metric, check, metric_of, shares_of
from ozora.generate.folder import Model, find_model, load_folder
from ozora.generate.generator import Generator
from ozora.language.stored import load_writer

WRITERS = ("captioner", "expander")
PIXEL_BATCH = 32
"""What ``evaluate_pixels`` draws at once: clips are kept by it."""


@dataclass(frozen=True)
class Part:
    """A suite by its name, under its title in the report.

    ``needs`` is "nothing", "a model", or "writers"; ``least`` is the number of clips below which it cannot be measured.
    """

    name: str
    title: str
    about: str = ""
    needs: Literal["nothing", "a model", "writers"] = "nothing"
    least: int = 2


_FROM_PROMPTS = "Clips made from a prompt, read from their frames and compared with what was asked for. "
PARTS = (
    Part("new", "Prompts: new seeds and wording", _FROM_PROMPTS + "Scenes and sentences that training never saw."),
    Part("pairs", "Prompts: held-out pairs", _FROM_PROMPTS + "Colors and shapes that never came together in training."),
    Part("prompts", "Prompts: written by hand", _FROM_PROMPTS + "Forty prompts by people, five seeds each."),
    Part(
        "sizes",
        "Prompts: sizes",
        "The same scene is asked for as small and as large. How large an object looks also depends on how far away it "
        "is, which no prompt says; so sizes are compared and not read.",
    ),
    Part(
        "directions",
        "Prompts: left and right",
        "The same scene is asked for to the left and to the right. In the tables of prompts an object that rolls the "
        "wrong way has rolled.",
    ),
    Part("world", "The world in the clips", "Physics, state, permanence and space, from frames alone."),
    Part("pixels", "Asked with pixels", "Does the model use the pixels that it is given?"),
    Part(
        "distribution",
        "The whole distribution",
        "How far is the set of all clips from the set of all real ones?",
        least=20,
    ),
    Part("autoencoder", "The autoencoder", "What is lost on the way to latents and back?", "a model"),
    Part("captions", "Captions and expansions", "Words about clips, and words for prompts.", "writers"),
    Part("expansion", "What a full prompt is worth", "", "writers"),
)


def evaluate_all(
    model: str = "mini",
    out: Path = Path("report"),
    num_clips: int | None = None,
    batch: int = 10,
    steps: int | None = None,
    guidance: float | None = None,
    device: str | None = None,
    console: Console | None = None,
    parts: Sequence[Part] = PARTS,
) -> dict:
    """Measure every part that ``model`` has, or take it from ``out`` where it was measured; write the report.

    ``num_clips`` None lets each part ask for as many as it needs. Returns what report.json holds, and prints where the
    page is. Raises as the parts do.
    """
    from ozora.evaluate.suite import evaluate

    console = console or Console()
    folder = None if model == "simulator" else find_model(model)
    loaded = load_folder(folder) if folder is not None else None
    report: dict = {
        "model": model,
        "model_hash": loaded.hash if loaded else None,
        "steps": steps,
        "guidance": guidance,
        "num_clips": num_clips,
        "versions": _versions(),
        "parts": {},
        "left_out": {},
        "thrown_out": [],
    }
    identity = {key: report[key] for key in ("model_hash", "steps", "guidance", "num_clips", "versions")}
    (out / "parts").mkdir(parents=True, exist_ok=True)
    reasons = {part.name: _misses(part, folder, loaded, num_clips) for part in parts}
    report["left_out"] = {part.title: reasons[part.name] for part in parts if reasons[part.name]}
    for part in parts:
        if reasons[part.name]:
            continue
        place = out / "parts" / f"{part.name}.json"
        own = {**identity, "writers": _writers(folder)} if part.needs == "writers" and folder else identity
        entry = read_part(place, own)
        if entry is None:
            console.rule(part.title)
            result = evaluate(model, part.name, out, num_clips, batch, steps, guidance, device, console)
            entry = describe(part, result)
            if part.name in TABLES or part.name == "pixels":
                generator = (
                    Generator.load(model, device) if loaded is not None and loaded.transformer is not None else None
                )
                entry["strips"] = _strips(part.name, result, generator, loaded, out, batch, steps, guidance)
            write_text(place, json.dumps({"identity": own, "entry": entry}, indent=1) + "\n")
        report["parts"][part.name] = entry
        report["thrown_out"] = thrown_out(report["parts"])
        page = write_report(report, out)
    console.print(f"The report is at {page}")
    return report


def describe(part: Part, result: Mapping) -> dict:
    """A suite's result in the one shape of the report: sections -> tables -> rows -> columns, claims and verdicts.

    ``result`` is as ``evaluate`` returns it. Its own "asks", "metrics" and "strips" are taken where it has them; what
    it has thrown out itself (title -> column -> why) stays thrown out, beside its values.
    """
    sections, asks, claims = _sections(result)
    tables = {title: rows for own in sections.values() for title, rows in own.items()}
    for title, rows in result.get("thrown_out_values", {}).items():
        for name, row in rows.items():
            tables.setdefault(title, {}).setdefault(name, {}).update(row)
    metrics = {title: {c: dataclasses.asdict(m) for c, m in own.items()} for title, own in claims.items()}
    metrics |= {title: dict(own) for title, own in result.get("metrics", {}).items()}
    verdicts: dict[str, dict[str, dict]] = {}
    for title, own in metrics.items():
        rows = shares_of(tables.get(title, {}))
        columns = {column for row in rows.values() for column in row}
        verdicts[title] = {
            column: dataclasses.asdict(check(rows, column, metric_of(fields)))
            for column, fields in own.items()
            if column in columns
        }
    for title, reasons in result.get("thrown_out", {}).items():
        for column, reason in reasons.items():
            verdicts.setdefault(title, {})[column] = {"ranks": False, "reason": reason}
    sets = result.get("evaluation_sets") or {}
    return {
        "title": part.title,
        "about": part.about,
        "evaluation_sets": sets or _sets(result),
        "sections": sections,
        "asks": {**asks, **result.get("asks", {})},
        "metrics": metrics,
        "verdicts": verdicts,
        "strips": dict(result.get("strips", {})),
    }


def thrown_out(parts: Mapping[str, Mapping]) -> list[dict]:
    """What does not rank its controls, with the reason."""
    return [
        {"part": name, "table": title, "column": column, "reason": verdict["reason"]}
        for name, part in parts.items()
        for title, own in part["verdicts"].items()
        for column, verdict in own.items()
        if verdict["ranks"] is False
    ]


def read_part(place: Path, identity: Mapping) -> dict | None:
    """The kept result of a part, if there is one of the same model, settings and simulator."""
    if not place.is_file():
        return None
    try:
        stored = json.loads(place.read_text(encoding="utf-8"))
    except json.JSONDecodeError:  # not ours, or of a disk that failed: measured again
        return None
    return stored["entry"] if stored.get("identity") == dict(identity) else None


def write_report(report: Mapping, out: Path) -> Path:
    """Write report.json, report.md and report.html into ``out``; returns the page's path."""
    write_text(out / "report.json", json.dumps(report, indent=1) + "\n")
    write_text(out / "report.md", _markdown(report))
    page = out / "report.html"
    write_text(page, render_page(report, choose_strips(report, out)))
    return page


def _sections(result: Mapping) -> tuple[dict, dict[str, str], dict[str, Mapping[str, Metric]]]:
    """Sections, what they ask and what their metrics claim, of each of the shapes that suites return."""
    if "tables" in result:
        return _prompt_sections(result["tables"])
    if "captions" in result:
        by = result["captioner"]
        told = {f"What {style} captions say, {by}": _percent(rows) for style, rows in result["captions"].items()}
        sections = {"captions": told, "expansions": {"What expansions keep": _percent(result["expansions"])}}
        return sections, {}, dict.fromkeys(told, CAPTION_COLUMNS)
    if "rows" in result:
        own = {title: _percent(rows) for title, rows in result["rows"].items()}
        return {"expansion": own}, {"expansion": EXPANSION_CLAIM}, {}
    sections = {section: dict(tables) for section, tables in result["sections"].items()}
    if set(sections) <= set(PIXEL_ASKS):
        return sections, dict(PIXEL_ASKS), dict(PIXEL_CLAIMS)
    return sections, {}, {}


def _prompt_sections(entries: Mapping[str, Mapping]) -> tuple[dict, dict[str, str], dict[str, Mapping[str, Metric]]]:
    sections: dict[str, dict] = {}
    claims: dict[str, Mapping[str, Metric]] = {}
    for table, entry in entries.items():
        own = sections.setdefault(table, {})
        for subset, rows in entry["subsets"].items():
            title = f"{entry['title']}, {subset}"
            own[title] = _percent(rows)
            claims[title] = PROMPT_COLUMNS if subset == "all" else SUBSET_COLUMNS
        if entry["distortion"]:
            lost = {
                ("ssim" if name == "ssim" else f"{name} (dB)"): share for name, share in entry["distortion"].items()
            }
            own[f"{entry['title']}: the simulator's clips through the autoencoder"] = {"reconstruction": lost}
    return sections, {}, claims


def _percent(rows: Mapping[str, Mapping]) -> dict:
    """Columns of shares, marked as such."""
    return {name: {f"{column} %": share for column, share in row.items()} for name, row in rows.items()}


def _sets(result: Mapping) -> dict[str, str]:
    if "tables" in result:
        return {table: entry["evaluation_set"] for table, entry in result["tables"].items()}
    return {"cases": result["evaluation_set"]} if "evaluation_set" in result else {}


def _strips(
    name: str,
    result: Mapping,
    generator: Generator | None,
    loaded: Model | None,
    out: Path,
    batch: int,
    steps: int | None,
    guidance: float | None,
) -> dict[str, list[dict]]:
    """The strips of a part that does not write its own."""
    from ozora.evaluate.pixel_cases import DRIFT_START, num_minutes, pixel_cases
    from ozora.evaluate.shown import pixel_strips, prompt_strips
    from ozora.evaluate.suite import clips_folder, generated

    num = result["num_clips"]
    if name != "pixels":
        cases = make_cases(name, num, out / f"cases-{name}.json")

        def drawn() -> list:
            assert generator is not None
            place = clips_folder(out, name, generator, cases, batch, steps, guidance)
            return [clip.frames for clip in generated(generator, cases, batch, steps, guidance, place)]

        return {name: prompt_strips(name, cases, drawn if generator else None, loaded, out)}
    asked = pixel_cases(num, 0, out / "cases-pixels-asked.json")
    slow = pixel_cases(num_minutes(num), DRIFT_START, out / "cases-pixels-minute.json")
    return pixel_strips(
        Bench(generator, asked, out, PIXEL_BATCH, steps, guidance),
        Bench(generator, slow, out, PIXEL_BATCH // 4, steps, guidance),
    )


def _misses(part: Part, folder: Path | None, loaded: Model | None, num_clips: int | None) -> str:
    """Why a part cannot be measured; "" where it can."""
    if num_clips is not None and num_clips < part.least:
        return f"it takes {part.least} clips at least"
    if part.needs == "nothing":
        return ""
    if folder is None or loaded is None:
        return "the simulator has no networks"
    if part.needs == "writers":
        missing = [name for name in WRITERS if not (folder / name).is_dir()]
        if missing:
            return f"the model has no {' and no '.join(missing)}"
    return ""


def _writers(folder: Path) -> dict[str, str]:
    """Who writes: a model's hash does not hold its captioner and its expander."""
    return {name: load_writer(folder / name).hash for name in WRITERS}


def _versions() -> dict[str, str]:
    found = {"ozora": version("ozora")}
    with suppress(PackageNotFoundError):  # without it only what needs no world can be measured
        found["mujoco"] = version("mujoco")
    return found


def _markdown(report: Mapping) -> str:
    texts = [f"# Evaluation of {report['model']}\n", f"Model hash {report['model_hash']}.\n"]
    for part in report["parts"].values():
        texts.append(f"## {part['title']}\n")
        for tables in part["sections"].values():
            texts += [markdown_measures(title, shares_of(rows)) for title, rows in tables.items()]
    texts.append("## Thrown out\n")
    texts += [f"- {one['column']} in {one['table']}: {one['reason']}" for one in report["thrown_out"]] or ["Nothing."]
    return "\n".join(texts) + "\n"
