import hashlib
from typing import Literal

import pytest
import torch

from ozora.flow.path import Path
from ozora.generate.folder import Model, ModelConfig, SamplingConfig, TrainedRange
from ozora.generate.generator import Generator
from ozora.language.encoder import Piece
from ozora.model.autoencoder import Autoencoder, AutoencoderConfig
from ozora.model.transformer import Transformer, TransformerConfig


class LetterEncoder:
    """A text encoder for tests: one random state per word, the same wherever the word stands."""

    id, width, max_tokens, hash = "letters", 12, 64, "0" * 64

    def pieces(self, text):
        return [Piece(0, len(text), known=True, read=True)]

    def encode(self, texts):
        return [
            torch.stack([self._state(word) for word in text.split()]) if text else torch.zeros(0, 12) for text in texts
        ]

    def _state(self, word):
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:7], "little")
        return torch.randn(12, generator=torch.Generator().manual_seed(seed))


def perturbed(network, seed, scale=0.15):
    """Fresh networks answer zero; a test of what they answer needs them to say something."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return network.requires_grad_(False).eval()


def tiny_model(path: Path = "straight", prediction: Literal["clean", "velocity"] = "clean", **sampling):
    torch.manual_seed(0)
    transformer = TransformerConfig(16, 12, width=32, num_blocks=2, num_heads=2, prediction=prediction)
    config = ModelConfig(
        name="tiny",
        autoencoder=AutoencoderConfig(4, 8, 8, (1, 1), (1, 1)),
        transformer=transformer,
        geometry=Autoencoder(AutoencoderConfig(4, 8, 8, (1, 1), (1, 1))).geometry,
        latent_mean=(0.1, -0.2, 0.3, 0.0),
        latent_std=(0.5, 1.5, 1.0, 0.7),
        path=path,
        reference_tokens=20,
        text_encoder="letters",
        trained=TrainedRange(sizes=((32, 32), (48, 32)), num_frames=(1, 9), fps=(8.0,)),
        sampling=SamplingConfig(steps=4, guidance=2.0, **sampling),
        default_size=(32, 32),
    )
    autoencoder = perturbed(Autoencoder(config.autoencoder), 1)
    return Model(config, autoencoder, perturbed(Transformer(transformer), 2), "f" * 64)


@pytest.fixture(scope="session")
def model():
    return tiny_model()


@pytest.fixture(scope="session")
def make_generator():
    """A function: settings of a tiny model -> ``Generator``."""
    return lambda **settings: Generator(tiny_model(**settings), LetterEncoder())


@pytest.fixture(scope="session")
def generator(model):
    return Generator(model, LetterEncoder())
