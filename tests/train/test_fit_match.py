"""What leaps make moves to where the teacher finds it likelier; a fit does so, keeps the weights, survives a kill."""

import json
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from ozora.clip import Clip
from ozora.data.latents import weights_hash
from ozora.data.record import Caption, Record
from ozora.data.shards import write_shard
from ozora.generate.folder import ModelConfig, SamplingConfig, TrainedRange, load_folder, save_folder
from ozora.generate.generator import Generator
from ozora.generate.leaps import changeable, changes_of, write_leaps
from ozora.generate.request import Request
from ozora.generate.watch import load_captioner
from ozora.language.encoder import Piece
from ozora.language.stored import StoredConfig, save_writer
from ozora.language.vocabulary import learn_vocabulary
from ozora.language.writer import Writer, WriterConfig
from ozora.model.autoencoder import Autoencoder, AutoencoderConfig
from ozora.model.patches import patchify
from ozora.model.transformer import Transformer, TransformerConfig
from ozora.train import fit_match as module
from ozora.train.config import MatchFit, RunConfig
from ozora.train.fit_match import Draft, direction, draw_draft, fake_loss, fit_match, leap, unread
from ozora.train.walks import Wishes

AUTOENCODER = AutoencoderConfig(4, 8, 8, (1, 1), (1, 1))
FIT = MatchFit(
    run=RunConfig(num_steps=10, num_threads=1, log_steps=1, save_seconds=0.0),
    model="leaper",
    styles={"dense": 1.0},
    batch_size=4,
    fake_rank=2,
    fake_first=3,
)


class Numbers:
    """A text encoder whose state of a word is drawn from its length."""

    id, width, max_tokens, hash = "numbers", 8, 64, "0" * 64

    def pieces(self, text):
        return [Piece(0, len(text), known=True, read=True)]

    def encode(self, texts):
        numbers = [[[np.sin(len(w) * (i + 1)) for i in range(8)] for w in text.split()] for text in texts]
        return [torch.tensor(one, dtype=torch.float32).reshape(-1, 8) for one in numbers]


