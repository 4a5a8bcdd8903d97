"""How are clips and captions put into the networks' terms, once? Caches on disk, written in whole chunks.

Latents are keyed by the autoencoder's weights, caption states by the text encoder, so a cache can never serve
another network; maps by the name of what they show. A chunk covers a range of the reader's clips; it is one file,
written under another name first, so encoding goes on where it was killed. A chunk whose clips have changed is made
again.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ozora.data.shards import ShardReader
from ozora.language.encoder import TextEncoder
from ozora.model.autoencoder import Autoencoder

CHUNK = 512  # clips in one file

Progress = Callable[[int, int], None]  # (clips done, clips in all)


def weights_hash(network: nn.Module) -> str:
    """The network's weights as 16 hexadecimal digits: equal names, shapes and values give equal digits."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


class LatentCache:
    """Latents of the clips of one reader, by the reader's index, in memory in float16.

    ``fps`` is each clip's frame rate; ``refused`` says for each clip that has no latents why. ``mean`` and ``std``
    are per channel and come with the autoencoder, so that they stay when clips are added.
    """

    def __init__(self, paths: Sequence[Path], mean: Sequence[float], std: Sequence[float]) -> None:
        self.refused: dict[int, str] = {}
        self.fps: dict[int, float] = {}
        self._latents: dict[int, Tensor] = {}
        for path in paths:
            header, tensors = _read(path)
            self.refused.update({int(index): reason for index, reason in json.loads(header["refused"]).items()})
            self.fps.update({int(index): fps for index, fps in json.loads(header["fps"]).items()})
            self._latents.update({int(index): latents for index, latents in tensors.items()})
        if not self._latents:
            raise ValueError(f"no clip could be encoded; the reasons are {Counter(self.refused.values())}")
        self._mean = torch.tensor(mean, dtype=torch.float32)[:, None, None, None]
        self._std = torch.tensor(std, dtype=torch.float32)[:, None, None, None]

    @property
    def indices(self) -> list[int]:
        """The reader's indices of the clips that have latents, in order."""
        return sorted(self._latents)

    def raw(self, index: int) -> Float[Tensor, "c t h w"]:
        return self._latents[index]

    def normalised(self, index: int) -> Float[Tensor, "c t h w"]:
        """What the transformer sees of clip ``index``: ``(latents - mean) / std`` in float32."""
        return (self._latents[index].float() - self._mean) / self._std


def encode_clips(
    reader: ShardReader,
    folder: Path,
    autoencoder: Autoencoder,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    split: str | None = "train",
    device: torch.device | str = "cpu",
    autocast: bool = False,
    batch_size: int = 16,
    progress: Progress | None = None,
) -> LatentCache:
    """Encode every clip of ``split`` once, into ``folder/latents-HASH``, and open the cache.

    Clips whose size or length the geometry forbids, or whose latents are not finite, are refused, not changed.
    """
    target = folder / f"latents-{weights_hash(autoencoder)}"
    autoencoder = autoencoder.to(device).eval()
    indices = reader.indices(split)
    paths = []
    for start, part in _chunks(indices):
        path = target / f"{split or 'all'}-{start:07d}.safetensors"
        key = _key(f"{index} {reader.record(index).id}" for index in part)
        if not _is_made(path, key):
            _write_latents(path, key, reader, part, autoencoder, torch.device(device), autocast, batch_size)
        paths.append(path)
        if progress is not None:
            progress(start + len(part), len(indices))
    return LatentCache(paths, mean, std)


def _write_latents(
    path: Path,
    key: str,
    reader: ShardReader,
    indices: Sequence[int],
    autoencoder: Autoencoder,
    device: torch.device,
    autocast: bool,
    batch_size: int,
) -> None:
    refused: dict[int, str] = {}
    shapes: dict[tuple[int, int, int], list[int]] = {}
    for index in indices:
        record = reader.record(index)
        shape = record.num_frames, record.height, record.width
        try:
            autoencoder.geometry.latent_grid(*shape)
            shapes.setdefault(shape, []).append(index)
        except ValueError as error:
            refused[index] = str(error)
    tensors: dict[str, Tensor] = {}
    for same in shapes.values():
        for first in range(0, len(same), batch_size):
            batch = same[first : first + batch_size]
            signal = torch.stack([reader.clip(index).to_signal() for index in batch]).to(device)
            with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=autocast):
                latents = autoencoder.encode(signal)
            for index, one in zip(batch, latents.to(torch.float16).cpu()):
                if not one.isfinite().all():
                    refused[index] = "its latents are not finite in half precision"
                else:
                    tensors[str(index)] = one.contiguous()
    fps = {index: reader.record(index).fps for index in indices}
    _write(path, tensors, {"key": key, "refused": json.dumps(refused), "fps": json.dumps(fps)})


