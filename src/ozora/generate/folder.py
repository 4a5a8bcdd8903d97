"""What is a trained model at rest? A folder: a config, two networks' weights in bfloat16, and a card.

config.json                what it is: every network's config, how it was trained, how it is best sampled
autoencoder.safetensors    weights; `*.safetensors.index.json` and numbered parts where they are large
transformer.safetensors
leaps.safetensors          what lets the transformer make a clip in few steps, where it has learned that
README.md                  the card
"""

import dataclasses
import hashlib
import json
import os
import tempfile
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ozora.clip import Clip
from ozora.flow.path import STRAIGHT
from ozora.flow.path import Path as FlowPath
from ozora.flow.sampler import Sampler
from ozora.generate.leaps import Leaps, read_leaps
from ozora.geometry import Geometry
from ozora.model.autoencoder import Autoencoder, AutoencoderConfig, State
from ozora.model.transformer import Transformer, TransformerConfig

FORMAT_VERSION = 1
PART_BYTES = 16 * 2**20 - 2**16
"""Weights beyond this many bytes are cut into parts, so that every file stays below 16 MiB."""
DECODED_AT_ONCE = 8
"""Latent frames; to decode more together costs memory and saves no time."""
SHIPPED = Path(__file__).parent.parent / "models"


@dataclass(frozen=True)
class SamplingConfig:
    """How the model is best sampled, unless a request says otherwise.

    ``guidance`` 1 is none; it acts on noise levels within ``guidance_interval``. ``fitted_guidance`` and ``skip_first``
    are CFG-Zero* (Fan et al. 2025): the unconditional velocity is scaled to fit, and the first step from pure noise is
    not taken.
    """

    sampler: Sampler = "multistep"
    steps: int = 30
    guidance: float = 3.0
    guidance_interval: tuple[float, float] = (0.15, 0.85)
    fitted_guidance: bool = True
    skip_first: bool = True


@dataclass(frozen=True)
class TrainedRange:
    """What the model has seen: (width, height) of clips, their frames and rates. Beyond it works, with a warning."""

    sizes: tuple[tuple[int, int], ...] = ((64, 64),)
    num_frames: tuple[int, ...] = (1, 17)
    fps: tuple[float, ...] = (8.0,)


@dataclass(frozen=True)
class ModelConfig:
    """All of a model but its weights. ``transformer`` None: a folder that holds an autoencoder only.

    ``latent_mean`` and ``latent_std`` hold one number per latent channel; the transformer sees
    ``(latents - mean) / std``. ``path`` is the road from clean to noise, ``reference_tokens`` the number of tokens for
    which the noise schedule is not shifted. ``default_size`` is (width, height).
    """

    name: str
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    transformer: TransformerConfig | None = None
    geometry: Geometry = field(default_factory=Geometry)
    latent_mean: tuple[float, ...] = (0.0,) * 16
    latent_std: tuple[float, ...] = (1.0,) * 16
    path: FlowPath = STRAIGHT
    reference_tokens: int = 80
    text_encoder: str = "minilm"
    text_encoder_hash: str = ""
    trained: TrainedRange = field(default_factory=TrainedRange)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    default_size: tuple[int, int] = (64, 64)
    default_fps: float = 8.0
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded folder. ``hash`` names the config and the weights, whatever files they lie in, but for the leaps'."""

    config: ModelConfig
    autoencoder: Autoencoder
    transformer: Transformer | None
    hash: str
    leaps: Leaps | None = None

    @property
    def geometry(self) -> Geometry:
        return self.config.geometry

    def encode(self, clip: Clip) -> Float[Tensor, "c t h w"]:
        """Normalised latents of a clip of 1 + 4k frames, float32, on the CPU."""
        weight = next(self.autoencoder.parameters())
        with torch.inference_mode():
            latents = self.autoencoder.encode(clip.to_signal().to(weight.device, weight.dtype)).float().cpu()
        mean, std = self._moments()
        return (latents - mean) / std

    def decode(self, latents: Float[Tensor, "c t h w"], fps: float, chunk: int = DECODED_AT_ONCE) -> Clip:
        """The clip of normalised latents, ``chunk`` latent frames at a time, so that memory stays flat."""
        pieces, past = [], None
        for part in latents.split(chunk, 1):
            frames, past = self.decode_next(part, past)
            pieces.append(frames)
        return Clip(np.concatenate(pieces), fps)

    def decode_next(
        self, latents: Float[Tensor, "c t h w"], past: State | None = None
    ) -> tuple[UInt8[np.ndarray, "_t _h _w 3"], State]:
        """The frames of the latents that come next, and what the call after it must be told as ``past``.

        Without ``past`` they begin a clip, so the first latent frame is one frame and every other one four.
        """
        weight = next(self.autoencoder.parameters())
        mean, std = self._moments()
        with torch.inference_mode():
            raw = (latents.float().cpu() * std + mean).to(weight.device, weight.dtype)[None]
            signal, state = self.autoencoder.decode_next(raw, past)
            return Clip.from_signal(signal[0], 1.0).frames, state

    def _moments(self) -> tuple[Float[Tensor, "c 1 1 1"], Float[Tensor, "c 1 1 1"]]:
        mean, std = (
            torch.tensor(values).view(-1, 1, 1, 1) for values in (self.config.latent_mean, self.config.latent_std)
        )
        return mean, std


