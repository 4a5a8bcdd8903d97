"""Which files does a verb start from? Found, known by their hash, fitted to the model, and named in the output line."""

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ozora.verbs.making import Order
from ozora.verbs.options import parse_size

if TYPE_CHECKING:
    from ozora.clip import Clip
    from ozora.generate.folder import ModelConfig


@dataclass(frozen=True, eq=False)
class Source:
    """A file as the model is to see it: ``size`` and ``fps`` are the file's own, ``said`` tells what was done to it."""

    path: Path
    size: tuple[int, int]
    fps: float
    clip: "Clip"
    said: str


def read_config_of(order: Order) -> "ModelConfig":
    from ozora.generate.folder import find_model, read_config

    return read_config(find_model(order.model))


def read_source(
    order: Order,
    path: Path,
    config: "ModelConfig",
    like: Source | None = None,
    fps: float | None = None,
    seconds: float | None = None,
) -> Source:
    """The file fitted as the order says, else as suits it, or as the source that it is to be ``like``."""
    from ozora.generate.fitting import read_for_model
    from ozora.media.read import read_metadata

    size = parse_size(order.settings["size"]) if "size" in order.settings else like and like.clip.size
    fps = order.settings.get("fps", fps or (like and like.clip.fps))
    metadata = read_metadata(path)
    clip, said = read_for_model(path, config, size, fps, order.settings.get("fit", "crop"), seconds)
    return Source(path, (metadata.width, metadata.height), metadata.fps, clip, said)


def find_file(order: Order, name: str, path: Path | None, usage: str) -> Path:
    """The file given for ``name``, or where none was, the one that the file to be made again was made from.

    Warns where the file given is another one. Raises ``ValueError`` where there is none; ``usage`` is the verb's.
    """
    recorded = order.settings.get("sources", {}).get(name, {})
    file, digest = (recorded.get("file"), recorded.get("sha256")) if isinstance(recorded, dict) else (None, None)
    if path is not None:
        if path.is_file() and digest is not None and hash_of(path) != digest:
            warnings.warn(f"{path} is not the file that {order.drawing.like} was made from", stacklevel=1)
        return path
    if order.drawing.like is None or not isinstance(file, str):
        raise ValueError(f"no file is named; {usage}")
    here = [folder / Path(file).name for folder in (Path(), order.drawing.like.parent)]
    found = next((place for place in here if place.is_file() and hash_of(place) == digest), None)
    if found is None:
        raise ValueError(
            f"{order.drawing.like} was made from {Path(file).name}, which lies neither here nor beside it; {usage}"
        )
    return found


def hash_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as the files made from it record it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record(paths: Mapping[str, Path]) -> dict[str, Any]:
    """What a file carries about those it was made from: their names, without folders, and their hashes."""
    return {name: {"file": path.name, "sha256": hash_of(path)} for name, path in paths.items()}
