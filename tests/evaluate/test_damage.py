"""Damage to frames leaves what stands still still; damage to time leaves every frame as it was; worse is worse."""

import numpy as np
import pytest

from ozora.evaluate.damage import DAMAGES, backward, flickering, frozen, jittered, mosaic, noisy, shuffled, slowed
from ozora.evaluate.distortion import psnr


@pytest.fixture(scope="module")
def frames(draw_discs, line):
    return draw_discs({"red": line((20, 10), (1, 2.5), 17), "blue": line((50, 40), (0, 0), 17)})


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_of_its_kind_and_the_same_every_time(frames, name):
    damage = DAMAGES[name]
    for level in damage.levels:
        broken = damage.apply(frames, level, 3)
        assert broken.shape == frames.shape and broken.dtype == np.uint8
        assert np.array_equal(broken, damage.apply(frames, level, 3))
        if damage.temporal:
            assert all((frame == frames).all(axis=(1, 2, 3)).any() for frame in broken)
        else:
            still = (frames == frames[:1]).all(axis=(0, 3))
            far = still[:8, -8:]  # a corner that nothing comes near
            assert far.all() and (broken[:, :8, -8:] == broken[:1, :8, -8:]).all()


@pytest.mark.parametrize("name", [name for name in DAMAGES if name != "backward"])
def test_higher_levels_are_further_from_the_clip(frames, name):
    damage = DAMAGES[name]
    errors = [
        np.mean([-psnr(damage.apply(frames, level, seed), frames) for seed in range(6)]) for level in damage.levels
    ]
    assert errors == sorted(errors)


def test_levels_mean_what_they_say(frames):
    assert (frozen(frames, 1.0) == frames[:1]).all()
    assert np.array_equal(frozen(frames, 0.5)[:8], frames[:8]) and (frozen(frames, 0.5)[8:] == frames[7]).all()
    assert np.array_equal(slowed(frames, 2.0)[::2], frames[:9])
    assert not np.array_equal(shuffled(frames, 2.0, 0), frames)
    assert np.array_equal(shuffled(frames, 4.0, 1)[:4].sum(axis=0), frames[:4].sum(axis=0))
    assert np.array_equal(jittered(frames, 0.0), frames)
    turned = [not np.array_equal(backward(frames, 0.25, seed), frames) for seed in range(100)]
    assert sum(turned) == 25 and np.array_equal(backward(frames, 1.0, 5), frames[::-1])
    grey = np.full_like(frames, 128)
    assert noisy(grey, 8.0).std() == pytest.approx(8, rel=0.05)
    tiles = mosaic(grey, 10.0)[0, :, :, 0]
    assert len(np.unique(tiles)) > 4 and (tiles[:16, :16] == tiles[0, 0]).all()
    light = flickering(grey, 5.0)[:, 0, 0, 0]
    assert (light[1:5] == light[1]).all() and len(set(light.tolist())) > 2
