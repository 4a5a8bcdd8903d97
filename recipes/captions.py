"""DALL-E 3's experiment in miniature: the transformer on short, on captioner-written and on true dense captions.

    python recipes/captions.py RUNS/data RUNS/data-written          (the captioner retells every clip, 95 to 5)
    ozora train recipes/captions.py:short --out RUNS/short          (RUNS/short/data -> RUNS/data, a link)
    ozora train recipes/captions.py:written --out RUNS/written      (RUNS/written/data -> RUNS/data-written)
    ozora train recipes/captions.py:dense --out RUNS/dense          (RUNS/dense/data -> RUNS/data)
    ozora evaluate RUNS/short/short --suite prompts --out RUNS/short/report          (and the other two)

Hardware: two cores. Time: each run as many rows as the others, ten minutes at 600; retelling 5120 clips takes about as
long. Losses are not comparable between the three, scores on the prompts are.
"""

from dataclasses import replace
from pathlib import Path

import tyro

from ozora.data.dataset import MixtureConfig
from ozora.model.transformer import TransformerConfig
from ozora.terminal import progress_bar
from ozora.train.config import RunConfig, TrainConfig, TransformerFit
from ozora.train.optimizer import OptimizerConfig

NUM_ROWS = 600


def _fit(name: str, style: str) -> TrainConfig:
    mixture = MixtureConfig(styles={style: 1.0}, pictures=0.0, two_spans=0.0, mid_clip=0.08, masks=0.2)
    fit = TransformerFit(
        run=RunConfig(num_steps=NUM_ROWS, log_steps=20),
        name=name,
        autoencoder="mini",
        network=TransformerConfig(width=256, num_blocks=8, num_heads=4),
        optimizer=OptimizerConfig(learning_rate=8e-4, warm_up_steps=100, ema_decay=0.99),
        mixture=mixture,
        sigma_mean=0.2,
        reference_tokens=40,
        row_tokens=1600,
    )
    return TrainConfig(name, (replace(fit, card=f"# {name}\n\nAn experiment: see recipes/captions.py.\n"),))


def short() -> TrainConfig:
    return _fit("short", "short")


def written() -> TrainConfig:
    return _fit("written", "dense")


def dense() -> TrainConfig:
    return _fit("dense", "dense")


def main(source: tyro.conf.Positional[Path], out: tyro.conf.Positional[Path], model: str = "mini") -> None:
    """Write shards of the same clips with the captioner's dense captions."""
    from ozora.data.retell import retell
    from ozora.generate.folder import find_model, load_folder
    from ozora.generate.watch import load_captioner

    folder = find_model(model)
    captioner = load_captioner(folder, load_folder(folder))
    with progress_bar() as progress:
        print(f"{out}: {retell(source, out, captioner, progress=progress)} clips retold by {captioner.id}")


if __name__ == "__main__":
    tyro.cli(main)
