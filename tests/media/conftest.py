"""A clip with motion, flat areas and gradients that video codecs can hold well."""

import numpy as np
import pytest

from ozora.clip import Clip


def moving_discs(num_frames: int = 9, width: int = 64, height: int = 48, fps: float = 8.0) -> Clip:
    """Two soft discs on a slope of grey; no two frames are alike."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    for t in range(num_frames):
        picture = np.stack([90 + x, 100 + x / 2 + y / 2, 110 + y], axis=-1)
        for color, cx, cy, radius in (
            ((210, 60, 50), 12 + 3 * t, 15, 10),
            ((60, 90, 200), 48, 34 - 2 * t, 8),
        ):
            cover = np.clip((radius - np.hypot(x - cx, y - cy)) / 4 + 0.5, 0, 1)[..., None]
            picture = picture * (1 - cover) + np.array(color) * cover
        frames[t] = picture.clip(0, 255).round()
    return Clip(frames, fps)


@pytest.fixture
def clip() -> Clip:
    return moving_discs()


@pytest.fixture
def make_clip():
    return moving_discs
