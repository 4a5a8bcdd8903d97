"""How is a clip made that is longer than the model has seen? Window by window, each beside what is finished.

A window is as many latent frames as training showed at once. It sees the last few finished ones as known, and whatever
else is known of its cells; once it is made, all of it is finished. So time is linear in the clip's length, and what is
kept of the past is its latents alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from jaxtyping import Float
from torch import Tensor

Window = tuple[int, int]
"""The first latent frame of a window, and the one after its last."""


@dataclass(frozen=True)
class WindowLengths:
    """Latent frames of a window that ``first`` starts the clip or comes ``later``, ``context`` of them finished before.

    Training cuts a window from mid-clip out of what follows the one-frame latent, so it is one shorter. Every window
    has room for its context, at least one frame to make and one that is known after it.
    """

    first: int
    later: int
    context: int

    @staticmethod
    def trained_on(num_latents: int, context: int = 2) -> "WindowLengths":
        """The lengths for a model whose longest clip in training had ``num_latents`` latent frames."""
        later = max(num_latents - 1, 3)
        return WindowLengths(max(num_latents, 3), later, min(context, later - 2))


def plan_windows(known: Float[Tensor, "t h w"], lengths: WindowLengths) -> list[Window]:
    """The windows in which a canvas is made, in order; none where all of it is known.

    One that fits is made at once. Else every stretch of unfinished latent frames is walked forward, and its last window
    sees what is known after it; a stretch at the clip's beginning that leads to something known is walked backward
    from there. When a window's turn comes all frames beside its new ones are finished, by then or from the start.
    """
    finished = _finished(known)
    num_frames = len(finished)
    if num_frames <= lengths.first:
        return [] if all(finished) else [(0, num_frames)]
    windows: list[Window] = []
    runs = [(done, len(list(run))) for done, run in groupby(finished)]
    start = 0
    for i, (done, length) in enumerate(runs):
        num_after = runs[i + 1][1] if i + 1 < len(runs) else 0
        if not done and start == 0 and num_after:
            windows += _backward(length, num_after, lengths)
        elif not done:
            windows += _forward(start, start + length, num_after, lengths)
        start += length
    return windows


def final_frames(known: Float[Tensor, "t h w"], windows: list[Window]) -> list[int]:
    """How many latent frames from the beginning are finished before the first window, and after each."""
    finished = _finished(known)
    counts, count = [], 0
    for start, stop in [(0, 0), *windows]:
        finished[start:stop] = [True] * (stop - start)
        while count < len(finished) and finished[count]:
            count += 1
        counts.append(count)
    return counts


def _finished(known: Float[Tensor, "t h w"]) -> list[bool]:
    return (known == 1).flatten(1).all(1).tolist()


def _forward(start: int, stop: int, num_after: int, lengths: WindowLengths) -> Iterator[Window]:
    """Windows that make frames ``start`` to ``stop``, of which the ``num_after`` that follow are known."""
    while start < stop:
        left = min(start, lengths.context)
        length = lengths.first if left == start else lengths.later
        num_new, room = stop - start, length - left
        if num_after and num_new >= room:
            if left < start and num_new <= lengths.later - 2:  # less of the past, so that what follows is seen
                yield start - (length - num_new - 1), stop + 1
                return
            num_new = min(room, num_new - 1)
        num_new = min(room, num_new)
        right = min(num_after, lengths.context, room - num_new) if start + num_new == stop else 0
        yield start - left, start + num_new + right
        start += num_new


def _backward(stop: int, num_after: int, lengths: WindowLengths) -> Iterator[Window]:
    """Windows that make frames 0 to ``stop``, from the last to the first; the ``num_after`` that follow are known."""
    while stop > 0:
        right = stop + min(num_after, lengths.context)
        start = 0 if right <= lengths.first else right - lengths.later
        yield start, right
        stop, num_after = start, num_after + stop - start
