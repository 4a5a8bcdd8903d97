"""How does a file that somebody has become a clip that a model can work on? By a stated rule, said in a sentence."""

import math
import os
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from ozora.clip import Clip
from ozora.generate.folder import ModelConfig
from ozora.media.read import Metadata, read_clip, read_fitted, read_metadata
from ozora.media.resize import Fit, resize_frame

MARKED = 32
"""A pixel is remade where its mask, fitted, is at least so bright: about an eighth of it is marked."""


def fitting_size(size: tuple[int, int], config: ModelConfig) -> tuple[int, int]:
    """(width, height) at which a model works on a file of ``size``, unless another is asked for.

    Its own where the model can make it and has seen clips so small and so large; else, of the sizes that the model was
    trained on, the one nearest in shape, and of several the largest.
    """
    areas = [width * height for width, height in config.trained.sizes]
    is_legal = all(side % config.geometry.side_multiple == 0 for side in size)
    if is_legal and min(areas) <= size[0] * size[1] <= max(areas):
        return size

    def distance(trained: tuple[int, int]) -> tuple[float, int]:
        unlike = abs(math.log(trained[0] / trained[1] * size[1] / size[0]))
        return round(unlike, 6), -trained[0] * trained[1]

    return min(config.trained.sizes, key=distance)


def fitting_rate(source: Metadata, config: ModelConfig) -> float:
    """Frames per second at which a model works on a video: its own if the model has seen such, else the default."""
    is_known = min(config.trained.fps) <= source.fps <= max(config.trained.fps)
    return source.fps if is_known and not source.is_variable else config.default_fps


def read_for_model(
    path: str | os.PathLike[str],
    config: ModelConfig,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    fit: Fit = "crop",
    seconds: float | None = None,
) -> tuple[Clip, str]:
    """The clip of a video or picture at a size and rate that suit the model, and what was done to it in a sentence.

    None leaves size and rate to ``fitting_size`` and ``fitting_rate``. Its first ``seconds`` are kept (None: all of
    it), however much of them the model can see at once. Raises ``ValueError`` for a size that the model cannot make,
    and for a file that cannot be read.
    """
    source = read_metadata(path)
    size = size or fitting_size((source.width, source.height), config)
    config.geometry.check_size(*size)
    return read_fitted(Path(path), size, fit, fps=fps or fitting_rate(source, config), seconds=seconds)


def read_mask(
    path: str | os.PathLike[str], size: tuple[int, int], num_frames: int, fps: float
) -> Bool[np.ndarray, "t h w"]:
    """A picture or a video that is white where a clip is to be remade, before it is fitted as the clip was.

    ``size`` is the clip's file's as shown, ``num_frames`` and ``fps`` those of the clip as read; a picture (t = 1)
    stands for every frame. Raises ``ValueError`` for a mask of another size or length.
    """
    path = Path(path)
    metadata = read_metadata(path)
    if (metadata.width, metadata.height) != size:
        raise ValueError(
            f"mask {path.name} has {metadata.width}x{metadata.height} pixels; it must have those of the clip, "
            f"{size[0]}x{size[1]}"
        )
    shades = read_clip(path, fps=fps if metadata.num_frames > 1 else None)
    if shades.num_frames not in (1, num_frames):
        raise ValueError(
            f"mask {path.name} has {shades.num_frames} frames at {fps:g} fps; it must have 1 or {num_frames}"
        )
    return shades.frames.max(axis=3) >= 128


def fit_mask(mask: Bool[np.ndarray, "t h w"], size: tuple[int, int], fit: Fit = "crop") -> Bool[np.ndarray, "t h2 w2"]:
    """A mask fitted to ``size`` (width, height) as its clip was: true wherever something of a pixel is marked."""
    shades = np.where(mask, np.uint8(255), np.uint8(0))
    fitted = [resize_frame(np.repeat(shade[..., None], 3, axis=2), size, fit)[..., 0] for shade in shades]
    return np.stack(fitted) >= MARKED
