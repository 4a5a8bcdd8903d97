"""How is a network told which tokens are given: by noise levels of their own, or by a mask beside one level for all?

    python recipes/mask_channel.py RUNS --data DATA --rows 600 --seeds 2

Both arms are one transformer from nothing, on the same examples, masks, noise and number of rows. *Noise levels* is
what Ozora ships: what is given has level 0, and modulation tells the tokens apart. *Mask channel* is the other habit
(inpainting Stable Diffusion, most image-to-video models): every token of a clip is told the one level of what is to be
made, and one number beside each patch says whether it is given. Masks are those of training, but whole: what a mask
channel cannot say (given in part) is left out. The yardstick is the loss on what is to be made of 120 clips that no run
saw, for the masks of five tasks; and how much lower it is than if nothing were given, which is what the network makes
of pixels. RUNS/mask-channel.md is the table; called again, it goes on with the arms that are not done.

From nothing, a network learns late what pixels are for; ``--init-from MODEL`` has both arms go on from trained weights
instead. Those know noise levels already, so the mask channel starts behind: what counts is whether it catches up.

DATA holds the clips of ``recipes/mini.py``; their latents are kept in RUNS/cache. Hardware: one core. Time: 600 rows of
the small network take 5 minutes on a quiet core, so two arms of two seeds 20.
"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from jaxtyping import Float
from torch import Generator, Tensor, nn
from tyro.conf import Positional

from ozora.data.batch import Row, RowPacker, make_row
from ozora.data.dataset import Dataset
from ozora.data.shards import ShardReader
from ozora.flow.objective import CLEAN_BELOW, NUM_BINS, FlowLoss, flow_loss
from ozora.flow.path import mix
from ozora.flow.schedule import stratified
from ozora.generate.folder import find_model, load_folder
from ozora.generate.tasks import random_canvas_mask
from ozora.language.encoder import load_text_encoder
from ozora.model.transformer import Transformer, TransformerConfig
from ozora.nn.rows import Layout
from ozora.train.config import TransformerFit
from ozora.train.fit_transformer import draw_noise_levels, open_dataset
from ozora.train.held_out import SPLIT, build_held_out
from ozora.train.optimizer import Ema, apply_gradients, make_optimizers
from ozora.train.run import load_recipe

NETWORK = TransformerConfig(width=128, num_blocks=6, num_heads=4)
NUM_HELD_OUT = 120
CLIPS_A_ROW = 20
TASKS: dict[str, tuple[slice, slice, slice]] = {  # latent frames, rows and columns that are to be made
    "animate": (slice(1, None), slice(None), slice(None)),
    "extend forward": (slice(3, None), slice(None), slice(None)),
    "extend backward": (slice(3), slice(None), slice(None)),
    "connect": (slice(2, 4), slice(None), slice(None)),
    "fill": (slice(None), slice(2, 6), slice(2, 6)),
}


class MaskChannel(nn.Module):
    """A transformer that is told one level for all tokens of a clip, and by one number each whether it is given.

    It is asked as ``Transformer`` is, with level 0 for what is given, so that it trains and samples by the same code.
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.network = Transformer(replace(config, patch_width=config.patch_width + 1))

    def forward(
        self, patches: Float[Tensor, "n p"], sigma: Float[Tensor, " n"], layout: Layout
    ) -> Float[Tensor, "n p"]:
        given = (sigma == 0).to(patches.dtype)
        seen = torch.cat([patches, given[:, None]], dim=1)
        return self.network(seen, level_of_segments(sigma, layout), layout)[:, :-1]


def level_of_segments(sigma: Float[Tensor, " n"], layout: Layout) -> Float[Tensor, " n"]:
    """The highest level in each segment, for all of its tokens."""
    lengths = np.diff(layout.segment_offsets).tolist()
    return torch.cat([part.max().expand(len(part)) for part in sigma.split(lengths)])


ARMS: dict[str, Callable[[TransformerConfig], nn.Module]] = {"noise levels": Transformer, "mask channel": MaskChannel}


@dataclass(frozen=True)
class Result:
    """One arm with one seed: by task, the loss on what is to be made, and the same with nothing given."""

    loss: Mapping[str, float]
    blind: Mapping[str, float]
    seconds_a_row: float


