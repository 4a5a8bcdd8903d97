"""What does a choice buy? Many clips are drawn of each prompt, and the captioner keeps one.

    python recipes/best_of.py RUNS draw --steps 4 --num 16     (leaps: 4 answers of the transformer a clip)
    python recipes/best_of.py RUNS draw --num 4                (the model's own steps: 64 answers a clip)
    python recipes/best_of.py RUNS report                      (docs/best-of: the tables, and a strip)

``ozora generate --best-of N`` does the same. The judge is the captioner that ships with the model, the evaluator that
scores the choice shares nothing with it but the simulator that both learned from. Controls: the choice by another
case's prompt, which should gain nothing, and by the evaluator itself, beyond which no judge gets. Candidate i of a case
has its seed + i; the best of fewer than were drawn is the mean over as many choices as the candidates are enough for.
Hardware: one core. Time: 12 minutes for 16 candidates in 4 steps, 25 for 4 in 32, by 200 cases. Called again, each
goes on. Expected: counts and colours gain most, then shapes and events; the captioner sees few cameras move.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from rich.progress import track
from tyro.conf import Positional

from ozora.clip import Clip
from ozora.evaluate.alignment import PARTS, Score, compare, read
from ozora.evaluate.cases import TABLES, Case, cases_hash, make_cases
from ozora.evaluate.suite import SUBSETS, request_of
from ozora.evaluate.tables import Share, bootstrap, markdown_table
from ozora.generate.choose import best, likelihoods
from ozora.generate.generator import Generator
from ozora.generate.request import Request
from ozora.train.metrics import sample_strip

NUMBERS = (1, 2, 3, 4, 8, 16, 32)
PROMPTS = (
    "a red cube and a blue ball stand on a grey floor",
    "a green cylinder rolls to the left on a beige floor",
    "an orange ball hits a cyan cube",
    "a yellow cone swings back and forth",
)
Judge = Callable[["Drawn", int, int], int]


@dataclass(frozen=True)
class Drawn:
    """The candidates of one case: how each was scored, and how likely its own prompt and the next case's are to it."""

    scores: tuple[Score, ...]
    own: tuple[float, ...]
    other: tuple[float, ...]


def draw(generator: Generator, case: Case, other: Case, num: int, steps: int | None) -> Drawn:
    """Draw ``num`` candidates of a case, score them, and have the captioner watch them."""
    request = request_of(case, steps, None)
    clips = generator.render([replace(request, seed=case.seed + i) for i in range(num)])
    nats = [
        likelihoods(generator.captioner, clips, replace(request, prompt=prompt), generator.geometry)
        for prompt in (case.prompt, other.prompt)
    ]
    return Drawn(tuple(compare(read(clip), case.facts) for clip in clips), tuple(nats[0]), tuple(nats[1]))


def draw_all(out: Path, model: str, table: str, num_clips: int, num: int, steps: int | None) -> Path:
    """A line for every case in a file of ``out``; those that are there are not drawn again."""
    out.mkdir(parents=True, exist_ok=True)
    generator = Generator.load(model)
    cases = make_cases(table, num_clips, out / f"cases-{table}-{num_clips}.json")
    sampling = generator.config.sampling
    head = {
        "table": table,
        "cases": cases_hash(cases),
        "num_clips": num_clips,
        "num": num,
        "model": generator.hash,
        "leaps": generator.leaps.hash if generator.leaps else "",
        "captioner": generator.captioner.stored.hash,
        "steps": steps or sampling.steps,
        "answers": steps if generator.leaps and steps == generator.leaps.num_steps else 2 * (steps or sampling.steps),
    }
    file = out / f"{table}-{head['steps']}-steps-{num}.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    if lines and json.loads(lines[0]) != head:
        raise ValueError(f"{file} holds what another model or captioner drew; move it away to draw anew")
    with file.open("a", encoding="utf-8") as kept:
        if not lines:
            kept.write(json.dumps(head) + "\n")
        for i in track(range(max(0, len(lines) - 1), len(cases)), description=file.name):
            found = draw(generator, cases[i], cases[(i + 1) % len(cases)], num, steps)
            scores = [[getattr(score, part) for part in PARTS] for score in found.scores]
            kept.write(json.dumps({"scores": scores, "own": found.own, "other": found.other}) + "\n")
            kept.flush()
    return file


def read_drawn(file: Path) -> tuple[dict, list[Drawn]]:
    """What ``draw_all`` wrote: its head and the cases'. Raises ``ValueError`` where cases are missing."""
    head, *lines = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    if len(lines) != head["num_clips"]:
        raise ValueError(f"{file} holds {len(lines)} of {head['num_clips']} cases; draw the others first")
    return head, [
        Drawn(tuple(Score(*values) for values in line["scores"]), tuple(line["own"]), tuple(line["other"]))
        for line in lines
    ]


def by_captioner(drawn: Drawn, start: int, stop: int) -> int:
    return start + int(np.argmax(drawn.own[start:stop]))


