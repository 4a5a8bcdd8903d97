"""How do examples become rows? First-fit over a small pool, up to a budget of tokens; the state is a few numbers."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ozora.data.dataset import Dataset, Example
from ozora.nn.rows import Layout, pack


@dataclass(frozen=True, eq=False)
class Row:
    """One row to train on. The padding at its end is known, so it carries no noise and no loss.

    ``segment_of_token`` numbers the segments; the padding counts as one more.
    """

    layout: Layout
    clean: Float[Tensor, "n p"]
    known: Float[Tensor, " n"]
    segment_tokens: Int[Tensor, " segments"]
    segment_of_token: Int[Tensor, " n"]

    def to(self, device: torch.device | str) -> "Row":
        tensors = {name: value.to(device) for name, value in vars(self).items()}
        return Row(**tensors)


class RowPacker:
    """Endless rows of ``row_tokens`` tokens, epoch after epoch; each clip comes once an epoch.

    Examples wait in a pool of ``pool_size``. A row takes the one that has waited longest, and then every one
    that still fits, in the order in which they came. ``counts``: clips ``seen`` by kind, examples ``used``,
    ``rows``, ``tokens`` and ``padding``.
    """

    def __init__(self, dataset: Dataset, row_tokens: int, pool_size: int = 64) -> None:
        self.dataset, self.row_tokens, self.pool_size = dataset, row_tokens, pool_size
        self.epoch = self.cursor = 0
        self.counts: Counter[str] = Counter()
        self._order = dataset.order(0)
        self._pool: list[tuple[int, int, Example]] = []

    def next_row(self) -> Row:
        chosen: list[Example] = []
        room = self.row_tokens
        while True:
            self._fill()
            place = next((i for i, (*_, example) in enumerate(self._pool) if example.num_tokens <= room), None)
            if place is None:
                break
            *_, example = self._pool.pop(place)
            chosen.append(example)
            room -= example.num_tokens
        # Neighbours of one length run as one batch in attention; within a row order means nothing.
        chosen.sort(key=lambda example: (example.num_tokens, len(example.segment.spans[0].text)))
        self.counts.update(example.kind for example in chosen)
        self.counts.update(used=len(chosen), rows=1, tokens=self.row_tokens, padding=room)
        return make_row(chosen, self.row_tokens)

    @property
    def padding(self) -> float:
        """The share of all tokens so far that was padding."""
        return self.counts["padding"] / max(1, self.counts["tokens"])

    def report(self) -> str:
        """What was seen, used and refused, in words."""
        counts = self.counts
        kinds = ", ".join(f"{counts[kind]} {kind}" for kind in ("clip", "mid_clip", "picture") if counts[kind])
        refused = "; ".join(f"{number} because {reason}" for reason, number in self.dataset.refused.items())
        return (
            f"{len(self.dataset)} clips, epoch {self.epoch}: {counts['seen']} examples seen, {counts['used']} used "
            f"({kinds}), {sum(self.dataset.refused.values())} clips refused{': ' + refused if refused else ''}; "
            f"{counts['rows']} rows, {100 * self.padding:.2f} % padding"
        )

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands. Examples are drawn again from their names, so it is small."""
        pool = [[epoch, index] for epoch, index, _ in self._pool]
        place = {"epoch": self.epoch, "cursor": self.cursor, "num_clips": len(self.dataset)}
        return {**place, "pool": pool, "counts": dict(self.counts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where ``state_dict`` was taken; at the next epoch if the dataset has grown or shrunk since."""
        same = state["num_clips"] == len(self.dataset)
        self.epoch, self.cursor = (state["epoch"], state["cursor"]) if same else (state["epoch"] + 1, 0)
        self.counts = Counter(state["counts"])
        self._order = self.dataset.order(self.epoch)
        pool = state["pool"] if same else []
        self._pool = [(epoch, index, self.dataset.example(epoch, index)) for epoch, index in pool]

    def _fill(self) -> None:
        while len(self._pool) < self.pool_size:
            if self.cursor == len(self._order):
                self.epoch, self.cursor = self.epoch + 1, 0
                self._order = self.dataset.order(self.epoch)
            index = self._order[self.cursor]
            self._pool.append((self.epoch, index, self.dataset.example(self.epoch, index)))
            self.cursor += 1
            self.counts["seen"] += 1


def make_row(examples: list[Example], row_tokens: int) -> Row:
    """Lay examples end to end and pad the tail. Raises ``ValueError`` if they do not fit."""
    layout = pack([example.segment for example in examples], pad_to=row_tokens)
    num_padding = row_tokens - sum(example.num_tokens for example in examples)
    clean = torch.cat([example.clean for example in examples])
    clean = torch.cat([clean, clean.new_zeros(num_padding, clean.shape[1])])
    known = torch.cat([*(example.known for example in examples), torch.ones(num_padding)])
    tokens = [example.num_tokens for example in examples] + [num_padding] * (num_padding > 0)
    segment_tokens = torch.tensor(tokens)
    return Row(
        layout=layout,
        clean=clean,
        known=known,
        segment_tokens=segment_tokens,
        segment_of_token=torch.arange(len(tokens)).repeat_interleave(segment_tokens),
    )