def begin(arm: str, config: TransformerConfig, start: Transformer | None) -> nn.Module:
    """An arm's network, from nothing or from the weights of ``start``; what those do not have is zero."""
    network = ARMS[arm](config)
    if start is not None:
        inner = network.network if isinstance(network, MaskChannel) else network
        for own, given in zip(inner.state_dict().values(), start.state_dict().values(), strict=True):
            own.zero_()[tuple(map(slice, given.shape))] = given
    return network


def whole_mask(grid: tuple[int, int, int], generator: Generator) -> Float[Tensor, "t h w"]:
    """A mask of training in which every cell is given or not."""
    return (random_canvas_mask(grid, generator) >= 0.97).float()


def task_mask(task: str) -> Callable[[tuple[int, int, int], Generator], Float[Tensor, "t h w"]]:
    """The mask of a task for clips of five latent frames of 8x8 cells."""

    def mask(grid: tuple[int, int, int], _: Generator) -> Float[Tensor, "t h w"]:
        known = torch.ones(grid)
        known[TASKS[task]] = 0
        return known

    return mask


def held_out_rows(dataset: Dataset, task: str) -> list[Row]:
    """The first clips of 64x64, whole and each with one caption, with what ``task`` gives of them."""
    mixture = replace(dataset.mixture, no_text=0.0, pictures=0.0, mid_clip=0.0, two_spans=0.0, masks=1.0, jitter=0.0)
    asked = Dataset(dataset.latents, dataset.captions, dataset.geometry, task_mask(task), mixture)
    clips = [index for index in asked.indices if asked.latents.raw(index).shape[1:] == (5, 8, 8)][:NUM_HELD_OUT]
    examples = [asked.example(0, index) for index in clips]
    parts = [examples[i : i + CLIPS_A_ROW] for i in range(0, len(examples), CLIPS_A_ROW)]
    return [make_row(part, sum(example.num_tokens for example in part)) for part in parts]


@torch.no_grad()
def held_out_loss(network: nn.Module, rows: Sequence[Row], blind: bool = False) -> float:
    """The loss on what is to be made, all noise levels alike; ``blind`` shows nothing that is given."""
    sums, weights = torch.zeros(2, NUM_BINS)
    for index, row in enumerate(rows):
        generator = torch.Generator().manual_seed(index)
        level = CLEAN_BELOW + (1 - CLEAN_BELOW) * stratified(len(row.segment_tokens), generator).float()
        made = 1 - row.known
        sigma = level[row.segment_of_token] * (1 if blind else made)
        noise = torch.randn(row.clean.shape, generator=generator)
        prediction = network(mix(row.clean, noise, sigma[:, None]), sigma, row.layout)
        loss = flow_loss(prediction, row.clean, noise, sigma, "clean", made)
        sums, weights = sums + loss.sums, weights + loss.weights
    return (sums / weights).nanmean().item()


def training_step(network: nn.Module, row: Row, generator: Generator, fit: TransformerFit) -> FlowLoss:
    """Add noise to a row, predict, measure; the gradient is left in the network."""
    sigma = draw_noise_levels(row, generator, fit)
    noise = torch.randn(row.clean.shape, generator=generator)
    prediction = network(mix(row.clean, noise, sigma[:, None]), sigma, row.layout)
    loss = flow_loss(prediction, row.clean, noise, sigma, "clean")
    loss.mean.backward()
    return loss