class CaptionCache:
    """Token states of the captions of one reader: ``states(index, style)`` in float32, every style it was given."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._where: dict[int, dict[str, tuple[int, int, int]]] = {}
        self._states: list[Tensor] = []
        for number, path in enumerate(paths):
            header, tensors = _read(path)
            self._states.append(tensors["states"])
            offsets = tensors["offsets"].tolist()
            for (index, style), start, stop in zip(json.loads(header["captions"]), offsets, offsets[1:]):
                self._where.setdefault(index, {})[style] = number, start, stop

    def styles(self, index: int) -> list[str]:
        """The styles in which clip ``index`` has a caption, in their order in its record."""
        return list(self._where.get(index, ()))

    def states(self, index: int, style: str) -> Float[Tensor, "s e"]:
        number, start, stop = self._where[index][style]
        return self._states[number][start:stop].float()


def encode_captions(
    reader: ShardReader,
    folder: Path,
    encoder: TextEncoder,
    *,
    split: str | None = "train",
    progress: Progress | None = None,
) -> CaptionCache:
    """Encode every caption of ``split`` once, into ``folder/captions-HASH``, and open the cache.

    The first caption of each style of a clip is kept, its states in float16.
    """
    target = folder / f"captions-{encoder.hash[:16]}"
    indices = reader.indices(split)
    paths = []
    for start, part in _chunks(indices):
        path = target / f"{split or 'all'}-{start:07d}.safetensors"
        captions = [
            (index, style, reader.record(index).text(style) or "")
            for index in part
            for style in dict.fromkeys(caption.style for caption in reader.record(index).captions)
        ]
        key = _key(f"{index} {style} {text}" for index, style, text in captions)
        if not _is_made(path, key):
            states = [one.to("cpu", torch.float16) for one in encoder.encode([text for *_, text in captions])]
            offsets = torch.tensor([0, *(len(one) for one in states)]).cumsum(0)
            tensors = {"states": torch.cat(states), "offsets": offsets}
            _write(path, tensors, {"key": key, "captions": json.dumps([caption[:2] for caption in captions])})
        paths.append(path)
        if progress is not None:
            progress(start + len(part), len(indices))
    return CaptionCache(paths)


class MapCache:
    """Channels on the latent grid that say what a clip shows, by the reader's index, in memory in float16."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._maps: dict[int, Tensor] = {}
        for path in paths:
            self._maps.update({int(index): maps for index, maps in _read(path)[1].items()})

    @property
    def indices(self) -> list[int]:
        """The reader's indices of the clips that have maps, in order."""
        return sorted(self._maps)

    def maps(self, index: int) -> Float[Tensor, "c t h w"]:
        return self._maps[index].float()


def make_maps(
    reader: ShardReader,
    folder: Path,
    name: str,
    make: Callable[[ShardReader, Sequence[int]], Iterable[tuple[int, Float[Tensor, "c t h w"]]]],
    *,
    split: str | None = "train",
    progress: Progress | None = None,
) -> MapCache:
    """Make the maps of every clip of ``split`` once, into ``folder/maps-NAME``, and open the cache.

    ``make(reader, indices)`` gives (index, maps) for a chunk of clips. ``name`` must change where what it makes does.
    """
    target = folder / f"maps-{name}"
    indices = reader.indices(split)
    paths = []
    for start, part in _chunks(indices):
        path = target / f"{split or 'all'}-{start:07d}.safetensors"
        key = _key(f"{index} {reader.record(index).id}" for index in part)
        if not _is_made(path, key):
            maps = {str(index): one.to(torch.float16).contiguous() for index, one in make(reader, part)}
            _write(path, maps, {"key": key})
        paths.append(path)
        if progress is not None:
            progress(start + len(part), len(indices))
    return MapCache(paths)


def _chunks(indices: Sequence[int]) -> Iterator[tuple[int, Sequence[int]]]:
    for start in range(0, len(indices), CHUNK):
        yield start, indices[start : start + CHUNK]


def _key(parts: Iterator[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _is_made(path: Path, key: str) -> bool:
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("key") == key
    except (SafetensorError, OSError):
        return False


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _write(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_file(tensors, part, header)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
