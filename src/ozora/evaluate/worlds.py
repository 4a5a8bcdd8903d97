"""Does a model simulate a world? Gravity, contacts, changes of state, permanence, space, and where physics went.

48 held-out cases a section. Every table has the model, its ceiling (the simulator's clips through the autoencoder), the
floor (the simulator as it is read) and clips that are broken on purpose. What a model shows is read from frames alone.
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from ozora.evaluate.bench import Bench
from ozora.evaluate.cases import cases_hash
from ozora.evaluate.contacts import contacts
from ozora.evaluate.gravity import gravity
from ozora.evaluate.measures import markdown_measures, terminal_measures
from ozora.evaluate.parts import check_sections, identity_line, open_part, plain_rows, write_text
from ozora.evaluate.permanence import permanence
from ozora.evaluate.ranking import Judged, kept_and_thrown_out
from ozora.evaluate.rigidity import rigidity
from ozora.evaluate.state import state
from ozora.evaluate.strips import write_strip
from ozora.evaluate.trajectories import trajectories
from ozora.evaluate.world_cases import SPLITS, world_cases
from ozora.generate.generator import Generator

NUM_CLIPS = 48
NUM_SHOWN = 4
ASKS = {
    "gravity": "Do things fall as they must, and does nothing hang in the air?",
    "contacts": "What happens when one object runs into another? Broken interactions are a failure that Sora's authors "
    "admit.",
    "state": "Does the state of things change when, and only when, something happens to them, and does it stay so? "
    "Sora's authors admit that it often does not.",
    "permanence": "Does anything vanish, come from nowhere or turn into something else, and does what passes behind a "
    "wall come back? Objects from nowhere and drift are failures that Sora's authors admit.",
    "rigidity": "Under a camera that goes around, do followed points fit one rigid scene?",
    "trajectories": "Five frames are given: how far from physics does a clip go, in distribution and on what is new?",
}
SECTIONS = tuple(ASKS)
_MEASURE: dict[str, Callable[[Bench], list[Judged]]] = {
    "gravity": gravity,
    "contacts": contacts,
    "state": state,
    "permanence": permanence,
    "rigidity": rigidity,
}


def evaluate_world(
    generator: Generator | None,
    out: Path,
    num_clips: int | None = None,
    batch: int = 32,
    steps: int | None = None,
    guidance: float | None = None,
    console: Console | None = None,
    sections: Sequence[str] = SECTIONS,
) -> dict:
    """Measure every section; print tables, write world.md, world.json and strips of clips into ``out``.

    Without a ``generator`` the simulator and the broken clips are measured alone. Clips are kept in ``out``, so that a
    stopped evaluation goes on. ``num_clips`` None is ``NUM_CLIPS`` a section; trajectories take half as many for each
    of four splits. Returns what world.json holds; columns that do not rank their controls in this run stand under
    "thrown_out" with the reason. Raises ``ValueError`` for an unknown section and for fewer than two clips.
    """
    check_sections(sections, SECTIONS)
    report = open_part(generator, out, num_clips, NUM_CLIPS, steps, guidance)
    console, num_cases = console or Console(), report["num_clips"]
    report |= {
        "evaluation_sets": {},
        "asks": {section: ASKS[section] for section in sections},
        "sections": {},
        "metrics": {},
        "thrown_out": {},
        "thrown_out_values": {},
        "strips": {},
    }
    texts = [f"# A world in {report['model']}\n", _HOW_TO_READ]
    with Progress(console=console, transient=True) as progress:

        def bench(kind: str, num: int) -> Bench:
            cases = world_cases(kind, num, out / f"cases-world-{kind.replace(' ', '-')}.json")
            report["evaluation_sets"][kind] = cases_hash(cases)
            return Bench(generator, cases, out, batch, steps, guidance, progress)

        for section in sections:
            if section == "trajectories":
                tables = trajectories({split: bench(split, max(2, num_cases // 2)) for split in SPLITS})
            else:
                own = bench(section, num_cases)
                tables = _MEASURE[section](own)
                report["strips"][section] = _strips(own, section)
            report["sections"][section] = {}
            texts.append(f"## {ASKS[section]}\n")
            for judged in tables:
                kept, rest, why = kept_and_thrown_out(judged)
                report["sections"][section][judged.title] = plain_rows(kept)
                report["metrics"][judged.title] = {c: dataclasses.asdict(m) for c, m in judged.metrics.items()}
                if why:
                    report["thrown_out"][judged.title], report["thrown_out_values"][judged.title] = (
                        why,
                        plain_rows(rest),
                    )
                console.print(terminal_measures(judged.title, kept))
                texts += [markdown_measures(judged.title, kept), *_thrown_out_lines(why)]
                for column, reason in why.items():
                    console.print(f"thrown out: {column}: {reason}", markup=False)
            write_text(out / "world.json", json.dumps(report, indent=1) + "\n")
            write_text(out / "world.md", "\n".join([*texts, identity_line(report)]))
    return json.loads(json.dumps(report))


def _strips(bench: Bench, section: str) -> list[dict]:
    """The first cases, the model beside the simulator beside the reconstruction; none without a model."""
    if bench.generator is None:
        return []
    strips = []
    for i in range(min(NUM_SHOWN, len(bench.cases))):
        clips = {"model": bench.from_text[i], "simulator": bench.simulated[i], "reconstruction": bench.reconstructed[i]}
        strips.append(write_strip(bench.out, f"world-{section}-{i:03d}", bench.cases[i].prompt, clips))
    return strips


def _thrown_out_lines(why: dict[str, str]) -> list[str]:
    if not why:
        return []
    lines = [f"- *{column}*: {reason}." for column, reason in why.items()]
    return ["Thrown out in this run, as they do not rank their controls:\n", *lines, ""]


_HOW_TO_READ = """Columns with % hold the share of clips, all others means; in brackets stands the 95 % interval of a
bootstrap over cases. *simulator* is what physics did, read by the same eyes: the floor of every error.
*reconstruction* is the same through the model's autoencoder: no model can do better. All other rows but *model* are
broken on purpose, and a column that does not place its controls clearly behind the simulator is thrown out.
*could be judged* counts the clips that show what a section is about; the rest of the row is about those alone.
"""
