"""Is a clip what it says, and do all 256 values survive the way to the signal and back?"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ozora.clip import Clip


def clip_of(values: np.ndarray, fps: float = 8.0) -> Clip:
    """Frames of one pixel each, grey."""
    return Clip(np.repeat(values.astype(np.uint8)[:, None, None, None], 3, axis=3), fps)


def test_every_value_survives_the_round_trip():
    clip = clip_of(np.arange(256))
    signal = clip.to_signal()
    assert signal.shape == (3, 256, 1, 1) and signal.dtype == torch.float32
    assert signal.min() == -1 and signal.max() == 1
    assert np.array_equal(Clip.from_signal(signal, 8.0).frames, clip.frames)


def test_the_signal_is_rounded_to_the_nearest_value_and_clamped():
    step = 2 / 255
    signal = torch.arange(256) * step - 1
    for offset in (-0.49, 0.49):
        moved = (signal + offset * step).expand(3, 1, 1, 256)
        assert np.array_equal(Clip.from_signal(moved, 8.0).frames[0, 0, :, 0], np.arange(256))
    wild = torch.tensor([-1e9, -1.1, 1.1, 1e9]).expand(3, 1, 1, 4)
    assert Clip.from_signal(wild, 8.0).frames[0, 0, :, 0].tolist() == [0, 0, 255, 255]


def test_axes_keep_their_places():
    frames = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), dtype=np.uint8)
    clip = Clip(frames.copy(), 8.0)
    signal = clip.to_signal()
    assert signal.shape == (3, 3, 5, 7)
    assert signal[2, 1, 4, 6] == pytest.approx(frames[1, 4, 6, 2] / 127.5 - 1)
    assert np.array_equal(Clip.from_signal(signal.to(torch.float64), 8.0).frames, frames)
    assert np.array_equal(Clip.from_signal(signal.requires_grad_(), 8.0).frames, frames)
    assert (clip.num_frames, clip.height, clip.width, clip.size) == (3, 5, 7, (7, 5))


@given(st.integers(1, 1000), st.floats(0.01, 240.0))
def test_length_in_seconds(num_frames, fps):
    assert clip_of(np.zeros(num_frames), fps).seconds == pytest.approx(num_frames / fps)


@given(st.integers(1, 12), st.integers(-2, 14), st.integers(-2, 14))
def test_slices(num_frames, start, stop):
    clip = clip_of(np.arange(num_frames))
    if 0 <= start < stop <= num_frames:
        part = clip.slice(start, stop)
        assert part.fps == clip.fps and part.frames[:, 0, 0, 0].tolist() == list(range(start, stop))
    else:
        with pytest.raises(ValueError, match=rf"frames {start}:{stop} asked of a clip of {num_frames}"):
            clip.slice(start, stop)


def test_a_clip_cannot_be_changed():
    clip = clip_of(np.arange(4))
    with pytest.raises(ValueError, match="read-only"):
        clip.frames[0] = 1
    with pytest.raises(AttributeError):
        clip.fps = 3.0  # type: ignore[misc]
    # The signal and a slice are copies.
    clip.to_signal().zero_()
    assert clip.frames[3, 0, 0, 0] == 3


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (1, 0, 4, 3), (1, 4, 0, 3)])
def test_an_empty_clip_is_refused(shape):
    with pytest.raises(ValueError, match="at least one frame of one pixel"):
        Clip(np.zeros(shape, np.uint8), 8.0)


@pytest.mark.parametrize("fps", [0.0, -8.0, float("nan"), float("inf")])
def test_an_impossible_rate_is_refused(fps):
    with pytest.raises(ValueError, match=f"fps is {fps}; it must be a positive finite number"):
        clip_of(np.zeros(1), fps)


def test_it_says_what_it_is_and_plays_in_a_notebook():
    clip = clip_of(np.arange(3), 29.97)
    assert repr(clip) == "Clip(1x1, 3 frames at 29.97 fps)"
    shown = clip._repr_mimebundle_()
    assert shown["text/html"].startswith('<img alt="Clip(1x1') and "data:image/gif;base64,R0lGOD" in shown["text/html"]
    assert shown["text/plain"] == repr(clip)
