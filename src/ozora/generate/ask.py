"""How is a model asked with pixels? Each function takes clips at the size to be rendered and returns a ``Request``.

    from ozora.generate import ask

    generator = ozora.Generator.load("mini")
    ball, _ = ask.read_for_model("ball.mp4", generator.config)
    longer = generator.render([ask.extend(generator.model, ball, "a red ball rolls", seconds=2)])[0]

``options`` are the rest of a ``Request``: seed, steps, guidance, negative, sampler. ``generate/tasks.py`` says what of
each canvas is known.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool

from ozora.clip import Clip
from ozora.generate import tasks
from ozora.generate.fitting import read_for_model
from ozora.generate.folder import Model
from ozora.generate.request import Request
from ozora.generate.storyboard import Shot

__all__ = [
    "animate",
    "box_mask",
    "connect",
    "edit",
    "extend",
    "fill",
    "loop",
    "read_for_model",
    "span_mask",
    "storyboard",
]
MAX_CONTEXT = 2


def animate(
    model: Model, picture: Clip, prompt: str, seconds: float = 2.0, fps: float | None = None, **options: Any
) -> Request:
    """A clip of ``seconds`` that begins with the picture (a clip of one frame), pixel for pixel."""
    fps = model.config.default_fps if fps is None else fps
    num_frames = model.geometry.delivered_frames(seconds, fps)
    if num_frames < 2:
        raise ValueError(
            f"{seconds:g} seconds at {fps:g} fps is the picture alone; ask for {2 / fps:g} seconds or more"
        )
    return Request(prompt, canvas=tasks.animate(picture, num_frames, fps, model), **options)


def extend(
    model: Model,
    clip: Clip,
    prompt: str,
    seconds: float = 2.0,
    direction: Literal["forward", "backward"] = "forward",
    **options: Any,
) -> Request:
    """``seconds`` more after the clip's end, or before its beginning; the clip itself stays as it is."""
    if direction not in ("forward", "backward"):
        raise ValueError(f"direction is {direction!r}; it must be forward or backward")
    if clip.num_frames < 2:
        raise ValueError(f"{clip!r}: one frame does not say how things move; animate takes a picture, extend a clip")
    num_new = model.geometry.delivered_frames(seconds, clip.fps)
    return Request(prompt, canvas=tasks.extend(clip, num_new, model, direction, MAX_CONTEXT), **options)


def connect(model: Model, first: Clip, second: Clip, prompt: str = "", seconds: float = 1.0, **options: Any) -> Request:
    """The first clip, about ``seconds`` of a way from one to the other (four frames at a time), the second clip."""
    num_new = model.geometry.delivered_frames(seconds, first.fps)
    return Request(prompt, canvas=tasks.connect(first, second, num_new, model, _context(model, num_new)), **options)


def loop(model: Model, clip: Clip, prompt: str = "", seconds: float = 1.0, **options: Any) -> Request:
    """The clip and about ``seconds`` that lead from its end back to its beginning (four frames at a time)."""
    num_new = model.geometry.delivered_frames(seconds, clip.fps)
    return Request(prompt, canvas=tasks.loop(clip, num_new, model, _context(model, num_new)), **options)


def edit(model: Model, clip: Clip, prompt: str, strength: float = 0.6, **options: Any) -> Request:
    """The clip as the prompt describes it; ``strength`` from 0 (as it is) to 1 (all new)."""
    return Request(prompt, canvas=tasks.edit(clip, strength, model), **options)


def fill(model: Model, clip: Clip, prompt: str, remade: Bool[np.ndarray, "t h w"], **options: Any) -> Request:
    """The clip with the pixels that ``remade`` marks made anew; see ``box_mask`` and ``span_mask``."""
    return Request(prompt, canvas=tasks.fill(clip, remade, model), **options)


