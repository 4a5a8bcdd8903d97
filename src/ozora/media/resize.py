"""How is a clip fitted to another size or frame rate? By a stated rule, never in silence."""

from typing import Literal, get_args

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8
from torch.nn import functional

from ozora.clip import Clip
from ozora.media.timing import retime

Fit = Literal["crop", "letterbox", "stretch"]
FITS: tuple[str, ...] = get_args(Fit)


def resize(clip: Clip, size: tuple[int, int], fit: Fit = "crop") -> Clip:
    """The clip at ``size`` (width, height), by bicubic interpolation, antialiased where it shrinks.

    ``crop`` keeps the largest centred part of the right shape, ``letterbox`` keeps all and adds black bars,
    ``stretch`` keeps all and changes the shape. A clip that has the size already comes back as it is, exactly.
    ``describe_fit`` says what is done in words.
    """
    if clip.size == size:
        check_fit(size, fit)
        return clip
    frames = np.empty((clip.num_frames, size[1], size[0], 3), np.uint8)
    for i, frame in enumerate(clip.frames):
        frames[i] = resize_frame(frame, size, fit)
    return Clip(frames, clip.fps)


def resize_frame(frame: UInt8[np.ndarray, "h w 3"], size: tuple[int, int], fit: Fit) -> UInt8[np.ndarray, "h2 w2 3"]:
    """One frame at ``size`` (width, height), as ``resize`` does it."""
    check_fit(size, fit)
    source = (frame.shape[1], frame.shape[0])
    if source == size:
        return frame
    if fit == "crop":
        left, top, width, height = crop_box(source, size)
        return _scale(frame[top : top + height, left : left + width], size)
    if fit == "stretch":
        return _scale(frame, size)
    inner = letterbox_size(source, size)
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    bars = np.zeros((size[1], size[0], 3), np.uint8)
    bars[top : top + inner[1], left : left + inner[0]] = _scale(frame, inner)
    return bars


def check_fit(size: tuple[int, int], fit: str) -> None:
    """Raise ``ValueError`` unless the size is positive and the rule is one of ``FITS``."""
    if min(size) < 1:
        raise ValueError(f"size {size[0]}x{size[1]}: both sides must be at least 1")
    if fit not in FITS:
        raise ValueError(f"fit is {fit!r}; it must be one of {', '.join(FITS)}")


def crop_box(source: tuple[int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """(left, top, width, height) of the largest centred box in ``source`` with the shape of ``size``."""
    width = min(source[0], max(1, round(source[1] * size[0] / size[1])))
    height = min(source[1], max(1, round(source[0] * size[1] / size[0])))
    return (source[0] - width) // 2, (source[1] - height) // 2, width, height


def letterbox_size(source: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of the largest picture with the shape of ``source`` that ``size`` can hold."""
    width = min(size[0], max(1, round(size[1] * source[0] / source[1])))
    height = min(size[1], max(1, round(size[0] * source[1] / source[0])))
    return width, height


def describe_fit(source: tuple[int, int], size: tuple[int, int], fit: Fit) -> str:
    """What ``resize`` does from one size to another, in a few words for a line of output."""
    check_fit(size, fit)
    if source == size:
        return f"size kept at {size[0]}x{size[1]}"
    target = f"{size[0]}x{size[1]}"
    if fit == "stretch":
        return f"stretched from {source[0]}x{source[1]} to {target}"
    if fit == "letterbox":
        inner = letterbox_size(source, size)
        bars = "" if inner == size else f", with black bars to {target}"
        return f"scaled from {source[0]}x{source[1]} to {inner[0]}x{inner[1]}{bars}"
    box = crop_box(source, size)[2:]
    cropped = "" if box == source else f"cropped at the centre from {source[0]}x{source[1]} to {box[0]}x{box[1]}"
    scaled = "" if box == size else f"scaled from {box[0]}x{box[1]} to {target}"
    return ", ".join(part for part in (cropped, scaled) if part)


def resample(clip: Clip, fps: float) -> Clip:
    """The clip at another frame rate and the same length, each frame the one nearest in time."""
    if fps == clip.fps:
        return clip
    if not (np.isfinite(fps) and fps > 0):
        raise ValueError(f"fps is {fps}; it must be a positive finite number, 8 for instance")
    num_frames = max(1, round(clip.seconds * fps))
    if num_frames > 1_000_000:
        raise ValueError(f"fps is {fps:g}: {num_frames} frames; at most 1000000 can be made, lower fps")
    index = list(retime(((i / clip.fps, i) for i in range(clip.num_frames)), fps, num_frames))
    return Clip(clip.frames[index], fps)


def _scale(frame: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "h2 w2 3"]:
    if (frame.shape[1], frame.shape[0]) == size:
        return frame
    pixels = rearrange(torch.from_numpy(frame.astype(np.float32)), "h w c -> 1 c h w")
    scaled = functional.interpolate(pixels, size=(size[1], size[0]), mode="bicubic", antialias=True)
    scaled = scaled.round().clamp(0, 255).to(torch.uint8)
    return rearrange(scaled, "1 c h w -> h w c").contiguous().numpy()
