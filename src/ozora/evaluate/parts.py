"""How does a suite begin, and leave its results? As tables on the terminal, NAME.json and NAME.md in its folder."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from ozora.evaluate.measures import markdown_measures, terminal_measures
from ozora.evaluate.tables import Rows
from ozora.generate.generator import Generator

Sections = Mapping[str, Mapping[str, Rows]]
"""Section -> title of a table -> its rows."""


def open_part(
    generator: Generator | None,
    out: Path,
    num_clips: int | None,
    usual: int,
    steps: int | None,
    guidance: float | None,
) -> dict:
    """Make the folder and return what a suite's JSON begins with: what is measured, and by how many clips.

    ``num_clips`` None is ``usual``. Raises ``ValueError`` for fewer than two.
    """
    num_clips = usual if num_clips is None else num_clips
    if num_clips < 2:
        raise ValueError(f"num_clips is {num_clips}; at least 2 are needed, {usual} for narrow intervals")
    out.mkdir(parents=True, exist_ok=True)
    return {
        "model": generator.name if generator else "simulator",
        "model_hash": generator.hash if generator else None,
        "steps": steps,
        "guidance": guidance,
        "num_clips": num_clips,
    }


def check_sections(sections: Sequence[str], known: Sequence[str]) -> None:
    """Raise ``ValueError`` for a section that a suite does not have, and for none."""
    unknown = [section for section in sections if section not in known]
    if unknown or not sections:
        raise ValueError(f"section {unknown[0] if unknown else ''!r} is not one of {', '.join(known)}")


def identity_line(report: Mapping) -> str:
    """The last line of a suite's Markdown: the model and the cases that it was measured by."""
    sets = ", ".join(f"{name} {value[:16]}" for name, value in report["evaluation_sets"].items())
    return f"Model {report['model']}, hash {report['model_hash']}. Evaluation sets: {sets}.\n"


def leave_part(
    out: Path, name: str, title: str, how_to_read: str, identity: Mapping, sections: Sections, console: Console
) -> dict:
    """Print the tables and write both files, whole or not at all; returns what NAME.json holds.

    ``identity`` says what was measured: it leads the JSON, with "model" and "model_hash" among its fields.
    """
    texts = [f"# {title}: {identity['model']}\n", how_to_read]
    for tables in sections.values():
        for heading, rows in tables.items():
            console.print(terminal_measures(heading, rows))
            texts.append(markdown_measures(heading, rows))
    texts.append(f"Model {identity['model']}, hash {identity['model_hash']}.\n")
    report = {
        **identity,
        "sections": {
            section: {heading: plain_rows(rows) for heading, rows in tables.items()}
            for section, tables in sections.items()
        },
    }
    text = json.dumps(report, indent=1)
    write_text(out / f"{name}.json", text + "\n")
    write_text(out / f"{name}.md", "\n".join(texts))
    return json.loads(text)


def plain_rows(rows: Rows) -> dict:
    """Rows as JSON holds them."""
    return {
        name: {column: dataclasses.asdict(share) if share else None for column, share in row.items()}
        for name, row in rows.items()
    }


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
