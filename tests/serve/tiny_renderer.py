"""A renderer with a tiny model of random weights: a program for ``ChildRenderer``, and a module for tests.

Prompts are orders for this process: "kill me" ends it at the second step, "fail" raises there.
"""

import hashlib
import os
import signal
import sys

import torch

from ozora.generate.folder import Model, ModelConfig, SamplingConfig, TrainedRange
from ozora.generate.generator import Generator
from ozora.language.encoder import Piece
from ozora.model.autoencoder import Autoencoder, AutoencoderConfig
from ozora.model.transformer import Transformer, TransformerConfig
from ozora.serve.renderer import main


class HashEncoder:
    """A text's states are drawn from its hash."""

    id, width, max_tokens, hash = "hash", 12, 64, "0" * 64

    def pieces(self, text):
        return [Piece(0, len(text), known=True, read=True)]

    def encode(self, texts):
        return [self._states(text) for text in texts]

    def _states(self, text):
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "little")
        return torch.randn(len(text.split()), 12, generator=torch.Generator().manual_seed(seed))


def tiny_generator():
    sizes = AutoencoderConfig(4, 8, 8, (1, 1), (1, 1))
    transformer = TransformerConfig(16, 12, width=32, num_blocks=2, num_heads=2)
    config = ModelConfig(
        name="tiny",
        autoencoder=sizes,
        transformer=transformer,
        geometry=Autoencoder(sizes).geometry,
        latent_mean=(0.0,) * 4,
        latent_std=(1.0,) * 4,
        text_encoder="hash",
        trained=TrainedRange(sizes=((32, 32), (64, 48)), num_frames=(1, 9), fps=(8.0,)),
        sampling=SamplingConfig(steps=6, guidance=2.0),
        default_size=(32, 32),
    )
    random = torch.Generator().manual_seed(1)
    networks = Autoencoder(sizes), Transformer(transformer)
    for network in networks:
        for parameter in network.parameters():
            parameter.data = 0.15 * torch.randn(parameter.shape, generator=random)
        network.requires_grad_(False).eval()
    return ObedientGenerator(Model(config, *networks, "f" * 64), HashEncoder())


class ObedientGenerator(Generator):
    """It does what prompts say."""

    def advance(self, renderings):
        for rendering in renderings:
            if rendering.step == 1 and rendering.request.prompt == "kill me":
                os.kill(os.getpid(), signal.SIGKILL)
            if rendering.step == 1 and rendering.request.prompt == "fail":
                raise RuntimeError("as it was told")
        super().advance(renderings)


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main(sys.argv[1:], tiny_generator()))
