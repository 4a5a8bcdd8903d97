"""The autoencoder's loop: its result loads, and a decoder trained on alone leaves the latents as they are."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ozora.clip import Clip
from ozora.data.record import Caption, Record
from ozora.data.shards import ShardReader, write_shard
from ozora.generate.folder import load_folder
from ozora.model.autoencoder import AutoencoderConfig
from ozora.train.config import AutoencoderFit, RunConfig
from ozora.train.fit_autoencoder import Windows, fit_autoencoder
from ozora.train.optimizer import OptimizerConfig

FIT = AutoencoderFit(
    run=RunConfig(num_steps=3, num_threads=1, autocast=False, log_steps=1, sample_seconds=1000.0),
    network=AutoencoderConfig(
        latent_channels=4, fine_width=8, coarse_width=8, num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1)
    ),
    optimizer=OptimizerConfig(learning_rate=1e-2, warm_up_steps=1),
    batch_size=2,
    num_frames=5,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    out = tmp_path_factory.mktemp("autoencoder")
    rng = np.random.default_rng(0)
    clips = [Clip(rng.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8), 8.0) for _ in range(6)]
    records = [Record(f"c{i}", 32, 32, 5, 8.0, (Caption("short", "noise"),), "train") for i in range(6)]
    (out / "data").mkdir()
    write_shard(out / "data", 0, clips, records)
    return out


def test_a_decoder_trained_on_alone_keeps_the_latents(place):
    first = load_folder(fit_autoencoder(FIT, place / "data", place))
    onward = replace(FIT, name="onward", init_from=str(place / FIT.name), decoder_only=True)
    second = load_folder(fit_autoencoder(onward, place / "data", place))
    clip = Clip(np.random.default_rng(1).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8), 8.0)
    latents = first.encode(clip)
    assert torch.equal(second.encode(clip), latents)
    assert (second.config.latent_mean, second.config.latent_std) == (first.config.latent_mean, first.config.latent_std)
    assert not np.array_equal(second.decode(latents, 8.0).frames, first.decode(latents, 8.0).frames)


def test_a_decoder_alone_needs_latents_to_keep():
    with pytest.raises(ValueError, match="without init_from"):
        replace(FIT, decoder_only=True)


def test_components_are_those_of_clips_however_many_pictures_there_are(tmp_path):
    """Of pictures alone the maps of four frames, which gradients do not move, would stay random."""
    shapes = [(1, 32, 32)] * 5 + [(5, 16, 16)] + [(5, 32, 16)] * 2
    clips = [Clip(np.zeros((*shape, 3), np.uint8), 8.0) for shape in shapes]
    records = [Record(f"c{i}", w, h, t, 8.0, (Caption("short", "-"),), "train") for i, (t, h, w) in enumerate(shapes)]
    write_shard(tmp_path / "data", 0, clips, records)
    assert Windows(ShardReader(tmp_path / "data"), FIT).examples(8).shape == (2, 3, 5, 32, 16)
