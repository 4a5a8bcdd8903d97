import dataclasses
import json

import numpy as np
import pytest
import torch

from ozora.canvas import Canvas
from ozora.clip import Clip
from ozora.generate import tasks
from ozora.generate.device import find_device, find_dtype
from ozora.generate.generator import Generator, share_rows
from ozora.generate.request import Request


def clip_of(num_frames=9, size=(32, 32), fps=8.0, seed=0):
    frames = np.random.default_rng(seed).integers(0, 256, (num_frames, size[1], size[0], 3), dtype=np.uint8)
    return Clip(frames, fps)


def differing(first, second):
    return np.abs(first.frames.astype(int) - second.frames).max()


def finished(generator, rendering):
    """The latents of a rendering, moved to its end."""
    while not rendering.is_done:
        generator.advance([rendering])
    return rendering.latents


def test_a_sentence_becomes_a_clip_that_seed_and_prompt_decide(generator):
    clip = generator("a red ball", seconds=1.0, seed=3)
    assert (clip.num_frames, clip.size, clip.fps) == (8, (32, 32), 8.0)
    assert clip.frames.std() > 5
    assert np.array_equal(generator("a red ball", seconds=1.0, seed=3).frames, clip.frames)
    assert differing(generator("a red ball", seconds=1.0, seed=4), clip) > 5
    assert differing(generator("a blue ball", seconds=1.0, seed=3), clip) > 5


def test_options_do_something(generator):
    clip = generator("a red ball", seconds=1.0)
    for option in ({"guidance": 1.0}, {"guidance": 6.0}, {"negative": "a dog"}, {"steps": 7}, {"sampler": "ancestral"}):
        assert differing(generator("a red ball", seconds=1.0, **option), clip) > 0, option


def test_words_at_odds_with_what_is_beside_them_are_followed_more_firmly(generator):
    usual, clip = generator.config.sampling.guidance, clip_of()
    edit, animate = tasks.edit(clip, 0.5, generator.model), tasks.animate(clip.slice(0, 1), 9, 8.0, generator.model)
    for request, factor in (
        (Request("a red ball"), 1.0),
        (Request("a red ball", canvas=animate), 1.0),
        (Request("a red ball", canvas=edit), 1.5),
        (Request("a red ball", seconds=3.0, script=((1.0, "a blue ball"),)), 1.5),
    ):
        assert generator.resolve(request).guidance == factor * usual, request
        assert generator.resolve(dataclasses.replace(request, guidance=1.2)).guidance == 1.2


def test_the_random_numbers_of_the_caller_stay_untouched(generator):
    state = torch.get_rng_state()
    generator("a red ball", seconds=0.5)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_clip_does_not_depend_on_its_company(generator):
    requests = [
        Request("a red ball", seconds=1.0, seed=1),
        Request("two blue cubes fall", size=(48, 32), seconds=0.125, seed=2, guidance=1.0),
        Request("a cone", seconds=1.0, seed=3, negative="a dog in the rain"),
        Request("a red ball", seconds=1.0, seed=1, steps=3),
        Request("a cone", seconds=1.0, seed=3, sampler="ancestral"),
    ]
    together = generator.render(requests)
    for clip, request in zip(together, requests):
        (alone,) = generator.render([request])
        assert clip.frames.shape == alone.frames.shape and clip.fps == alone.fps
        assert (np.abs(clip.frames.astype(int) - alone.frames) <= 1).mean() > 0.999


def test_variations_are_the_next_seeds(generator):
    clips = generator("a red ball", seconds=0.5, seed=5, variations=3)
    assert len(clips) == 3
    assert differing(clips[2], generator("a red ball", seconds=0.5, seed=7)) <= 1
    assert differing(clips[0], clips[1]) > 5


def test_rows_are_filled_in_order_and_not_overfull():
    assert share_rows([9000, 9000, 9000, 9000, 10, 40_000, 5]) == [[0, 1, 2], [3, 4], [5], [6]]
    assert share_rows([3, 4, 5], budget=7) == [[0, 1], [2]] and share_rows([]) == []


@pytest.mark.parametrize("sampler", ["euler", "heun", "multistep", "ancestral"])
@pytest.mark.parametrize("path", ["straight", "variance_preserving"])
@pytest.mark.parametrize("prediction", ["clean", "velocity"])
def test_given_pixels_come_back_exactly(make_generator, sampler, path, prediction):
    generator = make_generator(path=path, prediction=prediction)
    still = clip_of(1)
    task = tasks.animate(still, 9, 8.0, generator.model)
    made = generator("it moves", canvas=task, sampler=sampler, seed=1)
    assert made.num_frames == 9 and np.array_equal(made.frames[0], still.frames[0])
    assert made.frames[1:].std() > 5


def test_known_latents_come_out_of_the_row_exactly(generator):
    task = tasks.animate(clip_of(1), 9, 8.0, generator.model)
    latents = finished(generator, generator.begin(Request("it moves", canvas=task)))
    assert torch.equal(latents[:, 0], task.canvas.clean[:, 0])
    assert (latents[:, 1:] != task.canvas.clean[:, 1:]).all()


def test_what_is_known_decides_what_is_made(generator):
    made = [
        generator("it moves", canvas=tasks.animate(clip_of(1, seed=seed), 9, 8.0, generator.model), seed=1)
        for seed in range(2)
    ]
    assert np.abs(made[0].frames[1:].astype(int) - made[1].frames[1:]).max() > 5


def test_an_edit_moves_away_from_the_clip_with_its_strength(generator):
    clip = clip_of(9)
    floor = generator.model.decode(generator.model.encode(clip), 8.0)
    made = {s: generator("a dog", canvas=tasks.edit(clip, s, generator.model), seed=2) for s in (0.0, 1e-9, 0.3)}
    assert np.array_equal(made[0.0].frames, clip.frames)
    assert differing(made[1e-9], floor) <= 1 and differing(made[0.3], floor) > 5


