"""What is each choice worth? Short runs from nothing that differ in one thing, three seeds each, on one yardstick.

    python recipes/ablations.py optimizer --out RUNS --data DATA
    python recipes/ablations.py conditioning --out RUNS --data DATA --rows 300 --seeds 3 --workers 2

Every experiment is a row of ``EXPERIMENTS``: named changes to one base, the transformer of ``recipes/mini.py``. All
arms have the same compute, data, validation clips, noise and, seed by seed, order of examples; the first arm is what
the others are compared with. The yardstick is the loss on clips that no run saw, by noise level, never the training
loss. RUNS/NAME.md is the table. Arms are done one by one (``--workers`` at a time, one thread each); called again, it
goes on. DATA holds the clips of ``recipes/mini.py``. What sampling changes is ``recipes/guidance.py``.

Hardware: one core an arm. Time: 300 rows take 8 minutes on a quiet core, so two arms of three seeds 50 minutes.
Expected: most differences are inside the noise of three seeds, and the table says so.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import tyro
from tyro.conf import Positional

from ozora.data.shards import ShardReader
from ozora.evaluate.distortion import psnr
from ozora.generate.folder import load_folder
from ozora.train.alignment import AlignmentConfig
from ozora.train.compute import even_row, training_flops
from ozora.train.config import AutoencoderFit, TrainConfig, TransformerFit
from ozora.train.held_out import HeldOutLoss, build_held_out, held_out_loss, held_out_rows
from ozora.train.run import build_world, load_recipe, train

STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36}
"""95 % points of Student's t for so many pairs."""
AUTOENCODER_STEPS = 400
NUM_PSNR_CLIPS = 24


@dataclass(frozen=True)
class Arm:
    """One setting: what it changes in the base. ``latents``: what it changes in an autoencoder of its own."""

    fit: Callable[[TransformerFit], TransformerFit] = lambda fit: fit
    latents: Callable[[AutoencoderFit], AutoencoderFit] | None = None


def optimizer(kind: str, fit: TransformerFit) -> TransformerFit:
    return replace(fit, optimizer=replace(fit.optimizer, kind=kind))


def aligned(weight: float, fit: TransformerFit) -> TransformerFit:
    return replace(fit, alignment=AlignmentConfig(weight=weight))


def network(changes: Mapping[str, str], fit: TransformerFit) -> TransformerFit:
    return replace(fit, network=replace(fit.network, **changes))


def on_path(path: str, fit: TransformerFit) -> TransformerFit:
    return replace(fit, path=path)


def reading(encoder: str, fit: TransformerFit) -> TransformerFit:
    return replace(fit, text_encoder=encoder)


def both(one: Callable, two: Callable, fit: TransformerFit) -> TransformerFit:
    return two(one(fit))


def regularised(changes: Mapping[str, float], fit: AutoencoderFit) -> AutoencoderFit:
    return replace(fit, **changes)


MUON = partial(optimizer, "muon")
ALIGNED = partial(aligned, 0.5)
EXPERIMENTS: dict[str, dict[str, Arm]] = {
    "optimizer": {"adamw": Arm(), "muon": Arm(MUON)},
    "alignment": {"off": Arm(), "weight 0.5": Arm(ALIGNED), "weight 0.1": Arm(partial(aligned, 0.1))},
    "optimizer-alignment": {
        "adamw": Arm(),
        "muon": Arm(MUON),
        "adamw aligned": Arm(ALIGNED),
        "muon aligned": Arm(partial(both, MUON, ALIGNED)),
    },
    "conditioning": {
        kind: Arm(partial(network, {"conditioning": kind}))
        for kind in ("cross_attention", "in_context", "adaln", "adaln_zero")
    },
    "text": {"last layer": Arm(), "layer 2": Arm(partial(reading, "minilm-2"))},
    "path": {"straight": Arm(), "variance preserving": Arm(partial(on_path, "variance_preserving"))},
    "prediction": {"clean": Arm(), "velocity": Arm(partial(network, {"prediction": "velocity"}))},
    "latents": {
        "kl 1e-4": Arm(latents=partial(regularised, {})),
        "kl 1e-6": Arm(latents=partial(regularised, {"kl_weight": 1e-6})),
        "kl 1e-3": Arm(latents=partial(regularised, {"kl_weight": 1e-3})),
        "no equivariance": Arm(latents=partial(regularised, {"equivariance": 0.0})),
        "equivariance always": Arm(latents=partial(regularised, {"equivariance": 1.0})),
    },
}


