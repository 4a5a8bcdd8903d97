from collections import Counter

import numpy as np
import pytest
import torch

from ozora.clip import Clip
from ozora.generate import tasks
from ozora.generate.rendering import deliver
from ozora.generate.tasks import MASK_MIX, encode_suffix, random_canvas_mask


def clip_of(num_frames, size=(32, 32), fps=8.0, seed=0):
    frames = np.random.default_rng(seed).integers(0, 256, (num_frames, size[1], size[0], 3), dtype=np.uint8)
    return Clip(frames, fps)


def painted(task, model):
    """What is returned for the task if the model paints what it makes in one grey, and what it is given in another."""
    t, h, w = task.canvas.grid
    stride = model.geometry.space_stride
    num_frames = 1 + model.geometry.time_stride * (t - 1)
    frames = np.full((num_frames, h * stride, w * stride, 3), 77, np.uint8)
    if task.kept is not None:
        frames[task.kept] = 200
    pieces = np.split(frames, range(1, num_frames, 4))
    return Clip(np.concatenate(list(deliver(task, pieces, num_frames))), task.canvas.fps)


def is_grey(frames):
    return (frames == 77).all()


def test_text(model):
    task = tasks.text_to_video((48, 32), 10, 8.0, model.geometry)
    assert task.canvas.grid == (4, 4, 6) and (task.canvas.known == 0).all()
    assert painted(task, model).num_frames == 10
    still = tasks.text_to_picture((32, 32), 8.0, model.geometry)
    assert still.canvas.grid == (1, 4, 4) and painted(still, model).num_frames == 1


def test_animate(model):
    picture = clip_of(1)
    task = tasks.animate(picture, 10, 8.0, model)
    assert task.canvas.grid[0] == 4 and task.canvas.known[:, 0, 0].tolist() == [1, 0, 0, 0]
    torch.testing.assert_close(task.canvas.clean[:, :1], model.encode(picture))
    made = painted(task, model)
    assert made.num_frames == 10 and np.array_equal(made.frames[0], picture.frames[0]) and is_grey(made.frames[1:])
    with pytest.raises(ValueError, match="a clip of 1 frame"):
        tasks.animate(clip_of(2), 10, 8.0, model)


@pytest.mark.parametrize("num_frames, seen", [(1, 1), (4, 1), (7, 5), (12, 9), (30, 9)])
def test_extend_forward(model, num_frames, seen):
    clip = clip_of(num_frames)
    task = tasks.extend(clip, 6, model)
    # Trimmed at its start, never at the join, to 1 + 4k frames.
    prefix = clip.slice(num_frames - seen, num_frames)
    latents = model.encode(prefix)
    assert task.canvas.known[:, 0, 0].tolist() == [1] * latents.shape[1] + [0, 0]
    torch.testing.assert_close(task.canvas.clean[:, : latents.shape[1]], latents)
    made = painted(task, model)
    assert np.array_equal(made.frames[:num_frames], clip.frames)
    assert made.num_frames == num_frames + 6 and is_grey(made.frames[num_frames:])


@pytest.mark.parametrize("num_frames, seen", [(4, 1), (7, 1), (12, 2), (30, 2)])
def test_extend_backward(model, num_frames, seen):
    clip = clip_of(num_frames)
    task = tasks.extend(clip, 6, model, "backward")
    assert task.canvas.known[:, 0, 0].tolist() == [0] * 3 + [1] * seen
    made = painted(task, model)
    assert made.num_frames == num_frames + 6
    assert np.array_equal(made.frames[6:], clip.frames) and is_grey(made.frames[:6])


def test_a_suffix_is_encoded_as_in_its_place(model):
    # Behind a past that mirrors it, a suffix has the latents of the whole clip.
    clip = clip_of(8)
    past = clip.frames[1:8][::-1]
    whole = Clip(np.concatenate([past[-5:], clip.frames]), 8.0)
    latents = encode_suffix(clip, model)
    assert latents.shape[1] == 2
    torch.testing.assert_close(latents[:, -2:], model.encode(whole)[:, -2:], atol=1e-4, rtol=1e-4)


def test_the_latents_of_a_suffix_are_those_of_the_whole_clip_after_the_warm_up(model):
    clip, warm_up = clip_of(33), model.geometry.warm_up
    for latent in (1, 3, 5):
        suffix = model.encode(clip.slice(4 * latent, 33))
        torch.testing.assert_close(suffix[:, warm_up:], model.encode(clip)[:, latent + warm_up :], atol=1e-5, rtol=1e-5)