def storyboard(
    model: Model,
    shots: Sequence[Shot],
    given: Sequence[Clip | None] = (),
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    **options: Any,
) -> Request:
    """One clip in which each shot's words hold from its start, and shots begin with the pixels that are ``given``.

    ``given`` has a clip or None for each shot, all of one size and of the rate ``fps``. The words of a shot are read
    by whole latent frames (four frames), and its pixels begin with the first of these, which is at most two frames from
    its start. A picture that does not open the storyboard is held for a latent frame; of a clip, the whole latent
    frames that fit into its shot are given.
    """
    geometry, fps = model.geometry, model.config.default_fps if fps is None else fps
    seconds = shots[-1].start + shots[-1].seconds
    num_frames = geometry.delivered_frames(seconds, fps)
    script = tuple((shot.start, shot.prompt) for shot in shots[1:])
    firsts = [_latent_start(shot.start, fps, model) for shot in shots]
    stops = [*firsts[1:], geometry.rendered_frames(num_frames)]
    empty = next((i for i, (first, stop) in enumerate(zip(firsts, stops)) if first >= stop), None)
    if empty is not None:
        raise ValueError(
            f"shot {empty + 1} lasts {shots[empty].seconds:g} s, which is no latent frame of its own; "
            f"{geometry.time_stride / fps:g} s at {fps:g} fps are"
        )
    parts = [
        (first, _whole_latents(clip, first, stop, model))
        for first, stop, clip in zip(firsts, stops, given)
        if clip is not None
    ]
    if not parts:
        return Request(shots[0].prompt, size, seconds, fps, script=script, **options)
    return Request(shots[0].prompt, canvas=tasks.keyframes(parts, num_frames, fps, model), script=script, **options)


def box_mask(size: tuple[int, int], box: tuple[int, int, int, int]) -> Bool[np.ndarray, "h w"]:
    """True within the box (x, y, width, height) in pixels of a frame of ``size`` (width, height).

    Raises ``ValueError`` for a box that is empty or leaves the frame, with the part of it that does not.
    """
    x, y, width, height = box
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + width, size[0]), min(y + height, size[1])
    if (left, top, right, bottom) != (x, y, x + width, y + height) or width < 1 or height < 1:
        inside = (
            f"{left},{top},{right - left},{bottom - top}"
            if left < right and top < bottom
            else f"0,0,{size[0]},{size[1]}"
        )
        raise ValueError(
            f"box is {x},{y},{width},{height} (x,y,w,h); it must lie within {size[0]}x{size[1]}, {inside} for instance"
        )
    mask = np.zeros((size[1], size[0]), bool)
    mask[top:bottom, left:right] = True
    return mask


def span_mask(clip: Clip, start: float | None = None, stop: float | None = None) -> Bool[np.ndarray, " t"]:
    """True for the frames of a clip from ``start`` to ``stop`` seconds; None is its beginning, its end.

    One frame at least is marked. Raises ``ValueError`` for a span that is empty or leaves the clip.
    """
    first = 0.0 if start is None else start
    last = clip.seconds if stop is None else stop
    marked = np.zeros(clip.num_frames, bool)
    if not 0 <= first < last <= clip.seconds + 0.5 / clip.fps:
        raise ValueError(
            f"the span is {first:g} to {last:g} s; it must lie within 0 to {clip.seconds:g} s and not be empty"
        )
    index = min(round(first * clip.fps), clip.num_frames - 1)
    marked[index : max(round(last * clip.fps), index + 1)] = True
    return marked


def _context(model: Model, num_new: int) -> int:
    """Latent frames to show of each clip at a bridge: as many as let the model see all of the bridge at once."""
    longest = model.geometry.latent_frames(max(model.config.trained.num_frames))
    num_new_latents = model.geometry.latent_frames(model.geometry.rendered_frames(num_new + 1)) - 1
    return min(MAX_CONTEXT, max(1, (longest - 1 - num_new_latents) // 2))


def _latent_start(seconds: float, fps: float, model: Model) -> int:
    """The first frame of the latent frame that begins nearest to that time."""
    stride = model.geometry.time_stride
    latent = (round(seconds * fps) + stride - 1) / stride
    return max(0, 1 + stride * (int(latent + 0.5) - 1)) if seconds else 0


def _whole_latents(clip: Clip, first: int, stop: int, model: Model) -> Clip:
    """What of a clip fills whole latent frames between two frames of a canvas; what is less than one is held."""
    stride, alone = model.geometry.time_stride, 1 if first == 0 else 0
    if clip.num_frames == 1 and not first:
        return clip
    if clip.num_frames < stride:
        held = np.concatenate([clip.frames, np.repeat(clip.frames[-1:], stride - clip.num_frames, axis=0)])
        return Clip(held, clip.fps) if first else clip.slice(0, 1)
    num_frames = min(clip.num_frames, stop - first)
    return clip.slice(0, alone + (num_frames - alone) // stride * stride)
