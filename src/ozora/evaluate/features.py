"""What is a clip like, as a row of numbers? A small network's features, for distances between sets of clips.

Convolutions within frames and convolutions over time take turns (Tran et al. 2018, "R(2+1)D").
``recipes/features.py`` trains the network to tell the simulator's facts from frames, and in which order the parts of a
clip belong; the features are what the answers are made from. In training it sees no clip that is damaged otherwise.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ozora.clip import Clip

WEIGHTS = Path(__file__).with_name("features.safetensors")
NUM_FRAMES = 16
FPS = 8.0
AREA = 64 * 64
"""Pixels of a frame, whatever its aspect."""
MULTIPLE = 8
"""Both sides of a frame are multiples of this."""
NUM_MOMENTS = 4
"""Parts of a clip, one after the other, of which each has a share of its own in the features."""


@dataclass(frozen=True)
class FeatureConfig:
    """Channels of the three stages, and how many features a clip has."""

    widths: tuple[int, int, int] = (32, 64, 128)
    num_features: int = 48


class OverTime(nn.Module):
    """A convolution over three frames, every pixel by itself; beyond the ends the first and last frame are held."""

    def __init__(self, width: int, stride: int):
        super().__init__()
        self.stride = stride
        self.mix = nn.Conv2d(3 * width, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b t2 c h w"]:
        held = torch.cat([x[:, :1], x, x[:, -1:]], dim=1)
        around = torch.cat([held[:, :-2], x, held[:, 2:]], dim=2)[:, :: self.stride]
        mixed = self.norm(self.mix(_flat(around)))
        return F.relu(x[:, :: self.stride] + rearrange(mixed, "(b t) c h w -> b t c h w", b=x.shape[0]))


class WithinFrames(nn.Module):
    """A convolution over every frame by itself whose sides it divides by ``stride``."""

    def __init__(self, width_in: int, width_out: int, side: int, stride: int):
        super().__init__()
        self.conv = nn.Conv2d(width_in, width_out, side, stride=stride, padding=side // 2, bias=False)
        self.norm = nn.BatchNorm2d(width_out)

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b t c2 h2 w2"]:
        return rearrange(F.relu(self.norm(self.conv(_flat(x)))), "(b t) c h w -> b t c h w", b=x.shape[0])


class FeatureNetwork(nn.Module):
    """Clips of 16 frames -> features, of mean 0 and deviation 1 over the training's clips.

    Every moment's share is the mean and the largest over its pixels, so frames may have any aspect.
    """

    def __init__(self, config: FeatureConfig = FeatureConfig()):
        super().__init__()
        self.config = config
        fine, middle, coarse = config.widths
        self.stages = nn.Sequential(
            WithinFrames(3, fine, 5, 4),
            OverTime(fine, 2),
            WithinFrames(fine, middle, 3, 2),
            OverTime(middle, 2),
            WithinFrames(middle, coarse, 3, 2),
            OverTime(coarse, 1),
        )
        self.join = nn.Linear(2 * NUM_MOMENTS * coarse, config.num_features, bias=False)
        self.scale = nn.BatchNorm1d(config.num_features, affine=False)

    def forward(self, signal: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b d"]:
        cells = self.stages(rearrange(signal, "b c t h w -> b t c h w"))
        moments = torch.cat([cells.mean(dim=(3, 4)), cells.amax(dim=(3, 4))], dim=2)
        return self.scale(self.join(moments.flatten(1)))

    def look(self, signal: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b d2"]:
        """Mean and deviation of every channel of the first convolution, over all pixels and frames: their order, and
        what they show, hardly count; edges, grain and light do."""
        cells = self.stages[0](rearrange(signal, "b c t h w -> b t c h w"))
        return torch.cat([cells.mean(dim=(1, 3, 4)), cells.std(dim=(1, 3, 4))], dim=1)


@lru_cache(maxsize=2)
def load_features(path: Path = WEIGHTS) -> FeatureNetwork:
    """The trained network, in evaluation mode. Raises ``ValueError`` where the file does not fit."""
    with torch.random.fork_rng(devices=[]):  # random weights are drawn and thrown away
        network = FeatureNetwork()
    try:
        weights = load_file(path)
        network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ValueError(
            f"{path} does not hold the features' weights ({error}); recipes/features.py makes it"
        ) from error
    return network.eval().requires_grad_(False)


def standard_size(width: int, height: int) -> tuple[int, int]:
    """Width and height in which a clip is looked at: its aspect, about ``AREA`` pixels, sides of whole multiples."""
    scale = (AREA / (width * height)) ** 0.5 / MULTIPLE
    return max(1, round(width * scale)) * MULTIPLE, max(1, round(height * scale)) * MULTIPLE


def standard(clip: Clip) -> Float[Tensor, "3 t h w"]:
    """The clip as the network sees it: its first two seconds at 8 frames a second, in ``standard_size``.

    So clips of all sizes, rates and aspects can be compared. The frame nearest to each time is taken; a clip that is
    shorter holds its last frame.
    """
    nearest = np.floor(np.arange(NUM_FRAMES) * (clip.fps / FPS) + 0.5).astype(int)
    frames = clip.frames[np.minimum(nearest, clip.num_frames - 1)]
    pixels = rearrange(torch.from_numpy(frames.astype(np.float32) / 127.5 - 1), "t h w c -> t c h w")
    width, height = standard_size(clip.width, clip.height)
    if (height, width) != pixels.shape[2:]:
        pixels = F.interpolate(pixels, (height, width), mode="bilinear", antialias=True, align_corners=False)
    return rearrange(pixels, "t c h w -> c t h w")


def clip_features(clips: Iterable[Clip], batch: int = 32) -> Float[np.ndarray, "n d"]:
    """What every clip shows and what happens in it, in order; ``batch`` neighbours of one size are seen together."""
    return _features(load_features(), clips, batch)


def look_features(clips: Iterable[Clip], batch: int = 32) -> Float[np.ndarray, "n d"]:
    """How the frames of every clip look, whatever they show and in whatever order (``FeatureNetwork.look``)."""
    return _features(load_features().look, clips, batch)


@torch.no_grad()
def _features(see: Callable[[Tensor], Tensor], clips: Iterable[Clip], batch: int) -> Float[np.ndarray, "n d"]:
    rows = []
    for _, run in groupby(map(standard, clips), key=lambda signal: signal.shape):
        while part := list(islice(run, batch)):
            rows.append(see(torch.stack(part)).double().numpy())
    return np.concatenate(rows)


def _flat(x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "n c h w"]:
    return rearrange(x, "b t c h w -> (b t) c h w").contiguous(memory_format=torch.channels_last)
