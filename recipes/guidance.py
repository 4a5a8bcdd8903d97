"""How hard should the prompt pull? One model sampled with several kinds of guidance, on scenes of their own.

    python recipes/guidance.py --out RUNS --model mini

The scenes are of a split that no training sees, and none of those that models are scored on: a setting picked here was
not picked on the evaluation. RUNS/guidance.md is the table. Hardware: two cores. Time: about a minute for every setting
and 48 clips; called again, it goes on. Expected: the settings near the shipped one are inside the noise.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import tyro

from ozora.data.shards import ShardReader
from ozora.evaluate.alignment import PARTS, Reading, compare, read
from ozora.evaluate.cases import Case
from ozora.evaluate.suite import generated, score_rows
from ozora.evaluate.tables import bootstrap, markdown_table
from ozora.generate.folder import SamplingConfig, find_model, load_folder
from ozora.generate.generator import Generator
from ozora.language.encoder import load_text_encoder
from ozora.train.held_out import build_held_out
from ozora.train.run import load_recipe

GUIDED = SamplingConfig(guidance=3.0, guidance_interval=(0.15, 1.0))
SETTINGS: dict[str, SamplingConfig] = {
    "guidance 3": GUIDED,
    **{f"guidance {scale:g}": replace(GUIDED, guidance=scale) for scale in (1.0, 2.0, 4.0, 6.0)},
    "3 up to noise 0.85": replace(GUIDED, guidance_interval=(0.15, 0.85)),
    "3 at every noise level": replace(GUIDED, guidance_interval=(0.0, 1.0)),
    "3 not fitted": replace(GUIDED, fitted_guidance=False, skip_first=False),
}


def own_cases(reader: ShardReader, num_scenes: int, num_seeds: int) -> list[Case]:
    """Clips of a folder as things to ask for, by their dense and medium captions in turn, each with several seeds."""
    cases = []
    moving = [i for i in range(len(reader)) if reader.record(i).num_frames > 1][:num_scenes]
    for place, index in enumerate(moving):
        record = reader.record(index)
        prompt = record.text(("dense", "medium")[place % 2])
        assert prompt is not None and record.facts is not None
        cases += [Case(record.id, prompt, seed, record.facts, record) for seed in range(num_seeds)]
    return cases


def agreement(reading: Reading, case: Case) -> float:
    """The share of the parts that can be judged which are right."""
    score = compare(reading, case.facts)
    judged = [value for part in PARTS if (value := getattr(score, part)) is not None]
    return sum(judged) / len(judged)


def sweep(model: str, cases: list[Case], out: Path) -> str:
    """Score every setting and compare it with the first one, clip by clip; Markdown."""
    loaded = load_folder(find_model(model))
    encoder = load_text_encoder(loaded.config.text_encoder)
    readings: dict[str, list[Reading]] = {}
    for label, setting in SETTINGS.items():
        shipped = loaded.config.sampling
        sampling = replace(setting, sampler=shipped.sampler, steps=shipped.steps)
        generator = Generator(replace(loaded, config=replace(loaded.config, sampling=sampling)), encoder)
        folder = out / f"{loaded.hash[:8]}-{label}-{len(cases)}".replace(" ", "-")
        readings[label] = [read(clip) for clip in generated(generator, cases, 10, None, None, folder)]
    right = {
        label: np.array([agreement(reading, case) for reading, case in zip(found, cases, strict=True)])
        for label, found in readings.items()
    }
    first, *others = SETTINGS
    lines = [markdown_table(f"Guidance of {model}", score_rows(readings, cases, range(len(cases))))]
    lines += [
        f"Parts that are right, of all that can be judged, beside {first}:",
        "",
        "| | points | |",
        "|---|--:|---|",
    ]
    for label in others:
        gain = bootstrap(right[label] - right[first], [case.group for case in cases])
        said = "inside the noise" if gain.low <= 0 <= gain.high else "better" if gain.value > 0 else "worse"
        points = " to ".join(f"{100 * bound:+.1f}" for bound in (gain.low, gain.high))
        lines.append(f"| {label} | {100 * gain.value:+.1f} ({points}) | {said} |")
    return "\n".join([*lines, ""])


def main(out: Path, model: str = "mini", num_scenes: int = 48, num_seeds: int = 3) -> None:
    """Sweep the settings in folder ``out`` and print the table."""
    world = load_recipe(str(Path(__file__).with_name("mini.py"))).world
    assert world is not None
    reader = build_held_out(out / "held-out" / "data", world.mix, workers=1)
    text = sweep(model, own_cases(reader, num_scenes, num_seeds), out)
    (out / "guidance.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    tyro.cli(main)
