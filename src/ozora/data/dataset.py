"""What does training see of a clip? An example: a window of its latents, words for it, and what of it is given.

Which one is a pure function of (seed, epoch, index), so that any example can be drawn again after a kill, in any
order, by any process.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ozora.data.latents import CaptionCache
from ozora.geometry import Geometry
from ozora.model.patches import patchify, segment, token_values
from ozora.nn.rows import Segment, Span


@runtime_checkable
class Latents(Protocol):
    """Latents by the reader's index: a ``LatentCache``, or what stands in its place."""

    @property
    def indices(self) -> Sequence[int]: ...

    @property
    def refused(self) -> Mapping[int, str]: ...

    @property
    def fps(self) -> Mapping[int, float]: ...

    def raw(self, index: int) -> Float[Tensor, "c t h w"]: ...

    def normalised(self, index: int) -> Float[Tensor, "c t h w"]: ...


CanvasMask = Callable[[tuple[int, int, int], Generator], Float[Tensor, "t h w"]]


@dataclass(frozen=True)
class MixtureConfig:
    """How often training sees what; shares are of all examples.

    ``styles`` are the weights of the caption styles that a clip has. ``no_text`` of the examples have none.
    ``pictures`` show latent 0 alone with the "still" caption. Of the clips of more than two latent frames ``mid_clip``
    start in the middle and ``two_spans`` have one caption for the first part and another one for the rest.
    ``masks`` of the examples have what they know drawn by the canvas mask (which may draw nothing), the rest know
    nothing.
    Positions are stretched by up to ``jitter`` either way, space and time apart.
    """

    styles: Mapping[str, float] = field(
        default_factory=lambda: {"dense": 0.60, "medium": 0.22, "short": 0.13, "tags": 0.05}
    )
    no_text: float = 0.10
    pictures: float = 0.08
    mid_clip: float = 0.20
    two_spans: float = 0.04
    masks: float = 1.0
    jitter: float = 0.02


@dataclass(frozen=True, eq=False)
class Example:
    """One window, in the transformer's terms: its segment, normalised clean patches, and what is known per token."""

    segment: Segment
    clean: Float[Tensor, "n p"]
    known: Float[Tensor, " n"]
    kind: str

    @property
    def num_tokens(self) -> int:
        return self.segment.num_tokens


class Dataset:
    """All clips that have latents and captions. ``example(epoch, place)`` draws from clip ``order(epoch)[place]``.

    ``canvas_mask(grid, generator)`` draws what is known of a window. ``refused`` counts, by reason, the clips
    that are never shown. Raises ``ValueError`` if that is all of them.
    """

    def __init__(
        self,
        latents: Latents,
        captions: CaptionCache,
        geometry: Geometry,
        canvas_mask: CanvasMask,
        mixture: MixtureConfig | None = None,
        seed: int = 0,
        max_tokens: int | None = None,
    ) -> None:
        self.latents, self.captions, self.geometry, self.canvas_mask = latents, captions, geometry, canvas_mask
        self.mixture = mixture or MixtureConfig()
        self.seed = seed
        self.refused = Counter(latents.refused.values())
        self.indices: list[int] = []
        for index in latents.indices:
            num_tokens = latents.raw(index)[0].numel() // geometry.patch**2
            if not self._styles(index):
                self.refused["it has no caption of a style in the mixture"] += 1
            elif max_tokens is not None and num_tokens > max_tokens:
                self.refused[f"it has more than {max_tokens} tokens, which is all that a row holds"] += 1
            else:
                self.indices.append(index)
        if not self.indices:
            raise ValueError(f"no clip is left to train on; refused: {dict(self.refused)}")
        probe = self.indices[0]
        self._no_text = captions.states(probe, self._styles(probe)[0])[:0]

    def __len__(self) -> int:
        return len(self.indices)

    def order(self, epoch: int) -> list[int]:
        """Clips of one epoch: the reader's indices, every clip once, shuffled."""
        permutation = torch.randperm(len(self.indices), generator=_generator(self.seed, "order", epoch))
        return [self.indices[i] for i in permutation.tolist()]

    def example(self, epoch: int, index: int) -> Example:
        """The example that clip ``index`` (the reader's index) gives in ``epoch``."""
        generator = _generator(self.seed, epoch, index)
        styles, mixture = self._styles(index), self.mixture
        latents, kind, starts_clip = self.latents.normalised(index), "clip", True
        num_latents = latents.shape[1]
        style = _choose(styles, [mixture.styles.get(style, 1.0) for style in styles], generator)
        if num_latents == 1 or _chance(generator) < mixture.pictures:
            latents, kind = latents[:, :1], "picture"
            style = "still" if "still" in self.captions.styles(index) else style
        elif num_latents > 2 and _chance(generator) < mixture.mid_clip:
            start = 1 + _below(num_latents - 2, generator)
            length = 2 + _below(num_latents - start - 1, generator)
            latents, kind, starts_clip = latents[:, start : start + length], "mid_clip", False
        texts = [self.captions.states(index, style)]
        if kind != "picture" and latents.shape[1] > 2 and _chance(generator) < mixture.two_spans:
            texts.append(self.captions.states(index, styles[_below(len(styles), generator)]))
        if _chance(generator) < mixture.no_text:
            texts = [self._no_text]
        t, h, w = latents.shape[1:]
        tokens_a_frame = h * w // self.geometry.patch**2
        frames = [t] if len(texts) == 1 else [t // 2, t - t // 2]
        spans = [Span(count * tokens_a_frame, text) for count, text in zip(frames, texts)]
        known = self.canvas_mask((t, h, w), generator) if _chance(generator) < mixture.masks else torch.zeros(t, h, w)
        return Example(
            segment((t, h, w), self.latents.fps[index], self.geometry, spans, starts_clip, self._jitter(generator)),
            patchify(latents, self.geometry.patch),
            token_values(known, self.geometry.patch),
            kind,
        )

    def _styles(self, index: int) -> list[str]:
        """Styles that clip ``index`` may be described in; "still" where it is a picture to begin with."""
        is_picture = self.latents.raw(index).shape[1] == 1
        return [
            style
            for style in self.captions.styles(index)
            if (is_picture and style == "still") or self.mixture.styles.get(style, 0) > 0
        ]

    def _jitter(self, generator: Generator) -> tuple[float, float, float]:
        time, space = (1 + self.mixture.jitter * (2 * _chance(generator) - 1) for _ in range(2))
        return time, space, space


def _generator(*key: object) -> Generator:
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def _chance(generator: Generator) -> float:
    return float(torch.rand((), generator=generator))


def _below(stop: int, generator: Generator) -> int:
    return int(torch.randint(stop, (), generator=generator))


def _choose(names: list[str], weights: list[float], generator: Generator) -> str:
    return names[int(torch.multinomial(torch.tensor(weights), 1, generator=generator))]
