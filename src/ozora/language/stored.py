"""What is a trained writer at rest? A folder: its config, its weights in eight bits, its vocabulary, and a card.

config.json           sizes, what it writes, and the hash of the network whose output it reads
writer.safetensors    matrices as int8 with one scale for each row, vectors in float32
vocabulary.json       byte pairs, as the ``tokenizers`` library keeps them
README.md             the card
"""

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ozora.language.vocabulary import Vocabulary
from ozora.language.writer import Writer, WriterConfig

FORMAT_VERSION = 1
Role = Literal["captioner", "expander"]


@dataclass(frozen=True)
class StoredConfig:
    """``reads`` is the hash of the network that makes the prefix: an autoencoder's weights, or a text encoder's files.

    ``fps``, ``max_frames`` and ``max_area`` (pixels of a frame) are those of the clips that a captioner was shown; an
    expander leaves them 0.
    """

    role: Role
    writer: WriterConfig
    reads: str
    fps: float = 0.0
    max_frames: int = 0
    max_area: int = 0
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True, eq=False)
class StoredWriter:
    """A loaded folder; ``hash`` names config, weights and vocabulary."""

    config: StoredConfig
    writer: Writer
    vocabulary: Vocabulary
    hash: str


def save_writer(
    path: str | os.PathLike[str], config: StoredConfig, writer: Writer, vocabulary: Vocabulary, card: str
) -> Path:
    """Write the folder whole or not at all; one that is there is replaced."""
    path = Path(path)
    if writer.config != config.writer or vocabulary.size != config.writer.vocabulary:
        raise ValueError(f"{path}: the writer has {writer.config} and {vocabulary.size} tokens, the config {config}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
        new, old = Path(scratch) / "new", Path(scratch) / "old"
        new.mkdir()
        (new / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n", encoding="utf-8")
        (new / "vocabulary.json").write_text(vocabulary.to_json() + "\n", encoding="utf-8")
        (new / "README.md").write_text(card, encoding="utf-8")
        save_file(to_int8(writer.state_dict()), new / "writer.safetensors")
        shutil.copymode(new / "config.json", new / "writer.safetensors")
        if path.exists():
            path.rename(old)
        new.rename(path)
    return path


def load_writer(path: str | os.PathLike[str], role: Role | None = None) -> StoredWriter:
    """Read the folder, float32 on the CPU, ready to write.

    Raises ``ValueError`` in one line for one that is missing, incomplete, truncated, of a newer format, or made for
    another ``role``.
    """
    path = Path(path)
    try:
        text = (path / "config.json").read_text(encoding="utf-8")
        config = _parse(text, path / "config.json")
        vocabulary_text = (path / "vocabulary.json").read_text(encoding="utf-8")
        vocabulary = Vocabulary.from_json(vocabulary_text)
        tensors = load_file(path / "writer.safetensors")
    except FileNotFoundError as error:
        raise ValueError(
            f"{error.filename or path}: missing; a {role or 'writer'} is a folder that holds it"
        ) from error
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path}: truncated or no writer ({error}); copy the folder again") from error
    if role is not None and config.role != role:
        raise ValueError(f"{path}: this is a trained {config.role}; a {role} is asked for")
    with torch.random.fork_rng(devices=[]):
        writer = Writer(config.writer)
    try:
        writer.load_state_dict(from_int8(tensors))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ValueError(f"{path}: the weights are not those that config.json describes: {reason}") from error
    digest = hashlib.sha256(f"{text}\n{vocabulary_text}".encode())
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return StoredWriter(config, writer.requires_grad_(False).eval(), vocabulary, digest.hexdigest())


def to_int8(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Matrices as whole numbers from -127 to 127 and a float32 ``.scale`` for each row; the rest in float32."""
    stored = {}
    for name, value in tensors.items():
        value = value.detach().float().cpu()
        if value.ndim < 2:
            stored[name] = value.clone()
            continue
        scale = value.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
        stored[name] = (value / scale).round().to(torch.int8)
        stored[f"{name}.scale"] = scale
    return stored


def from_int8(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of ``to_int8``, but for what rounding lost: at most half a scale."""
    return {
        name: value.float() * stored[f"{name}.scale"] if value.dtype == torch.int8 else value
        for name, value in stored.items()
        if name.removesuffix(".scale") == name or name.removesuffix(".scale") not in stored
    }


def _parse(text: str, file: Path) -> StoredConfig:
    try:
        values = json.loads(text)
        version = values["format_version"]
        if version != FORMAT_VERSION:
            raise ValueError(f"format_version is {version!r}; this ozora reads {FORMAT_VERSION}: install a newer one")
        return StoredConfig(writer=WriterConfig(**values.pop("writer")), **values)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{file}: no readable config of a writer ({error})") from error
