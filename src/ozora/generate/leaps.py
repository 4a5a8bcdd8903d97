"""How does a model make a clip in few steps? By small changes of its weights, kept in a file beside them.

The changed transformer says in one answer where many guided steps of the unchanged one lead, as it has learned from
them (``train/fit_leaps.py``). A matrix changes by the product of two thin ones (LoRA, Hu et al. 2021; for few steps,
Luo et al. 2023), a vector by a vector. So the weights themselves, and all that is drawn with them, stay what they are
to the last bit, and what was learned for one model can be tried on another that was trained on from it.
"""

import copy
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ozora.generate.request import Request
from ozora.model.transformer import Transformer

FILE = "leaps.safetensors"
_PART = re.compile(r"(.+)\.parametrizations\.(\w+)\.0\.(up|down|added)")


@dataclass(frozen=True, eq=False)
class Leaps:
    """``transformer`` makes a clip in ``num_steps`` steps, each asked for once, with ``guidance`` in the answer."""

    num_steps: int
    guidance: float
    transformer: Transformer
    hash: str


def why_not(leaps: Leaps | None, request: Request) -> str:
    """Why a request, resolved but for its sampler, cannot be drawn in leaps; empty where it can."""
    if leaps is None:
        return "has not learned to leap"
    if request.steps != leaps.num_steps:
        return f"leaps in {leaps.num_steps} steps only"
    if request.is_guided and request.guidance != leaps.guidance:
        return f"leaps with guidance {leaps.guidance:g} only"
    if request.is_guided and request.negative:
        return "leaps without a negative prompt only"
    if request.is_known_in_part:
        return "leaps where pixels are known or are not, but not in part"
    return ""


class Product(nn.Module):
    """A matrix and the product of two thin ones, which is nothing at first."""

    def __init__(self, matrix: Float[Tensor, "o i"], rank: int):
        super().__init__()
        o, i = matrix.shape
        self.up = nn.Parameter(torch.zeros(o, rank))
        self.down = nn.Parameter(torch.randn(rank, i) / i**0.5)

    def forward(self, matrix: Float[Tensor, "o i"]) -> Float[Tensor, "o i"]:
        return matrix + self.up @ self.down


class Sum(nn.Module):
    """A vector and another, which is nothing at first."""

    def __init__(self, vector: Float[Tensor, " d"]):
        super().__init__()
        self.added = nn.Parameter(torch.zeros_like(vector))

    def forward(self, vector: Float[Tensor, " d"]) -> Float[Tensor, " d"]:
        return vector + self.added


def changeable(transformer: Transformer, rank: int) -> Transformer:
    """A copy whose weights are fixed, each with a change of it to be learned; at first it answers as the original."""
    network = copy.deepcopy(transformer).requires_grad_(False)
    for module in list(network.modules()):
        for name, weight in list(module.named_parameters(recurse=False)):
            parametrize.register_parametrization(
                module, name, Product(weight, rank) if weight.ndim == 2 else Sum(weight)
            )
    return network


def changes_of(network: Transformer) -> dict[str, nn.Parameter]:
    """What a ``changeable`` network learns, by the weight's name and the part's: "patch_in.weight.up"."""
    parts = ((_PART.fullmatch(name), value) for name, value in network.named_parameters())
    return {".".join(part.groups()): value for part, value in parts if part}


def changed(transformer: Transformer, changes: Mapping[str, Tensor]) -> Transformer:
    """A copy with the changes in its weights. Raises ``ValueError`` for those of another network."""
    network = copy.deepcopy(transformer)
    expected = set()
    for name, weight in network.named_parameters():
        parts = [f"{name}.up", f"{name}.down"] if weight.ndim == 2 else [f"{name}.added"]
        expected.update(parts)
        if not all(part in changes for part in parts):
            raise ValueError(f"they lack {parts[0]}")
        found = [changes[part].to(weight.device, weight.dtype) for part in parts]
        change = found[0] @ found[1] if len(found) == 2 else found[0]
        if change.shape != weight.shape:
            raise ValueError(f"{name} has shape {tuple(weight.shape)}, its change {tuple(change.shape)}")
        with torch.no_grad():
            weight.add_(change)
    if unknown := sorted(changes.keys() - expected):
        raise ValueError(f"there is nothing that {unknown[0]} could change")
    return network


def write_leaps(folder: Path, num_steps: int, guidance: float, changes: Mapping[str, Tensor]) -> Path:
    """Put the changes, in bfloat16, beside a model's weights, whole or not at all."""
    path, part = folder / FILE, folder / f".{FILE}.{os.getpid()}.part"
    told = {"num_steps": str(num_steps), "guidance": repr(guidance)}
    try:
        save_file(
            {name: value.detach().to("cpu", torch.bfloat16).contiguous() for name, value in changes.items()}, part, told
        )
        part.chmod((folder / "config.json").stat().st_mode)
        return part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_changes(folder: Path) -> tuple[dict[str, str], dict[str, Tensor]] | None:
    """What ``write_leaps`` wrote, None where the model has learned no leaps; ``ValueError`` for a damaged file."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: truncated or no weights file ({error}); copy the model folder again") from error


def read_leaps(folder: Path, transformer: Transformer) -> Leaps | None:
    """The folder's leaps, for its transformer; None where it has none. Raises ``ValueError`` for what does not fit."""
    found = read_changes(folder)
    if found is None:
        return None
    told, changes = found
    try:
        network = changed(transformer, changes).eval()
        num_steps, guidance = int(told["num_steps"]), float(told["guidance"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{folder / FILE}: not changes of these weights: {error}") from error
    digest = hashlib.sha256(f"{num_steps} {guidance}".encode())
    for name in sorted(changes):
        digest.update(name.encode())
        digest.update(changes[name].flatten().view(torch.uint8).numpy().data)
    return Leaps(num_steps, guidance, network, digest.hexdigest())
