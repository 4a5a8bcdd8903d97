"""What writes? One decoder-only transformer over byte pairs, which first reads a prefix: a clip's latents or a
text's states.

Reading and writing are one mechanism. ``read`` runs the prefix through the blocks and keeps every block's keys and
values; ``extend`` runs text tokens over what is kept, each seeing the prefix and the text before it. Training extends
by whole captions at once, writing by one token at a time, with the same numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Complex, Float, Int
from torch import Tensor, nn

from ozora.nn.layers import SwiGLU, normalize

PLACE_FREQUENCIES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Of the waves that say where a vector of the prefix stands: turns a second, and turns a short side."""


@dataclass(frozen=True)
class WriterConfig:
    """Sizes. ``prefix_width``: numbers in one vector of the prefix (a patch of latents, a token's state).

    ``max_tokens``: the longest text, control tokens and a prompt that it continues included.
    """

    vocabulary: int = 775
    prefix_width: int = 64
    width: int = 192
    num_blocks: int = 5
    num_heads: int = 4
    dropout: float = 0.1
    max_tokens: int = 256


@dataclass(frozen=True, eq=False)
class Prefix:
    """What is read before writing, one row for each text: vectors, where each stands, and which are real.

    ``place``: seconds, y and x as in ``model/patches.py``; a text's states stand a tenth of a second apart.
    """

    vectors: Float[Tensor, "b m p"]
    place: Float[Tensor, "b m 3"]
    real: Bool[Tensor, "b m"]

    @staticmethod
    def stack(items: Sequence[tuple[Float[Tensor, "_ p"], Float[Tensor, "_ 3"]]]) -> "Prefix":
        """Rows of any lengths, padded at their ends; what is padded is never looked at."""
        pad = nn.utils.rnn.pad_sequence
        real = pad([torch.ones(len(vectors), dtype=torch.bool) for vectors, _ in items], batch_first=True)
        vectors = pad([vectors for vectors, _ in items], batch_first=True)
        return Prefix(vectors, pad([place for _, place in items], batch_first=True), real.to(vectors.device))

    def repeated(self, times: int) -> "Prefix":
        """Every row ``times`` times, copies side by side."""
        return Prefix(*(value.repeat_interleave(times, 0) for value in (self.vectors, self.place, self.real)))

    def to(self, device: torch.device | str) -> "Prefix":
        return Prefix(self.vectors.to(device), self.place.to(device), self.real.to(device))


def text_place(num_tokens: int) -> Float[Tensor, "_ 3"]:
    """Where the states of a text stand as a prefix: one after the other, a tenth of a second apart."""
    place = torch.zeros(num_tokens, 3)
    place[:, 0] = 0.1 * torch.arange(num_tokens)
    return place


@dataclass(frozen=True, eq=False)
class Memory:
    """Keys and values of all that was read and written, one pair for each block, and which of the rows are real."""

    keys: tuple[Float[Tensor, "b heads n d"], ...]
    values: tuple[Float[Tensor, "b heads n d"], ...]
    real: Bool[Tensor, "b n"]
    num_written: int = 0

    def rows(self, index: Int[Tensor, " rows"]) -> "Memory":
        """The memory of other rows: those that a beam search goes on with."""
        keys, values = (tuple(x.index_select(0, index) for x in kept) for kept in (self.keys, self.values))
        return Memory(keys, values, self.real.index_select(0, index), self.num_written)


class WriterBlock(nn.Module):
    """Attention over memory and itself, then the gated MLP; norms before each, as in GPT-2 (Radford et al. 2019)."""

    def __init__(self, config: WriterConfig):
        super().__init__()
        self.num_heads = config.num_heads
        self.attention_scale = nn.Parameter(torch.ones(config.width))
        self.mlp_scale = nn.Parameter(torch.ones(config.width))
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)
        self.mlp = SwiGLU(config.width, 8 * config.width // 3 // 8 * 8)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Float[Tensor, "b s d"],
        past: tuple[Tensor, Tensor] | None,
        rotation: Complex[Tensor, "s pairs"] | None,
        mask: Bool[Tensor, "b 1 _ n"],
    ) -> tuple[Float[Tensor, "b s d"], Tensor, Tensor]:
        qkv = self.qkv(normalize(x) * self.attention_scale)
        q, k, v = rearrange(qkv, "b s (three heads d) -> three b heads s d", three=3, heads=self.num_heads)
        if rotation is not None:
            q, k = _turn_half(q, rotation), _turn_half(k, rotation)
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.dropout(self.out(rearrange(seen, "b heads s d -> b s (heads d)")))
        hidden = rearrange(normalize(x) * self.mlp_scale, "b s d -> (b s) d")
        return x + self.dropout(self.mlp(hidden).view_as(x)), k, v


