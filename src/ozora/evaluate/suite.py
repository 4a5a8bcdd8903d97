"""How well does a model do what it is told? Tables of the parts it gets right, beside a ceiling and a control.

Every table has the same rows: the model; the same clips scored against other clips' prompts (the control: near
chance, or the evaluator is broken); the simulator's own renders and their reconstructions by the model's autoencoder
(the ceilings).
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from ozora.clip import Clip
from ozora.evaluate.alignment import PARTS, Reading, compare, read
from ozora.evaluate.cases import TABLES, Case, cases_hash, make_cases, render_case
from ozora.evaluate.distortion import psnr, ssim
from ozora.evaluate.tables import Rows, Share, bootstrap, markdown_table, terminal_table
from ozora.generate.folder import Model, find_model, load_folder

SUBSETS: dict[str, Callable[[Case], bool]] = {
    "all": lambda case: True,
    "one object": lambda case: len(case.facts.objects) == 1,
    "two objects": lambda case: len(case.facts.objects) == 2,
}


def evaluate(
    model: str = "mini",
    suite: str = "all",
    out: Path = Path("report"),
    num_clips: int = 200,
    batch: int = 10,
    steps: int | None = None,
    guidance: float | None = None,
    console: Console | None = None,
) -> dict:
    """Score ``model`` on a table of ``TABLES``, or on "all"; print tables, write a report into ``out``.

    ``model`` is a name, a folder, or "simulator" (the ceiling and its control alone); a folder without a transformer
    has only its reconstructions scored. ``batch`` clips are generated at once. Returns what report.json holds. Raises
    ``ValueError`` for an unknown suite or model before any work.
    """
    if suite not in (*TABLES, "all"):
        raise ValueError(f"suite {suite!r} is not one of {', '.join(TABLES)}, all")
    if num_clips < 2:
        raise ValueError(
            f"num_clips is {num_clips}; at least 2 are needed to shuffle prompts, 200 for narrow intervals"
        )
    loaded = None if model == "simulator" else load_folder(find_model(model))
    console = console or Console()
    out.mkdir(parents=True, exist_ok=True)
    report: dict = {
        "model": model,
        "model_hash": loaded.hash if loaded else None,
        "steps": steps,
        "guidance": guidance,
        "num_clips": num_clips,
        "tables": {},
    }
    sections = [f"# Evaluation of {model}\n", _HOW_TO_READ]
    for table in TABLES if suite == "all" else (suite,):
        with Progress(console=console, transient=True) as progress:
            cases = make_cases(table, num_clips, out / f"cases-{table}.json")
            shown: dict[str, Iterator[Clip]] = {}
            if loaded is not None and loaded.transformer is not None:
                shown["model"] = generated(model, cases, batch, steps, guidance)
            shown["simulator"] = map(render_case, cases)
            result = _read_all(shown, cases, loaded, progress)
        entry: dict = {
            "title": TABLES[table],
            "evaluation_set": cases_hash(cases),
            **result.pop("extra"),
            "subsets": {},
        }
        for subset, belongs in SUBSETS.items():
            rows = score_rows(result, cases, [i for i, case in enumerate(cases) if belongs(case)])
            if rows:
                title = f"{TABLES[table]}, {subset}"
                console.print(terminal_table(title, rows))
                sections.append(markdown_table(title, rows))
                entry["subsets"][subset] = _plain(rows)
        report["tables"][table] = entry
        _write(out / "report.json", json.dumps(report, indent=1) + "\n")
        _write(out / "report.md", "\n".join([*sections, _identity(report)]))
    return report


def generated(
    model: str, cases: Sequence[Case], batch: int, steps: int | None, guidance: float | None
) -> Iterator[Clip]:
    """The model's clips for the cases' prompts, sizes and seeds, in order, ``batch`` at a time."""
    from ozora.generate.generator import Generator, Request

    generator = Generator.load(model)
    for start in range(0, len(cases), batch):
        requests = [
            Request(
                case.prompt,
                size=(case.record.width, case.record.height),
                seconds=case.record.num_frames / case.record.fps,
                fps=case.record.fps,
                seed=case.seed,
                steps=steps,
                guidance=guidance,
            )
            for case in cases[start : start + batch]
        ]
        yield from generator.render(requests)


def score_rows(readings: dict[str, list[Reading]], cases: Sequence[Case], chosen: Sequence[int]) -> Rows:
    """For every source of clips a row of shares, and a row with prompts shuffled among the ``chosen`` cases."""
    rows: dict[str, dict[str, Share | None]] = {}
    if len(chosen) < 2:
        return rows
    groups = [cases[i].group for i in chosen]
    others = _others(groups)
    for source, read_of in readings.items():
        own = [compare(read_of[i], cases[i].facts) for i in chosen]
        rows[source] = {part: _share([getattr(score, part) for score in own], groups) for part in (*PARTS, "all")}
        if source in ("model", "simulator"):
            wrong = [compare(read_of[i], cases[chosen[other]].facts) for i, other in zip(chosen, others, strict=True)]
            rows[f"{source}, shuffled prompts"] = {
                part: _share([getattr(score, part) for score in wrong], groups) for part in (*PARTS, "all")
            }
    return rows


def _read_all(
    shown: dict[str, Iterator[Clip]], cases: Sequence[Case], loaded: Model | None, progress: Progress
) -> dict:
    """Readings of every source, and of the simulator's clips after the autoencoder too; "extra" is its distortion."""
    readings: dict = {}
    distortion: list[tuple[float, float]] = []
    for source, clips in shown.items():
        readings[source] = []
        again = readings.setdefault("reconstruction", []) if source == "simulator" and loaded else None
        for clip in progress.track(clips, total=len(cases), description=source):
            readings[source].append(read(clip))
            if again is not None and loaded is not None:
                reconstruction = loaded.decode(loaded.encode(clip), clip.fps)
                again.append(read(reconstruction))
                distortion.append((psnr(reconstruction, clip), ssim(reconstruction, clip)))
    extra = {}
    if distortion:
        names = ("reconstruction_psnr", "reconstruction_ssim")
        extra = {name: dataclasses.asdict(bootstrap(np.array(values))) for name, values in zip(names, zip(*distortion))}
    return {**readings, "extra": extra}