def test_loop(model):
    clip = clip_of(20)
    task = tasks.loop(clip, 7, model)
    between = pytest.approx(tasks.BRIDGE_KNOWN)
    assert task.canvas.known[:, 0, 0].tolist() == [1, 1, 1, between, between, 1, 1]
    made = painted(task, model)
    assert made.num_frames == 28 and np.array_equal(made.frames[:20], clip.frames) and is_grey(made.frames[20:])


def test_connect(model):
    first, second = clip_of(11), clip_of(14, seed=1)
    task = tasks.connect(first, second, 8, model, context=1)
    between = pytest.approx(tasks.BRIDGE_KNOWN)
    assert task.canvas.known[:, 0, 0].tolist() == [1, 1, between, between, 1]
    made = painted(task, model)
    assert made.num_frames == 33 and is_grey(made.frames[11:19])
    assert np.array_equal(made.frames[:11], first.frames) and np.array_equal(made.frames[19:], second.frames)
    with pytest.raises(ValueError, match="one size and rate"):
        tasks.connect(first, clip_of(14, size=(48, 32)), 8, model)
    with pytest.raises(ValueError, match="one size and rate"):
        tasks.connect(first, clip_of(14, fps=9.0), 8, model)
    with pytest.raises(ValueError, match="at least 4 frames"):
        tasks.connect(first, clip_of(3), 8, model)


def test_a_bridge_is_known_in_part_as_a_dissolve(model):
    # Between a frame and itself that is the frame held, behind what is given before it and after it.
    end = clip_of(5)
    beginning = Clip(np.concatenate([end.frames[-1:], clip_of(3, seed=1).frames]), 8.0)
    task = tasks.connect(end, beginning, 8, model)
    held = Clip(np.concatenate([end.frames, np.repeat(end.frames[-1:], 8, axis=0), beginning.frames]), 8.0)
    torch.testing.assert_close(task.canvas.clean[:, 2:4], model.encode(held)[:, 2:4])
    # Black becomes white by equal steps, both left out.
    black, white = (Clip(np.full((5, 32, 32, 3), grey, np.uint8), 8.0) for grey in (0, 255))
    way = tasks.connect(black, white, 4, model).canvas.clean[:, 2:3]
    steps = np.repeat(np.array([0] * 5 + [51, 102, 153, 204] + [255] * 4, np.uint8), 32 * 32 * 3)
    torch.testing.assert_close(way, model.encode(Clip(steps.reshape(13, 32, 32, 3), 8.0))[:, 2:3])


def test_keyframes_stand_where_they_are_put(model):
    first, middle, last = clip_of(1), clip_of(4, seed=1), clip_of(8, seed=2)
    task = tasks.keyframes([(0, first), (9, middle), (17, last)], 25, 8.0, model)
    assert task.canvas.known[:, 0, 0].tolist() == [1, 0, 0, 1, 0, 1, 1]
    made = painted(task, model)
    given = {0: first, 9: middle, 17: last}
    for start, clip in given.items():
        assert np.array_equal(made.frames[start : start + clip.num_frames], clip.frames)
    assert is_grey(made.frames[1:9]) and is_grey(made.frames[13:17])
    for parts, complaint in [
        ([(0, clip_of(4))], "frames 0 to 4"),
        ([(2, clip_of(4))], "frames 2 to 6"),
        ([(1, clip_of(3))], "frames 1 to 4"),
        ([(9, middle), (0, first)], "still free"),
        ([(0, clip_of(5)), (1, clip_of(4))], "still free"),
        ([(21, last)], "still free"),
        ([(0, first), (9, clip_of(4, size=(48, 32)))], "fit all to one size"),
    ]:
        with pytest.raises(ValueError, match=complaint):
            tasks.keyframes(parts, 25, 8.0, model)


def test_a_long_clip_is_encoded_in_parts_to_the_same_latents(model, monkeypatch):
    clip = clip_of(49)
    whole = model.encode(clip)
    for at_once in (4, 5, 12, 13):
        monkeypatch.setattr(tasks, "ENCODED_AT_ONCE", at_once)
        torch.testing.assert_close(tasks.encode_whole(clip, model), whole, atol=1e-5, rtol=1e-5)
    monkeypatch.setattr(tasks, "ENCODED_AT_ONCE", 16)
    assert torch.equal(tasks.encode_whole(clip, model), whole)


def test_an_edit_of_no_strength_is_the_clip(model):
    clip = clip_of(7)
    assert np.array_equal(painted(tasks.edit(clip, 0.0, model), model).frames, clip.frames)


