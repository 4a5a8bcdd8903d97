"""How does a short prompt become a full one? Someone proposes, it is checked against the prompt, and rules have the
last word.

The transformer learned from dense captions (Betker et al. 2023, DALL-E 3; OpenAI 2024, Sora), so a prompt in their
dialect is what it follows best. Whatever proposes, an answer that loses or contradicts what was asked is not taken;
where none is left, the prompt itself is kept and only what it leaves open is added.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from ozora.language.decoding import Decoding, write
from ozora.language.encoder import TextEncoder, check_text
from ozora.language.slots import contradictions, lost, plain, read_text
from ozora.language.stored import StoredWriter
from ozora.language.writer import Prefix, text_place

MAX_WORDS = 120
SETTINGS = (
    "The scene is set on a grey floor under a pale sky.",
    "The scene is set on a beige floor under a clear sky.",
    "The scene is set on a checkered grey floor under a pale sky.",
    "The scene is set on a pale floor under a daytime sky.",
)
STILL_CAMERA = "The camera does not move."


@runtime_checkable
class Expander(Protocol):
    """Whoever writes prompts in full. ``id`` names it beside what it wrote."""

    @property
    def id(self) -> str: ...

    def propose(self, prompt: str, seed: int = 0) -> list[str]:
        """Full prompts for a short one, the best first; raises ``ConnectionError`` where nobody answers and
        ``RuntimeError`` for an answer that is no prompt."""
        ...


@dataclass(frozen=True)
class Expansion:
    """The full prompt, who wrote it ("rules" where no proposal was taken, "as it was" where nothing was to add), and
    why each refused proposal was refused."""

    text: str
    by: str
    refused: tuple[str, ...] = ()


class TrainedExpander:
    """Ozora's own: reads the prompt's states and its words, and goes on in the dialect of dense captions."""

    def __init__(
        self, stored: StoredWriter, encoder: TextEncoder, decoding: Decoding | None = None, num_drawn: int = 8
    ) -> None:
        if stored.config.role != "expander":
            raise ValueError(f"this is a trained {stored.config.role}; an expander is asked for")
        if stored.config.reads != encoder.hash:
            raise ValueError(
                f"the expander reads the states of text encoder {stored.config.reads[:12]}; "
                f"{encoder.id} is {encoder.hash[:12]}"
            )
        self.stored, self.encoder, self.num_drawn = stored, encoder, num_drawn
        self.decoding = decoding or Decoding(temperature=0.7, nucleus=0.95)

    @property
    def id(self) -> str:
        return f"expander-{self.stored.hash[:12]}"

    def propose(self, prompt: str, seed: int = 0) -> list[str]:
        """``num_drawn`` texts in the order in which they are drawn; the same prompt and seed give the same texts."""
        start = prompt_tokens(self.stored, prompt)
        if start is None:
            return []
        states = self.encoder.encode([prompt])[0].cpu()
        prefix = Prefix.stack([(states, text_place(len(states)))] * self.num_drawn)
        starts = torch.tensor([start] * self.num_drawn)
        seeds = [(seed * 1_000_003 + i) % 2**63 for i in range(self.num_drawn)]
        vocabulary = self.stored.vocabulary
        texts = write(self.stored.writer, prefix, starts, vocabulary.end, self.decoding, seeds)
        return list(dict.fromkeys(vocabulary.decode(text).strip() for text in texts))


def prompt_tokens(stored: StoredWriter, prompt: str) -> list[int] | None:
    """What the writer is given before it goes on; None where the prompt leaves no room for an answer."""
    vocabulary = stored.vocabulary
    tokens = [vocabulary.control("prompt"), *vocabulary.encode(prompt), vocabulary.control("dense")]
    return tokens if len(tokens) <= stored.config.writer.max_tokens // 2 else None


def expand(prompt: str, expanders: Sequence[Expander] = (), seed: int = 0) -> Expansion:
    """The prompt in full: the first proposal that keeps all that was asked and says nothing against it.

    Expanders are asked in turn; one that does not answer, or not with a prompt, is passed over and said in ``refused``.
    They see the prompt in the captions' own words (``slots.plain``): synonyms, typos, German and Spanish are read by
    table. A prompt that says all that a dense caption says is returned as it is. Raises ``ValueError`` for what is no
    text.
    """
    check_text(prompt)
    asked = plain(prompt)
    if not missing_parts(asked):
        return Expansion(prompt.strip(), "as it was")
    refused = []
    for expander in expanders:
        try:
            proposals = expander.propose(asked, seed)
        except (OSError, RuntimeError) as error:
            refused.append(f"{expander.id}: {error}")
            continue
        for text in proposals:
            if not (reasons := why_not(asked, text)):
                return Expansion(text, expander.id, tuple(refused))
            refused.append(f"{expander.id}: {'; '.join(reasons)}")
    return Expansion(completed(prompt, seed), "rules", tuple(refused))


def why_not(prompt: str, answer: str) -> list[str]:
    """Why the answer is no expansion of the prompt, in words; an empty list where it is one."""
    num_words = len(answer.split())
    if num_words < 3 or num_words > MAX_WORDS + len(prompt.split()):
        return [f"{num_words} words"]
    gone = [f"lost {what}" for what in lost(prompt, answer)]
    return gone + [f"added {what}" for what in contradictions(prompt, answer)]


def missing_parts(prompt: str) -> list[str]:
    """What a dense caption says and the prompt does not: "setting", "camera"; "detail" where it is hardly a
    sentence."""
    said = read_text(prompt)
    parts = [] if said.values("floor") else ["setting"]
    parts += [] if said.values("camera") else ["camera"]
    return parts + (["detail"] if len(prompt.split()) < 12 else [])


def completed(prompt: str, seed: int = 0) -> str:
    """By rule: the prompt in the captions' own words as far as tables know them, and a sentence for each part that it
    leaves open.

    Where a word is in no table nothing is added: it may speak of a place or a view of its own.
    """
    text, said = plain(prompt), read_text(prompt)
    text = f"{text[0].upper()}{text[1:]}"
    sentences = [text if text.endswith((".", "!", "?", "。")) else f"{text}."]
    parts = [] if said.other else missing_parts(prompt)
    if "setting" in parts and not said.values("sky"):
        sentences.append(random.Random(f"{seed} {prompt}").choice(SETTINGS))
    if "camera" in parts:
        sentences.append(STILL_CAMERA)
    return " ".join(sentences)
