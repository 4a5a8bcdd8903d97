import math

import numpy as np
import pytest

from ozora.clip import Clip
from ozora.evaluate.distortion import psnr, ssim


def noise(seed: int, shape: tuple[int, ...] = (3, 24, 32, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_psnr_has_its_closed_form():
    grey = np.full((2, 8, 8, 3), 100, np.uint8)
    assert psnr(grey, grey) == math.inf
    assert psnr(grey + np.uint8(5), grey) == pytest.approx(20 * math.log10(255 / 5))


def test_psnr_inside_a_mask_sees_nothing_outside_it():
    reference, clip = noise(0), noise(0).copy()
    clip[:, :10] = 0
    mask = np.zeros(clip.shape[:3], bool)
    mask[:, 12:] = True
    assert psnr(clip, reference, mask) == math.inf
    assert psnr(clip, reference, ~mask) < 20
    assert math.isnan(psnr(clip, reference, np.zeros_like(mask)))


def test_ssim_equals_the_formula_written_out_at_one_window():
    x, y = noise(1, (1, 11, 11, 3)), noise(2, (1, 11, 11, 3))
    offset = np.arange(11) - 5
    weight = np.exp(-(offset[:, None] ** 2 + offset[None] ** 2) / (2 * 1.5**2))
    weight /= weight.sum()
    a, b = (v[0] @ np.array([0.299, 0.587, 0.114]) for v in (x, y))
    mean_a, mean_b = (weight * a).sum(), (weight * b).sum()
    spread_a, spread_b = (weight * (a - mean_a) ** 2).sum(), (weight * (b - mean_b) ** 2).sum()
    together = (weight * (a - mean_a) * (b - mean_b)).sum()
    c1, c2 = 2.55**2, 7.65**2
    expected = (2 * mean_a * mean_b + c1) * (2 * together + c2)
    expected /= (mean_a**2 + mean_b**2 + c1) * (spread_a + spread_b + c2)
    assert ssim(x, y) == pytest.approx(expected, abs=1e-9)


def test_ssim_is_one_for_equals_and_falls_with_noise():
    clip = Clip(noise(3), 8.0)
    rng = np.random.default_rng(4)
    damaged = [
        np.clip(clip.frames + rng.normal(0, deviation, clip.frames.shape), 0, 255).astype(np.uint8)
        for deviation in (5, 20, 60)
    ]
    scores = [ssim(clip, clip), *(ssim(frames, clip) for frames in damaged)]
    assert scores[0] == pytest.approx(1)
    assert scores == sorted(scores, reverse=True)


def test_unlike_shapes_are_refused():
    with pytest.raises(ValueError, match="must be equal"):
        psnr(Clip(noise(0), 8.0), Clip(noise(0)[:2], 8.0))
    with pytest.raises(ValueError, match="at least 11"):
        ssim(noise(0, (1, 8, 8, 3)), noise(0, (1, 8, 8, 3)))
