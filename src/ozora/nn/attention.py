"""How does each part of a packed row attend to its own part of another, and to nothing else?

One function, ``attend``, with three back-ends behind it that agree: "sdpa" batches ranges of like
lengths (everywhere, the fastest on a CPU), "varlen" is one kernel for any lengths (CUDA, half
precision), "dense" is one block mask (the definition; memory grows with the square of the row).
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

BACKENDS = ("auto", "sdpa", "varlen", "dense")
BUCKET = 64
"""Ranges whose lengths round up to the same multiple of this share one batched call."""
_UNCOMPILED: list[Any] = []
"""``_attend`` kept out of compiled graphs, made where it is first needed: to import the compiler takes a second."""


def attend(
    q: Float[Tensor, "n heads d"],
    k: Float[Tensor, "m heads d"],
    v: Float[Tensor, "m heads d"],
    q_offsets: tuple[int, ...],
    k_offsets: tuple[int, ...],
    backend: str = "auto",
) -> Float[Tensor, "n heads d"]:
    """Scaled dot-product attention of range i of ``q`` to range i of ``k`` and ``v`` (Vaswani et al. 2017, eq. 1).

    Offsets start at 0, end at ``n`` and ``m``, and have one entry more than there are ranges; no range
    is empty. The result has the type of ``v``. Raises ``ValueError`` for offsets that do not fit.
    """
    if torch.compiler.is_compiling():  # the plan depends on the layout; the block is compiled around it
        if not _UNCOMPILED:
            _UNCOMPILED.append(torch.compiler.disable(_attend))
        return _UNCOMPILED[0](q, k, v, q_offsets, k_offsets, backend)
    return _attend(q, k, v, q_offsets, k_offsets, backend)


def _attend(
    q: Tensor, k: Tensor, v: Tensor, q_offsets: tuple[int, ...], k_offsets: tuple[int, ...], backend: str
) -> Tensor:
    _check(q_offsets, q.shape[0], "q_offsets")
    _check(k_offsets, k.shape[0], "k_offsets")
    if len(q_offsets) != len(k_offsets):
        raise ValueError(
            f"{len(q_offsets) - 1} ranges of queries and {len(k_offsets) - 1} of keys; the numbers must agree"
        )
    if backend == "auto":
        half = v.dtype in (torch.bfloat16, torch.float16)
        backend = "varlen" if v.is_cuda and half and not torch.are_deterministic_algorithms_enabled() else "sdpa"
    if backend == "sdpa":
        return _attend_batched(q, k, v, q_offsets, k_offsets)
    if backend == "varlen":
        return _attend_varlen(q, k, v, q_offsets, k_offsets)
    if backend == "dense":
        return _attend_dense(q, k, v, q_offsets, k_offsets)
    raise ValueError(f"attention back-end is {backend!r}; it must be one of {', '.join(BACKENDS)}")


def _attend_batched(q, k, v, q_offsets: tuple[int, ...], k_offsets: tuple[int, ...]) -> Tensor:
    groups, order = plan(q_offsets, k_offsets, q.device)
    dtype = v.dtype if v.is_cuda else torch.float32
    # On a CPU the half-precision kernel is four times slower than the float32 one, forward and backward.
    with torch.autocast(q.device.type, enabled=False):
        outs = [group.attend(q.to(dtype), k.to(dtype), v.to(dtype)) for group in groups]
        out = outs[0] if len(outs) == 1 else torch.cat(outs)
        return (out if order is None else out.index_select(0, order)).to(v.dtype)


def _attend_varlen(q, k, v, q_offsets: tuple[int, ...], k_offsets: tuple[int, ...]) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    q_starts, k_starts = (
        torch.tensor(offsets, dtype=torch.int32, device=q.device) for offsets in (q_offsets, k_offsets)
    )
    longest_q, longest_k = max(_lengths(q_offsets)), max(_lengths(k_offsets))
    out = varlen_attn(q.to(v.dtype), k.to(v.dtype), v, q_starts, k_starts, longest_q, longest_k)
    assert isinstance(out, Tensor)
    return out


def _attend_dense(q, k, v, q_offsets: tuple[int, ...], k_offsets: tuple[int, ...]) -> Tensor:
    q_range, k_range = (
        torch.arange(len(offsets) - 1).repeat_interleave(torch.tensor(_lengths(offsets))).to(q.device)
        for offsets in (q_offsets, k_offsets)
    )
    q, k, values = (rearrange(x.to(v.dtype), "n heads d -> 1 heads n d") for x in (q, k, v))
    out = F.scaled_dot_product_attention(q, k, values, attn_mask=q_range[:, None] == k_range[None, :])
    return rearrange(out, "1 heads n d -> n heads d")


@dataclass(frozen=True, eq=False)
class Group:
    """Ranges that run as one batch: which rows of q and k it takes, and which of them are real.

    A ``slice`` takes neighbouring ranges of one length without a copy; an index repeats each short
    range's last row up to the longest. ``mask`` hides repeated keys, ``keep`` drops repeated queries.
    """

    num_ranges: int
    q_rows: slice | Int[Tensor, " q_rows"]
    k_rows: slice | Int[Tensor, " k_rows"]
    mask: Bool[Tensor, "ranges 1 1 k"] | None
    keep: Int[Tensor, " kept"] | None

    def attend(self, q, k, v) -> Tensor:
        q, k, v = (
            rearrange(_take(x, rows), "(r l) heads d -> r heads l d", r=self.num_ranges)
            for x, rows in ((q, self.q_rows), (k, self.k_rows), (v, self.k_rows))
        )
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask)
        out = rearrange(out, "r heads l d -> (r l) heads d")
        return out if self.keep is None else out.index_select(0, self.keep)


@lru_cache(maxsize=256)
def plan(
    q_offsets: tuple[int, ...], k_offsets: tuple[int, ...], device: torch.device
) -> tuple[tuple[Group, ...], Int[Tensor, " n"] | None]:
    """Sort ranges into groups of like lengths; the second value puts the groups' rows back in order.

    The cache makes this once per layout, not once per block and step. The index tensors outlive the
    call, so they are made fit for training even if a sampler asks first.
    """
    with torch.inference_mode(False):
        return _plan(q_offsets, k_offsets, device)


def _plan(
    q_offsets: tuple[int, ...], k_offsets: tuple[int, ...], device: torch.device
) -> tuple[tuple[Group, ...], Int[Tensor, " n"] | None]:
    q_lengths, k_lengths = _lengths(q_offsets), _lengths(k_offsets)
    members: dict[tuple[int, int], list[int]] = {}
    for i, (q_length, k_length) in enumerate(zip(q_lengths, k_lengths)):
        members.setdefault((-(-q_length // BUCKET), -(-k_length // BUCKET)), []).append(i)
    groups, rows = [], []
    for ranges in members.values():
        q_rows, q_real = _rows(q_offsets, ranges)
        k_rows, k_real = _rows(k_offsets, ranges)
        rows.append(q_rows[q_real])
        groups.append(
            Group(
                num_ranges=len(ranges),
                q_rows=_slice_if_contiguous(q_rows.flatten(), device),
                k_rows=_slice_if_contiguous(k_rows.flatten(), device),
                mask=None if k_real.all() else k_real[:, None, None, :].to(device),
                keep=None if q_real.all() else q_real.flatten().nonzero()[:, 0].to(device),
            )
        )
    order = torch.cat(rows).argsort()
    in_order = torch.equal(order, torch.arange(len(order)))
    return tuple(groups), None if in_order else order.to(device)


def _rows(offsets: tuple[int, ...], ranges: list[int]) -> tuple[Int[Tensor, "r l"], Bool[Tensor, "r l"]]:
    start = torch.tensor([offsets[i] for i in ranges])[:, None]
    length = torch.tensor([offsets[i + 1] - offsets[i] for i in ranges])[:, None]
    index = torch.arange(int(length.max()))
    return start + index.minimum(length - 1), index < length


def _slice_if_contiguous(rows: Int[Tensor, " rows"], device: torch.device) -> slice | Tensor:
    start = int(rows[0])
    if torch.equal(rows, torch.arange(start, start + len(rows))):
        return slice(start, start + len(rows))
    return rows.to(device)


def _take(x: Tensor, rows: slice | Tensor) -> Tensor:
    return x[rows] if isinstance(rows, slice) else x.index_select(0, rows)


def _lengths(offsets: tuple[int, ...]) -> list[int]:
    return [stop - start for start, stop in pairwise(offsets)]


def _check(offsets: tuple[int, ...], num_rows: int, name: str) -> None:
    if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != num_rows or min(_lengths(offsets)) < 1:
        raise ValueError(
            f"{name} are {offsets} for {num_rows} rows; they must start at 0, end at {num_rows} and rise by 1 or more"
        )
