"""Is a rendering the same however it is moved: in any company, laid aside and taken up, as a stream, in windows?"""

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from ozora.canvas import Canvas
from ozora.clip import Clip
from ozora.generate import tasks
from ozora.generate.meeting import meet
from ozora.generate.rendering import deliver, texts_over_time, texts_to_avoid
from ozora.generate.request import Request
from ozora.generate.tasks import Task

pytestmark = pytest.mark.filterwarnings("ignore:.*frames are more than tiny was trained on")

UNLIKE = [
    Request("a red ball", seconds=1.0, seed=1),
    Request("two blue cubes fall", size=(48, 32), seconds=0.125, seed=2, guidance=1.0),
    Request("a cone", seconds=1.0, seed=3, negative="a dog in the rain", sampler="heun", steps=3),
    Request("a red ball", seconds=2.5, seed=4, steps=3),
    Request("a cone", seconds=1.0, seed=5, sampler="ancestral"),
]


def clip_of(num_frames, seed=0):
    frames = np.random.default_rng(seed).integers(0, 256, (num_frames, 32, 32, 3), dtype=np.uint8)
    return Clip(frames, 8.0)


def finish(generator, rendering):
    while not rendering.is_done:
        generator.advance([rendering])
    return rendering.latents


def canvas_of(num_latents, known, seed=0):
    """Random latents of which the frames in ``known`` are known."""
    clean = torch.randn(4, num_latents, 4, 4, generator=torch.Generator().manual_seed(seed))
    mask = torch.zeros(num_latents, 4, 4)
    mask[known] = 1
    return Canvas(clean * mask, mask, 8.0)


def test_unlike_renderings_share_every_row(generator):
    renderings = [generator.begin(request) for request in UNLIKE]
    late = generator.begin(dataclasses.replace(UNLIKE[0], seed=9))
    num_rows = 0
    while moving := [rendering for rendering in renderings if not rendering.is_done]:
        generator.advance(moving)
        num_rows += 1
        if num_rows == 2:  # one that comes while the others are under way
            renderings.append(late)
    # 20 frames are 6 latent frames: one window of 3, two of 3 that make 2 and 1; each 3 steps less the skipped one.
    assert [rendering.num_steps for rendering in renderings] == [3, 4, 2, 6, 3, 3]
    assert num_rows == max(rendering.num_steps for rendering in renderings)
    for rendering in renderings:
        alone = generator.begin(rendering.request)
        torch.testing.assert_close(rendering.latents, finish(generator, alone), atol=2e-4, rtol=0)


def test_num_tokens_is_the_share_of_the_next_row(generator, monkeypatch):
    seen = []
    predict = generator._predict
    monkeypatch.setattr(generator, "_predict", lambda t, x, *rest: (seen.append(len(x)), predict(t, x, *rest))[1])
    slow = dataclasses.replace(UNLIKE[0], steps=12)
    renderings = [generator.begin(request) for request in (slow, UNLIKE[1], UNLIKE[3], UNLIKE[4])]
    shares = set()
    while moving := [rendering for rendering in renderings if not rendering.is_done]:
        expected = sum(rendering.num_tokens for rendering in moving)
        shares.update(rendering.num_tokens for rendering in moving)
        assert all(0 < rendering.num_tokens <= rendering.max_tokens for rendering in moving)
        generator.advance(moving)
        assert seen[-1] == expected
    assert {rendering.num_tokens for rendering in renderings} == {0}
    assert {6, 12, 24} <= shares  # a picture; three latent frames without and with guidance


@pytest.mark.parametrize("request_", UNLIKE, ids=lambda request: f"{request.prompt}-{request.seed}")
def test_laid_aside_after_any_step_it_goes_on_bit_for_bit(generator, request_):
    straight = generator.begin(request_)
    finish(generator, straight)
    rendering = generator.begin(request_)
    for step in range(rendering.num_steps + 1):
        rendering = generator.begin(request_, load(save(rendering.state())))
        assert rendering.step == step and rendering.is_done == (step == rendering.num_steps)
        if not rendering.is_done:
            generator.advance([rendering])
    assert torch.equal(rendering.latents, straight.latents)
    assert np.array_equal(generator.finish(rendering).frames, generator.finish(straight).frames)


def test_a_state_does_not_change_when_its_rendering_moves_on(generator):
    rendering = generator.begin(UNLIKE[3])
    state = rendering.state()
    copies = {name: tensor.clone() for name, tensor in state.items()}
    finish(generator, rendering)
    assert all(torch.equal(state[name], copy) for name, copy in copies.items())