class Writer(nn.Module):
    """Prefix and tokens so far -> logits of each next token. Input and output embeddings are one (Press & Wolf
    2017)."""

    def __init__(self, config: WriterConfig):
        super().__init__()
        self.config = config
        self.prefix_in = nn.Linear(config.prefix_width, config.width)
        self.place_in = nn.Linear(6 * len(PLACE_FREQUENCIES), config.width, bias=False)
        self.words = nn.Embedding(config.vocabulary, config.width)
        self.blocks = nn.ModuleList(WriterBlock(config) for _ in range(config.num_blocks))
        self.scale = nn.Parameter(torch.ones(config.width))
        self.dropout = nn.Dropout(config.dropout)
        for name, weight in self.named_parameters():
            if weight.ndim == 2 and "_in" not in name:
                deep = name.endswith("out.weight")
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * config.num_blocks) if deep else 0.02)

    def forward(self, prefix: Prefix, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s v"]:
        """Logits of the token after each; token i sees the prefix and the tokens up to i."""
        return self.extend(tokens, self.read(prefix))[0]

    def read(self, prefix: Prefix) -> Memory:
        """Run the prefix; its vectors see each other in both directions, never what is written later."""
        return self.watch(prefix)[1]

    def watch(self, prefix: Prefix) -> tuple[list[Float[Tensor, "b m d"]], Memory]:
        """``read``, and what the prefix has become after each block."""
        x = self.dropout(self.prefix_in(prefix.vectors) + self.place_in(_waves(prefix.place)))
        mask = prefix.real[:, None, None, :]
        states, keys, values = [], [], []
        for block in self.blocks:
            x, k, v = block(x, None, None, mask)
            states.append(x)
            keys.append(k)
            values.append(v)
        return states, Memory(tuple(keys), tuple(values), prefix.real)

    def extend(self, tokens: Int[Tensor, "b s"], memory: Memory) -> tuple[Float[Tensor, "b s v"], Memory]:
        """Write ``tokens`` after what is remembered: the logits after each of them, and the longer memory.

        Raises ``ValueError`` beyond ``max_tokens``.
        """
        start, stop = memory.num_written, memory.num_written + tokens.shape[1]
        if stop > self.config.max_tokens:
            raise ValueError(f"{stop} tokens of text; the writer was made for {self.config.max_tokens}")
        x = self.dropout(self.words(tokens))
        rotation = _rotation(start, stop, self.config.width // self.config.num_heads, tokens.device)
        causal = torch.ones(len(rotation), len(rotation), dtype=torch.bool, device=tokens.device).tril()
        past = memory.real[:, None, None, :].expand(-1, 1, len(rotation), -1)
        mask = torch.cat([past, causal.expand(len(past), 1, -1, -1)], 3)
        keys, values = [], []
        for i, block in enumerate(self.blocks):
            x, k, v = block(x, (memory.keys[i], memory.values[i]), rotation, mask)
            keys.append(k)
            values.append(v)
        real = torch.cat([memory.real, torch.ones_like(tokens, dtype=torch.bool)], 1)
        return F.linear(normalize(x) * self.scale, self.words.weight), Memory(tuple(keys), tuple(values), real, stop)


def _waves(place: Float[Tensor, "b m 3"]) -> Float[Tensor, "b m waves"]:
    angle = 2 * math.pi * place[..., None] * torch.tensor(PLACE_FREQUENCIES, device=place.device)
    return torch.cat([angle.cos(), angle.sin()], -1).flatten(2)


def _rotation(start: int, stop: int, head_dim: int, device: torch.device) -> Complex[Tensor, "s pairs"]:
    """Rotary positions of text (Su et al. 2021) for half of each head; the other half compares what, not where."""
    num_pairs = head_dim // 4
    frequency = 10_000.0 ** -(torch.arange(num_pairs, device=device) / num_pairs)
    angle = torch.arange(start, stop, device=device)[:, None] * frequency
    return torch.polar(torch.ones_like(angle), angle)


def _turn_half(x: Float[Tensor, "b heads s d"], rotation: Complex[Tensor, "s pairs"]) -> Float[Tensor, "b heads s d"]:
    turned, kept = x.float().split([2 * rotation.shape[1], x.shape[3] - 2 * rotation.shape[1]], 3)
    pairs = torch.view_as_complex(turned.contiguous().unflatten(-1, (-1, 2)))
    return torch.cat([torch.view_as_real(pairs * rotation).flatten(-2), kept], -1).to(x.dtype)
