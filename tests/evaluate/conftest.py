"""Clips drawn by hand, whose truth is known without a simulator, and a tiny model that makes noise of any prompt."""

import hashlib

import numpy as np
import pytest
import torch

from ozora.generate.folder import Model, ModelConfig, SamplingConfig, TrainedRange
from ozora.generate.generator import Generator
from ozora.language.encoder import Piece
from ozora.model.autoencoder import Autoencoder, AutoencoderConfig
from ozora.model.transformer import Transformer, TransformerConfig

RGB = {"red": (230, 26, 26), "blue": (36, 66, 242), "green": (31, 189, 43)}
SIDE = 64
FINE = 4


@pytest.fixture(scope="session")
def draw_discs():
    """A function: {color: places (t, 2) of y and x} -> frames of discs of ``radius`` on grey, with soft edges."""

    def draw(places, radius=7.0, side=SIDE):
        num_frames = len(next(iter(places.values())))
        frames = np.full((num_frames, side * FINE, side * FINE, 3), 140.0)
        y, x = (np.mgrid[: side * FINE, : side * FINE] + 0.5) / FINE - 0.5
        for color, path in places.items():
            for frame, (center_y, center_x) in zip(frames, path):
                frame[np.hypot(y - center_y, x - center_x) <= radius] = RGB[color]
        return frames.reshape(num_frames, side, FINE, side, FINE, 3).mean(axis=(2, 4)).round().astype(np.uint8)

    return draw


@pytest.fixture(scope="session")
def line():
    """A function: start (y, x), step (y, x), number of frames -> places (t, 2)."""
    return lambda start, step, num: np.array(start) + np.arange(num)[:, None] * np.array(step)


@pytest.fixture(scope="session")
def two_cases():
    """Two held-out cases, drawn once for all tests."""
    from ozora.evaluate.pixel_cases import pixel_cases

    return pixel_cases(2)


class LetterEncoder:
    """A text encoder for tests: one random state per word."""

    id, width, max_tokens, hash = "letters", 12, 64, "0" * 64

    def pieces(self, text):
        return [Piece(0, len(text), known=True, read=True)]

    def encode(self, texts):
        return [torch.stack([self._state(w) for w in text.split()]) if text else torch.zeros(0, 12) for text in texts]

    def _state(self, word):
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:7], "little")
        return torch.randn(12, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="session")
def noisy_generator():
    """A generator of untrained networks, which follows nothing."""
    torch.manual_seed(0)
    sizes = AutoencoderConfig(4, 8, 8, (1, 1), (1, 1))
    widths = TransformerConfig(16, 12, width=32, num_blocks=1, num_heads=2)
    autoencoder, transformer = Autoencoder(sizes), Transformer(widths)
    config = ModelConfig(
        name="tiny",
        autoencoder=sizes,
        transformer=widths,
        geometry=autoencoder.geometry,
        latent_mean=(0.0,) * 4,
        latent_std=(1.0,) * 4,
        reference_tokens=20,
        text_encoder="letters",
        trained=TrainedRange(sizes=((64, 64), (48, 80)), num_frames=(1, 17), fps=(8.0,)),
        sampling=SamplingConfig(steps=2, guidance=2.0),
        default_size=(64, 64),
    )
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for network in (autoencoder, transformer):
            for parameter in network.parameters():
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=random))
            network.requires_grad_(False).eval()
    return Generator(Model(config, autoencoder, transformer, "f" * 64), LetterEncoder())