def _others(groups: Sequence[str]) -> list[int]:
    """For every clip one of another prompt: a seeded permutation without fixed groups as far as there are any."""
    rng = np.random.default_rng(0)
    order = rng.permutation(len(groups))
    chosen = []
    for i, group in enumerate(groups):
        at = int(np.flatnonzero(order == i)[0])
        candidates = (int(order[(at + step) % len(order)]) for step in range(1, len(order) + 1))
        chosen.append(next((other for other in candidates if groups[other] != group), i))
    return chosen


def _share(values: Sequence[bool | None], groups: Sequence[str]) -> Share | None:
    judged = [i for i, value in enumerate(values) if value is not None]
    if not judged:
        return None
    return bootstrap(np.array([float(bool(values[i])) for i in judged]), [groups[i] for i in judged])


def _plain(rows: Rows) -> dict:
    return {
        name: {part: dataclasses.asdict(share) if share else None for part, share in shares.items()}
        for name, shares in rows.items()
    }


def _identity(report: dict) -> str:
    lines = [f"Model {report['model']}, hash {report['model_hash']}.", ""]
    lines += [
        f"- {entry['title']}: evaluation set {entry['evaluation_set'][:16]}" for entry in report["tables"].values()
    ]
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


_HOW_TO_READ = """Percent of clips that show what was asked for, read from frames alone, with 95 % bootstrap intervals.
*count*: as many objects as asked; *colors*, *shapes*: all of them, whichever has which; *binding*: every shape in its
own color; *event*, *camera*: what happens, how the camera moves; *all*: everything at once. *simulator* and
*reconstruction* are ceilings; *shuffled prompts* scores each clip against another one's prompt: what chance gives.
"""
