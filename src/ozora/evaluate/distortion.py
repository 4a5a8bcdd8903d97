"""How far is one clip from another? PSNR and SSIM, over whole frames or inside a mask."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from ozora.clip import Clip

Frames = UInt8[np.ndarray, "t h w 3"]

# Wang et al. 2004, section III.C: the window and the two constants that keep the ratios finite.
WINDOW_SIDE = 11
WINDOW_SIGMA = 1.5
LUMINANCE_CONSTANT = (0.01 * 255) ** 2
CONTRAST_CONSTANT = (0.03 * 255) ** 2
LUMA = (0.299, 0.587, 0.114)


def psnr(clip: Clip | Frames, reference: Clip | Frames, mask: Bool[np.ndarray, "t h w"] | None = None) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(255^2 / mean squared error), over all pixels together.

    With ``mask``, only the pixels where it is true count; an empty mask gives ``nan``. Identical
    clips give infinity. Raises ``ValueError`` unless both clips have one shape.
    """
    first, second = _same_shape(clip, reference)
    squared = np.square(first.astype(np.float32) - second.astype(np.float32))
    if mask is not None:
        if mask.shape != first.shape[:3]:
            raise ValueError(f"the mask has shape {mask.shape}; it must be {first.shape[:3]} like the clip")
        squared = squared[mask]
        if not squared.size:
            return math.nan
    error = float(squared.mean(dtype=np.float64))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def ssim(clip: Clip | Frames, reference: Clip | Frames) -> float:
    """Mean structural similarity of the luma, in [-1, 1], over frames and window positions.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment", 2004, equation 13, with their
    11x11 Gaussian window of standard deviation 1.5 kept inside the frame. Raises ``ValueError``
    unless both clips have one shape with sides of at least 11 pixels.
    """
    first, second = _same_shape(clip, reference)
    if min(first.shape[1:3]) < WINDOW_SIDE:
        raise ValueError(
            f"frames are {first.shape[2]}x{first.shape[1]}; the window needs sides of at least {WINDOW_SIDE}"
        )
    x, y = _luma(first), _luma(second)
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    variance_x = _window_mean(x * x) - mean_x**2
    variance_y = _window_mean(y * y) - mean_y**2
    covariance = _window_mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + LUMINANCE_CONSTANT) / (mean_x**2 + mean_y**2 + LUMINANCE_CONSTANT)
    contrast = (2 * covariance + CONTRAST_CONSTANT) / (variance_x + variance_y + CONTRAST_CONSTANT)
    return float((luminance * contrast).mean())


def _frames(clip: Clip | Frames) -> Frames:
    return clip.frames if isinstance(clip, Clip) else clip


def _same_shape(clip: Clip | Frames, reference: Clip | Frames) -> tuple[Frames, Frames]:
    first, second = _frames(clip), _frames(reference)
    if first.shape != second.shape:
        raise ValueError(f"the clip has shape {first.shape}, the reference {second.shape}; they must be equal")
    return first, second


def _luma(frames: Frames) -> Float[Tensor, "t 1 h w"]:
    luma = frames.astype(np.float64) @ np.array(LUMA)
    return torch.from_numpy(luma)[:, None]


def _window_mean(values: Float[Tensor, "t 1 h w"]) -> Float[Tensor, "t 1 vh vw"]:
    offset = torch.arange(WINDOW_SIDE, dtype=values.dtype) - WINDOW_SIDE // 2
    weight = torch.exp(-(offset**2) / (2 * WINDOW_SIGMA**2))
    weight = weight / weight.sum()
    return F.conv2d(F.conv2d(values, weight.view(1, 1, 1, -1)), weight.view(1, 1, -1, 1))
