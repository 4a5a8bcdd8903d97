"""Caches: every clip and caption is encoded once, keyed by the network, resumable, and the statistics are right."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ozora.clip import Clip
from ozora.data import latents as latents_module
from ozora.data.latents import encode_captions, encode_clips, weights_hash
from ozora.data.record import Caption, Record
from ozora.data.shards import ShardReader, write_shard
from ozora.model.autoencoder import Autoencoder, AutoencoderConfig

TINY = AutoencoderConfig(4, 8, 8, (1, 1), (1, 1))


class WordLengths:
    """A text encoder whose state of a word is its length, and which counts its calls."""

    id, width, max_tokens, hash = "lengths", 3, 64, "0123456789abcdef0123"

    def __init__(self) -> None:
        self.num_texts = 0

    def pieces(self, text: str) -> list:
        return []

    def encode(self, texts) -> list[Tensor]:
        self.num_texts += len(texts)
        return [torch.tensor([[float(len(word))] * 3 for word in text.split()]).reshape(-1, 3) for text in texts]


def write_clips(folder: Path, shapes, split: str = "train") -> ShardReader:
    random = np.random.default_rng(0)
    clips = [Clip(random.integers(0, 256, (t, h, w, 3), dtype=np.uint8), 8.0) for t, h, w in shapes]
    records = [
        Record(f"c{i}", c.width, c.height, c.num_frames, 8.0, (Caption("dense", f"clip {i}"), Caption("still", "one")))
        for i, c in enumerate(clips)
    ]
    write_shard(folder, 0, clips, records)
    return ShardReader(folder)


def tiny_autoencoder() -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(TINY)


MEAN, STD = [0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 0.5, 1.0]


def test_latents_are_those_of_the_autoencoder_and_normalised(tmp_path):
    reader = write_clips(tmp_path / "data", [(5, 32, 32), (1, 16, 32), (9, 32, 16), (5, 32, 32)])
    autoencoder = tiny_autoencoder()
    cache = encode_clips(reader, tmp_path, autoencoder, MEAN, STD, autocast=False)
    assert cache.indices == [0, 1, 2, 3]
    with torch.no_grad():
        for index in cache.indices:
            expected = autoencoder.encode(reader.clip(index).to_signal())
            torch.testing.assert_close(cache.raw(index).float(), expected, atol=2e-3, rtol=2e-3)
    back = cache.normalised(0) * torch.tensor(STD)[:, None, None, None] + torch.tensor(MEAN)[:, None, None, None]
    torch.testing.assert_close(back, cache.raw(0).float())


def test_what_the_geometry_forbids_is_refused_with_its_reason(tmp_path):
    reader = write_clips(tmp_path / "data", [(5, 32, 32), (4, 32, 32), (5, 30, 32)])
    cache = encode_clips(reader, tmp_path, tiny_autoencoder(), MEAN, STD)
    assert cache.indices == [0]
    assert "4 frames" in cache.refused[1] and "32x30" in cache.refused[2]


def test_encoding_goes_on_where_it_stopped_and_never_serves_another_network(tmp_path, monkeypatch):
    monkeypatch.setattr(latents_module, "CHUNK", 2)
    reader = write_clips(tmp_path / "data", [(1, 16, 16)] * 5)
    autoencoder = tiny_autoencoder()

    def kill(done: int, _: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_clips(reader, tmp_path, autoencoder, MEAN, STD, progress=kill)
    folder = tmp_path / f"latents-{weights_hash(autoencoder)}"
    made = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(made) == 2
    assert len(encode_clips(reader, tmp_path, autoencoder, MEAN, STD).indices) == 5
    assert all(path.stat().st_mtime_ns == time for path, time in made.items())
    other = Autoencoder(TINY)
    encode_clips(reader, tmp_path, other, MEAN, STD)
    assert weights_hash(other) != weights_hash(autoencoder) and len(list(tmp_path.glob("latents-*"))) == 2


def test_captions_are_encoded_once(tmp_path):
    reader = write_clips(tmp_path / "data", [(1, 16, 16)] * 3)
    encoder = WordLengths()
    cache = encode_captions(reader, tmp_path, encoder)
    assert cache.styles(1) == ["dense", "still"]
    assert cache.states(1, "dense")[:, 0].tolist() == [4.0, 1.0]
    assert cache.states(2, "still")[:, 0].tolist() == [3.0]
    before = encoder.num_texts
    again = encode_captions(reader, tmp_path, encoder)
    assert encoder.num_texts == before
    assert torch.equal(again.states(0, "dense"), cache.states(0, "dense"))
