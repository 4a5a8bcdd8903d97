"""Does a full prompt help? Short prompts, drawn as they are and as the model's expander writes them.

Two tables: the prompts written by hand, whose words the captions never use, and short captions of held-out scenes,
whose words they do.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from ozora.evaluate.alignment import Reading, read
from ozora.evaluate.cases import Case, cases_hash, make_cases
from ozora.evaluate.parts import plain_rows, write_text
from ozora.evaluate.suite import clips_folder, generated, score_rows
from ozora.evaluate.tables import Rows, markdown_table, terminal_table
from ozora.generate.folder import find_model
from ozora.generate.generator import Generator
from ozora.generate.watch import load_expander
from ozora.language.expander import Expander, expand

TITLES = {"prompts": "Prompts written by hand", "short": "Short captions of held-out scenes"}


def short_cases(num_clips: int, cache: Path | None = None) -> list[Case]:
    """Scenes of the table "new", asked for by their short captions; the camera is left open, as these leave it."""
    cases = make_cases("new", num_clips, cache)
    return [
        replace(case, prompt=case.record.text("short") or "", facts=replace(case.facts, camera="")) for case in cases
    ]


def expanded_cases(cases: Sequence[Case], expanders: Sequence[Expander]) -> list[Case]:
    """The cases with their prompts in full; what must be seen stays what it was."""
    return [replace(case, prompt=expand(case.prompt, expanders, case.seed).text) for case in cases]


def evaluate_expansion(
    model: str = "mini",
    out: Path = Path("report"),
    num_clips: int = 200,
    batch: int = 10,
    steps: int | None = None,
    guidance: float | None = None,
    console: Console | None = None,
) -> dict:
    """Score the model's clips of short prompts, as they are, in full by its expander, and by rules alone.

    All ways are scored against the same facts, with the same seeds. ``num_clips`` of the hand-written prompts, half as
    many of the others. Clips are kept in ``out``, so a stopped evaluation goes on. Writes expansion.md and
    expansion.json, returns the latter.
    """
    console = console or Console()
    generator = Generator.load(model)
    out.mkdir(parents=True, exist_ok=True)
    tables = {
        "prompts": make_cases("prompts", num_clips, out / "cases-prompts.json"),
        "short": short_cases(max(2, num_clips // 2), out / "cases-new.json"),
    }
    report: dict = {"model": model, "model_hash": generator.hash, "rows": {}, "evaluation_sets": {}, "prompts": {}}
    sections = []
    for table, cases in tables.items():
        ways = {
            "as it is": cases,
            "expanded": expanded_cases(cases, [load_expander(find_model(model))]),
            "by rules alone": expanded_cases(cases, []),
        }
        readings: dict[tuple[str, str], Reading] = {}
        rows: Rows = {}
        for way, asked in ways.items():
            new = [case for case in asked if _key(case) not in readings]
            if new:
                folder = clips_folder(out, table, generator, new, batch, steps, guidance)
                clips = generated(generator, new, batch, steps, guidance, folder)
                readings |= {_key(case): read(clip) for case, clip in zip(new, clips, strict=True)}
            scored = score_rows({"model": [readings[_key(case)] for case in asked]}, cases, range(len(cases)))
            rows[way] = scored["model"]
        console.print(terminal_table(TITLES[table], rows))
        report["rows"][TITLES[table]] = plain_rows(rows)
        report["evaluation_sets"][table] = cases_hash(cases)
        full = zip(cases, ways["expanded"], ways["by rules alone"], strict=True)
        report["prompts"][table] = [[case.prompt, own.prompt, by_rule.prompt] for case, own, by_rule in full]
        sections.append(markdown_table(TITLES[table], rows))
    write_text(out / "expansion.json", json.dumps(report, indent=1) + "\n")
    write_text(out / "expansion.md", "\n".join(sections))
    return report


def _key(case: Case) -> tuple[str, str]:
    """What makes a clip: the scene's record stands for seed and size."""
    return case.record.id, case.prompt