def save_folder(
    path: str | os.PathLike[str],
    config: ModelConfig,
    autoencoder: Autoencoder,
    transformer: Transformer | None,
    card: str,
) -> Path:
    """Write a model folder whole or not at all; one that is there is replaced. Weights become bfloat16.

    Raises ``ValueError`` where the networks are not those of ``config``, ``OSError`` where the place cannot be written.
    """
    path = Path(path)
    if autoencoder.config != config.autoencoder or (transformer and transformer.config) != config.transformer:
        raise ValueError(
            f"{path}: the networks' configs differ from those in the model's config; save the one they have"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
        new, old = Path(scratch) / "new", Path(scratch) / "old"
        new.mkdir()
        (new / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n", encoding="utf-8")
        (new / "README.md").write_text(card, encoding="utf-8")
        _write_weights(new, "autoencoder", autoencoder)
        if transformer is not None:
            _write_weights(new, "transformer", transformer)
        for file in new.iterdir():  # safetensors writes files that only their owner can read
            file.chmod((new / "config.json").stat().st_mode)
        if path.exists():
            path.rename(old)
        try:
            new.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
    return path


def load_folder(path: str | os.PathLike[str]) -> Model:
    """Read a model folder: networks in float32 on the CPU, ready for inference.

    Raises ``ValueError`` in one line for a folder that is missing, incomplete, truncated or of a newer format.
    """
    path = Path(path)
    config = read_config(path)
    with torch.random.fork_rng(
        devices=[]
    ):  # random weights are drawn and thrown away; the caller's draws must not move
        autoencoder = Autoencoder(config.autoencoder)
        transformer = None if config.transformer is None else Transformer(config.transformer)
    if autoencoder.geometry != config.geometry:
        raise ValueError(
            f"{path / 'config.json'}: geometry is {config.geometry}; its autoencoder has {autoencoder.geometry}"
        )
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(config), sort_keys=True).encode())
    for name, network in (("autoencoder", autoencoder), ("transformer", transformer)):
        if network is not None:
            _read_weights(path, name, network, digest)
    leaps = None if transformer is None else read_leaps(path, transformer)
    return Model(config, autoencoder, transformer, digest.hexdigest(), leaps)


def read_config(path: Path) -> ModelConfig:
    """The config of a model folder. Fields it lacks have their defaults; a field that is unknown is an error."""
    file = path / "config.json"
    if not path.is_dir():
        raise ValueError(f"{path}: no such folder; a model is a folder with a config.json")
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        version = values["format_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: no readable model config ({type(error).__name__}: {error})") from error
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{file}: format_version is {version!r}; this ozora reads {FORMAT_VERSION}: install a newer one"
        )
    return _parse(ModelConfig, values, str(file))


