"""How do frames that were made meet those that were given? Without a step where nothing moves.

The decoder loses a little of every frame. A given frame comes back as it was given, so between it and a made one all
that was lost would go, or come, at once: a flash over the whole picture. Instead a made pixel takes along what the
decoder lost at its place in the last given frame, for as long as it looks as it did there, and over the last frames
before given ones what it loses there. Given pixels are never touched.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from ozora.generate.tasks import Task

FADE = 8
"""Frames before a given one over which what is lost in it comes in."""
TOLERANCE = 12.0
"""A change of so much, in steps of 255, is as good as another thing at that place: it takes along a third."""

Frames = UInt8[np.ndarray, "_t h w 3"]


def meet(task: Task, pieces: Iterable[Frames]) -> Iterator[Frames]:
    """The canvas's frames with what was given put back, and the made ones fitted to it.

    ``pieces`` are the decoded frames in order, given ones included; how they are cut does not matter. At most ``FADE``
    frames are held back.
    """
    if task.given is None or task.kept is None:
        yield from pieces
        return
    waiting, first, past = None, 0, None
    for piece in itertools.chain(pieces, (None,)):
        if piece is not None:
            waiting = piece if waiting is None else np.concatenate([waiting, piece])
        if waiting is None:
            return
        num_ready = len(waiting) - (0 if piece is None else FADE)
        if num_ready <= 0:
            continue
        given, kept = (whole[first : first + len(waiting)] for whole in (task.given, task.kept))
        past = past or Loss.nothing(waiting[0])
        met = np.where(kept[..., None], given, waiting)[:num_ready]
        for i, (share, correction) in enumerate(_coming(waiting, given, kept)[:num_ready]):
            if not kept[i].all():
                made = waiting[i] + (1 - share) * past.of(waiting[i]) + share * correction
                met[i] = np.where(kept[i][..., None], given[i], made.round().clip(0, 255).astype(np.uint8))
            past = past.after(waiting[i], given[i], kept[i])
        yield met
        waiting, first = waiting[num_ready:], first + num_ready


@dataclass(frozen=True, eq=False)
class Loss:
    """What the decoder lost at each pixel's last given frame, and what it showed there."""

    lost: Float[np.ndarray, "h w 3"]
    shown: Float[np.ndarray, "h w 3"]

    @staticmethod
    def nothing(frame: UInt8[np.ndarray, "h w 3"]) -> "Loss":
        """Where no pixel was given yet."""
        return Loss(np.zeros(frame.shape, np.float32), frame.astype(np.float32))

    def after(
        self,
        frame: UInt8[np.ndarray, "h w 3"],
        given: UInt8[np.ndarray, "h w 3"],
        kept: Bool[np.ndarray, "h w"],
    ) -> "Loss":
        """The same with the pixels that this frame keeps."""
        if not kept.any():
            return self
        shown = frame.astype(np.float32)
        lost = given - shown
        mask = kept[..., None]
        return Loss(np.where(mask, lost, self.lost), np.where(mask, shown, self.shown))

    def of(self, frame: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
        """What another frame takes along of it: less where it looks different."""
        change = np.abs(frame - self.shown).max(axis=2, keepdims=True)
        return np.exp(-((change / TOLERANCE) ** 2)) * self.lost


def _coming(
    frames: Frames, given: Frames, kept: Bool[np.ndarray, "_t h w"]
) -> list[tuple[Float[np.ndarray, "h w 1"], Float[np.ndarray, "h w 3"]]]:
    """For each frame: how near each pixel's next given frame is, from 0 to 1, and what it takes of the loss there."""
    following = Loss.nothing(frames[-1])
    share = np.zeros((*frames.shape[1:3], 1), np.float32)
    coming = []
    for frame, its_given, its_kept in zip(frames[::-1], given[::-1], kept[::-1]):
        coming.append((share, following.of(frame)))
        following = following.after(frame, its_given, its_kept)
        share = np.where(its_kept[..., None], np.float32(1), np.maximum(share - np.float32(1 / FADE), 0))
    return coming[::-1]