def test_a_state_of_something_else_is_refused(generator, make_generator):
    request = Request("a red ball", seconds=1.0, seed=1)
    task = tasks.animate(clip_of(1), 9, 8.0, generator.model)
    state = generator.begin(request).state()
    other_model = make_generator()
    other_model.hash = "e" * 64
    for other in (
        dataclasses.replace(request, seed=2),
        dataclasses.replace(request, prompt="a blue ball"),
        dataclasses.replace(request, script=((0.5, "it stops"),)),
        Request("a red ball", seed=1, canvas=task),
    ):
        with pytest.raises(ValueError, match="another request or another model"):
            generator.begin(other, state)
    with pytest.raises(ValueError, match="another request or another model"):
        other_model.begin(request, state)
    other_picture = tasks.animate(clip_of(1, seed=1), 9, 8.0, generator.model)
    state = generator.begin(Request("it moves", canvas=task)).state()
    with pytest.raises(ValueError, match="another request"):
        generator.begin(Request("it moves", canvas=other_picture), state)


@pytest.mark.parametrize(
    "damage",
    [
        {"x": torch.zeros(3, 16)},
        {"slope": torch.zeros(3, 16)},
        {"step": torch.tensor(99)},
        {"step": torch.zeros(2)},
        {"latents": torch.zeros(4, 1, 4, 4)},
        {"random": torch.zeros(3, dtype=torch.uint8)},
    ],
    ids=lambda damage: next(iter(damage)),
)
def test_a_damaged_state_is_refused(generator, damage):
    request = Request("a red ball", seconds=1.0)
    state = generator.begin(request).state()
    with pytest.raises(ValueError, match="the state is damaged"):
        generator.begin(request, state | damage)
    for name in ("x", "step", "latents", "random"):
        with pytest.raises(ValueError, match="the state is damaged"):
            generator.begin(request, {key: value for key, value in state.items() if key != name})


def test_what_is_done_or_named_twice_cannot_be_advanced(generator):
    rendering = generator.begin(Request("a", seconds=0.5))
    for wrong in ([], [rendering, rendering]):
        with pytest.raises(ValueError, match="renderings can move"):
            generator.advance(wrong)
    finish(generator, rendering)
    with pytest.raises(ValueError, match="0 of 1 renderings can move"):
        generator.advance([rendering])


def test_a_stream_gives_frames_as_soon_as_they_are_final(generator):
    request = Request("a red ball", seconds=4.0, seed=3)
    rendering = generator.begin(request)
    assert rendering.windows[0] == (0, 3) and rendering.num_frames == 32
    seen, steps = [], []
    for frames in generator.stream(rendering, lambda *done: steps.append(done)):
        seen.append((len(frames), rendering.window, rendering.is_done))
    assert seen[0] == (9, 1, False) and seen[-1][1:] == (len(rendering.windows), True)
    assert [window for _, window, _ in seen] == list(range(1, len(rendering.windows) + 1))
    assert sum(number for number, *_ in seen) == 32
    assert steps == [(i + 1, rendering.num_steps) for i in range(rendering.num_steps)]


def test_a_stream_is_the_whole_clip_bit_for_bit(generator):
    request = Request("a red ball", seconds=4.0, seed=3)
    streamed = np.concatenate(list(generator.stream(generator.begin(request))))
    (whole,) = generator.render([request])
    done = generator.begin(request)
    finish(generator, done)
    assert np.array_equal(streamed, whole.frames) and np.array_equal(generator.finish(done).frames, streamed)
    # One decoder runs through all windows: no seam where they meet.
    at_once = generator.model.decode(done.latents, 8.0).frames[:32]
    assert np.abs(streamed.astype(int) - at_once).max() <= 1


def test_a_stream_puts_given_pixels_back_and_joins_given_clips(generator):
    clip = clip_of(30)
    extended = generator("it goes on", canvas=tasks.extend(clip, 21, generator.model), seed=1)
    assert extended.num_frames == 51 and np.array_equal(extended.frames[:30], clip.frames)
    bridge = tasks.connect(clip_of(12), clip_of(13, seed=1), 24, generator.model)
    rendering = generator.begin(Request("", canvas=bridge))
    joined = generator.finish(rendering)
    assert joined.num_frames == rendering.num_frames == 12 + 24 + 13
    assert np.array_equal(joined.frames[:12], clip_of(12).frames)
    assert np.array_equal(joined.frames[-13:], clip_of(13, seed=1).frames)


