"""Which clip is kept: the one that is likeliest beside what holds while it plays; nothing is chosen without words."""

import numpy as np
import pytest

from ozora.clip import Clip
from ozora.generate.choose import best, check_choice, likelihoods
from ozora.generate.generator import Generator
from ozora.generate.request import Request


@pytest.fixture(scope="module")
def generator(writing_folder):
    return Generator.load(writing_folder)


def noise(num_frames, size=(32, 32), seed=0, fps=8.0):
    random = np.random.default_rng(seed)
    return Clip(random.integers(0, 256, (num_frames, size[1], size[0], 3), dtype=np.uint8), fps)


def test_the_likeliest_is_the_best_and_of_equals_the_first(generator):
    clips = [noise(9, seed=seed) for seed in range(5)]
    request = Request("A red ball falls.")
    nats = likelihoods(generator.captioner, clips, request, generator.geometry)
    assert len(set(nats)) == 5 and max(nats) < 0
    assert best(generator.captioner, clips, request, generator.geometry) == int(np.argmax(nats))
    assert best(generator.captioner, [clips[2]] * 3, request, generator.geometry) == 0
    other = likelihoods(generator.captioner, clips, Request("A blue cube stands."), generator.geometry)
    assert all(one != another for one, another in zip(nats, other))


def test_each_part_of_a_long_clip_stands_beside_the_text_of_its_middle(generator):
    captioner, geometry = generator.captioner, generator.geometry
    long = noise(18)  # two parts of nine frames, 1.125 seconds each
    parts = [long.slice(0, 9), long.slice(9, 18)]
    script = Request("A red ball falls.", script=((1.2, "It stops."),))
    texts = ["A red ball falls.", "It stops."]
    expected = sum(
        likelihoods(captioner, [part], Request(text), geometry)[0] for part, text in zip(parts, texts, strict=True)
    )
    assert likelihoods(captioner, [long], script, geometry)[0] == pytest.approx(expected, rel=1e-5)


def test_clips_are_watched_as_the_captioner_knows_them(generator, monkeypatch):
    watched = []
    look = generator.captioner.look
    monkeypatch.setattr(generator.captioner, "look", lambda clip: (watched.append(clip), look(clip))[1])
    likelihoods(
        generator.captioner,
        [noise(18, (64, 64), fps=16.0), noise(1, (64, 32)), noise(9)],
        Request("A red ball falls."),
        generator.geometry,
    )
    assert [(clip.size, clip.num_frames) for clip in watched] == [((32, 32), 9), ((48, 16), 1), ((32, 32), 9)]
    assert watched[0].fps == watched[2].fps == 8.0


def test_python_returns_the_best_alone(generator):
    asked = {"size": (64, 64), "seconds": 0.5, "steps": 2, "seed": 3}
    clips = generator("A red ball falls.", variations=3, **asked)
    chosen = best(generator.captioner, clips, Request("A red ball falls."), generator.geometry)
    found = generator("A red ball falls.", best_of=3, **asked)
    assert isinstance(found, Clip) and np.array_equal(found.frames, clips[chosen].frames)


def test_what_cannot_be_chosen_is_refused_before_any_work(generator, model_folder):
    with pytest.raises(ValueError, match="best_of is 0; it must be a whole number from 1 on"):
        check_choice(0, ["a ball"])
    with pytest.raises(ValueError, match="no prompt to choose by"):
        check_choice(2, ["a ball", " "])
    check_choice(1, [""])
    with pytest.raises(ValueError, match="best_of is 2 beside variations 3"):
        generator("a ball", best_of=2, variations=3)
    with pytest.raises(ValueError, match="holds no captioner"):
        Generator.load(model_folder)("a ball", best_of=2, steps=2)
    with pytest.raises(ValueError, match="not loaded from a folder"):
        Generator(generator.model, generator.text_encoder)("a ball", best_of=2)
