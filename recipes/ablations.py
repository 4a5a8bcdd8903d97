"""What is each choice worth? Short runs from nothing that differ in one thing, three seeds each, on one yardstick.

    python recipes/ablations.py rates --out RUNS --rows 100   (learning rates of AdamW and Muon, on a seed apart)
    python recipes/ablations.py transformer --out RUNS        (optimiser, alignment, conditioning, path, prediction)
    python recipes/ablations.py latents --out RUNS            (regularisers of the autoencoder)

An experiment is a row of ``EXPERIMENTS``: one base, and arms that each change one thing in it. The base is the
transformer of ``recipes/mini.py`` made small (128 wide, 6 blocks, 4 heads, 1.9 M parameters), with AdamW, text by
cross-attention, the straight path and clean prediction. All arms have the same compute, examples, noise and,
seed by seed, first weights where shapes agree. The yardstick is the loss on clips that no run saw, never the training
loss. RUNS/NAME.md is the table. Arms are done one by one (``--workers`` at a time, one thread each); called again, it
goes on. ``--data`` holds clips like those of ``recipes/mini.py``; without it 3072 are simulated.

Each arm of "latents" has a short autoencoder of its own, one for all seeds, and a transformer that learns from it.
Latents are normalised, so a loss is the share of their own variance that stays unknown: latents that carry less are
easier to know. So clean predictions are decoded and compared with the frames, too, from several noise levels; at 1 no
latents give anything away, and only the words are the same help to all. "again" is the base with another seed of the
autoencoder: what differs no more than that says nothing of regularisers.

Muon's own arithmetic, a fifth of a row's at this width, is not counted. Hardware: one core. Time: about 80 seconds for
150 rows, so "transformer" takes 35 minutes; "latents" adds three minutes for each autoencoder. Expected: pooled text
ahead and text in the sequence behind, for these are the rows that their cost leaves (docs/ablations).
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
import torch
import tyro
from tyro.conf import Positional

from ozora.data.batch import make_row
from ozora.data.dataset import Example
from ozora.data.shards import ShardReader
from ozora.evaluate.distortion import psnr
from ozora.generate.folder import Model, load_folder
from ozora.language.encoder import load_text_encoder
from ozora.model.patches import patchify, segment, unpatchify
from ozora.nn.rows import Span
from ozora.train.alignment import AlignmentConfig
from ozora.train.compute import even_row, training_flops
from ozora.train.config import AutoencoderFit, TrainConfig, TransformerFit, WorldConfig
from ozora.train.held_out import HeldOutLoss, build_held_out, clean_patches, held_out_loss, held_out_rows
from ozora.train.run import build_world, load_recipe, train

STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36}
"""95 % points of Student's t for so many pairs."""
RATES = {"adamw": 3e-3, "muon": 6e-3}
"""Each optimiser's best learning rate of "rates", which is the highest that was tried."""
TUNING_SEED = 100
NUM_ITEMS = 3072
AUTOENCODER_STEPS = 200
NOISE = (0.0, 0.5, 0.8, 1.0)
"""Levels from which clean predictions are decoded; 0 is the autoencoder alone."""
NUM_PSNR_CLIPS = 24


@dataclass(frozen=True)
class Arm:
    """One setting: what it changes in the base. ``latents``: what it changes in an autoencoder of its own."""

    fit: Callable[[TransformerFit], TransformerFit] = lambda fit: fit
    latents: Callable[[AutoencoderFit], AutoencoderFit] | None = None


def optimizer(kind: str, rate: float, fit: TransformerFit) -> TransformerFit:
    return replace(fit, optimizer=replace(fit.optimizer, kind=kind, learning_rate=rate))


def network(changes: Mapping[str, str], fit: TransformerFit) -> TransformerFit:
    return replace(fit, network=replace(fit.network, **changes))


def changed(changes: Mapping[str, object], fit):
    return replace(fit, **changes)