class Normal(Transformer):
    """Knows that every number of a clip is normal with this mean and deviation 0.5: the best answer there is."""

    mean = 0.0

    def forward(self, patches, sigma, layout):
        signal = (1 - sigma[:, None]) * 0.25 / ((1 - sigma[:, None]) ** 2 * 0.25 + sigma[:, None] ** 2)
        return self.mean + signal * (patches - (1 - sigma[:, None]) * self.mean)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Clips of noise in ``data``; ``teacher``, and ``leaper``, which is the same and leaps at random."""
    place = tmp_path_factory.mktemp("match")
    random = np.random.default_rng(0)
    clips = [Clip(random.integers(0, 256, (t, 32, 32, 3), dtype=np.uint8), 8.0) for t in [9] * 6 + [1] * 4]
    captions = Caption("dense", "a red ball falls"), Caption("still", "a picture")
    records = [Record(f"c{i}", 32, 32, clip.num_frames, 8.0, captions) for i, clip in enumerate(clips)]
    write_shard(place / "data", 0, clips, records)
    torch.manual_seed(0)
    autoencoder = Autoencoder(AUTOENCODER)
    network = Transformer(TransformerConfig(16, 8, width=32, num_blocks=1, num_heads=2))
    with torch.no_grad():
        for parameter in (*network.parameters(), *autoencoder.parameters()):
            parameter.add_(0.15 * torch.randn_like(parameter))
    config = ModelConfig(
        "teacher", AUTOENCODER, network.config, autoencoder.geometry, (0.0,) * 4, (0.5,) * 4,
        reference_tokens=8, text_encoder="numbers", trained=TrainedRange(((32, 32),), (1, 9), (8.0,)),
        sampling=SamplingConfig("ancestral", 12, 2.0, (0.2, 1.0)), default_size=(32, 32),
    )  # fmt: skip
    for name in ("teacher", "leaper"):
        save_folder(place / name, config, autoencoder.eval(), network.eval(), f"# {name}\n")
    student = changeable(network, 3)
    with torch.no_grad():
        for part in changes_of(student).values():
            part.add_(0.1 * torch.randn_like(part))
    write_leaps(place / "leaper", 4, 2.0, changes_of(student))
    vocabulary = learn_vocabulary(["a red ball falls", "a picture"], 270)
    seen = WriterConfig(vocabulary.size, 40, width=32, num_blocks=1, num_heads=2, max_tokens=48)
    writer = Writer(seen)
    for weight in writer.parameters():  # fresh networks hardly look at what they read
        torch.nn.init.normal_(weight, std=0.3)
    told = StoredConfig(
        "captioner",
        seen,
        weights_hash(load_folder(place / "leaper").autoencoder),
        fps=8.0,
        max_frames=9,
        max_area=32 * 32,
    )
    save_writer(place / "leaper" / "captioner", told, writer, vocabulary, "# tiny\n")
    return place


@pytest.fixture(scope="module")
def generator(place) -> Generator:
    return Generator(load_folder(place / "leaper"), Numbers())


@pytest.fixture(scope="module")
def draft(place, generator) -> Draft:
    reader, model = module.ShardReader(place / "data"), generator.model
    latents = module.encode_clips(reader, place / "cache", model.autoencoder, (0.0,) * 4, (0.5,) * 4)
    wishes = Wishes(reader, latents, {"dense": 1.0}, masks=0.5)
    return draw_draft(generator, wishes, 8, 4, torch.Generator().manual_seed(0))


def chance() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def test_a_draft_leaps_as_the_generator_does(generator, draft):
    request = Request("a red ball", seconds=1.0, seed=3, steps=4)
    one = Mock(Wishes)
    one.draw.return_value = request
    alone = draw_draft(generator, one, 1, 4, chance())
    rendering = generator.begin(request)
    while not rendering.is_done:
        generator.advance([rendering])
    with torch.no_grad():
        end = leap(generator.leaps.transformer, alone, "straight")
    torch.testing.assert_close(end, patchify(rendering.latents, 2), atol=1e-4, rtol=0)
    known = draft.moves == 0
    assert known.any() and not known.all() and len(draft.layout.split(draft.x)) == len(draft.shift) == 8
    with torch.no_grad():
        moved = leap(generator.leaps.transformer, draft, "straight")
    assert torch.equal(moved[known], draft.x[known])


def test_the_direction_leads_from_what_leaps_make_to_what_the_teacher_knows(generator, draft):
    config = generator.transformer.config
    teacher, fake = Normal(config), Normal(config)
    x = 0.5 * torch.randn(draft.x.shape, generator=chance())
    sampling = SamplingConfig(guidance=1.0)
    known = draft.moves == 0

    def towards():
        return direction(x, draft, teacher, fake, sampling, "straight", 0.2, chance())

    assert not towards().any()  # they agree: nothing is to be gained
    fake.mean, teacher.mean = 0.0, 1.0
    assert towards()[~known].max() < 0 and not towards()[known].any()  # downhill is up, to the teacher's mean
    fake.mean, teacher.mean = 1.0, 0.0
    assert towards()[~known].min() > 0
    honest = fake_loss(Normal(config), x, draft, "straight", 0.2, chance()).mean
    assert honest < fake_loss(fake, x, draft, "straight", 0.2, chance()).mean


def test_what_a_captioner_cannot_read_falls_downhill_for_each_clip_alone(place, generator, draft):
    captioner = load_captioner(place / "leaper", generator.model).stored
    x = (0.5 * torch.randn(draft.x.shape, generator=chance())).requires_grad_()
    nats = unread(x, draft, captioner, generator.geometry, chance())
    told = torch.tensor([bool(request.prompt) for request in draft.requests])
    assert told.any() and (nats[told] > 0).all() and not nats[~told].any()
    first = int(told.nonzero()[0])
    nats[first].backward()
    assert x.grad is not None and (x.grad.abs().sum(1) > 0).equal(draft.clip == first)
    nearer = (x - 0.01 * x.grad / x.grad.norm()).detach()
    assert unread(nearer, draft, captioner, generator.geometry, chance())[first] < nats[first]
    silent = replace(draft, requests=tuple(replace(request, prompt="") for request in draft.requests))
    assert not unread(x, silent, captioner, generator.geometry, chance()).any()


def test_a_captioner_has_a_word_where_it_is_asked_for(place, monkeypatch):
    monkeypatch.setattr(module, "load_text_encoder", lambda *_: Numbers())
    for name, reading in (("deaf", 0.0), ("heard", 1e3)):
        fit_match(replace(FIT, name=name, reading=reading), place / "data", place)
    lines = [json.loads(line) for line in (place / "heard-run/log.jsonl").read_text().splitlines()]
    assert lines[-1]["unread"] > 0 and lines[0]["unread"] == 0  # the other network learns alone at first
    assert "unread" not in (place / "deaf-run/log.jsonl").read_text()
    deaf, heard = (load_folder(place / name).leaps for name in ("deaf", "heard"))
    assert deaf and heard and deaf.hash != heard.hash
    (place / "mute").mkdir()
    for file in (place / "leaper").iterdir():
        if file.is_file():
            (place / "mute" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ValueError, match="mute holds no captioner"):
        fit_match(replace(FIT, name="refused", model="mute", reading=1.0), place / "data", place)


def logged(run: Path) -> dict[int, float]:
    lines = (run / "log.jsonl").read_text().splitlines() if (run / "log.jsonl").is_file() else []
    return {line["step"]: line["fake"] for line in map(json.loads, lines)}


def test_a_fit_changes_the_leaps_alone_and_a_killed_one_goes_on(place, monkeypatch):
    monkeypatch.setattr(module, "load_text_encoder", lambda *_: Numbers())
    whole = load_folder(fit_match(replace(FIT, name="whole"), place / "data", place))
    losses = logged(place / "whole-run")

    class StopAfterFive(module.Interruption):
        asked = property(lambda self: len(logged(place / "killed-run")) >= 5, lambda self, value: None)

    killed = replace(FIT, name="killed")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match="after step 5 of 10"):
        patch.setattr(module, "Interruption", StopAfterFive)
        fit_match(killed, place / "data", place)
    resumed = load_folder(fit_match(killed, place / "data", place, resume=True))
    assert logged(place / "killed-run") == pytest.approx(losses, rel=1e-3)
    before = load_folder(place / "leaper")
    assert whole.leaps and resumed.leaps and before.leaps and whole.hash == before.hash
    for one, two in zip(whole.leaps.transformer.parameters(), resumed.leaps.transformer.parameters()):
        torch.testing.assert_close(one, two, atol=1e-3, rtol=0)
    assert whole.leaps.hash != before.leaps.hash and (whole.leaps.num_steps, whole.leaps.guidance) == (4, 2.0)


def test_a_model_that_does_not_leap_is_refused(place, monkeypatch):
    monkeypatch.setattr(module, "load_text_encoder", lambda *_: Numbers())
    with pytest.raises(ValueError, match="teacher has learned no leaps; fit them first"):
        fit_match(replace(FIT, name="refused", model="teacher"), place / "data", place)
    assert not (place / "refused").exists()