def test_edit(model):
    clip = clip_of(7)
    task = tasks.edit(clip, 0.25, model)
    assert (task.canvas.known == 0.75).all()
    held = Clip(np.concatenate([clip.frames, clip.frames[-1:], clip.frames[-1:]]), 8.0)
    torch.testing.assert_close(task.canvas.clean, model.encode(held))
    assert painted(task, model).num_frames == 7
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="strength is"):
            tasks.edit(clip, wrong, model)


def test_fill_keeps_what_is_outside_and_sees_nothing_of_what_is_inside(model):
    clip = clip_of(7, size=(64, 48))
    remade = np.zeros((7, 48, 64), bool)
    remade[2:4, 20:40, 5:12] = True
    task = tasks.fill(clip, remade, model)
    tokens = task.canvas.known[:, ::2, ::2]
    assert (tokens[1, 1:, 0] == 0).all() and tokens.numel() - tokens.sum() == 2

    other = clip.frames.copy()
    other[remade] = 255 - other[remade]
    again = tasks.fill(Clip(other, 8.0), remade, model)
    assert torch.equal(task.canvas.clean, again.canvas.clean)

    made = painted(task, model)
    assert is_grey(made.frames[remade]) and np.array_equal(made.frames[~remade], clip.frames[~remade])


def test_fill_a_span(model):
    clip = clip_of(9)
    remade = np.zeros((9, 32, 32), bool)
    remade[3:6] = True
    task = tasks.fill(clip, remade, model)
    assert task.canvas.known[:, 0, 0].tolist() == [1, 0, 0]
    made = painted(task, model)
    assert is_grey(made.frames[3:6]) and np.array_equal(
        made.frames[[0, 1, 2, 6, 7, 8]], clip.frames[[0, 1, 2, 6, 7, 8]]
    )


def test_masks_that_cannot_be_are_refused(model):
    with pytest.raises(ValueError, match=r"needs \(5, 32, 32\)"):
        tasks.fill(clip_of(5), np.zeros((5, 32, 16), bool), model)
    with pytest.raises(ValueError, match="marks nothing"):
        tasks.fill(clip_of(5), np.zeros((5, 32, 32), bool), model)
    with pytest.raises(ValueError, match="nearest legal size"):
        tasks.edit(clip_of(5, size=(40, 32)), 0.5, model)
    for direction in ("forward", "backward"):
        with pytest.raises(ValueError, match="at least 1"):
            tasks.extend(clip_of(5), 0, model, direction)


def kind_of(known):
    frames = known.flatten(1)
    if (frames.min(1).values != frames.max(1).values).any():
        return "block"
    values = frames[:, 0].tolist()
    given = [value >= 0.97 for value in values]
    if not any(values):
        return "nothing"
    if any(0 < value < 0.97 for value in values):
        return "frames"
    if given[0] and given[-1]:
        return "ends"
    if given[-1]:
        return "suffix"
    return "first" if not given[1] else "prefix" if given[0] else "block"


def test_training_masks_have_the_stated_mix():
    generator = torch.Generator().manual_seed(0)
    masks = [random_canvas_mask((5, 8, 6), generator) for _ in range(4000)]
    share = {kind: count / 4000 for kind, count in Counter(map(kind_of, masks)).items()}
    assert share["nothing"] == pytest.approx(MASK_MIX["nothing"], abs=0.03)
    # A prefix of one latent frame is a first frame: a quarter of the prefixes of 1 to 4.
    first = MASK_MIX["first"] + MASK_MIX["prefix"] / 4
    assert share["first"] == pytest.approx(first, abs=0.025)
    assert share["prefix"] == pytest.approx(MASK_MIX["prefix"] * 3 / 4, abs=0.02)
    for kind in ("suffix", "ends", "block", "frames"):
        assert share[kind] == pytest.approx(MASK_MIX[kind], abs=0.02), kind
    for known in masks:
        assert known.shape == (5, 8, 6) and 0 <= known.min() < 0.97 and known.max() <= 1
        tokens = known[:, ::2, ::2]
        assert torch.equal(tokens.repeat_interleave(2, 1).repeat_interleave(2, 2), known)
    assert any((known == 1).any() for known in masks) and any(((known >= 0.97) & (known < 1)).any() for known in masks)


@pytest.mark.parametrize("grid", [(1, 2, 2), (1, 8, 8), (2, 4, 4)])
def test_short_windows_always_leave_something_to_make(grid):
    generator = torch.Generator().manual_seed(1)
    for _ in range(500):
        known = random_canvas_mask(grid, generator)
        assert known.min() < 1 and known.shape == grid


def test_masks_follow_their_generator():
    first, second = (random_canvas_mask((5, 8, 8), torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
