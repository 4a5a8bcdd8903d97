"""Writers learn what they are shown, a killed run goes on with the losses it would have had, and the folder loads."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ozora.clip import Clip
from ozora.data.latents import MapCache
from ozora.data.record import Caption, Facts, ObjectFacts, Record
from ozora.data.shards import write_shard
from ozora.data.writing import IGNORED, WritingBatch, exchanged, prompt_pairs, watched
from ozora.generate.folder import ModelConfig, load_folder, save_folder
from ozora.generate.watch import load_captioner, look_with, watched_size
from ozora.geometry import Geometry
from ozora.language.stored import load_writer
from ozora.language.writer import Prefix, WriterConfig
from ozora.model.autoencoder import Autoencoder, AutoencoderConfig
from ozora.train import fit_writer as module
from ozora.train.alignment import AlignmentConfig
from ozora.train.config import RunConfig, WriterFit
from ozora.train.fit_writer import fit_writer, losses, open_examples, open_vocabulary, writing_loss
from ozora.train.optimizer import OptimizerConfig
from ozora.train.run import load_recipe

TINY = AutoencoderConfig(4, 8, 8, (1, 1), (1, 1))
FIT = WriterFit(
    run=RunConfig(num_steps=4, num_threads=1, log_steps=1, save_seconds=0.0),
    role="captioner",
    name="captioner",
    network=WriterConfig(width=32, num_blocks=1, num_heads=2, max_tokens=96),
    optimizer=OptimizerConfig(learning_rate=1e-2, warm_up_steps=2),
    num_pieces=300,
    batch_size=4,
    noise=0.0,
)
RECIPES = Path(__file__).parents[2] / "recipes"


class Words:
    """A text encoder: a state for each word, its length."""

    id, width, max_tokens, hash = "words", 12, 64, "1" * 64

    def pieces(self, text):
        return []

    def encode(self, texts):
        return [torch.tensor([[float(len(word))] * 12 for word in text.split()]) for text in texts]


def record(i, color):
    dense = (
        f"On a grey floor, a {color} ball is on the left. The {color} ball rolls to the right. The camera is static."
    )
    captions = (
        Caption("dense", dense),
        Caption("short", f"a {color} ball rolls to the right"),
        Caption("still", f"a {color} ball"),
    )
    facts = Facts((ObjectFacts(color, "sphere", "medium"),), "roll", "static")
    return Record(f"c{i}", 32 + 16 * (i % 2), 32, 5, 8.0, captions, facts=facts)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Twelve clips, each of one colour that its captions name, and an autoencoder."""
    monkeypatch.setattr(module, "load_text_encoder", lambda *_: Words())
    shades = {"red": (200, 0, 0), "blue": (0, 0, 200), "green": (0, 180, 0)}
    records = [record(i, list(shades)[i % 3]) for i in range(12)]
    clips = [
        Clip(np.full((5, 32, one.width, 3), shades[list(shades)[i % 3]], np.uint8), 8.0)
        for i, one in enumerate(records)
    ]
    write_shard(tmp_path / "data", 0, clips, records)
    torch.manual_seed(0)
    autoencoder = Autoencoder(TINY)
    config = ModelConfig(
        "autoencoder", TINY, geometry=autoencoder.geometry, latent_mean=(0.0,) * 4, latent_std=(0.5,) * 4
    )
    save_folder(tmp_path / "autoencoder", config, autoencoder, None, "# test\n")
    return tmp_path


class Truth(MapCache):
    """In place of the simulator's maps: one channel that rises from clip to clip and from left to right."""

    def __init__(self):
        pass

    @property
    def indices(self):
        return list(range(12))

    def maps(self, index):
        width = 4 + 2 * (index % 2)
        return (index + torch.arange(width) / width).expand(1, 2, 4, width)


def logged(run, name="loss"):
    return {line["step"]: line[name] for line in map(json.loads, (run / "log.jsonl").read_text().splitlines())}


