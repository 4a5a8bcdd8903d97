"""Does it go where it was told to go? The same scene asked for twice, with left and right exchanged.

In the tables of prompts an object that rolls the wrong way has rolled. Here one object rolls or slides under a camera
that stands still, and its caption says which way; its mirror is asked for with the same seed.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from ozora.clip import Clip
from ozora.evaluate.bench import Bench
from ozora.evaluate.cases import Case, cases_hash
from ozora.evaluate.measures import Scores, summarize
from ozora.evaluate.motion import Frames, find_paths
from ozora.evaluate.parts import leave_part, open_part
from ozora.evaluate.pixel_cases import NUM_FRAMES, colors_of
from ozora.evaluate.strips import write_strip
from ozora.evaluate.tables import Rows
from ozora.evaluate.verdicts import Metric
from ozora.generate.choose import best
from ozora.generate.generator import Generator
from ozora.generate.request import Request
from ozora.world.build import Plan, draw_scene, make_record
from ozora.world.describe import is_shown
from ozora.world.mix import WorldMix
from ozora.world.simulate import simulate
from ozora.world.split import split_of

SEED = 20261127
NUM_CLIPS = 64
NUM_SHOWN = 4
NUM_CHOICE = 4
"""Candidates of the row that shows what a choice by the captioner buys."""
MAX_ATTEMPTS = 4000
LEAST_WAY = 0.5
"""Of the object's radius: less is no way."""
OTHER = {"left": "right", "right": "left"}
TITLE = "Left beside right, in the same words otherwise"
METRICS = {
    "goes there %": Metric(
        worse=("words exchanged", "frozen clip"), about=f"to the side that the prompt says, by {LEAST_WAY} radii"
    ),
    "both ways %": Metric(worse=("words exchanged", "frozen clip"), about="in both clips of a pair"),
}
_GOES = re.compile(r"\b(?:rolls|rolling|slides|sliding|glides|gliding|moves|moving)[a-z ]{0,30}? to the (left|right)\b")
_SIDES = re.compile(r"\b(left|right)\b")


def evaluate_directions(
    generator: Generator | None,
    out: Path,
    num_clips: int | None = None,
    batch: int = 32,
    steps: int | None = None,
    guidance: float | None = None,
    console: Console | None = None,
) -> dict:
    """Draw every case and its mirror; print a table, write directions.json and directions.md into ``out``.

    Without a ``generator`` the simulator and the controls are measured alone; one whose folder holds a captioner is
    measured again as the best of ``NUM_CHOICE``. ``num_clips`` None is ``NUM_CLIPS``, two clips each. Clips are kept in
    ``out``, so that a stopped evaluation goes on. Returns what directions.json holds. Raises ``ValueError`` for fewer
    than two.
    """
    identity = open_part(generator, out, num_clips, NUM_CLIPS, steps, guidance)
    console, cases = console or Console(), direction_cases(identity["num_clips"])
    pairs = {"as it is": cases, "mirrored": [mirrored(case) for case in cases]}
    clips: dict[str, dict[str, list[Frames]]] = {}
    with Progress(console=console, transient=True) as progress:
        for way, own in pairs.items():
            bench = Bench(generator, own, out, batch, steps, guidance, progress)
            for source, frames in _clips(bench, way).items():
                clips.setdefault(source, {})[way] = frames
    clips["frozen clip"] = {
        way: [np.repeat(frames[:1], len(frames), axis=0) for frames in made] for way, made in clips["simulator"].items()
    }
    clips["words exchanged"] = dict(zip(pairs, reversed(clips["simulator"].values())))
    rows: Rows = {source: summarize(_scores(pairs, made)) for source, made in clips.items()}
    identity |= {
        "evaluation_sets": {"directions": cases_hash(cases)},
        "asks": {"directions": "Left and right are exchanged in the prompt, the seed is the same. Does it go there?"},
        "metrics": {TITLE: {column: dataclasses.asdict(metric) for column, metric in METRICS.items()}},
        "strips": {"directions": _strips(pairs, clips, out)},
    }
    return leave_part(
        out, "directions", "Left and right", _HOW_TO_READ, identity, {"directions": {TITLE: rows}}, console
    )


def direction_cases(num: int) -> list[Case]:
    """``num`` scenes of one object that rolls or slides, in turn, of the split "new_seeds"; captions dense and medium
    in turn, each of which says the way. Raises ``ValueError`` where too few scenes do."""
    return [_case(i) for i in range(num)]


def mirrored(case: Case) -> Case:
    """The case with left and right exchanged in its prompt; its scene stays, to be seen in a mirror."""
    return replace(case, prompt=_SIDES.sub(lambda match: OTHER[match[1]], case.prompt))


