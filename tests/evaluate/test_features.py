"""Features are the same however clips are batched, sized, timed; a still is seen as a clip that stands still."""

import numpy as np
import pytest
import torch

from ozora.clip import Clip
from ozora.evaluate.features import (
    NUM_FRAMES,
    WEIGHTS,
    FeatureNetwork,
    clip_features,
    load_features,
    look_features,
    standard,
    standard_size,
)


def noise(seed: int, num_frames: int = 17, width: int = 64, height: int = 64, fps: float = 8.0) -> Clip:
    shape = (num_frames, height, width, 3)
    return Clip(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8), fps)


def test_frames_keep_their_aspect_and_have_the_area_of_64x64():
    assert standard_size(64, 64) == standard_size(48, 48) == standard_size(512, 512) == (64, 64)
    assert standard_size(80, 48) == (80, 48) and standard_size(48, 80) == (48, 80)
    for size in ((176, 96), (96, 176), (1920, 1080), (640, 272)):
        width, height = standard_size(*size)
        assert width % 8 == height % 8 == 0
        assert 0.9 < width * height / 4096 < 1.1 and abs(np.log(width / height * size[1] / size[0])) < 0.15


def test_time_is_sampled_at_eight_frames_a_second_and_the_last_frame_held():
    clip = noise(0)
    twice = Clip(clip.frames.repeat(2, axis=0), 16.0)
    assert torch.equal(standard(clip), standard(twice))
    assert torch.equal(standard(clip), clip.slice(0, NUM_FRAMES).to_signal())
    short = standard(clip.slice(0, 3))
    assert short.shape == (3, NUM_FRAMES, 64, 64) and torch.equal(short[:, 2], short[:, -1])


def test_features_do_not_depend_on_company_and_keep_the_order_of_clips():
    clips = [noise(0), noise(1, width=80, height=48), noise(2), noise(3), noise(4, num_frames=1)]
    together = clip_features(clips)
    alone = np.concatenate([clip_features([clip]) for clip in clips])
    assert together.shape == (5, load_features().config.num_features)
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_time_counts_for_clips_and_not_for_their_look():
    clip = noise(6)
    backward = Clip(clip.frames[:16][::-1].copy(), 8.0)
    assert np.abs(clip_features([clip]) - clip_features([backward])).max() > 0.1
    np.testing.assert_allclose(look_features([clip]), look_features([backward]), atol=1e-4)


def test_the_weights_are_small_and_fit():
    assert WEIGHTS.stat().st_size <= 2 * 2**20
    network = load_features()
    assert not network.training and not any(parameter.requires_grad for parameter in network.parameters())


def test_weights_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"recipes/features\.py makes it"):
        load_features(tmp_path / "none.safetensors")


def test_loading_draws_no_random_numbers():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    load_features.cache_clear()
    load_features()
    assert torch.equal(torch.rand(1), expected)


def test_the_network_is_blind_to_nothing():
    """Every frame and every part of it moves some feature."""
    torch.manual_seed(0)
    network = FeatureNetwork().eval()
    signal = torch.rand(1, 3, NUM_FRAMES, 64, 64).requires_grad_()
    network(signal).square().sum().backward()
    assert signal.grad is not None
    assert (signal.grad.abs().sum(dim=(1, 3, 4)) > 0).all()
    cells = signal.grad.abs().sum(dim=(0, 1, 2)).unfold(0, 8, 8).unfold(1, 8, 8).sum(dim=(2, 3))
    assert (cells > 0).all()
