"""What does a clip show, in words? The trained captioner watches its latents; other captioners keep the same
promise."""

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, get_args, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ozora.clip import Clip
from ozora.language.decoding import Decoding, beam_search, write
from ozora.language.likelihood import log_likelihood
from ozora.language.stored import StoredWriter
from ozora.language.writer import Prefix

Style = Literal["short", "medium", "dense"]
STYLES = get_args(Style)
Look = Callable[[Clip], tuple[Float[Tensor, "_ p"], Float[Tensor, "_ 3"]]]
"""A clip as the prefix of a writer: patches of its latents, and where each stands (``generate/watch.py`` makes one)."""
WATCHED_AT_ONCE = 16


@runtime_checkable
class Captioner(Protocol):
    """Whoever describes clips. ``id`` names it in what it wrote."""

    @property
    def id(self) -> str: ...

    def caption(self, clips: Sequence[Clip], style: Style = "dense") -> list[str]:
        """One caption for each clip; raises ``ConnectionError`` where nobody answers and ``RuntimeError`` for an answer
        that is no caption."""
        ...


class TrainedCaptioner:
    """Ozora's own: ``look`` brings a clip before the writer, who then writes the caption of a style.

    A clip longer than those it was trained on is watched part by part, and what each shows is told with the second at
    which it begins. A clip of one frame gets what it shows as a picture, in any style.
    """

    def __init__(self, stored: StoredWriter, look: Look, decoding: Decoding | None = None, num_beams: int = 1) -> None:
        if stored.config.role != "captioner":
            raise ValueError(f"this is a trained {stored.config.role}; a captioner is asked for")
        self.stored, self.look, self.num_beams = stored, look, num_beams
        self.decoding = decoding or Decoding(temperature=0.0)

    @property
    def id(self) -> str:
        return f"captioner-{self.stored.hash[:12]}"

    def caption(self, clips: Sequence[Clip], style: Style = "dense", seed: int = 0) -> list[str]:
        if style not in STYLES:
            raise ValueError(f"style is {style!r}; it must be one of {', '.join(STYLES)}")
        parts = [(i, part) for i, clip in enumerate(clips) for part in self.parts(clip)]
        told: list[list[tuple[float, str]]] = [[] for _ in clips]
        for start in range(0, len(parts), WATCHED_AT_ONCE):
            some = parts[start : start + WATCHED_AT_ONCE]
            for (i, (second, _)), text in zip(some, self._write([part for _, (_, part) in some], style, seed)):
                if not told[i] or told[i][-1][1] != text:
                    told[i].append((second, text))
        return [_joined(texts) for texts in told]

    def likelihoods(self, clips: Sequence[Clip], texts: Sequence[str]) -> list[float]:
        """``log p(text | clip)`` in nats for each clip, one that can be watched whole (``parts``), and its text."""
        found: list[float] = []
        for start in range(0, len(clips), WATCHED_AT_ONCE):
            some, told = clips[start : start + WATCHED_AT_ONCE], texts[start : start + WATCHED_AT_ONCE]
            prefix = Prefix.stack([self.look(clip) for clip in some])
            with torch.inference_mode():
                likely = log_likelihood(self.stored, prefix, told, [clip.num_frames == 1 for clip in some])
            found += likely.tolist()
        return found

    def parts(self, clip: Clip) -> list[tuple[float, Clip]]:
        """The clip in parts that the captioner can watch, each with the second it begins at; a short rest is left
        out."""
        most = self.stored.config.max_frames
        starts = [
            start for start in range(0, clip.num_frames, most) if not start or clip.num_frames - start > most // 4
        ]
        return [(start / clip.fps, clip.slice(start, min(start + most, clip.num_frames))) for start in starts]

    def _write(self, clips: Sequence[Clip], style: str, seed: int) -> list[str]:
        writer, vocabulary = self.stored.writer, self.stored.vocabulary
        prefixes = [self.look(clip) for clip in clips]
        styles = [vocabulary.control("still" if clip.num_frames == 1 else style) for clip in clips]
        start, most = torch.tensor(styles)[:, None], self.decoding.max_tokens
        if self.num_beams > 1:
            texts = [
                beam_search(writer, Prefix.stack([prefix]), first[None], vocabulary.end, self.num_beams, most)
                for prefix, first in zip(prefixes, start)
            ]
        else:
            texts = write(writer, Prefix.stack(prefixes), start, vocabulary.end, self.decoding, [seed] * len(clips))
        told = [vocabulary.decode(text).strip() for text in texts]
        if not all(told):
            raise RuntimeError(f"{self.id} wrote nothing of a clip")
        return told


def _joined(texts: Sequence[tuple[float, str]]) -> str:
    if len(texts) == 1:
        return texts[0][1]
    return " ".join(f"From {second:.3g} seconds: {text}" for second, text in texts)