def by_another_prompt(drawn: Drawn, start: int, stop: int) -> int:
    return start + int(np.argmax(drawn.other[start:stop]))


def by_evaluator(drawn: Drawn, start: int, stop: int) -> int:
    return start + int(np.argmax([sum(getattr(s, part) is True for part in PARTS) for s in drawn.scores[start:stop]]))


def shares(drawn: Sequence[Drawn], num: int, judge: Judge) -> dict[str, Share | None]:
    """How often the chosen one of ``num`` shows each part: over all choices that a case's candidates are enough for.

    Choices of one case share its prompt, so cases are resampled whole.
    """
    chosen = [
        (str(case), one.scores[judge(one, start, start + num)])
        for case, one in enumerate(drawn)
        for start in range(0, len(one.scores) - num + 1, num)
    ]
    found: dict[str, Share | None] = {}
    for part in (*PARTS, "all"):
        judged = [(group, value) for group, score in chosen if (value := getattr(score, part)) is not None]
        values = np.array([float(value) for _, value in judged])
        found[part] = bootstrap(values, [group for group, _ in judged]) if judged else None
    return found


def gains(drawn: Sequence[Drawn], num: int) -> dict[str, Share | None]:
    """What the best of ``num`` gains over one of them, case by case."""
    found: dict[str, Share | None] = {}
    for part in (*PARTS, "all"):
        differences = []
        for one in drawn:
            values = [getattr(score, part) for score in one.scores]
            if values[0] is None:
                continue
            picks = [values[by_captioner(one, i, i + num)] for i in range(0, len(values) - num + 1, num)]
            differences.append(float(np.mean(picks)) - float(np.mean(values)))
        found[part] = bootstrap(np.array(differences)) if differences else None
    return found


def written(files: Sequence[Path], out: Path) -> str:
    """The page."""
    lines = [
        "# The best of several",
        "",
        "`ozora generate --best-of N` draws N clips and keeps the one under which the captioner finds the prompt",
        "likeliest (`src/ozora/generate/choose.py`). Percent of the chosen clips that show what was asked for, with",
        "95 % bootstrap intervals over cases; *answers*: how often the transformer is asked for a clip. The evaluator",
        "that scores and the captioner that chooses are different networks. `recipes/best_of.py` makes this page.",
        "",
        "![one clip, and the best of four](strip.png)",
        "",
        "For each prompt the clip with seed 0 and, below it, the best of four, in the model's own steps. The prompts",
        "were written for this strip.",
        "",
    ]
    for file in files:
        head, drawn = read_drawn(file)
        cases = make_cases(head["table"], head["num_clips"], out / f"cases-{head['table']}-{head['num_clips']}.json")
        most = head["num"]
        for subset, belongs in SUBSETS.items():
            some = [one for one, case in zip(drawn, cases, strict=True) if belongs(case)]
            if len(some) < 2:
                continue
            rows = {
                f"best of {num}, {num * head['answers']} answers": shares(some, num, by_captioner)
                for num in NUMBERS
                if num <= most
            }
            rows[f"best of {most} by another prompt"] = shares(some, most, by_another_prompt)
            rows[f"best of {most} by the evaluator"] = shares(some, most, by_evaluator)
            title = f"{TABLES[head['table']]}, {head['steps']} steps, {subset}, {len(some)} prompts"
            lines.append(markdown_table(title, rows))
            told = [
                f"{part} {100 * gain.value:+.0f} ({100 * gain.low:+.0f} to {100 * gain.high:+.0f})"
                for part, gain in gains(some, most).items()
                if gain
            ]
            lines += [f"Best of {most} less one, paired, in points: {', '.join(told)}.", ""]
    return "\n".join(lines)


def strip(model: str) -> Clip:
    """For each prompt: seed 0, and below it the best of four."""
    generator = Generator.load(model)
    rows = []
    for prompt in PROMPTS:
        request = Request(prompt, seconds=17 / 8, seed=0)
        clips = generator.render([replace(request, seed=seed) for seed in range(4)])
        rows += [clips[0], clips[best(generator.captioner, clips, request, generator.geometry)]]
    return Clip(sample_strip(rows, 8)[None], 1.0)


def main(
    out: Positional[Path],
    do: Positional[Literal["draw", "report"]],
    model: str = "mini",
    table: Literal["new", "pairs", "prompts"] = "new",
    num_clips: int = 200,
    num: int = 16,
    steps: int | None = None,
    page: Path = Path("docs/best-of"),
) -> None:
    """Draw candidates into folder ``out``, or write the page of all that were drawn there."""
    if do == "draw":
        print(draw_all(out, model, table, num_clips, num, steps))
        return
    files = sorted(out.glob("*-steps-*.jsonl"))
    if not files:
        raise ValueError(f"{out} holds no candidates; draw them first")
    page.mkdir(parents=True, exist_ok=True)
    strip(model).save(page / "strip.png")
    (page / "README.md").write_text(written(files, out), encoding="utf-8")
    print(page / "README.md")


if __name__ == "__main__":
    tyro.cli(main)
