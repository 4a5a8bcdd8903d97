"""How wrong is a model about clips that it never saw? The loss by noise level on one fixed set of rows.

Training losses cannot be compared between runs that mask, drop text or draw noise differently. Here every model sees
the same clips, captions, noise levels and noise, nothing is masked or cut short, every noise level counts alike, and
whatever a network predicts is turned into a clean prediction first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ozora.data.batch import Row, RowPacker
from ozora.data.shards import ShardReader
from ozora.flow.objective import CLEAN_BELOW, NUM_BINS, flow_loss
from ozora.flow.path import STRAIGHT, convert, mix
from ozora.flow.path import Path as FlowPath
from ozora.flow.schedule import stratified
from ozora.generate.folder import Model
from ozora.language.encoder import load_text_encoder
from ozora.model.transformer import Transformer
from ozora.train.config import TransformerFit
from ozora.train.fit_transformer import open_dataset
from ozora.world.mix import WorldMix

NUM_ROWS = 12
ROW_TOKENS = 1600
SPLIT = "new_seeds"
BUILD_SEED = 20261124


@dataclass(frozen=True)
class HeldOutLoss:
    """``mean`` over all noise levels alike, and ``by_noise`` in ten bins of [0, 1]: squared velocity error a number.

    A bin that no token fell into is nan, and not in the mean.
    """

    mean: float
    by_noise: tuple[float, ...]


def build_held_out(folder: Path, mix: WorldMix, num_clips: int = 384, workers: int | None = None) -> ShardReader:
    """Simulate the clips, where they are not there: scenes of a split that no training sees, drawn from ``mix``."""
    from ozora.world.build import build  # only with the simulator installed

    build(folder, num_clips, BUILD_SEED, mix, SPLIT, workers=workers, show_progress=False)
    return ShardReader(folder)


def held_out_rows(
    reader: ShardReader, fit: TransformerFit, model: Model, cache: Path, num_rows: int = NUM_ROWS
) -> list[Row]:
    """The same rows for every fit of the same ``mixture.styles`` on latents of the same autoencoder.

    ``cache`` is where latents and caption states are kept. Whole clips and pictures, each with one caption.
    """
    mixture = replace(fit.mixture, no_text=0.0, pictures=0.0, mid_clip=0.0, two_spans=0.0, masks=0.0, jitter=0.0)
    plain = replace(
        fit, mixture=mixture, alignment=None, split=SPLIT, row_tokens=ROW_TOKENS, run=replace(fit.run, seed=0)
    )
    device = next(model.autoencoder.parameters()).device
    dataset = open_dataset(plain, reader, model, load_text_encoder(fit.text_encoder, device), cache, device)
    packer = RowPacker(dataset, ROW_TOKENS)
    return [packer.next_row() for _ in range(num_rows)]


@torch.no_grad()
def held_out_loss(model: Model, rows: Sequence[Row]) -> HeldOutLoss:
    """The loss of ``model``'s transformer; of two models on the same rows the noise is the same."""
    assert model.transformer is not None
    network, path = model.transformer.eval(), model.config.path
    sums, weights = torch.zeros(2, NUM_BINS)
    for index, row in enumerate(rows):
        generator = torch.Generator().manual_seed(index)
        sigma = CLEAN_BELOW + (1 - CLEAN_BELOW) * stratified(len(row.segment_tokens), generator).float()
        sigma = sigma[row.segment_of_token] * (1 - row.known)
        noise = torch.randn(row.clean.shape, generator=generator)
        loss = flow_loss(clean_patches(network, path, row, sigma, noise), row.clean, noise, sigma, "clean")
        sums, weights = sums + loss.sums, weights + loss.weights
    by_noise = sums / weights
    return HeldOutLoss(by_noise.nanmean().item(), tuple(by_noise.tolist()))


def clean_patches(
    network: Transformer, path: FlowPath, row: Row, sigma: Float[Tensor, " n"], noise: Float[Tensor, "n p"]
) -> Float[Tensor, "n p"]:
    """The clean patches that the network believes in, whatever it predicts and whatever path it was trained on."""
    device = next(network.parameters()).device
    level = sigma[:, None]
    seen = mix(row.clean, noise, level, path)
    prediction = network(seen.to(device), sigma.to(device), row.layout.to(device)).cpu()
    return convert(prediction, network.config.prediction, "clean", mix(row.clean, noise, level, STRAIGHT), level)
