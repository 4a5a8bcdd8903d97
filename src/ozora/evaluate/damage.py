"""How are clips broken on purpose? In their frames while time is left alone, or in time while frames are left alone.

Every function takes frames and how much; what is drawn at random depends on the seed alone. Measures must react to
these, the more the worse (``DAMAGES``).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, UInt8

Frames = UInt8[np.ndarray, "t h w 3"]

TOKEN_SIDE = 16
TOKEN_FRAMES = 4


def blurred(frames: Frames, deviation: float, seed: int = 0) -> Frames:
    """Every frame under a Gaussian window of this standard deviation in pixels; edges are held."""
    reach = max(1, round(3 * deviation))
    offset = torch.arange(-reach, reach + 1, dtype=torch.float32)
    weight = torch.exp(-(offset**2) / (2 * deviation**2))
    weight = weight / weight.sum()
    pixels = rearrange(torch.from_numpy(frames.astype(np.float32)), "t h w c -> (t c) 1 h w")
    padded = F.pad(pixels, (reach,) * 4, mode="replicate")
    smooth = F.conv2d(F.conv2d(padded, weight.view(1, 1, 1, -1)), weight.view(1, 1, -1, 1))
    return _pixels(rearrange(smooth, "(t c) 1 h w -> t h w c", c=3).numpy())


def noisy(frames: Frames, deviation: float, seed: int = 0) -> Frames:
    """The same Gaussian noise, of this standard deviation of 255, on every frame: nothing flickers."""
    noise = np.random.default_rng(seed).normal(0, deviation, frames.shape[1:])
    return _pixels(frames + noise)


def mosaic(frames: Frames, deviation: float, seed: int = 0) -> Frames:
    """Tiles of 16x16 pixels each brighter or darker by an amount of this standard deviation of 255, for the whole clip.

    What a generator shows whose tokens do not agree.
    """
    rows, columns = (-(-side // TOKEN_SIDE) for side in frames.shape[1:3])
    tiles = np.random.default_rng(seed).normal(0, deviation, (rows, columns))
    spread = tiles.repeat(TOKEN_SIDE, axis=0).repeat(TOKEN_SIDE, axis=1)[: frames.shape[1], : frames.shape[2]]
    return _pixels(frames + spread[..., None])


def flickering(frames: Frames, deviation: float, seed: int = 0) -> Frames:
    """Every latent frame's frames (the first, then four and four) brighter or darker as a whole.

    Each by an amount of this standard deviation of 255.
    """
    groups = (np.arange(len(frames)) + TOKEN_FRAMES - 1) // TOKEN_FRAMES
    steps = np.random.default_rng(seed).normal(0, deviation, groups[-1] + 1)[groups]
    return _pixels(frames + steps[:, None, None, None])


def shuffled(frames: Frames, window: float, seed: int = 0) -> Frames:
    """Frames in disorder within windows of so many, one window after the other."""
    chance = np.random.default_rng(seed)
    order = np.arange(len(frames))
    for start in range(0, len(frames), int(window)):
        part = order[start : start + int(window)]
        mixed = chance.permutation(part)
        order[start : start + int(window)] = np.roll(part, 1) if (mixed == part).all() else mixed
    return frames[order]


def frozen(frames: Frames, share: float, seed: int = 0) -> Frames:
    """The last ``share`` of the clip shows but one frame: with 1 it is the first, and nothing moves."""
    moving = max(1, round((1 - share) * len(frames)))
    return frames[np.minimum(np.arange(len(frames)), moving - 1)]


def backward(frames: Frames, share: float, seed: int = 0) -> Frames:
    """Of a set of clips whose seeds count from 0, this share runs backward: seeds of every hundred, spread evenly."""
    return frames[::-1].copy() if (37 * seed) % 100 < 100 * share else frames


def slowed(frames: Frames, times: float, seed: int = 0) -> Frames:
    """So many times slower: frames come more than once, and the clip ends early in what happens."""
    return frames[(np.arange(len(frames)) / times).astype(int)]


def jittered(frames: Frames, reach: float, seed: int = 0) -> Frames:
    """In place of every frame one that is at most ``reach`` frames away, each as likely."""
    moved = np.random.default_rng(seed).integers(-int(reach), int(reach) + 1, len(frames))
    return frames[np.clip(np.arange(len(frames)) + moved, 0, len(frames) - 1)]


def noise_like(frames: Frames, seed: int = 0) -> Frames:
    """Every value at random: a clip that shows nothing."""
    return np.random.default_rng(seed).integers(0, 256, frames.shape, dtype=np.uint8)


@dataclass(frozen=True)
class Damage:
    """A kind of damage at rising levels. ``temporal`` damage leaves every frame as it was, the other every instant."""

    apply: Callable[[Frames, float, int], Frames]
    levels: tuple[float, ...]
    temporal: bool
    words: str  # with {} for the level


DAMAGES: dict[str, Damage] = {
    "blur": Damage(blurred, (0.5, 1.0, 2.0, 4.0), False, "blur of {:g} px"),
    "noise": Damage(noisy, (4.0, 8.0, 16.0, 32.0), False, "noise of {:g}"),
    "mosaic": Damage(mosaic, (4.0, 8.0, 16.0, 32.0), False, "tiles off by {:g}"),
    "shuffled": Damage(shuffled, (2.0, 4.0, 8.0, 17.0), True, "shuffled within {:g} frames"),
    "frozen": Damage(frozen, (0.25, 0.5, 0.75, 1.0), True, "last {:.0%} frozen"),
    "backward": Damage(backward, (0.25, 0.5, 0.75, 1.0), True, "{:.0%} of clips backward"),
    "slowed": Damage(slowed, (1.25, 1.5, 2.0, 4.0), True, "{:g} times slower"),
    "jitter": Damage(jittered, (1.0, 2.0, 4.0, 8.0), True, "frames off by up to {:g}"),
}


def _pixels(values: Float[np.ndarray, "t h w 3"]) -> Frames:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
