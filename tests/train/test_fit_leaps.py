"""Walks are the sampler's own, a lesson says where they lead, and a fit of them is learned and survives a kill."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ozora.clip import Clip
from ozora.data.record import Caption, Record
from ozora.data.shards import write_shard
from ozora.generate.folder import Model, ModelConfig, SamplingConfig, TrainedRange, load_folder, save_folder
from ozora.generate.generator import Generator
from ozora.generate.leaps import Leaps, changeable, changed, changes_of
from ozora.generate.request import Request
from ozora.language.encoder import Piece
from ozora.model.autoencoder import Autoencoder, AutoencoderConfig
from ozora.model.patches import patchify
from ozora.model.transformer import Transformer, TransformerConfig
from ozora.train import fit_leaps as module
from ozora.train import walks as recorder
from ozora.train.config import LeapsFit, RunConfig
from ozora.train.fit_leaps import fit_leaps, lead, lesson_loss, make_lesson, take_changes
from ozora.train.optimizer import OptimizerConfig
from ozora.train.walks import CHUNK, walk_requests

AUTOENCODER = AutoencoderConfig(4, 8, 8, (1, 1), (1, 1))
FIT = LeapsFit(
    run=RunConfig(num_steps=24, num_threads=1, log_steps=1, save_seconds=0.0),
    model="teacher",
    optimizer=OptimizerConfig(warm_up_steps=2, decay_fraction=0.5, learning_rate=1e-2, weight_decay=0.0),
    styles={"dense": 1.0},
    num_walks=CHUNK + 2,
    batch_size=6,
    rank=4,
)


class Letters:
    """A text encoder whose state of a word is drawn from its letters."""

    id, width, max_tokens, hash = "letters", 8, 64, "0" * 64

    def pieces(self, text):
        return [Piece(0, len(text), known=True, read=True)]

    def encode(self, texts):
        return [torch.tensor([self._state(word) for word in text.split()]).reshape(-1, 8) for text in texts]

    def _state(self, word):
        return [float(np.sin(sum(map(ord, word)) * (i + 1))) for i in range(8)]


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    autoencoder = Autoencoder(AUTOENCODER)
    network = Transformer(TransformerConfig(16, 8, width=32, num_blocks=1, num_heads=2))
    with torch.no_grad():
        for parameter in (*network.parameters(), *autoencoder.parameters()):
            parameter.add_(0.15 * torch.randn_like(parameter))
    config = ModelConfig(
        "teacher", AUTOENCODER, network.config, autoencoder.geometry, (0.0,) * 4, (0.5,) * 4,
        reference_tokens=8, text_encoder="letters", trained=TrainedRange(((32, 32), (48, 32)), (1, 9), (8.0,)),
        sampling=SamplingConfig(steps=12, guidance=2.0, guidance_interval=(0.2, 1.0)), default_size=(32, 32),
    )  # fmt: skip
    return Model(config, autoencoder.eval(), network.requires_grad_(False).eval(), "f" * 64)


@pytest.fixture(scope="module")
def generator(model):
    return Generator(model, Letters())


REQUESTS = [
    Request("a red ball", seconds=1.0, seed=1, steps=12),
    Request("a cone", size=(48, 32), seconds=0.125, seed=2, steps=12),
    Request("two cubes", seconds=2.0, seed=3, steps=12),
]


@pytest.fixture(scope="module")
def walks(generator):
    return walk_requests(generator, REQUESTS, 4)


@pytest.fixture(scope="module")
def student(model):
    """A network that leaps badly, and a generator that leaps with it."""
    torch.manual_seed(1)
    network = changeable(model.transformer, 2)
    with torch.no_grad():
        for part in changes_of(network).values():
            part.add_(0.1 * torch.randn_like(part))
    leaps = Leaps(4, 2.0, changed(model.transformer, changes_of(network)).eval(), "e" * 64)
    return network, Generator(replace(model, leaps=leaps), Letters())


def test_a_walk_is_the_samplers_own_from_noise_to_its_end(generator, student, walks):
    assert len(walks) == 4
    for request, walk in zip(REQUESTS[:2], walks):
        rendering = generator.begin(request)
        assert torch.equal(walk.stops[0], rendering.point.x)
        while not rendering.is_done:
            generator.advance([rendering])
        torch.testing.assert_close(walk.stops[-1], patchify(rendering.latents, 2), atol=2e-4, rtol=0)
        leaping = student[1].begin(replace(request, steps=4))
        torch.testing.assert_close(walk.levels, leaping.levels.squeeze(2))
    later = walks[3]  # a window from mid-clip, of which the first frames are known
    still = later.levels[0] == 0
    assert still.any() and not still.all() and torch.equal(later.stops[0][still], later.stops[-1][still])
    with pytest.raises(ValueError, match="cannot stop 5 times"):
        walk_requests(generator, REQUESTS[:1], 5)


@pytest.mark.parametrize("own", [0.0, 1.0])
def test_a_leap_that_answers_its_lesson_lands_on_the_next_stop(student, walks, own):
    lesson = make_lesson(student[0], walks, own, "straight", torch.Generator().manual_seed(0))
    moves = lesson.weight > 0
    landings = []
    parts = map(lesson.layout.split, (lesson.x, lesson.velocity, lesson.sigma[:, None]))
    for walk, start, velocity, sigma in zip(walks, *parts):
        (place,) = (i for i in range(4) if torch.equal(walk.levels[i], sigma[:, 0]))
        assert own or torch.equal(start, walk.stops[place])
        end = start - (walk.levels[place] - walk.levels[place + 1])[:, None] * velocity
        torch.testing.assert_close(end[sigma[:, 0] > 0], walk.stops[place + 1][sigma[:, 0] > 0], atol=1e-4, rtol=0)
        landings.append(place)
    assert sorted(landings) == [0, 1, 2, 3] and moves.any() and not moves.all()
    clean = lesson.x - lesson.sigma[:, None] * lesson.velocity
    perfect = type("Perfect", (Transformer,), {"forward": lambda *_: clean})(student[0].config)
    assert lesson_loss(perfect, lesson, "straight").mean < 1e-6 < lesson_loss(student[0], lesson, "straight").mean


def test_own_leaps_are_those_of_the_generator(student, walks):
    network, leaper = student
    rendering = leaper.begin(replace(REQUESTS[0], steps=4))
    for _ in range(3):
        leaper.advance([rendering])
    torch.testing.assert_close(lead(network, walks[:1], [3], "straight")[0], rendering.point.x, atol=1e-4, rtol=0)
    together = lead(network, walks, [3, 1, 2, 3], "straight")
    torch.testing.assert_close(together[0], rendering.point.x, atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def place(model, tmp_path_factory) -> Path:
    """Twelve clips of noise and six pictures in ``data``, and a teacher."""
    place = tmp_path_factory.mktemp("leaps")
    random = np.random.default_rng(0)
    lengths = [9] * 12 + [1] * 6
    clips = [
        Clip(random.integers(0, 256, (t, 32, 32 + 16 * (i % 2), 3), dtype=np.uint8), 8.0) for i, t in enumerate(lengths)
    ]
    captions = Caption("dense", "a red ball falls"), Caption("still", "a picture")
    records = [Record(f"c{i}", clip.width, 32, clip.num_frames, 8.0, captions) for i, clip in enumerate(clips)]
    write_shard(place / "data", 0, clips, records)
    fresh = replace(model.config, sampling=replace(model.config.sampling, sampler="ancestral"))
    save_folder(place / "teacher", fresh, model.autoencoder, model.transformer, "# teacher\n")
    return place


def logged(run: Path) -> dict[int, float]:
    lines = (run / "log.jsonl").read_text().splitlines() if (run / "log.jsonl").is_file() else []
    return {line["step"]: line["loss"] for line in map(json.loads, lines)}


def test_leaping_is_learned_and_a_killed_fit_goes_on(place, monkeypatch):
    monkeypatch.setattr(module, "load_text_encoder", lambda *_: Letters())
    whole = fit_leaps(replace(FIT, name="whole"), place / "data", place)
    losses = logged(place / "whole-run")
    assert np.mean(list(losses.values())[-6:]) < 0.8 * np.mean(list(losses.values())[:6])

    class StopAfterThree(module.Interruption):
        asked = property(lambda self: len(logged(place / "killed-run")) >= 3, lambda self, value: None)

    killed = replace(FIT, name="killed")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match="after step 3 of 24"):
        patch.setattr(module, "Interruption", StopAfterThree)
        fit_leaps(killed, place / "data", place)
    (place / "killed-run" / "walks" / f"walks-{CHUNK:06d}.safetensors").write_bytes(b"damaged")
    made = []
    with monkeypatch.context() as patch:
        patch.setattr(recorder, "walk_requests", lambda g, r, n: (made.extend(r), walk_requests(g, r, n))[1])
        resumed = load_folder(fit_leaps(killed, place / "data", place, resume=True))
    assert [request.sampler for request in made] == ["multistep"] * 2  # the others are there
    again = logged(place / "killed-run")
    assert [again[step] for step in range(1, 4)] == [losses[step] for step in range(1, 4)]
    model, teacher = load_folder(whole), load_folder(place / "teacher")
    assert model.leaps is not None and resumed.leaps is not None
    for one, two in zip(model.leaps.transformer.parameters(), resumed.leaps.transformer.parameters()):
        torch.testing.assert_close(one, two, atol=2e-2, rtol=0)
    assert model.hash == teacher.hash and (model.leaps.num_steps, model.leaps.guidance) == (4, 2.0)
    (clip,) = Generator(model, Letters()).render([Request("a red ball", steps=4, seconds=1.0)])
    assert clip.num_frames == 8
    go_on = replace(FIT, name="further", init_from=str(whole), run=replace(FIT.run, num_steps=2))
    fit_leaps(go_on, place / "data", place)
    assert logged(place / "further-run")[1] < losses[1]


def test_what_cannot_be_learned_is_refused(place, model, monkeypatch):
    monkeypatch.setattr(module, "load_text_encoder", lambda *_: Letters())
    with pytest.raises(ValueError, match=r"num_steps is 5; it must divide the model's 12: one of \[1, 2, 3, 4, 6\]"):
        fit_leaps(replace(FIT, name="refused", num_steps=5), place / "data", place)
    with pytest.raises(ValueError, match="learned no leaps"):
        fit_leaps(replace(FIT, name="refused", init_from=str(place / "teacher")), place / "data", place)
    other = changes_of(changeable(model.transformer, 8))
    with pytest.raises(ValueError, match="it must have the shape"):
        take_changes(changeable(model.transformer, 4), other)
    assert not (place / "refused").exists()
