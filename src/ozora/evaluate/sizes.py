"""Is large what was said to be large? The same scene asked for twice, with one word for its size exchanged.

How large an object looks depends on how far away it is, which no prompt says; so sizes are not read, they are compared:
with the same seed, an object that is called large should look larger than where it is called small.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.progress import Progress

from ozora.evaluate.bench import Bench
from ozora.evaluate.cases import Case, cases_hash
from ozora.evaluate.measures import Scores, summarize
from ozora.evaluate.motion import Frames, find_paths
from ozora.evaluate.parts import leave_part, open_part
from ozora.evaluate.pixel_cases import NUM_FRAMES, colors_of
from ozora.evaluate.strips import write_strip
from ozora.evaluate.tables import Rows
from ozora.evaluate.verdicts import Metric
from ozora.generate.generator import Generator
from ozora.generate.request import Request
from ozora.world.build import Plan, draw_scene, make_record
from ozora.world.describe import is_shown
from ozora.world.mix import WorldMix
from ozora.world.scene import Scene
from ozora.world.simulate import simulate
from ozora.world.split import split_of
from ozora.world.wording import SIZE_WORDS

SEED = 20261126
NUM_CLIPS = 64
NUM_SHOWN = 4
MAX_ATTEMPTS = 4000
SIZES = {"small": 0.19, "large": 0.30}
"""Metres: well within what captions call so."""
LEAST_RATIO = 1.1
"""Of the radii that are seen: less is no difference."""
TITLE = "Large beside small, in the same words otherwise"
METRICS = {
    "large is larger %": Metric(
        worse=("large for both", "exchanged"), about=f"its radius is {LEAST_RATIO} times the small one's, at least"
    ),
    "radius, large / small": Metric(
        SIZES["large"] / SIZES["small"],
        worse=("large for both", "exchanged"),
        about="as in metres, were both as far away",
    ),
}


def evaluate_sizes(
    generator: Generator | None,
    out: Path,
    num_clips: int | None = None,
    batch: int = 32,
    steps: int | None = None,
    guidance: float | None = None,
    console: Console | None = None,
) -> dict:
    """Draw every case as small and as large; print a table, write sizes.json and sizes.md into ``out``.

    Without a ``generator`` the simulator and the controls are measured alone. ``num_clips`` None is ``NUM_CLIPS``, two
    clips each. Clips are kept in ``out``, so that a stopped evaluation goes on. Returns what sizes.json holds. Raises
    ``ValueError`` for fewer than two.
    """
    identity = open_part(generator, out, num_clips, NUM_CLIPS, steps, guidance)
    console, cases = console or Console(), size_cases(identity["num_clips"])
    with Progress(console=console, transient=True) as progress:
        benches = {word: Bench(generator, own, out, batch, steps, guidance, progress) for word, own in cases.items()}
        clips = {word: _clips(bench, word) for word, bench in benches.items()}
    radii = {source: {word: _radii(cases[word], clips[word][source]) for word in SIZES} for source in clips["large"]}
    true = radii["simulator"]
    radii["large for both"] = dict.fromkeys(SIZES, true["large"])
    radii["exchanged"] = {"small": true["large"], "large": true["small"]}
    rows: Rows = {source: summarize(_scores(pair)) for source, pair in radii.items()}
    identity |= {
        "evaluation_sets": {f"sizes, {word}": cases_hash(own) for word, own in cases.items()},
        "asks": {"sizes": "One word of the prompt is exchanged, the seed is the same. Does the object look larger?"},
        "metrics": {TITLE: {column: dataclasses.asdict(metric) for column, metric in METRICS.items()}},
        "strips": {"sizes": _strips(cases, clips, out)},
    }
    return leave_part(out, "sizes", "Sizes", _HOW_TO_READ, identity, {"sizes": {TITLE: rows}}, console)


def size_cases(num: int) -> dict[str, list[Case]]:
    """``num`` scenes of one falling object under a camera that stands still, each as small and as large.

    Of the split "new_seeds". The prompts are dense captions that differ in the word for the size, and in what physics
    makes of it. Raises ``ValueError`` where too few scenes say it.
    """
    pairs = [_pair(i) for i in range(num)]
    return {word: [pair[word] for pair in pairs] for word in SIZES}


def _pair(index: int) -> dict[str, Case]:
    mix = WorldMix.mini().change(
        families="drop", num_objects="1", sizes="64x64", num_frames=str(NUM_FRAMES), cameras="static"
    )
    plan = Plan(SEED, mix, "new_seeds")
    for attempt in range(MAX_ATTEMPTS):
        scene = draw_scene(plan, index, attempt)
        if split_of(scene) != plan.split:
            continue
        pair = {word: _resized(scene, word, index) for word in SIZES}
        if all(case is not None for case in pair.values()):
            return {word: case for word, case in pair.items() if case is not None}
    raise ValueError(f"{MAX_ATTEMPTS} scenes in a row from index {index} do not show their object in both sizes")


def _resized(scene: Scene, word: str, index: int) -> Case | None:
    """The scene with its object in another size; None where it is not seen, or the caption does not say the size."""
    name = scene.objects[0].name
    bodies = tuple(replace(body, size=SIZES[word]) if body.name == name else body for body in scene.bodies)
    changed = replace(scene, bodies=bodies)
    trajectory = simulate(changed)
    if not is_shown(changed, trajectory):
        return None
    record = make_record(f"sizes-{index:04d}-{word}", changed, trajectory)
    prompt = record.text("dense")
    if (
        prompt is None
        or record.facts is None
        or not any(f" {said} " in f" {prompt.lower()} " for said in SIZE_WORDS[word])
    ):
        return None
    return Case(record.id, prompt, index, record.facts, record)


def _clips(bench: Bench, word: str) -> dict[str, list[Frames]]:
    """The model's, the reconstructed and the simulator's clips of the cases in one size."""

    def request(generator: Generator, i: int) -> Request:
        case, clip = bench.cases[i], bench.truth(i).clip
        return Request(case.prompt, clip.size, NUM_FRAMES / clip.fps, clip.fps, **bench.options(case))

    if bench.generator is None:
        return {"simulator": bench.simulated}
    drawn = bench.draw(f"size {word}", request)
    return {"model": drawn, "reconstruction": bench.reconstructed, "simulator": bench.simulated}


def _radii(cases: Sequence[Case], clips: Sequence[Frames]) -> Float[np.ndarray, " n"]:
    """Pixels: the median radius of the object of the right color, in every clip; NaN where there is none."""
    found = [find_paths(frames, list(colors_of(case))) for case, frames in zip(cases, clips, strict=True)]
    return np.array([paths.radii[0] if paths.found[0] else np.nan for paths in found])


def _scores(pair: Mapping[str, Float[np.ndarray, " n"]]) -> list[Scores]:
    ratios = pair["large"] / pair["small"]
    return [
        {
            "large is larger %": bool(ratio >= LEAST_RATIO) if np.isfinite(ratio) else None,
            "radius, large / small": float(ratio) if np.isfinite(ratio) else None,
            "seen in both %": bool(np.isfinite(ratio)),
        }
        for ratio in ratios
    ]


def _strips(
    cases: Mapping[str, Sequence[Case]], clips: Mapping[str, Mapping[str, Sequence[Frames]]], out: Path
) -> list[dict]:
    """The first cases, small beside large: the model's where there is one, and the simulator's."""
    sources = [source for source in ("model", "simulator") if source in clips["large"]]
    return [
        write_strip(
            out,
            f"sizes-{i:03d}",
            cases["large"][i].prompt,
            {f"{source}, {word}": clips[word][source][i] for source in sources for word in SIZES},
        )
        for i in range(min(NUM_SHOWN, len(cases["large"])))
    ]


_HOW_TO_READ = """In brackets stands the 95 % interval of a bootstrap over cases. *large for both* takes the same clip
twice, *exchanged* the small one for the large one. Clips that do not show the object in its color cannot be judged.
"""
