"""What does a writer see in training? A captioner: a clip's latents and one of its captions. An expander: little and
much.

Which is which of a batch is a pure function of (seed, step), so a run that was killed goes on with the batches that it
would have had.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from einops import reduce
from jaxtyping import Float, Int
from torch import Tensor

from ozora.data.record import Record
from ozora.data.shards import ShardReader
from ozora.geometry import Geometry
from ozora.language.encoder import TextEncoder
from ozora.language.lexicon import COLORS
from ozora.language.slots import contradictions, lost
from ozora.language.vocabulary import Vocabulary
from ozora.language.writer import Prefix, text_place
from ozora.model.patches import patchify, positions

IGNORED = -100
SMALL_CHANGE = 0.2  # of a latent of deviation 1: what is much below it is as good as none
PROMPT_STYLES = ("short", "medium", "tags")
_SWAPPED = re.compile(r"\b(?:" + "|".join([*COLORS, "left", "right"]) + r")\b")


@dataclass(frozen=True, eq=False)
class WritingBatch:
    """Texts to be written after their prefixes. ``targets`` is the token after each, ``IGNORED`` where none is
    asked; ``maps`` say what each vector of the prefix shows, 0 of them where that is not known."""

    prefix: Prefix
    tokens: Int[Tensor, "b s"]
    targets: Int[Tensor, "b s"]
    maps: Float[Tensor, "b m c"]

    def to(self, device: torch.device | str) -> "WritingBatch":
        tensors = (self.tokens.to(device), self.targets.to(device), self.maps.to(device))
        return WritingBatch(self.prefix.to(device), *tensors)


@runtime_checkable
class Latents(Protocol):
    """Normalised latents of clips by the reader's index; further channels may say what they show."""

    @property
    def indices(self) -> list[int]: ...

    @property
    def fps(self) -> Mapping[int, float]: ...

    def normalised(self, index: int) -> Float[Tensor, "c t h w"]: ...


@runtime_checkable
class Examples(Protocol):
    """What ``fit_writer`` draws from."""

    def __len__(self) -> int: ...

    def batch(self, step: int, size: int) -> WritingBatch: ...


def watched(
    latents: Float[Tensor, "c t h w"], fps: float, geometry: Geometry
) -> tuple[Float[Tensor, "n p"], Float[Tensor, "n 3"]]:
    """Normalised latents as a captioner's prefix: a vector of each patch, and where it stands.

    A vector holds the patch, its change from the latent frame before (0 in the first), and the patch's means of
    slope times change, down and across. What moves by v changes by minus its slope times v (Horn & Schunck 1981, eq. 1;
    Lucas & Kanade 1981), so these products tell which way; each is divided by the size of all three, to stay of one
    order. A network this small does not find them by itself (docs/log.md).
    """
    before = torch.cat([latents[:, :1], latents[:, :-1]], 1)
    change, slopes = latents - before, torch.gradient((latents + before) / 2, dim=(2, 3))
    size = torch.sqrt(SMALL_CHANGE**2 + change**2 + slopes[0] ** 2 + slopes[1] ** 2)
    side, means = geometry.patch, "c t (h i) (w j) -> (t h w) c"
    products = [reduce(slope * change / size, means, "mean", i=side, j=side) for slope in slopes]
    vectors = torch.cat([patchify(latents, side), patchify(change, side), *products], 1)
    return vectors, positions((latents.shape[1], latents.shape[2], latents.shape[3]), fps, geometry)


