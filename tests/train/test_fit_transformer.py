"""The loop: kill and resume give the identical loss, known tokens carry none, and the result loads."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ozora.clip import Clip
from ozora.data.batch import Row
from ozora.data.record import Caption, Record
from ozora.data.shards import write_shard
from ozora.generate.folder import ModelConfig, load_folder, save_folder
from ozora.model.autoencoder import Autoencoder, AutoencoderConfig
from ozora.model.transformer import TransformerConfig
from ozora.nn.rows import Segment, Span, pack
from ozora.train import fit_transformer as module
from ozora.train.config import RunConfig, TransformerFit
from ozora.train.fit_transformer import draw_noise_levels, fit_transformer
from ozora.train.optimizer import OptimizerConfig

TINY = AutoencoderConfig(
    latent_channels=4, fine_width=8, coarse_width=8, num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1)
)
FIT = TransformerFit(
    run=RunConfig(num_steps=6, num_threads=1, autocast=False, log_steps=1, save_seconds=0.0, sample_seconds=0.0),
    network=TransformerConfig(width=32, num_blocks=1, num_heads=2),
    optimizer=OptimizerConfig(warm_up_steps=2, decay_fraction=0.5),
    row_tokens=48,
)


class Lengths:
    """A text encoder whose state of a word is its length."""

    id, width, max_tokens, hash = "lengths", 8, 64, "0123456789abcdef0123"

    def pieces(self, text: str) -> list:
        return []

    def encode(self, texts) -> list[torch.Tensor]:
        return [torch.tensor([[float(len(word))] * 8 for word in text.split()]).reshape(-1, 8) for text in texts]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with 24 clips of noise in ``data`` and an autoencoder in ``autoencoder``."""
    monkeypatch.setattr(module, "load_text_encoder", lambda *_: Lengths())
    random = np.random.default_rng(0)
    clips = [Clip(random.integers(0, 256, (5, 32, 32 + 16 * (i % 2), 3), dtype=np.uint8), 8.0) for i in range(24)]
    records = [
        Record(f"c{i}", clip.width, 32, 5, 8.0, (Caption("dense", f"clip number {i}"), Caption("still", "a picture")))
        for i, clip in enumerate(clips)
    ]
    write_shard(tmp_path / "data", 0, clips, records)
    torch.manual_seed(0)
    autoencoder = Autoencoder(TINY)
    config = ModelConfig(
        name="autoencoder",
        autoencoder=TINY,
        geometry=autoencoder.geometry,
        latent_mean=(0.0,) * 4,
        latent_std=(0.5,) * 4,
    )
    save_folder(tmp_path / "autoencoder", config, autoencoder, None, "# test\n")
    return tmp_path


def logged(run: Path) -> dict[int, float]:
    return {line["step"]: line["loss"] for line in map(json.loads, (run / "log.jsonl").read_text().splitlines())}


def test_kill_and_resume_equal_no_kill(place, monkeypatch):
    whole = replace(FIT, name="whole")
    model = load_folder(fit_transformer(whole, place / "data", place))
    losses = logged(place / "whole-run")
    assert sorted(losses) == [1, 2, 3, 4, 5, 6]

    class StopAfterThree(module.Interruption):
        asked = property(lambda self: latest_step(place / "killed-run") >= 3, lambda self, value: None)

    killed = replace(FIT, name="killed")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match="after step 3 of 6"):
        patch.setattr(module, "Interruption", StopAfterThree)
        fit_transformer(killed, place / "data", place)
    torch.manual_seed(1234)
    resumed = load_folder(fit_transformer(killed, place / "data", place, resume=True))
    assert logged(place / "killed-run") == losses
    assert model.transformer is not None and resumed.transformer is not None
    for one, two in zip(model.transformer.parameters(), resumed.transformer.parameters()):
        assert torch.equal(one, two)


def latest_step(run: Path) -> int:
    return max(logged(run), default=0) if (run / "log.jsonl").is_file() else 0


def test_the_folder_says_what_was_shown(place):
    model = load_folder(fit_transformer(replace(FIT, run=replace(FIT.run, num_steps=1)), place / "data", place))
    config = model.config
    assert config.trained.sizes == ((32, 32), (48, 32)) and config.trained.num_frames == (1, 5)
    assert config.latent_std == (0.5,) * 4 and config.text_encoder == "lengths"
    assert config.transformer is not None and (config.transformer.patch_width, config.transformer.text_width) == (16, 8)
    assert list((place / "transformer-run").glob("*-stable.pt"))  # from before the decay


def test_a_run_goes_on_from_a_model_folder(place):
    first = fit_transformer(replace(FIT, name="first"), place / "data", place)
    frozen = replace(FIT.optimizer, learning_rate=0.0)
    again = replace(FIT, name="again", init_from=str(first), optimizer=frozen)
    second = fit_transformer(again, place / "data", place)
    before, after = load_folder(first).transformer, load_folder(second).transformer
    assert before is not None and after is not None
    assert all(torch.equal(one, two) for one, two in zip(before.parameters(), after.parameters()))
    other = replace(again, name="other", network=TransformerConfig(width=16, num_blocks=1, num_heads=2))
    with pytest.raises(ValueError, match="init_from"):
        fit_transformer(other, place / "data", place)


@pytest.mark.parametrize("path", ["straight", "variance_preserving"])
def test_noise_levels_are_one_a_segment_and_none_where_known(path):
    known = torch.tensor([0.0, 0.0, 1.0, 0.0, 0.5, 1.0])
    segments = torch.tensor([0, 0, 0, 1, 1, 2])
    tokens = Segment(torch.zeros(6, 3), torch.zeros(6, dtype=torch.bool), (Span(6, torch.zeros(0, 8)),))
    layout = pack([tokens])
    row = Row(layout, torch.zeros(6, 4), known, torch.tensor([3, 2, 1]), segments)
    sigma = draw_noise_levels(row, torch.Generator().manual_seed(0), replace(FIT, path=path))
    assert sigma[0] == sigma[1] and sigma[2] == sigma[5] == 0 and sigma[4] == sigma[3] / 2 and sigma[0] != sigma[3]
