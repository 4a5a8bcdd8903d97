"""Tiny writers: random weights, a vocabulary of a few captions."""

import pytest
import torch

from ozora.language.stored import StoredConfig, StoredWriter
from ozora.language.vocabulary import learn_vocabulary
from ozora.language.writer import Writer, WriterConfig

CAPTIONS = (
    "A red ball falls, hits the floor after half a second and bounces twice. The camera does not move.",
    "On a grey floor under a pale sky, a blue cube is on the left. It slides to the right. The camera pans left.",
)


@pytest.fixture(scope="session")
def vocabulary():
    return learn_vocabulary(CAPTIONS, 300)


@pytest.fixture(scope="session")
def writer(vocabulary):
    torch.manual_seed(0)
    config = WriterConfig(vocabulary.size, 12, width=32, num_blocks=2, num_heads=2, max_tokens=40)
    network = Writer(config).requires_grad_(False).eval()
    for weight in network.parameters():  # fresh networks hardly look at what they read
        if weight.ndim == 2:
            weight.mul_(5)
    return network


@pytest.fixture
def stored(writer, vocabulary):
    """A function: role -> a ``StoredWriter`` of that role."""
    return lambda role, reads="0" * 64, **fields: StoredWriter(
        StoredConfig(role, writer.config, reads, **fields), writer, vocabulary, "f" * 64
    )