class CaptionExamples:
    """Latents and captions of the clips of a reader, a batch in one style at a time, drawn by ``styles``.

    So the texts of a batch are of about one length, and little of it is padding. Style "still" shows the first latent
    frame alone. Channels beyond those of ``geometry`` become the batch's maps. Raises ``ValueError`` where no clip has
    a caption of these styles.
    """

    def __init__(
        self,
        reader: ShardReader,
        latents: Latents,
        geometry: Geometry,
        vocabulary: Vocabulary,
        styles: Mapping[str, float],
        noise: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.latents, self.geometry, self.vocabulary, self.noise, self.seed = latents, geometry, vocabulary, noise, seed
        self._texts: dict[str, dict[int, list[int]]] = {}
        for style in (style for style, weight in styles.items() if weight > 0):
            told = {index: text for index in latents.indices if (text := reader.record(index).text(style))}
            if told:
                self._texts[style] = {index: vocabulary.encode(text) for index, text in told.items()}
        if not self._texts:
            raise ValueError(f"no clip has a caption of the styles {', '.join(styles)}; there is nothing to learn from")
        self._weights = [styles[style] for style in self._texts]

    def __len__(self) -> int:
        return len(set().union(*self._texts.values()))

    def batch(self, step: int, size: int) -> WritingBatch:
        chance = random.Random(f"{self.seed} {step}")
        generator = torch.Generator().manual_seed(chance.getrandbits(60))
        style = chance.choices(list(self._texts), self._weights)[0]
        indices = list(self._texts[style])
        prefixes, texts, maps = [], [], []
        for index in (indices[place] for place in _places(len(indices), step, size, self.seed)):
            latents = self.latents.normalised(index)
            latents = latents[:, :1] if style == "still" else latents
            shown, told = latents[: self.geometry.latent_channels], latents[self.geometry.latent_channels :]
            noise = self.noise * chance.random() * torch.randn(shown.shape, generator=generator)
            prefixes.append(watched(shown + noise, self.latents.fps[index], self.geometry))
            maps.append(patchify(told, self.geometry.patch))
            texts.append(([self.vocabulary.control(style)], self._texts[style][index]))
        return _joined(prefixes, texts, self.vocabulary.end, maps)


class PromptExamples:
    """Short descriptions of clips, to be followed by their dense captions.

    Pairs of which the dense caption does not keep all that the short one says are left out. Colours are exchanged, and
    left with right, in both alike: what a clip is said to show in red could be said of blue. Raises ``ValueError``
    where no pair is left.
    """

    def __init__(
        self, records: Sequence[Record], encoder: TextEncoder, vocabulary: Vocabulary, max_tokens: int, seed: int = 0
    ) -> None:
        self.encoder, self.vocabulary, self.max_tokens, self.seed = encoder, vocabulary, max_tokens, seed
        self.pairs = [pairs for record in records if (pairs := prompt_pairs(record))]
        if not self.pairs:
            raise ValueError(
                "no clip has a dense caption that keeps what a shorter one says; there is nothing to learn from"
            )

    def __len__(self) -> int:
        return len(self.pairs)

    def batch(self, step: int, size: int) -> WritingBatch:
        chance = random.Random(f"{self.seed} {step}")
        drawn = [exchanged(chance.choice(self.pairs[i]), chance) for i in _places(len(self), step, size, self.seed)]
        states = [state.cpu() for state in self.encoder.encode([prompt for prompt, _ in drawn])]
        control, encode = self.vocabulary.control, self.vocabulary.encode
        texts = []
        for prompt, dense in drawn:
            start = [control("prompt"), *encode(prompt), control("dense")]
            texts.append((start, encode(dense)[: max(0, self.max_tokens - len(start))]))
        prefixes = [(state, text_place(len(state))) for state in states]
        return _joined(prefixes, texts, self.vocabulary.end, [state[:, :0] for state in states])


def prompt_pairs(record: Record) -> list[tuple[str, str]]:
    """(prompt, dense caption) of a clip, as people ask: in a clause, a sentence, tags, or its objects alone."""
    dense = record.text("dense")
    if dense is None:
        return []
    prompts = [text for style in PROMPT_STYLES if (text := record.text(style))]
    if record.facts is not None and record.facts.objects:
        names = [
            f"a{'n' if item.color[0] in 'aeiou' else ''} {item.color} {item.shape}" for item in record.facts.objects
        ]
        prompts.append(" and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names))
    return [(prompt, dense) for prompt in prompts if not lost(prompt, dense) and not contradictions(prompt, dense)]


def exchanged(pair: tuple[str, str], chance: random.Random) -> tuple[str, str]:
    """Both texts with colours exchanged by one permutation, and in half of the cases seen in a mirror."""
    colors = list(COLORS)
    swap = dict(zip(colors, chance.sample(colors, len(colors))))
    if chance.random() < 0.5:
        swap |= {"left": "right", "right": "left"}
    prompt, dense = (_SWAPPED.sub(lambda match: swap.get(match[0], match[0]), text) for text in pair)
    return _with_articles(prompt), _with_articles(dense)


def _with_articles(text: str) -> str:
    """ "a orange ball" -> "an orange ball", "an red ball" -> "a red ball", where an article stands before a colour."""
    names = "|".join(COLORS)
    return re.sub(
        rf"\b([Aa])n?(?= ({names})\b)", lambda match: match[1] + ("n" if match[2][0] in "aeiou" else ""), text
    )


def _places(length: int, step: int, size: int, seed: int) -> list[int]:
    """Which examples step ``step`` sees: a new order every epoch, every example once in each."""
    found, orders = [], {}
    for count in range(step * size, (step + 1) * size):
        epoch, place = divmod(count, length)
        if epoch not in orders:
            orders[epoch] = torch.randperm(
                length, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch)
            ).tolist()
        found.append(orders[epoch][place])
    return found


def _joined(
    prefixes: Sequence[tuple[Tensor, Tensor]],
    texts: Sequence[tuple[list[int], list[int]]],
    end: int,
    maps: Sequence[Tensor],
) -> WritingBatch:
    """Rows of (given tokens, tokens to write): the loss is on what is to be written, and on its end."""
    tokens = [torch.tensor([*given, *written]) for given, written in texts]
    targets = [torch.tensor([*[IGNORED] * (len(given) - 1), *written, end]) for given, written in texts]
    pad = torch.nn.utils.rnn.pad_sequence
    padded = pad(targets, batch_first=True, padding_value=IGNORED)
    given = pad(tokens, batch_first=True, padding_value=end)
    return WritingBatch(Prefix.stack(prefixes), given, padded, pad(list(maps), batch_first=True))