def asked_side(prompt: str) -> str | None:
    """The side to which a caption says that something goes; None where it says none, or both."""
    sides = set(_GOES.findall(prompt))
    return sides.pop() if len(sides) == 1 else None


def _case(index: int) -> Case:
    mix = WorldMix.mini().change(
        families=("roll", "slide")[index % 2],
        num_objects="1",
        sizes="64x64",
        num_frames=str(NUM_FRAMES),
        cameras="static",
    )
    plan = Plan(SEED, mix, "new_seeds")
    for attempt in range(MAX_ATTEMPTS):
        scene = draw_scene(plan, index, attempt)
        if split_of(scene) != plan.split or not is_shown(scene, trajectory := simulate(scene)):
            continue
        record = make_record(f"directions-{index:04d}", scene, trajectory)
        prompt = record.text(("dense", "medium")[index // 2 % 2])
        if prompt is not None and record.facts is not None and asked_side(prompt):
            return Case(record.id, prompt, index, record.facts, record)
    raise ValueError(f"{MAX_ATTEMPTS} scenes in a row from index {index} say no direction")


def _clips(bench: Bench, way: str) -> dict[str, list[Frames]]:
    """What every source makes of the cases in one way; the simulator's scenes are mirrored, not their words."""

    def request(i: int) -> Request:
        case, clip = bench.cases[i], bench.truth(i).clip
        return Request(case.prompt, clip.size, NUM_FRAMES / clip.fps, clip.fps, **bench.options(case))

    def seen(frames: Sequence[Frames]) -> list[Frames]:
        return [one[:, :, ::-1] if way == "mirrored" else one for one in frames]

    generator = bench.generator
    if generator is None:
        return {"simulator": seen(bench.simulated)}
    candidates = [bench.draw(f"direction {way}", lambda _, i: request(i))]
    found = {"model": candidates[0]}
    if generator.folder is not None and (generator.folder / "captioner").is_dir():
        for k in range(1, NUM_CHOICE):
            candidates.append(
                bench.draw(
                    f"direction {way} {k}", lambda _, i, k=k: replace(request(i), seed=bench.cases[i].seed + 1000 * k)
                )
            )
        chosen = []
        for i, frames in enumerate(zip(*candidates)):
            clips = [Clip(one, bench.truth(i).clip.fps) for one in frames]
            chosen.append(frames[best(generator.captioner, clips, request(i), generator.geometry)])
        found[f"best of {NUM_CHOICE}"] = chosen
    return found | {"reconstruction": seen(bench.reconstructed), "simulator": seen(bench.simulated)}


def _scores(pairs: Mapping[str, Sequence[Case]], clips: Mapping[str, Sequence[Frames]]) -> list[Scores]:
    ways = [[_goes_there(case, frames) for case, frames in zip(pairs[way], clips[way], strict=True)] for way in pairs]
    return [
        {
            "goes there %": None if None in pair else sum(map(bool, pair)) / 2,
            "both ways %": None if None in pair else all(pair),
            "seen in both %": None not in pair,
        }
        for pair in zip(*ways)
    ]


def _goes_there(case: Case, frames: Frames) -> bool | None:
    """Whether the object goes to the side that the prompt says; None where it is not seen at two moments at least."""
    paths = find_paths(frames, list(colors_of(case)))
    across = paths.centers[:, 0, 1]
    across = across[np.isfinite(across)]
    if len(across) < 2:
        return None
    way = float(across[-1] - across[0]) / float(paths.radii[0])
    return way >= LEAST_WAY if asked_side(case.prompt) == "right" else way <= -LEAST_WAY


def _strips(
    pairs: Mapping[str, Sequence[Case]], clips: Mapping[str, Mapping[str, Sequence[Frames]]], out: Path
) -> list[dict]:
    """The first cases, both ways: the model's where there is one, and the simulator's."""
    sources = [source for source in clips if source not in ("reconstruction", "frozen clip", "words exchanged")]
    return [
        write_strip(
            out,
            f"directions-{i:03d}",
            case.prompt,
            {f"{source}, {way}": np.ascontiguousarray(clips[source][way][i]) for source in sources for way in pairs},
        )
        for i, case in enumerate(pairs["as it is"][:NUM_SHOWN])
    ]


_HOW_TO_READ = f"""In brackets stands the 95 % interval of a bootstrap over cases. *goes there*: of the two clips of a
pair, how many go to the side that their prompt says; who does not listen is right in half of them.
*best of {NUM_CHOICE}*: the clip that the model's captioner finds nearest to the prompt. *words exchanged* is the
simulator's clip beside the other one's prompt. Clips that do not show the object in its color cannot be judged.
"""
