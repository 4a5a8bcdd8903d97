"""What should the middle of the transformer know of the scene? What the simulator says is where, from noisy latents.

Representation alignment (REPA, Yu et al. 2024, eq. 8) with the truth of a simulated world in place of the features of a
pretrained network: a small head reads the tokens after one block and says what the scene's maps say. The head is
thrown away after training.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ozora.data.latents import LatentCache, MapCache, Progress, make_maps
from ozora.data.shards import ShardReader
from ozora.geometry import Geometry
from ozora.model.transformer import Transformer

MAPS = "truth-1"
"""Changes with what ``world.maps.truth_maps`` makes, so that a cache of other maps is not read."""
MOTION = "motion-1"
"""The same of ``world.maps.motion_maps``."""
NO_MAPS = "it is not of one simulated scene, so nobody knows what is where"
SAMPLE = 512  # clips that the channels' mean and deviation are taken from
SMALLEST_DEVIATION = 0.02


@dataclass(frozen=True)
class AlignmentConfig:
    """``weight`` of the head's loss beside the flow's; the head reads what comes out of block ``block`` (from 1)."""

    weight: float = 0.5
    block: int = 4


class AlignedLatents:
    """A latent cache whose latents carry the scene's maps as further channels, each of mean 0 and deviation 1.

    So windows, patches and rows treat both alike; ``Alignment.loss`` takes them apart again. ``refused`` says for each
    clip without maps why it is not shown. Raises ``ValueError`` if that is all of them.
    """

    def __init__(self, latents: LatentCache, *maps: MapCache) -> None:
        self._latents, self._maps = latents, maps
        told = set.intersection(*(set(one.indices) for one in maps))
        self.indices = [index for index in latents.indices if index in told]
        self.refused = {index: NO_MAPS for index in latents.indices if index not in told} | latents.refused
        if not self.indices:
            raise ValueError(f"no clip is left to learn from; refused: {dict(Counter(self.refused.values()))}")
        sample = [self._told(index).flatten(1) for index in self.indices[:: max(1, len(self.indices) // SAMPLE)]]
        deviation, mean = torch.std_mean(torch.cat(sample, dim=1), dim=1)
        self._mean, self._deviation = (x[:, None, None, None] for x in (mean, deviation + SMALLEST_DEVIATION))

    @property
    def fps(self) -> dict[int, float]:
        return self._latents.fps

    def raw(self, index: int) -> Float[Tensor, "c t h w"]:
        return self._latents.raw(index)

    def normalised(self, index: int) -> Float[Tensor, "c t h w"]:
        maps = (self._told(index) - self._mean) / self._deviation
        return torch.cat([self._latents.normalised(index), maps])

    def _told(self, index: int) -> Float[Tensor, "c t h w"]:
        return torch.cat([maps.maps(index) for maps in self._maps])


def make_head(config: AlignmentConfig, num_blocks: int, width: int, map_width: int) -> nn.Module:
    """The small network that says the maps of a token; ``ValueError`` where there is no such block to read."""
    if not 1 <= config.block <= num_blocks:
        raise ValueError(f"alignment reads block {config.block}; the network has 1 to {num_blocks}")
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, map_width))


class Alignment(nn.Module):
    """The head and its loss. It listens to the network that it is made for until that is gone."""

    def __init__(self, network: Transformer, config: AlignmentConfig, map_width: int) -> None:
        super().__init__()
        self.weight = config.weight
        self.head = make_head(config, network.config.num_blocks, network.config.width, map_width)
        self._seen: Tensor | None = None
        network.blocks[config.block - 1].register_forward_hook(self._listen)

    def _listen(self, block: nn.Module, inputs: object, outputs: tuple[Tensor, Tensor]) -> None:
        self._seen = outputs[0]

    def loss(self, maps: Float[Tensor, "n m"]) -> Float[Tensor, ""]:
        """``weight`` times the mean squared error over the tokens of the forward pass just made; call it once each."""
        assert self._seen is not None, "the network has not been called since the last loss"
        said, self._seen = self.head(self._seen), None
        return self.weight * (said.float() - maps).square().mean()


def make_truth(
    reader: ShardReader, folder: Path, geometry: Geometry, split: str | None, progress: Progress | None = None
) -> MapCache:
    """Render the maps of every clip of ``split`` that is not there yet, on all cores, and open the cache.

    Clips that are not of one simulated scene have none. Raises ``ImportError`` where the simulator is not installed.
    """
    from ozora.world.maps import truth_maps  # only with the simulator installed

    return _make(reader, folder, MAPS, truth_maps, geometry, split, progress)


def make_motion(
    reader: ShardReader, folder: Path, geometry: Geometry, split: str | None, progress: Progress | None = None
) -> MapCache:
    """The same of the maps that say what moves, and where to."""
    from ozora.world.maps import motion_maps

    return _make(reader, folder, MOTION, motion_maps, geometry, split, progress)


def _make(
    reader: ShardReader,
    folder: Path,
    name: str,
    make_one: Callable[..., np.ndarray],
    geometry: Geometry,
    split: str | None,
    progress: Progress | None,
) -> MapCache:
    from ozora.world.maps import maps_of_clips

    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("spawn")) as pool:

        def make(reader: ShardReader, indices: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
            parts = [indices[i : i + 64] for i in range(0, len(indices), 64)]
            for made in pool.map(partial(maps_of_clips, reader.folder, geometry=geometry, make=make_one), parts):
                yield from ((index, torch.from_numpy(maps)) for index, maps in made)

        return make_maps(reader, folder, name, make, split=split, progress=progress)