@dataclass(frozen=True)
class Result:
    """One arm with one seed. ``psnr`` in dB is that of its autoencoder, where it has its own."""

    loss: HeldOutLoss
    rows: int
    seconds_a_row: float
    psnr: float | None = None


def base(rows: int) -> TransformerFit:
    """The shipped recipe's transformer, from nothing, plain: AdamW, no alignment, the shipped latents, one thread."""
    fit = load_recipe(str(Path(__file__).with_name("mini.py"))).fits[-1]
    assert isinstance(fit, TransformerFit)
    run = replace(fit.run, num_steps=rows, num_threads=1, sample_seconds=0.0)
    optimization = replace(fit.optimizer, kind="adamw", warm_up_steps=min(fit.optimizer.warm_up_steps, rows // 4))
    return replace(fit, autoencoder="mini", run=run, optimizer=optimization, alignment=None, init_from=None)


def fits_of(name: str, rows: int, num_seeds: int) -> dict[str, list[tuple[AutoencoderFit | TransformerFit, ...]]]:
    """What each arm of an experiment fits for each seed, with as many rows as cost what the base's ``rows`` cost.

    Raises ``ValueError`` for an experiment that there is not.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"experiment {name!r} is not one of {', '.join(EXPERIMENTS)}")
    plain, layout = base(rows), even_row()
    found: dict[str, list[tuple[AutoencoderFit | TransformerFit, ...]]] = {}
    for label, arm in EXPERIMENTS[name].items():
        fit, slug = arm.fit(plain), f"{name}-{label}".replace(" ", "-")
        share = training_flops(plain.network, layout) / training_flops(fit.network, layout)
        steps = max(1, round(rows * share))
        for seed in range(num_seeds):
            own = replace(fit, name=f"{slug}-{rows}-{seed}", run=replace(fit.run, num_steps=steps, seed=seed))
            own = replace(own, card=f"# {own.name}\n\nAn ablation: see recipes/ablations.py. Not a model to use.\n")
            parts: tuple[AutoencoderFit | TransformerFit, ...] = (own,)
            if arm.latents:
                first = autoencoder(f"{slug}-autoencoder", arm.latents)  # one for all seeds
                parts = (first, replace(own, autoencoder=first.name))
            found.setdefault(label, []).append(parts)
    return found


def autoencoder(name: str, change: Callable[[AutoencoderFit], AutoencoderFit]) -> AutoencoderFit:
    """A short fit of the shipped recipe's autoencoder, from its principal components on."""
    fit = load_recipe(str(Path(__file__).with_name("mini.py"))).fits[0]
    assert isinstance(fit, AutoencoderFit)
    run = replace(fit.run, num_steps=AUTOENCODER_STEPS, num_threads=1, sample_seconds=0.0)
    return change(replace(fit, name=name, run=run))


def run_arm(parts: Sequence[AutoencoderFit | TransformerFit], out: Path, data: Path) -> Result:
    """Fit one arm with one seed, or go on with it, and measure it; what was measured is kept beside its model."""
    fit = parts[-1]
    assert isinstance(fit, TransformerFit)
    kept = out / f"{fit.name}-run" / "held-out.json"
    if not kept.is_file():
        train(TrainConfig(fit.name, tuple(parts), str(data)), resume=True, out=out)
        model = load_folder(out / fit.name)
        reader = ShardReader(out / "held-out" / "data")
        loss = held_out_loss(model, held_out_rows(reader, fit, model, out / "held-out"))
        quality = None
        if len(parts) > 1:
            clips = [reader.clip(i) for i in range(len(reader)) if reader.record(i).num_frames > 1][:NUM_PSNR_CLIPS]
            quality = float(np.mean([psnr(model.decode(model.encode(clip), clip.fps), clip) for clip in clips]))
        result = Result(loss, fit.run.num_steps, seconds_a_row(out / f"{fit.name}-run"), quality)
        kept.write_text(json.dumps(asdict(result)) + "\n", encoding="utf-8")
    values = json.loads(kept.read_text(encoding="utf-8"))
    loss = HeldOutLoss(values["loss"]["mean"], tuple(values["loss"]["by_noise"]))
    return Result(loss, values["rows"], values["seconds_a_row"], values["psnr"])


def seconds_a_row(run: Path) -> float:
    """The median over the logged stretches of a run, so that pauses do not count."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    steps, seconds = (np.diff([0, *(line[key] for line in lines)]) for key in ("step", "seconds"))
    whole = (steps > 0) & (seconds > 0)
    return float(np.median(seconds[whole] / steps[whole])) if whole.any() else math.nan


def compare(losses: Sequence[float], first: Sequence[float]) -> tuple[float, float]:
    """How much lower than the first arm's an arm's losses are, as a share, and half of the 95 % interval of that.

    Seeds are paired, for they share initial weights (where shapes agree), examples and noise. One seed tells nothing,
    so its interval is without end.
    """
    gains = 1 - np.array(losses) / np.array(first)
    if len(gains) < 2:
        return float(gains.mean()), math.inf
    factor = STUDENT.get(len(gains), 2.3)
    return float(gains.mean()), float(factor * gains.std(ddof=1) / math.sqrt(len(gains)))


def verdict(gain: float, margin: float) -> str:
    """What may be said of a difference."""
    if math.isinf(margin):
        return "one seed: no verdict"
    if abs(gain) <= margin:
        return "inside the noise"
    return "better" if gain > 0 else "worse"


def table(name: str, results: Mapping[str, Sequence[Result]]) -> str:
    """Markdown: for every arm the mean loss and the seeds' deviation, by noise level, and what may be said."""
    arms = [label for label, found in results.items() if found]
    first = arms[0]
    lines = [
        f"### {name}: loss on held-out clips",
        "",
        "| arm | seeds | rows | loss | deviation | noise to 0.3 | to 0.7 | to 1 | s a row | gain | verdict |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for label in arms:
        found = results[label]
        losses = [result.loss.mean for result in found]
        levels = np.mean([result.loss.by_noise for result in found], axis=0)
        bands = " | ".join(f"{levels[a:b].mean():.4f}" for a, b in ((0, 3), (3, 7), (7, 10)))
        spread = f"{np.std(losses, ddof=1):.4f}" if len(losses) > 1 else ""
        said = " | "
        if label != first:
            pairs = min(len(losses), len(results[first]))
            gain, margin = compare(losses[:pairs], [result.loss.mean for result in results[first]][:pairs])
            bounds = "" if math.isinf(margin) else f" ± {100 * margin:.1f}"
            said = f"{100 * gain:+.1f}{bounds} % | {verdict(gain, margin)}"
        speed = np.mean([result.seconds_a_row for result in found])
        quality = f" ({np.mean([r.psnr for r in found if r.psnr is not None]):.1f} dB)" if found[0].psnr else ""
        start = f"| {label}{quality} | {len(found)} | {found[0].rows} | {np.mean(losses):.4f} | {spread}"
        lines.append(f"{start} | {bands} | {speed:.2f} | {said} |")
    lines += ["", "*gain*: how much lower the loss is than the first arm's, seed by seed, with its 95 % interval.", ""]
    return "\n".join(lines)


def main(
    name: Positional[str],
    out: Path,
    data: Path | None = None,
    rows: int = 300,
    seeds: int = 3,
    workers: int = 1,
) -> None:
    """Run experiment ``name`` in folder ``out`` and print its table. ``data`` holds the clips of recipes/mini.py."""
    arms = fits_of(name, rows, seeds)
    world = load_recipe(str(Path(__file__).with_name("mini.py"))).world
    assert world is not None
    if data is None:
        data = out / "data"
        build_world(world, data)
    build_held_out(out / "held-out" / "data", world.mix, workers=workers)
    order = [(label, seed) for seed in range(seeds) for label in arms]  # every arm once before one has a second seed
    results: dict[str, list[Result]] = {label: [] for label in arms}
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        todo = [arms[label][seed] for label, seed in order]
        for (label, _), result in zip(order, pool.map(run_arm, todo, [out] * len(todo), [data] * len(todo))):
            results[label].append(result)
            (out / f"{name}.md").write_text(table(name, results), encoding="utf-8")
    print(table(name, results))


if __name__ == "__main__":
    tyro.cli(main)