@pytest.mark.parametrize("role", ["captioner", "expander"])
def test_kill_and_resume_equal_no_kill(place, monkeypatch, role):
    for name in ("make_truth", "make_motion"):
        monkeypatch.setattr(module, name, lambda *_: Truth())
    whole = replace(FIT, name="whole", role=role, alignment=AlignmentConfig(1.0, 1) if role == "captioner" else None)
    stored = load_writer(fit_writer(whole, place / "data", place), role)
    losses = logged(place / "whole-run")
    assert sorted(losses) == [1, 2, 3, 4] and losses[4] < losses[1]

    class StopAfterTwo(module.Interruption):
        asked = property(
            lambda self: (place / "killed-run" / "log.jsonl").read_text().count("\n") >= 2, lambda *_: None
        )

    killed = replace(whole, name="killed")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match="after step 2 of 4"):
        patch.setattr(module, "Interruption", StopAfterTwo)
        fit_writer(killed, place / "data", place)
    resumed = load_writer(fit_writer(killed, place / "data", place, resume=True))
    assert logged(place / "killed-run") == losses
    maps = logged(place / "killed-run", "maps")
    assert maps == logged(place / "whole-run", "maps") and (max(maps.values()) > 0) == (role == "captioner")
    for one, two in zip(stored.writer.parameters(), resumed.writer.parameters()):
        assert torch.equal(one, two)


def test_a_captioner_learns_the_colours_and_watches_any_clip_of_its_model(place):
    fit = replace(FIT, run=replace(FIT.run, num_steps=120), styles={"short": 1.0})
    fit = replace(fit, network=replace(FIT.network, dropout=0.0), optimizer=replace(FIT.optimizer, ema_decay=0.5))
    folder = fit_writer(fit, place / "data", place)
    captioner = load_captioner(place, load_folder(place / "autoencoder"), folder)
    assert captioner.stored.config.max_frames == 5 and captioner.stored.config.max_area == 48 * 32
    clips = [Clip(np.full((n, 32, 32, 3), shade, np.uint8), 8.0) for n, shade in ((5, (200, 0, 0)), (3, (0, 0, 200)))]
    assert [text.split()[1] for text in captioner.caption(clips, "short")] == ["red", "blue"]
    assert logged(place / "captioner-run")[120] < 0.3
    other = load_folder(place / "autoencoder")
    with torch.no_grad():
        next(other.autoencoder.parameters()).add_(1)
    with pytest.raises(ValueError, match="learned from the latents"):
        load_captioner(place, other, folder)
    with pytest.raises(ValueError, match="holds no captioner"):
        load_captioner(place / "data", other)


def test_a_fit_goes_on_from_a_model_s_writer_with_its_words(place):
    first = load_writer(fit_writer(replace(FIT, name="autoencoder/captioner"), place / "data", place))
    still = replace(FIT.optimizer, learning_rate=0.0)
    on = replace(FIT, name="on", init_from=str(place / "autoencoder"), optimizer=still, num_pieces=290)
    second = load_writer(fit_writer(on, place / "data", place))
    assert second.vocabulary.to_json() == first.vocabulary.to_json()
    for one, two in zip(first.writer.parameters(), second.writer.parameters()):
        assert torch.allclose(one, two, atol=1e-6)
    other = replace(on, network=replace(FIT.network, width=64))
    with pytest.raises(ValueError, match=r"width=32.*but this fit is of .*width=64"):
        fit_writer(other, place / "data", place)


def test_a_captioner_sees_each_patch_and_its_change_and_one_of_before_the_patch_alone(place):
    model = load_folder(place / "autoencoder")
    frames = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    vectors, spots = look_with(model, 40)(Clip(frames, 8.0))
    patches, change, products = vectors.reshape(3, 4, 40).split((16, 16, 8), 2)
    assert spots.shape == (12, 3) and not change[0].any() and not products[0].any()
    assert torch.equal(change[1:], patches[1:] - patches[:-1]) and change[1:].abs().min() > 0
    assert torch.equal(look_with(model, 16)(Clip(frames, 8.0))[0], vectors[:, :16])


def test_slope_times_change_tells_which_way_it_moves():
    geometry = Geometry(latent_channels=1)
    y, x = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
    for down, across in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        latents = torch.stack([y - down * t + 2 * (x - across * t) for t in range(3)])[None]
        products = watched(latents, 8.0, geometry)[0].reshape(3, 4, 10)[1:, :, 8:]
        sign = -1.0 if down + across > 0 else 1.0
        assert torch.equal(products.sign(), torch.full_like(products, sign))  # both slopes are positive here
        assert (products[..., 1] / products[..., 0]).allclose(torch.tensor(2.0))