EXPERIMENTS: dict[str, dict[str, Arm]] = {
    "rates": {
        f"{kind} {rate:g}": Arm(partial(optimizer, kind, rate))
        for kind, rates in (("adamw", (1.5e-3, 3e-3)), ("muon", (1.5e-3, 3e-3, 6e-3)))
        for rate in rates
    },
    "transformer": {
        "base": Arm(),
        "muon": Arm(partial(optimizer, "muon", RATES["muon"])),
        "aligned": Arm(partial(changed, {"alignment": AlignmentConfig(weight=0.5, block=3)})),
        **{kind: Arm(partial(network, {"conditioning": kind})) for kind in ("in_context", "adaln", "adaln_zero")},
        "variance preserving": Arm(partial(changed, {"path": "variance_preserving"})),
        "velocity": Arm(partial(network, {"prediction": "velocity"})),
    },
    "latents": {
        "kl 1e-4": Arm(latents=partial(changed, {})),
        "kl 1e-2": Arm(latents=partial(changed, {"kl_weight": 1e-2})),
        "no equivariance": Arm(latents=partial(changed, {"equivariance": 0.0})),
        "again": Arm(latents=lambda fit: replace(fit, run=replace(fit.run, seed=1))),
    },
}


@dataclass(frozen=True)
class Result:
    """One arm with one seed. ``psnr`` in dB by ``NOISE``, where it has an autoencoder of its own."""

    loss: HeldOutLoss
    rows: int
    seconds_a_row: float
    psnr: tuple[float, ...] | None = None