@pytest.mark.parametrize("start, stop", [(0, None), (0, 7), (3, None), (2, -5), (9, 11)])
@pytest.mark.parametrize("lengths", [[17], [1, 16], [5, 4, 4, 4], [9, 8]])
def test_frames_are_delivered_alike_however_they_come(start, stop, lengths):
    rng = np.random.default_rng(0)
    made, given = rng.integers(0, 256, (2, 17, 2, 2, 3), dtype=np.uint8)
    kept = rng.random((17, 2, 2)) < 0.5
    before, after = rng.integers(0, 256, (2, 3, 2, 2, 3), dtype=np.uint8)
    task = Task(Canvas.blank((5, 4, 4), 4, 8.0), given, kept, start, stop, before, after)
    pieces = np.split(made, np.cumsum(lengths)[:-1])
    delivered = np.concatenate(list(deliver(task, pieces, 17)))
    expected = np.concatenate(list(meet(task, [made])))
    assert np.array_equal(delivered, np.concatenate([before, expected[start:stop], after]))
    assert np.array_equal(expected[kept], given[kept])


def test_everything_known_takes_no_step(generator):
    latents = generator.model.encode(clip_of(9))
    rendering = generator.begin(Request("", canvas=Canvas(latents, torch.ones(3, 4, 4), 8.0)))
    assert rendering.is_done and (rendering.num_steps, rendering.num_tokens, rendering.max_tokens) == (0, 0, 0)
    assert np.array_equal(generator.finish(rendering).frames, generator.model.decode(latents, 8.0).frames)


@pytest.mark.parametrize("known", [[0, 1], [10, 11], [0, 1, 10, 11], [5], [0, 6, 7]], ids=str)
def test_known_frames_anywhere_in_a_long_canvas_stay(generator, known):
    canvas = canvas_of(12, known)
    latents = finish(generator, generator.begin(Request("a ball", canvas=canvas, seed=1)))
    assert torch.equal(latents[:, known], canvas.clean[:, known])
    others = [i for i in range(12) if i not in known]
    assert (latents[:, others] != 0).all() and latents.isfinite().all()


def test_windows_that_lead_to_a_known_end_depend_on_it_and_go_backward(generator):
    ends = [canvas_of(12, [10, 11], seed=seed) for seed in range(2)]
    renderings = [generator.begin(Request("a ball", canvas=end, seed=1)) for end in ends]
    assert renderings[0].windows[0][1] > 10 and renderings[0].windows[-1][0] == 0
    made = [finish(generator, rendering)[:, :10] for rendering in renderings]
    # Every frame has heard of the end, window by window.
    assert ((made[0] - made[1]).abs().amax((0, 2, 3)) > 1e-5).all()


def test_each_window_sees_what_came_before(generator):
    made = [
        finish(generator, generator.begin(Request("a ball", canvas=canvas_of(9, [0], seed), seed=1)))
        for seed in range(2)
    ]
    assert ((made[0] - made[1])[:, 1:].abs().amax((0, 2, 3)) > 1e-3).all()


def test_a_longer_clip_begins_as_a_shorter_one(generator):
    short, long = (finish(generator, generator.begin(Request("a ball", seconds=s, seed=2))) for s in (4.125, 8.0))
    assert torch.equal(long[:, : short.shape[1]], short)


def test_parts_of_frames_are_filled_in_a_long_clip(generator):
    clip = clip_of(41)
    remade = np.zeros(clip.frames.shape[:3], bool)
    remade[9:33, :16, :16] = True
    task = tasks.fill(clip, remade, generator.model)
    rendering = generator.begin(Request("a ball", canvas=task, seed=1))
    unfinished = [i for i in range(11) if (task.canvas.known[i] < 1).any()]
    assert {i for window in rendering.windows for i in range(*window)} >= set(unfinished)
    assert min(start for start, _ in rendering.windows) >= unfinished[0] - 1
    made = generator.finish(rendering)
    assert np.array_equal(made.frames[~remade], clip.frames[~remade])


def test_a_script_takes_over_from_its_seconds_on(generator):
    lines = ((1.0, "it stops"), (2.0, "it falls over"))
    request = Request("a red ball rolls", seconds=4.0, seed=1, guidance=2.0, script=lines)
    assert texts_over_time(request, [0.0, 0.5, 1.0, 1.5, 2.5]) == [
        *["a red ball rolls"] * 2,
        *["it stops"] * 2,
        "it falls over",
    ]
    plain = dataclasses.replace(request, script=())
    scripted, unscripted = (finish(generator, generator.begin(each)) for each in (request, plain))
    # Windows of three latent frames: the first ends before 1 s, so only what comes later differs.
    first = generator.begin(request).windows[0][1]
    assert torch.equal(scripted[:, :first], unscripted[:, :first])
    assert ((scripted - unscripted)[:, first:].abs().amax((0, 2, 3)) > 1e-3).all()