def test_the_loss_is_on_what_is_to_be_written_alone(place):
    fit = replace(FIT, role="expander")
    from ozora.data.shards import ShardReader

    reader = ShardReader(place / "data")
    vocabulary = open_vocabulary(fit, reader, place / "run")
    assert open_vocabulary(fit, reader, place / "run").to_json() == vocabulary.to_json()
    examples, config = open_examples(fit, reader, vocabulary, place, torch.device("cpu"))
    batch = examples.batch(3, 4)
    assert config.reads == Words.hash and torch.equal(batch.tokens, examples.batch(3, 4).tokens)
    for tokens, targets in zip(batch.tokens.tolist(), batch.targets.tolist()):
        start = tokens.index(vocabulary.control("dense"))
        assert tokens[0] == vocabulary.control("prompt") and set(targets[:start]) == {IGNORED}
        text = [token for token in targets if token != IGNORED]
        assert text[-1] == vocabulary.end and vocabulary.decode(text).startswith("On a grey floor")
    changed = batch.targets.clone()
    changed[:, 0] = IGNORED
    torch.manual_seed(0)
    writer = module.Writer(config.writer).eval()
    assert torch.equal(writing_loss(writer, batch), writing_loss(writer, replace(batch, targets=changed)))


def test_what_the_prefix_shows_is_asked_of_its_real_vectors_after_the_block_named():
    torch.manual_seed(0)
    writer = module.Writer(WriterConfig(50, 6, width=16, num_blocks=2, num_heads=2, dropout=0.0, max_tokens=8)).eval()
    prefix = Prefix.stack([(torch.randn(count, 6), torch.zeros(count, 3)) for count in (5, 3)])
    tokens, head = torch.zeros(2, 2, dtype=torch.long), torch.nn.Linear(16, 3)
    states = writer.watch(prefix)[0]
    for block in (1, 2):
        maps = head(states[block - 1]).detach()
        maps[1, 3:] = 100.0  # padding
        batch = WritingBatch(prefix, tokens, tokens, maps)
        written, distance = losses(writer, batch, head, block)
        assert distance < 1e-10 and torch.equal(written, writing_loss(writer, batch))
        maps[0, 0, 0] += 1.0
        assert losses(writer, batch, head, block)[1].item() == pytest.approx(1 / 24, rel=1e-4)


def test_pairs_keep_what_the_prompt_says_and_colours_are_exchanged_in_both_alike():
    pairs = prompt_pairs(record(0, "red"))
    assert [prompt for prompt, _ in pairs] == ["a red ball rolls to the right", "a red sphere"]
    wrong = replace(record(0, "red"), captions=(*record(0, "blue").captions[:1], Caption("short", "a red ball rolls")))
    assert [prompt for prompt, _ in prompt_pairs(wrong)] == []
    seen = set()
    for seed in range(40):
        prompt, dense = exchanged(pairs[0], random.Random(seed))
        article, color, way = prompt.split()[0], prompt.split()[1], prompt.split()[-1]
        assert f"{article} {color} ball is" in dense and f"rolls to the {way}" in dense
        assert article == ("an" if color == "orange" else "a")
        seen.add((color, way))
    assert len(seen) > 8


def test_recipes_are_frozen_values_and_fit_what_is_shipped():
    for name in ("captioner", "expander"):
        for function in ("recipe", "debug"):
            config = load_recipe(f"{RECIPES / name}.py:{function}")
            assert config == load_recipe(f"{RECIPES / name}.py:{function}")
            fit = config.fits[0]
            assert isinstance(fit, WriterFit) and fit.role == name
            assert fit.alignment is None or fit.alignment.block <= fit.network.num_blocks


def test_clips_are_watched_in_a_legal_size_of_their_aspect():
    for size, expected in (
        ((1920, 1080), (80, 48)),
        ((64, 64), (64, 64)),
        ((1080, 1920), (48, 80)),
        ((4000, 10), (256, 16)),
    ):
        assert watched_size(*size, 4096, Geometry()) == expected
