"""Does a model use the pixels that it is given? Every way of asking with pixels, measured beside trivial answers.

64 held-out cases a section (an eighth of them for the minute), each table with the model, what it can reach at best,
and controls: a frozen clip, a repeated clip, and what the model makes of the same prompt without pixels.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from ozora.evaluate import changing, continuing, drift
from ozora.evaluate.bench import Bench
from ozora.evaluate.cases import Case, cases_hash
from ozora.evaluate.measures import markdown_measures, terminal_measures
from ozora.evaluate.parts import check_sections, identity_line, open_part, plain_rows, write_text
from ozora.evaluate.pixel_cases import DRIFT_START, PHYSICS_START, TUNING_START, num_minutes, pixel_cases
from ozora.evaluate.tables import Rows
from ozora.generate.generator import Generator

NUM_CLIPS = 64
SECTIONS = (
    *("animate", "extend forward", "extend backward", "loop", "connect", "physics"),
    *("edit", "fill", "storyboard", "company", "minute"),
)


def evaluate_pixels(
    generator: Generator | None,
    out: Path,
    num_clips: int | None = None,
    batch: int = 32,
    steps: int | None = None,
    guidance: float | None = None,
    console: Console | None = None,
    sections: Sequence[str] = SECTIONS,
) -> dict:
    """Measure every section; print tables, write report.md, report.json and sheets of frames into ``out``.

    Without a ``generator`` the simulator and the trivial answers are measured alone. Clips are kept in ``out``, so
    that a stopped evaluation goes on. ``num_clips`` None is ``NUM_CLIPS``; half as many further cases choose the
    strength of an edit. Returns what report.json holds. Raises ``ValueError`` for an unknown section and for fewer
    than two clips.
    """
    check_sections(sections, SECTIONS)
    report = open_part(generator, out, num_clips, NUM_CLIPS, steps, guidance)
    console, num_cases = console or Console(), report["num_clips"]
    report |= {"evaluation_sets": {}, "sections": {}}
    texts = [f"# Asked with pixels: {report['model']}\n", _HOW_TO_READ]
    with Progress(console=console, transient=True) as progress:

        def cases(name: str, num: int, start: int = 0) -> list[Case]:
            chosen = pixel_cases(num, start, out / f"cases-pixels-{name}.json")
            report["evaluation_sets"][name] = cases_hash(chosen)
            return chosen

        def bench(chosen: Sequence[Case], size: int = batch) -> Bench:
            return Bench(generator, chosen, out, size, steps, guidance, progress)

        asked = bench(cases("asked", num_cases))
        measure: dict[str, Callable[[], dict[str, Rows]]] = {
            "animate": lambda: continuing.animate(asked),
            "extend forward": lambda: continuing.extend_forward(asked),
            "extend backward": lambda: continuing.extend_backward(asked),
            "loop": lambda: continuing.loop(asked),
            "connect": lambda: continuing.connect(asked),
            "physics": lambda: continuing.physics(bench(cases("physics", num_cases, PHYSICS_START))),
            "edit": lambda: changing.edit(
                asked, cases("tuning", max(2, num_cases // 2), TUNING_START) if generator else ()
            ),
            "fill": lambda: changing.fill(asked),
            "storyboard": lambda: changing.storyboard(asked),
            "company": lambda: changing.company(asked),
            "minute": lambda: drift.drift(bench(cases("minute", num_minutes(num_cases), DRIFT_START), batch // 4 or 1)),
        }
        for section in sections:
            tables = measure[section]()
            for title, rows in tables.items():
                console.print(terminal_measures(title, rows))
                texts.append(markdown_measures(title, rows))
            report["sections"][section] = {title: plain_rows(rows) for title, rows in tables.items()}
            write_text(out / "report.json", json.dumps(report, indent=1) + "\n")
            write_text(out / "report.md", "\n".join([*texts, identity_line(report)]))
    return report


_HOW_TO_READ = """Columns with % hold the share of clips, all others means; in brackets stands the 95 % interval of a
bootstrap over cases. *simulator* is what physics did, *reconstruction* the same through the model's autoencoder: no
model can do better than these. *frozen clip*, *repeated clip* and *text to video* (the same prompt without pixels) take
no understanding of pixels; a measure on which they do well says little.

- *step*: how much changes across a join by how much changes between given neighbors, where things move.
  *static step*: the change across the join where nothing moves, by what the autoencoder alone changes there.
- *velocity goes on*: every moving object keeps its velocity across the join, to half of it or half a pixel per frame.
- *distance*: from where an object is seen to where physics took it, in percent of the frame's side; at most 50, which
  is also what an object counts that is not seen.
- *on its path*: within the object's radius of where it was, on average.
- *breaks*: the first of two seconds in a row that do not move half as much as the simulator's, or show other colors or
  another number of objects than were asked for.
"""
