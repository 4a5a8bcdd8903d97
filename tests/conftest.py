"""Properties are checked on the same examples every time, and never against the clock."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # every core has a process of tests already

settings.register_profile("ozora", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("ozora")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> str:
    """A model folder of two tiny networks with random weights, for command lines."""
    import torch

    from ozora.generate.folder import ModelConfig, save_folder
    from ozora.model.autoencoder import Autoencoder, AutoencoderConfig
    from ozora.model.transformer import Transformer, TransformerConfig

    torch.manual_seed(0)
    autoencoder = Autoencoder(AutoencoderConfig(fine_width=8, coarse_width=16))
    transformer = Transformer(TransformerConfig(width=32, num_blocks=1, num_heads=2))
    for parameter in transformer.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    config = ModelConfig("tiny", autoencoder.config, transformer.config, autoencoder.geometry, default_size=(32, 32))
    return str(save_folder(tmp_path_factory.mktemp("models") / "tiny", config, autoencoder, transformer, "# tiny"))


@pytest.fixture(scope="session")
def writing_folder(model_folder, text_encoder, tmp_path_factory):
    """The tiny model with a captioner and an expander of random weights."""
    import shutil

    import torch

    from ozora.data.latents import weights_hash
    from ozora.generate.folder import load_folder
    from ozora.language.stored import StoredConfig, save_writer
    from ozora.language.vocabulary import learn_vocabulary
    from ozora.language.writer import Writer, WriterConfig

    folder = tmp_path_factory.mktemp("writing") / "tiny"
    shutil.copytree(model_folder, folder)
    model = load_folder(folder)
    vocabulary = learn_vocabulary(
        ["A red ball falls on a grey floor under a pale sky and bounces three times. The camera pans left."], 300
    )
    torch.manual_seed(0)
    for role, reads, width in (
        ("captioner", weights_hash(model.autoencoder), model.geometry.patch_width),
        ("expander", text_encoder.hash, text_encoder.width),
    ):
        sizes = WriterConfig(vocabulary.size, width, width=32, num_blocks=1, num_heads=2, max_tokens=48)
        seen = {"fps": 8.0, "max_frames": 9, "max_area": 32 * 32} if role == "captioner" else {}
        writer = Writer(sizes)
        for weight in writer.parameters():  # fresh networks hardly look at what they read
            torch.nn.init.normal_(weight, std=0.3)
        config = StoredConfig(role, sizes, reads, **seen)  # pyright: ignore[reportArgumentType]
        save_writer(folder / role, config, writer, vocabulary, "# tiny\n")
    return folder


@pytest.fixture(scope="session")
def text_encoder():
    from ozora.language.encoder import load_text_encoder

    return load_text_encoder()


@pytest.fixture
def run(model_folder, text_encoder, tmp_path, monkeypatch, capsys):
    """Run a command line in an empty folder; gives (status, lines on stdout, lines on stderr). MODEL is the folder."""
    from ozora import cli

    monkeypatch.setattr("ozora.generate.generator.load_text_encoder", lambda *_: text_encoder)  # read its weights once
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, list[str], list[str]]:
        status = cli.main([model_folder if word == "MODEL" else word for word in words])
        shown = capsys.readouterr()
        return status, shown.out.splitlines(), shown.err.splitlines()

    return run


@pytest.fixture
def refused(run):
    """Run a command line that must end in one line of error that matches, this status, and no new file."""
    import re

    def refused(words: list[str], pattern: str, status: int = 2) -> None:
        before = sorted(Path().iterdir())
        result = run(*words)
        assert result[:2] == (status, []), result
        errors = [line for line in result[2] if not line.startswith("ozora: warning: ")]
        assert len(errors) == 1 and re.search(f"^ozora: error: .*{pattern}", errors[0]), result[2]
        assert sorted(Path().iterdir()) == before

    return refused
