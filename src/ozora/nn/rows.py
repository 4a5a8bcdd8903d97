"""How do clips of any size share one batch? They are packed end to end into one long row of tokens.

A segment is one clip or picture; its spans are the stretches of it that a text describes. Tokens of
a segment attend to that segment alone, and tokens of a span read that span's text alone, so what a
clip becomes never depends on its company. Nothing is padded but the tail of the row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Span:
    """``num_tokens`` video tokens in a row and the states of the text that describes them.

    A text of no tokens (``s`` = 0) is legal: it asks for nothing (the unconditional case).
    """

    num_tokens: int
    text: Float[Tensor, "s e"]


@dataclass(frozen=True, eq=False)
class Segment:
    """One clip or picture as the transformer sees it, without its content.

    ``position``: seconds, then y and x relative to the short side (0 at the centre, the short side
    spans [-0.5, 0.5]). ``one_frame`` marks tokens of the latent that holds a single frame. ``spans``
    partition the tokens in order. Raises ``ValueError`` if they do not.
    """

    position: Float[Tensor, "n 3"]
    one_frame: Bool[Tensor, " n"]
    spans: tuple[Span, ...]

    def __post_init__(self) -> None:
        lengths = [span.num_tokens for span in self.spans]
        if not lengths or min(lengths) < 1 or sum(lengths) != self.num_tokens:
            raise ValueError(
                f"spans of {lengths} tokens on a segment of {self.num_tokens}; "
                f"each span holds at least 1 token and their sum must be {self.num_tokens}"
            )

    @property
    def num_tokens(self) -> int:
        return self.position.shape[0]


@dataclass(frozen=True, eq=False)
class Layout:
    """Everything about a packed row that does not change from step to step; made by ``pack``.

    Each span's ``text`` is preceded by one zero row at ``register_index``, the place of the
    transformer's learned register token, so that a span without text still has something to read.
    ``segment_offsets`` and ``span_offsets`` delimit video tokens, ``text_offsets`` the text of each
    span (register included); all start at 0 and have one entry more than there are parts.
    ``num_padding`` tokens at the end of the row belong to no segment that was asked for.
    """

    position: Float[Tensor, "n 3"]
    one_frame: Bool[Tensor, " n"]
    span_of_token: Int[Tensor, " n"]
    text: Float[Tensor, "s e"]
    span_of_text: Int[Tensor, " s"]
    register_index: Int[Tensor, " spans"]
    segment_offsets: tuple[int, ...]
    span_offsets: tuple[int, ...]
    text_offsets: tuple[int, ...]
    num_padding: int = 0

    @property
    def num_tokens(self) -> int:
        """Tokens in the row, padding included."""
        return self.position.shape[0]

    @cached_property
    def joint(self) -> "JointRanges":
        """Ranges for text that joins the sequence; see ``JointRanges``."""
        segment_of_span = torch.bucketize(
            torch.tensor(self.span_offsets[:-1]), torch.tensor(self.segment_offsets[1:]), right=True
        )
        q_rows, k_rows = [], []
        for i, segment in enumerate(segment_of_span.tolist()):
            text = torch.arange(self.text_offsets[i], self.text_offsets[i + 1]) + self.num_tokens
            q_rows.append(torch.cat([torch.arange(*self.span_offsets[i : i + 2]), text]))
            k_rows.append(torch.cat([torch.arange(*self.segment_offsets[segment : segment + 2]), text]))
        device = self.position.device
        return JointRanges(
            q_rows=torch.cat(q_rows).to(device),
            k_rows=torch.cat(k_rows).to(device),
            q_order=torch.cat(q_rows).argsort().to(device),
            q_offsets=_offsets([len(rows) for rows in q_rows]),
            k_offsets=_offsets([len(rows) for rows in k_rows]),
        )

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Layout":
        """The same row on another device; ``dtype`` applies to the text states (positions stay exact)."""
        return replace(
            self,
            position=self.position.to(device),
            one_frame=self.one_frame.to(device),
            span_of_token=self.span_of_token.to(device),
            text=self.text.to(device, dtype),
            span_of_text=self.span_of_text.to(device),
            register_index=self.register_index.to(device),
        )

    def split(self, x: Float[Tensor, "n ..."]) -> list[Tensor]:
        """Cut a row-long tensor into one view per segment, in the order given to ``pack``, without the padding."""
        lengths = [stop - start for start, stop in zip(self.segment_offsets, self.segment_offsets[1:])]
        pieces = list(x.split(lengths))
        return pieces[:-1] if self.num_padding else pieces


@dataclass(frozen=True, eq=False)
class JointRanges:
    """Which rows of [video tokens; text tokens] meet when text joins the sequence, span by span.

    Queries are a span's video and text tokens; keys are all video tokens of its segment and the span's
    own text. ``q_rows`` and ``k_rows`` gather them, the offsets delimit spans, and
    ``q_order`` puts gathered queries back in place.
    """

    q_rows: Int[Tensor, " q"]
    k_rows: Int[Tensor, " k"]
    q_order: Int[Tensor, " q"]
    q_offsets: tuple[int, ...]
    k_offsets: tuple[int, ...]


def pack(segments: Sequence[Segment], pad_to: int | None = None) -> Layout:
    """Lay segments end to end in one row.

    ``pad_to`` fills the tail of the row with one more segment without text, so that rows of one token
    budget have one shape. Raises ``ValueError`` for no segments and for more tokens than the budget.
    """
    if not segments:
        raise ValueError("a row of 0 segments; it must hold at least 1")
    num_tokens = sum(segment.num_tokens for segment in segments)
    num_padding = 0 if pad_to is None else pad_to - num_tokens
    if num_padding < 0:
        raise ValueError(f"{num_tokens} tokens in a row of {pad_to}; pad_to must be at least {num_tokens}")
    if num_padding:
        segments = [*segments, _padding(num_padding, segments[0])]
    spans = [span for segment in segments for span in segment.spans]
    register = spans[0].text.new_zeros(1, spans[0].text.shape[1])
    span_lengths = torch.tensor([span.num_tokens for span in spans])
    text_lengths = torch.tensor([1 + span.text.shape[0] for span in spans])
    text_offsets = _offsets(text_lengths.tolist())
    return Layout(
        position=torch.cat([segment.position for segment in segments]),
        one_frame=torch.cat([segment.one_frame for segment in segments]),
        span_of_token=torch.arange(len(spans)).repeat_interleave(span_lengths),
        text=torch.cat([rows for span in spans for rows in (register, span.text)]),
        span_of_text=torch.arange(len(spans)).repeat_interleave(text_lengths),
        register_index=torch.tensor(text_offsets[:-1]),
        segment_offsets=_offsets([segment.num_tokens for segment in segments]),
        span_offsets=_offsets(span_lengths.tolist()),
        text_offsets=text_offsets,
        num_padding=num_padding,
    )


def _padding(num_tokens: int, like: Segment) -> Segment:
    no_text = like.spans[0].text[:0]
    position = torch.zeros(num_tokens, 3)
    return Segment(position, torch.zeros(num_tokens, dtype=torch.bool), (Span(num_tokens, no_text),))


def _offsets(lengths: Sequence[int]) -> tuple[int, ...]:
    return (0, *accumulate(lengths))