def find_model(name: str | os.PathLike[str]) -> Path:
    """The folder of a model: a folder's path, the name of a shipped model, or a Hugging Face id in the local cache.

    Nothing is downloaded. Raises ``ValueError`` that lists the shipped models if there is none.
    """
    folder = Path(name)
    if (folder / "config.json").is_file():
        return folder
    text = os.fspath(name)
    shipped = sorted(path.parent.name for path in SHIPPED.glob("*/config.json"))
    if text in shipped:
        return SHIPPED / text
    if folder.is_dir():
        raise ValueError(f"{folder}: this folder holds no config.json, so it is no model")
    if text.count("/") == 1 and not text.startswith((".", "/", "~")):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

        try:
            return Path(snapshot_download(text, local_files_only=True))
        except (LocalEntryNotFoundError, HFValidationError):
            hint = f"; if it is a Hugging Face id, fetch it first: hf download {text}"
    else:
        hint = ""
    raise ValueError(
        f"model {text!r}: no such folder, nor a shipped model ({', '.join(shipped) or 'none is installed'}){hint}"
    )


def _write_weights(folder: Path, name: str, network: nn.Module) -> None:
    """``name.safetensors``, or numbered parts of at most ``PART_BYTES`` with Hugging Face's kind of index."""
    tensors = {
        key: value.detach().cpu().to(torch.bfloat16 if value.is_floating_point() else value.dtype).contiguous().clone()
        for key, value in network.state_dict().items()
    }
    parts: list[dict[str, Tensor]] = [{}]
    for key, tensor in tensors.items():
        if parts[-1] and sum(other.nbytes for other in parts[-1].values()) + tensor.nbytes > PART_BYTES:
            parts.append({})
        parts[-1][key] = tensor
    if len(parts) == 1:
        save_file(tensors, folder / f"{name}.safetensors")
        return
    files = [f"{name}-{number:05d}-of-{len(parts):05d}.safetensors" for number in range(1, len(parts) + 1)]
    for file, part in zip(files, parts):
        save_file(part, folder / file)
    total = sum(tensor.nbytes for tensor in tensors.values())
    places = {key: file for file, part in zip(files, parts) for key in part}
    index = json.dumps({"metadata": {"total_size": total}, "weight_map": places}, indent=2)
    (folder / f"{name}.safetensors.index.json").write_text(index + "\n", encoding="utf-8")


def _read_weights(folder: Path, name: str, network: nn.Module, digest: "hashlib._Hash") -> None:
    """Fill ``network``, and add what was read to ``digest``, tensor by tensor in the order of their names."""
    index = folder / f"{name}.safetensors.index.json"
    file = index
    tensors: dict[str, Tensor] = {}
    try:
        files = [f"{name}.safetensors"]
        if index.is_file():
            files = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        for part in files:
            file = folder / Path(part).name
            tensors |= load_file(file)
        network.load_state_dict(tensors)
    except FileNotFoundError as error:
        raise ValueError(f"{file}: missing; the model folder is incomplete") from error
    except (OSError, SafetensorError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{file}: truncated or no weights file ({error}); copy the model folder again") from error
    except RuntimeError as error:
        reason = str(error).splitlines()[1 if "\n" in str(error) else 0].strip()
        raise ValueError(f"{file}: the weights are not those that config.json describes: {reason}") from error
    for key in sorted(tensors):
        tensor = tensors[key].contiguous()
        digest.update(f"{name}.{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    network.requires_grad_(False).eval()


def _parse(kind: typing.Any, value: typing.Any, where: str) -> typing.Any:
    """A JSON value as ``kind``: a dataclass, tuple, optional, literal, or plain type. Errors say ``where``."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None and types.NoneType in arguments:
            return None
        return _parse(next(argument for argument in arguments if argument is not types.NoneType), value, where)
    if origin is typing.Literal and value in arguments:
        return value
    if origin is tuple and isinstance(value, list):
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(kinds) == len(value):
            return tuple(_parse(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value)))
    if dataclasses.is_dataclass(kind) and isinstance(kind, type) and isinstance(value, dict):
        hints = typing.get_type_hints(kind)
        unknown = sorted(value.keys() - hints.keys())
        if unknown:
            raise ValueError(f"{where}: unknown field {unknown[0]!r}; a newer ozora may have written it")
        fields = {name: _parse(hints[name], item, f"{where}: {name}") for name, item in value.items()}
        try:
            return kind(**fields)
        except TypeError as error:
            raise ValueError(f"{where}: {error}") from error
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind in (int, str, bool) and type(value) is kind:
        return value
    raise ValueError(f"{where}: {value!r} is no {getattr(kind, '__name__', kind)}")