def test_an_edit_of_strength_one_is_text_to_video(generator):
    made = generator("a dog", canvas=tasks.edit(clip_of(9), 1.0, generator.model), seed=2)
    assert differing(made, generator("a dog", seconds=9 / 8, seed=2)) <= 1


def test_sdedit_is_one_schedule_cut_short(make_generator):
    # known = 0.4 everywhere: the run over 0.6 * sigmas from the same mixture, guidance and all.
    generator = make_generator(guidance_interval=(0.0, 1.0))
    task = tasks.edit(clip_of(9), 0.6, generator.model)
    edited = generator.begin(Request("a dog", seed=2, canvas=task))
    blank = generator.begin(Request("a dog", seed=2, seconds=9 / 8, guidance=edited.guidance))
    levels = 0.6 * torch.cat([torch.ones_like(blank.levels[:1]), blank.levels])
    blank.levels, blank.ends, blank.point = levels, [len(levels) - 1], edited.point
    torch.testing.assert_close(finished(generator, blank), finished(generator, edited), atol=1e-5, rtol=0)


def test_progress_counts_every_step_of_every_row(generator):
    seen = []
    generator.render([Request("a", seconds=0.5), Request("b", seconds=0.5, steps=6)], lambda *done: seen.append(done))
    # They share a row, and guided walks skip the step from pure noise.
    assert seen == [(i, 5) for i in range(1, 6)]


def test_a_longer_clip_starts_with_the_same_noise(generator):
    short, long = (generator.begin(Request("a", seconds=seconds)).point.x for seconds in (0.5, 1.0))
    assert torch.equal(long[: len(short)], short)


def test_settings_make_the_clip_again(generator):
    request = Request("a red ball", seconds=0.5, seed=9, negative="rain", size=(48, 32))
    settings = json.loads(json.dumps(generator.settings(request)))
    assert settings["model"] == "tiny" and settings["model_hash"] == "f" * 64 and settings["steps"] == 4
    again = Request.from_settings(settings)
    assert again == generator.resolve(request)
    assert np.array_equal(generator.render([again])[0].frames, generator.render([request])[0].frames)
    assert Request.from_settings(Request("a").settings()) == Request("a")


def test_half_precision_is_near(generator):
    half = Generator(generator.model, generator.text_encoder, torch.bfloat16)
    near, exact = (each.render([Request("a red ball", seconds=0.5, seed=1)])[0] for each in (half, generator))
    assert 0 < np.abs(near.frames.astype(float) - exact.frames).mean() < 8


@pytest.mark.parametrize(
    "options, match",
    [
        ({"prompt": "  "}, "prompt is empty"),
        ({"size": (50, 32)}, "nearest legal size is 48x32 or 64x32"),
        ({"size": (0, 32)}, "nearest legal size is 16x32"),
        ({"seconds": 0.0}, "seconds is 0"),
        ({"seconds": float("nan")}, "seconds is nan"),
        ({"seconds": 1e9}, "at most 600"),
        ({"fps": -1.0}, "fps is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**63 - 1, "variations": 2}, "seed is 9223372036854775808"),
        ({"seed": True}, "seed is True"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 1001}, "from 1 to 1000"),
        ({"guidance": float("nan")}, "guidance is nan"),
        ({"guidance": -1.0}, "guidance is -1"),
        ({"variations": 0}, "variations is 0"),
        ({"size": (4096, 4096), "seconds": 60.0}, "tokens in all and the limit 4194304; 31.62 seconds"),
        ({"canvas": Canvas.blank((2, 4, 4), 5, 8.0)}, "has 5 channels"),
        ({"canvas": Canvas.blank((2, 4, 4), 4, 8.0, starts_clip=False)}, "middle of a clip"),
        ({"canvas": Canvas.blank((2, 4, 4), 4, 8.0), "size": (48, 48)}, "leave both to the canvas"),
        ({"canvas": Canvas.blank((2, 5, 4), 4, 8.0)}, "nearest legal size is 32x32 or 32x48"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(generator, options, match):
    def no_work(*_):
        raise AssertionError("work was done")

    with pytest.raises(ValueError, match=match):
        generator(**({"prompt": "a ball", "progress": no_work} | options))


@pytest.mark.parametrize(
    "options, match",
    [
        ({"size": (64, 64), "seconds": 0.125}, "size 64x64 is outside"),
        ({"size": (64, 16), "seconds": 0.125}, "size 64x16 is outside"),
        ({"seconds": 1.25}, "13 frames are more than tiny was trained on"),
        ({"fps": 9.0, "seconds": 0.5}, "9 fps is outside"),
    ],
)
def test_what_was_not_trained_works_and_warns(generator, options, match):
    with pytest.warns(UserWarning, match=match):
        generator("a ball", **options)


def test_devices_and_dtypes():
    assert find_device("cpu").type == "cpu" and find_dtype(None, torch.device("cpu")) == torch.float32
    assert find_dtype("bfloat16", torch.device("cpu")) == torch.bfloat16
    for wrong in ("gpu", "cuda:99", "meta"):
        with pytest.raises(ValueError, match="must be one of cpu"):
            find_device(wrong)
    for wrong in ("float8", torch.float64):
        with pytest.raises(ValueError, match="must be one of float32"):
            find_dtype(wrong, torch.device("cpu"))


def test_an_autoencoder_alone_cannot_generate(generator):
    alone = dataclasses.replace(generator.model, transformer=None)
    with pytest.raises(ValueError, match="without a transformer"):
        Generator(alone, generator.text_encoder)