def run_arm(
    arm: str,
    seed: int,
    rows: int,
    fit: TransformerFit,
    dataset: Dataset,
    held_out: Mapping[str, list[Row]],
    out: Path,
    start: Transformer | None = None,
) -> Result:
    """Fit one arm with one seed and measure it, or read what was measured."""
    kept = out / f"mask-channel-{arm.replace(' ', '-')}{'-on' if start else ''}-{rows}-{seed}.json"
    if not kept.is_file():
        run = replace(fit.run, num_steps=rows, seed=seed)
        fit = replace(fit, run=run, optimizer=replace(fit.optimizer, warm_up_steps=min(100, rows // 4)))
        torch.manual_seed(seed)
        network = begin(arm, fit.network, start).train()
        optimizers, ema = make_optimizers(network, fit.optimizer), Ema(network, fit.optimizer.ema_decay)
        packer = RowPacker(
            Dataset(dataset.latents, dataset.captions, dataset.geometry, whole_mask, fit.mixture, seed, fit.row_tokens),
            fit.row_tokens,
        )
        seconds = []
        for step in range(rows):
            started = time.process_time()
            generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
            loss = training_step(network, packer.next_row(), generator, fit)
            apply_gradients(network, optimizers, fit.optimizer, step, rows)
            ema.update(network)
            seconds.append(time.process_time() - started)
            if (step + 1) % 50 == 0:
                print(f"{arm}, seed {seed}: {step + 1}/{rows}, loss {loss.mean.item():.3f}", flush=True)
        network.load_state_dict(ema.weights)
        result = measure(network, held_out, float(np.median(seconds)))
        kept.write_text(json.dumps(asdict(result)) + "\n", encoding="utf-8")
    return Result(**json.loads(kept.read_text(encoding="utf-8")))


def measure(network: nn.Module, held_out: Mapping[str, list[Row]], seconds_a_row: float = math.nan) -> Result:
    """The loss for every task, seeing what is given and not."""
    network.eval()
    seen, blind = ({t: held_out_loss(network, rows, hides) for t, rows in held_out.items()} for hides in (False, True))
    return Result(seen, blind, seconds_a_row)


def table(results: Mapping[str, Sequence[Result]], rows: int) -> str:
    """Markdown: the loss of every arm and seed by task, and by how much what is given lowers it."""
    lines = [
        f"### After {rows} rows: loss on what is to be made (and how much lower than with nothing given)",
        "",
        f"| arm, seed | {' | '.join(TASKS)} | s a row |",
        "|---" + "|--:" * (len(TASKS) + 1) + "|",
    ]
    for arm, found in results.items():
        for seed, result in enumerate(found):
            cells = [f"{result.loss[t]:.4f} ({100 * (1 - result.loss[t] / result.blind[t]):.0f} %)" for t in TASKS]
            lines.append(f"| {arm}, {seed} | {' | '.join(cells)} | {result.seconds_a_row:.2f} |")
    return "\n".join([*lines, ""])


def main(out: Positional[Path], data: Path, rows: int = 600, seeds: int = 2, init_from: str | None = None) -> None:
    """Run both arms and print their table. ``data`` holds the clips of recipes/mini.py.

    ``init_from`` is a model that both arms go on from; it has a row of its own, as it was.
    """
    config = load_recipe(str(Path(__file__).with_name("mini.py")))
    fit, world = config.fits[-1], config.world
    assert isinstance(fit, TransformerFit) and world is not None
    torch.set_num_threads(1)
    model, encoder = load_folder(find_model("mini")), load_text_encoder(fit.text_encoder)
    widths = {"patch_width": model.geometry.patch_width, "text_width": encoder.width}
    start = load_folder(find_model(init_from)).transformer if init_from else None
    network = start.config if start else replace(NETWORK, **widths)
    fit = replace(fit, network=network, init_from=None, alignment=None)
    device = torch.device("cpu")
    reader = build_held_out(out / "held-out" / "data", world.mix, workers=1)
    seen = open_dataset(replace(fit, split=SPLIT), reader, model, encoder, out / "held-out", device)
    held_out = {task: held_out_rows(seen, task) for task in TASKS}
    dataset = open_dataset(fit, ShardReader(data), model, encoder, out, device)
    results: dict[str, list[Result]] = {} if start is None else {"as it was": [measure(start, held_out)]}
    results |= {arm: [] for arm in ARMS}
    for seed in range(seeds):  # every arm once before one has a second seed
        for arm in ARMS:
            results[arm].append(run_arm(arm, seed, rows, fit, dataset, held_out, out, start))
            (out / f"mask-channel{'-on' if start else ''}.md").write_text(table(results, rows), encoding="utf-8")
    print(table(results, rows))


if __name__ == "__main__":
    tyro.cli(main)
