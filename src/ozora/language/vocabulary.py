"""In which pieces is text written? Byte pairs learned from captions, and control tokens that no text can contain."""

from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

CONTROLS = ("end", "prompt", "short", "medium", "dense", "tags", "still")
"""``end`` ends a text, ``prompt`` begins one that is to be told in full; the others ask for a style of caption."""


class Vocabulary:
    """Byte-level byte pairs (Sennrich et al. 2016; Radford et al. 2019): every text has tokens, and they give it
    back."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._num_pieces = tokenizer.get_vocab_size()

    @property
    def size(self) -> int:
        """Pieces and control tokens."""
        return self._num_pieces + len(CONTROLS)

    @property
    def end(self) -> int:
        return self.control("end")

    def control(self, name: str) -> int:
        """The control token of that name. They are numbered after all pieces, so no text can ask for one."""
        return self._num_pieces + CONTROLS.index(name)

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of the pieces among the tokens; control tokens say nothing."""
        return self._tokenizer.decode([token for token in tokens if token < self._num_pieces])

    def to_json(self) -> str:
        return self._tokenizer.to_str()

    @staticmethod
    def from_json(text: str) -> "Vocabulary":
        """The inverse of ``to_json``; raises ``ValueError`` for anything else."""
        try:
            return Vocabulary(Tokenizer.from_str(text))
        except Exception as error:  # the library raises bare ``Exception``
            raise ValueError(f"no vocabulary: {error}") from error


def learn_vocabulary(texts: Iterable[str], num_pieces: int = 768) -> Vocabulary:
    """The byte pairs that shorten ``texts`` most, 256 bytes among them; the same texts give the same pieces."""
    if num_pieces < 256:
        raise ValueError(f"{num_pieces} pieces; there are 256 bytes, so at least 256 are needed")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=num_pieces,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        special_tokens=[],
    )
    tokenizer.train_from_iterator(texts, trainer)
    return Vocabulary(tokenizer)
