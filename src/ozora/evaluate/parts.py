"""How does one suite leave its results? As tables on the terminal, and as NAME.json and NAME.md in its folder."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from ozora.evaluate.measures import markdown_measures, terminal_measures
from ozora.evaluate.tables import Rows

Sections = Mapping[str, Mapping[str, Rows]]
"""Section -> title of a table -> its rows."""


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