def test_each_text_has_its_own_span_of_a_window(generator):
    request = Request("a red ball rolls", seconds=1.0, script=((0.5, "it stops"),))
    rendering = generator.begin(request)
    assert [span.num_tokens for span in rendering.prompted.spans] == [8, 4]  # latent frames at 0, 0.31 and 0.81 s
    assert [len(span.text) for span in rendering.prompted.spans] == [4, 2]


def test_new_words_are_led_away_from_those_that_they_take_the_place_of(generator):
    assert texts_to_avoid(["a", "a", "a"], "") == ["", "", ""]
    assert texts_to_avoid(["a", "a", "b", "b", "a"], "") == ["", "", "a", "a", "b"]
    assert texts_to_avoid(["a", "a", "b", "b", "a"], "rain") == ["rain"] * 5  # what is asked for goes first
    request = Request("a red ball rolls", seconds=1.0, script=((0.5, "it stops"),))
    rendering = generator.begin(request)
    old, negated = rendering.prompted.spans[0].text, rendering.negated.spans
    assert [span.num_tokens for span in negated] == [8, 4] and torch.equal(negated[1].text, old)
    explicit = generator.begin(dataclasses.replace(request, negative="rain"))
    assert [span.num_tokens for span in explicit.negated.spans] == [12]
    # In a window that the earlier words do not reach, nothing is left of them.
    late = generator.begin(dataclasses.replace(request, seconds=4.0))
    while late.window < len(late.windows) - 1:
        generator.advance([late])
    assert [len(span.text) for span in late.prompted.spans] == [2]
    assert torch.equal(late.negated.spans[0].text, negated[0].text) and len(late.negated.spans) == 1


def test_a_script_goes_through_json(generator):
    request = Request("a ball", seconds=2.0, script=((0.5, "it stops"), (1.0, "it turns \u00fcber")))
    settings = json.loads(json.dumps(generator.settings(request)))
    assert settings["script"] == [[0.5, "it stops"], [1.0, "it turns \u00fcber"]]
    assert Request.from_settings(settings) == generator.resolve(request)
    assert "script" not in generator.settings(Request("a ball"))
    assert Request("a", guidance=3.0, negative="a", script=((1.0, "b"),)).is_guided


@pytest.mark.parametrize(
    "script, match",
    [
        (((1.0, "b"), (0.5, "c")), "'c' starts at second 0.5; the one before it starts at 1"),
        (((1.0, "b"), (1.0, "c")), "must be later"),
        (((0.0, "b"),), "the prompt holds from 0 on"),
        (((-1.0, "b"),), "starts at second -1"),
        (((float("nan"), "b"),), "starts at second nan"),
        (((float("inf"), "b"),), "starts at second inf"),
        (((2.0, "b"),), r"2 s comes after the clip's end, 2 s"),
        (((1.0, "  "),), "prompt at 1 s is empty"),
        (((1.0, "a\0b"),), "prompt at 1 s holds"),
    ],
)
def test_a_script_that_cannot_be_followed_is_refused(generator, script, match):
    with pytest.raises(ValueError, match=match):
        generator("a ball", seconds=2.0, script=script)
    for damaged in ([["b", 1.0]], [[1.0]], [[True, "b"]], ["ab"]):
        with pytest.raises(ValueError, match=r"must be \[second, text\]"):
            Request.from_settings({"prompt": "a", "script": damaged})


def test_doubts_tell_of_every_text_and_of_length(generator):
    doubts = generator.doubts(Request("a ball", seconds=4.0, script=((1.0, "!!"),)))
    assert any("holds no words" in doubt for doubt in doubts)
    assert any("33 frames are more than tiny was trained on (9)" in doubt for doubt in doubts)


def test_a_number_that_overflowed_is_said_when_frames_are_asked_for(generator):
    rendering = generator.begin(Request("a ball", seconds=0.5))
    finish(generator, rendering)
    rendering.latents[0, 0, 0, 0] = float("nan")
    with pytest.raises(RuntimeError, match="compute in float32"):
        generator.finish(rendering)
