"""Does a full prompt help? The prompts written by hand, drawn as they are and as the model's expander writes them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from ozora.evaluate.alignment import read
from ozora.evaluate.cases import Case, cases_hash, make_cases
from ozora.evaluate.parts import plain_rows, write_text
from ozora.evaluate.suite import generated, score_rows
from ozora.evaluate.tables import Rows, markdown_table, terminal_table
from ozora.generate.folder import find_model
from ozora.generate.generator import Generator
from ozora.generate.watch import load_expander
from ozora.language.expander import Expander, expand


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
    """Score the model's clips of the hand-written prompts, as they are, by its expander, and by rules alone.

    All are scored against the same facts, with the same seeds. Clips are kept in ``out``, so a stopped evaluation goes
    on. Writes expansion.md and expansion.json, returns the latter.
    """
    console = console or Console()
    generator = Generator.load(model)
    out.mkdir(parents=True, exist_ok=True)
    cases = make_cases("prompts", num_clips, out / "cases-prompts.json")
    ways = {
        "as it is": cases,
        "expanded": expanded_cases(cases, [load_expander(find_model(model))]),
        "by rules alone": expanded_cases(cases, []),
    }
    rows: Rows = {}
    for way, asked in ways.items():
        key = hashlib.sha256(f"{generator.hash} {cases_hash(asked)} {steps} {guidance} {batch}".encode()).hexdigest()
        clips = generated(generator, asked, batch, steps, guidance, out / f"clips-{key[:12]}")
        scored = score_rows({"model": [read(clip) for clip in clips]}, cases, range(len(cases)))
        rows = {**rows, way: scored["model"]}
    console.print(terminal_table("Prompts as they are and in full", rows))
    report = {
        "model": model,
        "model_hash": generator.hash,
        "evaluation_set": cases_hash(cases),
        "rows": plain_rows(rows),
        "prompts": [[case.prompt, full.prompt] for case, full in zip(cases, ways["expanded"], strict=True)],
    }
    write_text(out / "expansion.json", json.dumps(report, indent=1) + "\n")
    write_text(out / "expansion.md", markdown_table("Prompts as they are and in full", rows))
    return report
