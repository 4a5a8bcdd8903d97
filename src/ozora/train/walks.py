"""What does the many-step model do? Its own walks from noise, written down where a model of few steps is to stop.

Progressive distillation (Salimans and Ho 2022) and its kin ask the teacher anew at every training step. A guided walk
of twenty steps is forty answers, so here each walk is made once, as clips are made, and learned from many times. Walks
of a chunk are one file, so that recording goes on where it was killed.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Generator as Chance
from torch import Tensor

from ozora.canvas import Canvas
from ozora.data.latents import LatentCache
from ozora.data.shards import ShardReader
from ozora.generate.generator import Generator
from ozora.generate.rendering import Rendering
from ozora.generate.request import Request
from ozora.generate.tasks import random_canvas_mask
from ozora.model.patches import patchify
from ozora.nn.rows import Segment, Span

CHUNK = 16  # requests in one file, and in one row of the teacher's
FORMAT = "walks-1"


@dataclass(frozen=True, eq=False)
class Walk:
    """One window's way from noise to clean: ``stops[i]`` is where it is at ``levels[i]``, each token's noise level.

    Stop 0 is noise (but for what is known), the last one clean.
    """

    segment: Segment
    stops: Float[Tensor, "k n p"]
    levels: Float[Tensor, "k n"]


@dataclass(frozen=True, eq=False)
class Wishes:
    """What walks are asked for: captions of ``reader``'s clips by the weights of ``styles``, and now and then a part of
    the clip itself. Shares of all requests: ``no_text`` have no caption, ``masks`` know a part."""

    reader: ShardReader
    latents: LatentCache
    styles: Mapping[str, float]
    no_text: float = 0.03
    masks: float = 0.2

    def draw(self, generator: Generator, chance: Chance) -> Request:
        """One request, of as many steps as the model is sampled with, on a way without fresh noise.

        What a leap learns is where the noise that it sees leads; fresh noise would lead elsewhere each time.
        """
        index = self.latents.indices[int(torch.randint(len(self.latents.indices), (), generator=chance))]
        record, clean = self.reader.record(index), self.latents.normalised(index)
        styles = {style: weight for style, weight in self.styles.items() if record.text(style)}
        if clean.shape[1] == 1 and record.text("still"):
            styles = {"still": 1.0}
        weights = torch.tensor(list(styles.values()) or [1.0])
        style = list(styles or {"": 1.0})[int(torch.multinomial(weights, 1, generator=chance))]
        silent, masked = (torch.rand(2, generator=chance) < torch.tensor([self.no_text, self.masks])).tolist()
        known = torch.zeros(clean.shape[1:])
        if masked:
            mask = random_canvas_mask((clean.shape[1], clean.shape[2], clean.shape[3]), chance)
            known = (mask > 0.5).float() if (mask <= 0.5).any() else known
        return Request(
            "" if silent else record.text(style) or "",
            seed=int(torch.randint(2**31, (), generator=chance)),
            steps=generator.config.sampling.steps,
            sampler="multistep",
            canvas=Canvas(clean * known, known, record.fps),
        )


def walk_requests(generator: Generator, requests: Sequence[Request], num_stops: int) -> list[Walk]:
    """Render the requests, in one row, and write down every window's way at ``num_stops`` evenly chosen steps.

    Raises ``ValueError`` unless the steps of a request are a multiple of ``num_stops``, and more.
    """
    for request in requests:
        if not request.steps or request.steps % num_stops or request.steps == num_stops:
            raise ValueError(
                f"a walk of {request.steps} steps cannot stop {num_stops} times evenly; "
                f"let its steps be a multiple, {10 * num_stops} for instance"
            )
    renderings = [generator.begin(request) for request in requests]
    drafts: dict[int, list[tuple[Tensor, Tensor]]] = {}
    walks = []
    while moving := [i for i, rendering in enumerate(renderings) if not rendering.is_done]:
        for i in moving:
            stop = _stop(renderings[i], num_stops)
            if stop is not None:
                drafts.setdefault(i, []).append(stop)
        windows = {i: (renderings[i].window, renderings[i].prompted) for i in moving}
        generator.advance([renderings[i] for i in moving])
        for i, (window, segment) in windows.items():
            rendering = renderings[i]
            if rendering.window == window:
                continue
            last = patchify(rendering.latents[:, slice(*rendering.windows[window])], rendering.config.geometry.patch)
            stops = drafts.pop(i)
            stops += [(last, torch.zeros(len(last)))] * (num_stops + 1 - len(stops))
            walks.append(Walk(segment, *(torch.stack(parts) for parts in zip(*stops))))
    return walks


def _stop(rendering: Rendering, num_stops: int) -> tuple[Tensor, Tensor] | None:
    """Where the rendering stands, and its noise levels, if it stands at a stop."""
    assert rendering.request.steps
    x, levels = rendering.point.x.cpu().clone(), rendering.levels[rendering.step_in_window].squeeze(1).cpu()
    if rendering.step_in_window == 0:  # in noise, whether or not the first step is skipped
        return x, (levels > 0).float()
    if (rendering.step_in_window + rendering.num_skipped) % (rendering.request.steps // num_stops):
        return None
    return x, levels


def record_walks(
    generator: Generator, wishes: Wishes, num_requests: int, num_stops: int, folder: Path, seed: int
) -> list[Walk]:
    """Walk ``num_requests`` requests, those that are not yet in ``folder``, and open them all."""
    walks: list[Walk] = []
    asked = f"{wishes.reader.folder} {len(wishes.latents.indices)} {wishes.styles} {wishes.no_text} {wishes.masks}"
    for start in range(0, num_requests, CHUNK):
        count = min(CHUNK, num_requests - start)
        words = f"{FORMAT} {generator.hash} {asked} {num_stops} {seed} {start} {count}"
        key = hashlib.sha256(words.encode()).hexdigest()
        path = folder / f"walks-{start:06d}.safetensors"
        made = _read(path, key)
        if made is None:
            chance = Chance().manual_seed(seed * 1_000_003 + start)
            made = walk_requests(generator, [wishes.draw(generator, chance) for _ in range(count)], num_stops)
            _write(path, key, made)
        walks += made
    return walks


def _write(path: Path, key: str, walks: Sequence[Walk]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    for i, walk in enumerate(walks):
        tensors[f"{i}.stops"], tensors[f"{i}.levels"] = walk.stops.half(), walk.levels
        tensors[f"{i}.position"], tensors[f"{i}.one_frame"] = walk.segment.position, walk.segment.one_frame
        for j, span in enumerate(walk.segment.spans):
            tensors[f"{i}.text.{j}"] = span.text.half()
    spans = [[span.num_tokens for span in walk.segment.spans] for walk in walks]
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        header = {"key": key, "spans": json.dumps(spans)}
        save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, part, header)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _read(path: Path, key: str) -> list[Walk] | None:
    """The walks of a file, None where it is not there, damaged, or of other requests."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("key") != key:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError):
        return None
    walks = []
    for i, counts in enumerate(json.loads(header["spans"])):
        spans = tuple(Span(count, tensors[f"{i}.text.{j}"].float()) for j, count in enumerate(counts))
        segment = Segment(tensors[f"{i}.position"], tensors[f"{i}.one_frame"], spans)
        walks.append(Walk(segment, tensors[f"{i}.stops"].float(), tensors[f"{i}.levels"]))
    return walks