def base(rows: int) -> TransformerFit:
    """The shipped recipe's transformer made small, from nothing: AdamW, the shipped latents, one thread."""
    fit = load_recipe(str(Path(__file__).with_name("mini.py"))).fits[-1]
    assert isinstance(fit, TransformerFit)
    small = replace(
        fit,
        autoencoder="mini",
        run=replace(fit.run, num_steps=rows, num_threads=1, sample_seconds=0.0),
        network=replace(fit.network, width=128, num_blocks=6, num_heads=4),
        optimizer=replace(fit.optimizer, warm_up_steps=min(fit.optimizer.warm_up_steps, rows // 4)),
    )
    return optimizer("adamw", RATES["adamw"], small)


def fits_of(name: str, rows: int, num_seeds: int) -> dict[str, list[tuple[AutoencoderFit | TransformerFit, ...]]]:
    """What each arm of an experiment fits for each seed, with as many rows as cost what the base's ``rows`` cost.

    "rates" has one seed, which no other experiment has. Raises ``ValueError`` for an experiment that there is not.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"experiment {name!r} is not one of {', '.join(EXPERIMENTS)}")
    plain, layout = base(rows), even_row()
    seeds = (TUNING_SEED,) if name == "rates" else range(num_seeds)
    found: dict[str, list[tuple[AutoencoderFit | TransformerFit, ...]]] = {}
    for label, arm in EXPERIMENTS[name].items():
        fit, slug = arm.fit(plain), f"{name}-{label}".replace(" ", "-")
        share = training_flops(plain.network, layout) / training_flops(fit.network, layout)
        steps = max(1, round(rows * share))
        for seed in seeds:
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
    optimization = replace(fit.optimizer, warm_up_steps=min(fit.optimizer.warm_up_steps, AUTOENCODER_STEPS // 4))
    return change(replace(fit, name=name, run=run, optimizer=optimization))


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
        decoded = decoded_psnr(model, fit, reader) if len(parts) > 1 else None
        result = Result(loss, fit.run.num_steps, seconds_a_row(out / f"{fit.name}-run"), decoded)
        kept.write_text(json.dumps(asdict(result)) + "\n", encoding="utf-8")
    values = json.loads(kept.read_text(encoding="utf-8"))
    loss = HeldOutLoss(values["loss"]["mean"], tuple(values["loss"]["by_noise"]))
    return Result(loss, values["rows"], values["seconds_a_row"], values["psnr"] and tuple(values["psnr"]))


@torch.no_grad()
def decoded_psnr(model: Model, fit: TransformerFit, reader: ShardReader) -> tuple[float, ...]:
    """How near decoded clean predictions come to the frames of the first clips, in dB, by ``NOISE``.

    The same clips, dense captions and noise for every model. Means of each clip's PSNR.
    """
    assert model.transformer is not None
    moving = [i for i in range(len(reader)) if reader.record(i).num_frames > 1][:NUM_PSNR_CLIPS]
    clips = [reader.clip(i) for i in moving]
    texts = load_text_encoder(fit.text_encoder).encode([reader.record(i).text("dense") or "" for i in moving])
    latents = [model.encode(clip) for clip in clips]
    patches = [patchify(one, model.geometry.patch) for one in latents]
    grids = [(one.shape[1], one.shape[2], one.shape[3]) for one in latents]
    examples = [
        Example(segment(grid, clip.fps, model.geometry, [Span(len(one), text)]), one, torch.zeros(len(one)), "clip")
        for one, grid, clip, text in zip(patches, grids, clips, texts)
    ]
    row = make_row(examples, sum(map(len, patches)))
    noise = torch.randn(row.clean.shape, generator=torch.Generator().manual_seed(0))
    found = []
    for level in NOISE:
        sigma = torch.full((len(noise),), level)
        clean = clean_patches(model.transformer.eval(), model.config.path, row, sigma, noise) if level else row.clean
        values = []
        for one, grid, clip in zip(clean.split([len(one) for one in patches]), grids, clips):
            values.append(psnr(model.decode(unpatchify(one, grid, model.geometry.patch), clip.fps), clip))
        found.append(float(np.mean(values)))
    return tuple(found)


def seconds_a_row(run: Path) -> float:
    """The median over the logged stretches of a run, so that pauses do not count."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    steps, seconds = (np.diff([0, *(line[key] for line in lines)]) for key in ("step", "seconds"))
    whole = (steps > 0) & (seconds > 0)
    return float(np.median(seconds[whole] / steps[whole])) if whole.any() else math.nan


def compare(losses: Sequence[float], first: Sequence[float]) -> tuple[float, float]:
    """How much lower than the first arm's an arm's losses are, as a share, and half of the 95 % interval of that."""
    return paired(1 - np.array(losses) / np.array(first))


def paired(gains: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """The mean of what seeds gained, and half of its 95 % interval.

    Seeds are paired, for they share first weights (where shapes agree), examples and noise. One seed tells nothing,
    so its interval is without end.
    """
    if len(gains) < 2:
        return float(np.mean(gains)), math.inf
    factor = STUDENT.get(len(gains), 2.3)
    return float(np.mean(gains)), float(factor * np.std(gains, ddof=1) / math.sqrt(len(gains)))


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
        start = f"| {label} | {len(found)} | {found[0].rows} | {np.mean(losses):.4f} | {spread}"
        lines.append(f"{start} | {bands} | {speed:.2f} | {said} |")
    lines += ["", "*gain*: how much lower the loss is than the first arm's, seed by seed, with its 95 % interval.", ""]
    return "\n".join(lines)


def psnr_table(name: str, results: Mapping[str, Sequence[Result]]) -> str:
    """Markdown: what decoded clean predictions are worth, in brackets less the first arm's; bold outside the noise."""
    values = {label: np.array([result.psnr for result in found]) for label, found in results.items() if found}
    first = next(iter(values.values()))
    lines = [
        f"### {name}: decoded clean predictions, PSNR in dB",
        "",
        "| arm | autoencoder | " + " | ".join(f"from noise {level:g}" for level in NOISE[1:]) + " |",
        "|---|" + "--:|" * len(NOISE),
    ]
    for label, seeds in values.items():
        cells = []
        pairs = min(len(seeds), len(first))
        for level, mean in enumerate(seeds.mean(axis=0)):
            gain, margin = paired(seeds[:pairs, level] - first[:pairs, level])
            if seeds is first:
                cells.append(f"{mean:.2f}")
            elif not level or math.isinf(margin):  # seeds have one autoencoder
                cells.append(f"{mean:.2f} ({gain:+.2f})")
            else:
                cell = f"{mean:.2f} ({gain:+.2f} ± {margin:.2f})"
                cells.append(cell if abs(gain) <= margin else f"**{cell}**")
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main(
    name: Positional[str],
    out: Path,
    data: Path | None = None,
    rows: int = 150,
    seeds: int = 3,
    workers: int = 1,
) -> None:
    """Run experiment ``name`` in folder ``out`` and print its table. ``data`` holds clips to learn from."""
    arms = fits_of(name, rows, seeds)
    world = load_recipe(str(Path(__file__).with_name("mini.py"))).world
    assert world is not None
    if data is None:
        data = out / "data"
        build_world(WorldConfig(NUM_ITEMS, world.mix, world.seed), data)
    build_held_out(out / "held-out" / "data", world.mix, workers=workers)
    number = max(map(len, arms.values()))
    order = [(label, seed) for seed in range(number) for label in arms]  # every arm once before one has a second seed
    results: dict[str, list[Result]] = {label: [] for label in arms}
    page = ""
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        todo = [arms[label][seed] for label, seed in order]
        for (label, _), result in zip(order, pool.map(run_arm, todo, [out] * len(todo), [data] * len(todo))):
            results[label].append(result)
            page = table(name, results) + ("\n" + psnr_table(name, results) if result.psnr else "")
            (out / f"{name}.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    tyro.cli(main)
