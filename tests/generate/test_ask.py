"""Is what is asked with pixels what is made: lengths, kept frames, words in their own span?"""

from dataclasses import replace

import numpy as np
import pytest

from ozora.clip import Clip
from ozora.generate import ask
from ozora.generate.rendering import texts_over_time
from ozora.generate.storyboard import Shot
from ozora.generate.tasks import as_task


def clip_of(num_frames, size=(32, 32), fps=8.0, seed=0):
    frames = np.random.default_rng(seed).integers(0, 256, (num_frames, size[1], size[0], 3), dtype=np.uint8)
    return Clip(frames, fps)


def known(request):
    return as_task(request.canvas).canvas.known[:, 0, 0].tolist()


@pytest.fixture
def draw(generator):
    """A function: request -> clip, in two steps, warnings of length put aside."""

    def draw(request):
        rendering = generator.begin(request)
        return generator.finish(rendering)

    return draw


def test_animate(model, draw):
    picture = clip_of(1)
    made = draw(ask.animate(model, picture, "a ball", 1.0, steps=2))
    assert made.num_frames == 8 and np.array_equal(made.frames[0], picture.frames[0])
    assert not np.array_equal(made.frames[1], picture.frames[0])
    with pytest.raises(ValueError, match=r"ask for 0\.25 seconds or more"):
        ask.animate(model, picture, "a ball", 0.1)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("num_frames", [4, 9, 30])
def test_extend_keeps_the_clip_however_long(model, draw, direction, num_frames):
    clip = clip_of(num_frames)
    made = draw(ask.extend(model, clip, "a ball", 1.5, direction, steps=2))
    kept = made.frames[:num_frames] if direction == "forward" else made.frames[-num_frames:]
    assert made.num_frames == num_frames + 12 and np.array_equal(kept, clip.frames)
    with pytest.raises(ValueError, match="one frame does not say how things move"):
        ask.extend(model, clip_of(1), "a ball", 1.0, direction)


def test_different_beginnings_reach_one_ending(model, draw):
    clip = clip_of(8)
    made = [draw(ask.extend(model, clip, "a ball", 1.0, "backward", steps=2, seed=seed)) for seed in range(3)]
    assert all(np.array_equal(one.frames[8:], clip.frames) for one in made)
    assert not np.array_equal(made[0].frames[:8], made[1].frames[:8])


def test_loop_and_connect(model, draw):
    first, second = clip_of(10), clip_of(7, seed=1)
    made = draw(ask.connect(model, first, second, seconds=0.5, steps=2))
    assert made.num_frames == 21
    assert np.array_equal(made.frames[:10], first.frames) and np.array_equal(made.frames[14:], second.frames)
    around = draw(ask.loop(model, first, seconds=0.5, steps=2))
    assert around.num_frames == 14 and np.array_equal(around.frames[:10], first.frames)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.5, [1, 1, 0, 1]), (1.0, [1, 1, 0, 0, 1]), (2.0, [1, 1, 0, 0, 0, 0, 1])]
)
def test_a_bridge_shows_both_ends_in_one_window_where_it_can(model, seconds, expected):
    """A model that has seen five latent frames at once has place for less of two clips the longer the bridge is."""
    trained = replace(model.config.trained, num_frames=(1, 17))
    longer = replace(model, config=replace(model.config, trained=trained))
    degrees = known(ask.connect(longer, clip_of(20), clip_of(20), seconds=seconds))
    assert [degree == 1 for degree in degrees] == expected


def test_edit_and_fill(model, draw):
    clip = clip_of(9)
    assert set(known(ask.edit(model, clip, "a ball", 0.25))) == {0.75}
    assert np.array_equal(draw(ask.edit(model, clip, "a ball", 0.0)).frames, clip.frames)
    remade = np.zeros((9, 32, 32), bool)
    remade[:] = ask.box_mask(clip.size, (0, 0, 16, 16))
    made = draw(ask.fill(model, clip, "a ball", remade, steps=2))
    assert np.array_equal(made.frames[~remade], clip.frames[~remade])
    assert not np.array_equal(made.frames[remade], clip.frames[remade])


def test_boxes_and_spans():
    mask = ask.box_mask((64, 48), (16, 0, 8, 4))
    assert mask.shape == (48, 64) and mask.sum() == 32 and mask[:4, 16:24].all()
    for box, nearest in [((60, 0, 8, 4), "60,0,4,4"), ((64, 0, 8, 4), "0,0,64,48"), ((0, 0, 0, 4), "0,0,64,48")]:
        with pytest.raises(ValueError, match=f"{nearest} for instance"):
            ask.box_mask((64, 48), box)
    clip = clip_of(16)
    assert ask.span_mask(clip).all()
    assert np.flatnonzero(ask.span_mask(clip, 0.5, 1.0)).tolist() == [4, 5, 6, 7]
    assert np.flatnonzero(ask.span_mask(clip, 1.99)).tolist() == [15]
    for start, stop in [(1.0, 1.0), (-0.5, 1.0), (1.0, 3.0), (2.5, None), (float("nan"), 1.0)]:
        with pytest.raises(ValueError, match="it must lie within 0 to 2 s"):
            ask.span_mask(clip, start, stop)


SHOTS = (Shot("a red ball", 0.0, 1.0), Shot("a blue ball", 1.0, 1.5), Shot("a green ball", 2.5, 0.5))


def test_words_and_pixels_of_a_shot_begin_together(generator, model, draw):
    picture, clip = clip_of(1), clip_of(20, seed=1)
    request = ask.storyboard(model, SHOTS, [picture, clip, picture], fps=8.0, steps=2)
    # The second shot gives frames 9 to 20, as many as fit into it, the third a picture that is held for four.
    assert known(request) == [1, 0, 0, 1, 1, 1, 1]
    times = model.geometry.latent_times(7, 8.0).tolist()
    assert texts_over_time(request, times) == ["a red ball"] * 3 + ["a blue ball"] * 3 + ["a green ball"]
    assert request.canvas is not None
    task = as_task(request.canvas)
    assert task.given is not None and np.array_equal(task.given[9:21], clip.frames[:12])
    made = draw(ask.storyboard(model, SHOTS, [None, None, picture], fps=8.0, steps=2))
    assert made.num_frames == 24 and (made.frames[21:] == picture.frames).all()


def test_a_storyboard_without_pixels_is_a_script(model, draw):
    request = ask.storyboard(model, SHOTS, size=(48, 32), steps=2)
    assert request.canvas is None and request.script == ((1, "a blue ball"), (2.5, "a green ball"))
    made = draw(request)
    assert (made.size, made.num_frames) == ((48, 32), 24)


def test_a_shot_too_short_for_words_of_its_own_is_refused(model):
    with pytest.raises(ValueError, match=r"shot 2 lasts 0\.1 s"):
        ask.storyboard(model, [Shot("a", 0.0, 1.0), Shot("b", 1.0, 0.1), Shot("c", 1.1, 1.0)])
