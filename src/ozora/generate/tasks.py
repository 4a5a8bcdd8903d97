"""What is asked of the model? Each task is a short function from clips to a ``Task``: a ``Canvas``, and what stays.

A task's clips have the size that is to be rendered; ``ozora.media.resize`` fits others. ``model`` compresses them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Generator, Tensor

from ozora.canvas import Canvas
from ozora.clip import Clip
from ozora.geometry import Geometry

ENCODED_AT_ONCE = 16
"""Latent frames."""
BRIDGE_KNOWN = 0.3
"""To what degree a bridge is known: as a dissolve from the frame before it into the frame after it."""


@runtime_checkable
class Compressor(Protocol):
    """What a task needs of a model: sizes, and normalised latents of clips of 1 + 4k frames."""

    @property
    def geometry(self) -> Geometry: ...

    def encode(self, clip: Clip) -> Float[Tensor, "c t h w"]: ...


@dataclass(frozen=True, eq=False)
class Task:
    """What to render, and how the rendered window becomes the clip that is returned.

    The window's frames ``start`` to ``stop`` are delivered. Where ``kept`` is true, the pixel is that of ``given``
    (both as long as the window). ``before`` and ``after`` are frames of the given clips that the window does not hold.
    """

    canvas: Canvas
    given: UInt8[np.ndarray, "t h w 3"] | None = None
    kept: Bool[np.ndarray, "t h w"] | None = None
    start: int = 0
    stop: int | None = None
    before: UInt8[np.ndarray, "before h w 3"] | None = None
    after: UInt8[np.ndarray, "after h w 3"] | None = None


def as_task(canvas: Canvas | Task) -> Task:
    """A bare canvas is a task of which no pixel was given."""
    return canvas if isinstance(canvas, Task) else Task(canvas)


def text_to_video(size: tuple[int, int], num_frames: int, fps: float, geometry: Geometry) -> Task:
    """Nothing is known. ``size`` is (width, height)."""
    grid = geometry.latent_grid(geometry.rendered_frames(num_frames), size[1], size[0])
    return Task(Canvas.blank(grid, geometry.latent_channels, fps), stop=num_frames)


def text_to_picture(size: tuple[int, int], fps: float, geometry: Geometry) -> Task:
    """One frame of which nothing is known."""
    return text_to_video(size, 1, fps, geometry)


def animate(still: Clip, num_frames: int, fps: float, model: Compressor) -> Task:
    """The first frame is known, a clip of one frame; ``num_frames`` are delivered, it included."""
    if still.num_frames != 1:
        raise ValueError(f"{still!r}: animate takes a picture, a clip of 1 frame; to go on from a clip, extend it")
    return keyframes([(0, still)], num_frames, fps, model)


def extend(
    clip: Clip,
    num_new: int,
    model: Compressor,
    direction: Literal["forward", "backward"] = "forward",
    context: int = 2,
) -> Task:
    """``num_new`` frames more after the clip's end, or before its beginning.

    The model sees up to ``context`` latent frames (of four frames each, and one frame) of the clip at the join.
    """
    _check_new(num_new)
    if direction == "forward":
        first = prefix_of(clip, context, model.geometry)
        task = keyframes([(0, first)], first.num_frames + num_new, clip.fps, model)
        return replace(task, before=clip.frames[: -first.num_frames])
    last = suffix_of(clip, context, model.geometry)
    rendered = model.geometry.rendered_frames(num_new)
    task = keyframes([(rendered, last)], rendered + last.num_frames, clip.fps, model)
    return replace(task, start=rendered - num_new, after=clip.frames[last.num_frames :])


def connect(first: Clip, second: Clip, num_new: int, model: Compressor, context: int = 2) -> Task:
    """``first``, then at least ``num_new`` generated frames (a multiple of 4), then ``second``.

    What is between them is known in part, as a dissolve: so what both ends share stays as it is, and where they share
    nothing there is a way from one to the other, which the model makes crisp (SDEdit, as in ``edit``).
    """
    if first.size != second.size or first.fps != second.fps:
        raise ValueError(
            f"{first!r} and {second!r}: clips to connect have one size and rate; fit the second to the first"
        )
    _check_new(num_new)
    end, beginning = prefix_of(first, context, model.geometry), suffix_of(second, context, model.geometry)
    start = end.num_frames + model.geometry.rendered_frames(num_new + 1) - 1
    task = keyframes([(0, end), (start, beginning)], start + beginning.num_frames, first.fps, model)
    between = _dissolve(end.frames[-1], beginning.frames[0], start - end.num_frames)
    dissolved = encode_whole(Clip(np.concatenate([end.frames, between, beginning.frames]), first.fps), model)
    clean = torch.where(task.canvas.known == 1, task.canvas.clean, dissolved)
    return replace(
        task,
        canvas=Canvas(clean, task.canvas.known.clamp(min=BRIDGE_KNOWN), first.fps),
        before=first.frames[: -end.num_frames],
        after=second.frames[beginning.num_frames :],
    )


def loop(clip: Clip, num_new: int, model: Compressor, context: int = 2) -> Task:
    """The clip, then at least ``num_new`` generated frames (a multiple of 4) that lead back to its beginning."""
    bridge = connect(clip, clip, num_new, model, context)
    assert bridge.stop is not None
    return replace(bridge, stop=bridge.stop - suffix_of(clip, context, model.geometry).num_frames, after=None)


def keyframes(parts: Sequence[tuple[int, Clip]], num_frames: int, fps: float, model: Compressor) -> Task:
    """Clips of one size at their places in ``num_frames``; all between them is made.

    A part is (first frame, clip) and fills whole latent frames: at 0 it has 1 + 4k frames, else it starts at 1 + 4j and
    has 4k. Its pixels stay. Raises ``ValueError`` for parts that overlap, do not fit, or stand out of order.
    """
    geometry, (width, height) = model.geometry, parts[0][1].size
    rendered = geometry.rendered_frames(num_frames)
    grid = geometry.latent_grid(rendered, height, width)
    clean, known = torch.zeros(geometry.latent_channels, *grid), torch.zeros(grid)
    frames = np.zeros((rendered, height, width, 3), np.uint8)
    kept = np.zeros((rendered, height, width), bool)
    free = 0
    for first, clip in parts:
        stop = first + clip.num_frames
        if clip.size != (width, height):
            raise ValueError(f"{clip!r} beside clips of {width}x{height}; fit all to one size")
        if any((frame - 1) % geometry.time_stride for frame in (first, stop) if frame):
            raise ValueError(
                f"frames {first} to {stop} of a clip are given; what is given begins at 0 or 1 + "
                f"{geometry.time_stride}k and ends before 1 + {geometry.time_stride}k"
            )
        if not free <= first < stop <= rendered:
            raise ValueError(f"frames {first} to {stop} are given; frames {free} to {rendered} are still free")
        latents = encode_suffix(clip, model) if first else encode_whole(clip, model)
        at = slice((first + geometry.time_stride - 1) // geometry.time_stride, None)
        clean[:, at][:, : latents.shape[1]], known[at][: latents.shape[1]] = latents, 1
        frames[first:stop], kept[first:stop] = clip.frames, True
        free = stop
    return Task(Canvas(clean, known, fps), frames, kept, stop=num_frames)


def edit(clip: Clip, strength: float, model: Compressor) -> Task:
    """SDEdit (Meng et al. 2022): everything is known to the degree ``1 - strength``; 0 keeps the clip, 1 forgets it."""
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is {strength}; it must be from 0 (as it is) to 1 (all new), 0.6 for instance")
    frames = _held(clip.frames, model.geometry)
    clean = encode_whole(Clip(frames, clip.fps), model)
    canvas = Canvas(clean, torch.full(clean.shape[1:], 1.0 - strength), clip.fps)
    if strength == 0:
        return Task(canvas, frames, np.ones(frames.shape[:3], bool), stop=clip.num_frames)
    return Task(canvas, stop=clip.num_frames)


def fill(clip: Clip, remade: Bool[np.ndarray, "t h w"], model: Compressor) -> Task:
    """Pixels where ``remade`` is true are made anew, whole tokens of latents around them; all others stay.

    What is to be remade is painted over with its frame's mean colour elsewhere *before* the clip is encoded, so no
    known latent depends on it.
    """
    if remade.shape != clip.frames.shape[:3]:
        raise ValueError(f"the mask has shape {remade.shape}; {clip!r} needs {clip.frames.shape[:3]} (t, h, w)")
    if not remade.any():
        raise ValueError("the mask marks nothing to be remade; mark at least one pixel")
    frames, remade = _held(clip.frames, model.geometry), _held(remade, model.geometry)
    clean = encode_whole(Clip(_painted_out(frames, remade), clip.fps), model)
    known = 1 - model.geometry.token_mask(torch.from_numpy(remade)).float()
    return Task(Canvas(clean, known, clip.fps), frames, ~remade, stop=clip.num_frames)


def prefix_of(clip: Clip, context: int, geometry: Geometry) -> Clip:
    """The clip's last 1 + 4k frames, k at most ``context``: what is trimmed is trimmed at its start."""
    k = min(context, (clip.num_frames - 1) // geometry.time_stride)
    return clip.slice(clip.num_frames - 1 - k * geometry.time_stride, clip.num_frames)


def suffix_of(clip: Clip, context: int, geometry: Geometry) -> Clip:
    """The clip's first 4k frames, k from 1 to ``context``, to stand at the end of a window."""
    k = min(context, clip.num_frames // geometry.time_stride)
    if k < 1:
        raise ValueError(
            f"{clip!r}: a clip that something is to lead to has at least {geometry.time_stride} frames, "
            f"which is one latent frame"
        )
    return clip.slice(0, k * geometry.time_stride)


def encode_whole(clip: Clip, model: Compressor) -> Float[Tensor, "c t h w"]:
    """Latents of a clip of 1 + 4k frames, ``ENCODED_AT_ONCE`` latent frames at a time, so that memory stays flat.

    A part that starts mid-clip is encoded with its R = ``warm_up`` latent frames of past, which are then dropped: what
    is left are the whole clip's latents.
    """
    stride, warm_up = model.geometry.time_stride, model.geometry.warm_up
    num_latents = model.geometry.latent_frames(clip.num_frames)
    parts = [model.encode(clip.slice(0, min(clip.num_frames, 1 + stride * (ENCODED_AT_ONCE - 1))))]
    for start in range(ENCODED_AT_ONCE, num_latents, ENCODED_AT_ONCE):
        stop = min(start + ENCODED_AT_ONCE, num_latents)
        window = clip.slice(stride * (start - warm_up), 1 + stride * (stop - 1))
        parts.append(model.encode(window)[:, warm_up:])
    return torch.cat(parts, dim=1)


def encode_suffix(clip: Clip, model: Compressor) -> Float[Tensor, "c t h w"]:
    """Latents of 4k frames that stand where the frames before them are not known yet.

    A latent frame depends on R = ``warm_up`` latent frames before it. They are filled with the clip itself, played
    backwards towards its first frame, and the warm-up's latents are dropped.
    """
    past = 1 + model.geometry.time_stride * (model.geometry.warm_up - 1)
    frames = np.pad(clip.frames, ((past, 0), (0, 0), (0, 0), (0, 0)), mode="reflect")
    return encode_whole(Clip(frames, clip.fps), model)[:, model.geometry.warm_up :]


def _dissolve(
    first: UInt8[np.ndarray, "h w 3"], last: UInt8[np.ndarray, "h w 3"], num_frames: int
) -> UInt8[np.ndarray, "t h w 3"]:
    """``num_frames`` frames in equal steps from one frame to another, both left out."""
    share = np.linspace(0, 1, num_frames + 2, dtype=np.float32)[1:-1, None, None, None]
    return ((1 - share) * first + share * last).round().astype(np.uint8)


def _check_new(num_new: int) -> None:
    if num_new < 1:
        raise ValueError(f"{num_new} new frames; at least 1 must be asked for")


def _held(frames: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Frames (or masks) with the last one held until their number is 1 + 4k."""
    surplus = geometry.rendered_frames(len(frames)) - len(frames)
    return np.concatenate([frames, np.repeat(frames[-1:], surplus, axis=0)])


def _painted_out(
    frames: UInt8[np.ndarray, "t h w 3"], remade: Bool[np.ndarray, "t h w"]
) -> UInt8[np.ndarray, "t h w 3"]:
    """Each frame's ``remade`` pixels in the mean colour of its others (grey where there are none)."""
    painted = frames.copy()
    for frame, mask in zip(painted, remade):
        frame[mask] = 128 if mask.all() else frame[~mask].mean(axis=0).round().astype(np.uint8)
    return painted


MASK_MIX = {
    "nothing": 0.30,
    "first": 0.15,
    "prefix": 0.15,
    "suffix": 0.05,
    "ends": 0.22,
    "block": 0.05,
    "frames": 0.08,
}
"""How often training knows what: the shares add up to 1."""


def random_canvas_mask(grid: tuple[int, int, int], generator: Generator, patch: int = 2) -> Float[Tensor, "t h w"]:
    """``known`` for one training window of latent grid (t, h, w): nothing, or what one of the tasks would know.

    Given cells get a value of 0.97 to 1, so that the network also sees them with a trace of noise. At least one token
    is left to make. A draw that the window is too short for (both ends of two latent frames) knows nothing.
    """
    t, h, w = grid
    draw = torch.rand((), generator=generator).item()
    task = next((name for name, end in _cumulative(MASK_MIX) if draw < end), "frames")
    given = 1 - 0.03 * max(0.0, 2 * torch.rand((), generator=generator).item() - 1)
    known = torch.zeros(t, h, w)
    if task == "frames":
        return known + torch.rand(t, 1, 1, generator=generator)
    if task == "block":
        known.fill_(given)
        rows, columns = _part(h // patch, generator), _part(w // patch, generator)
        frames = slice(0, t) if _below(2, generator) else _part(t, generator)
        known[frames, rows.start * patch : rows.stop * patch, columns.start * patch : columns.stop * patch] = 0
    elif t > 1 and task == "first":
        known[:1] = given
    elif t > 1 and task == "prefix":
        known[: 1 + _below(t - 1, generator)] = given
    elif t > 1 and task == "suffix":
        known[t - 1 - _below(t - 1, generator) :] = given
    elif t > 2 and task == "ends":
        first, last = sorted((1 + torch.randperm(t - 1, generator=generator)[:2]).tolist())
        known[:first] = given
        known[last:] = given
    return known


def _cumulative(shares: dict[str, float]) -> list[tuple[str, float]]:
    ends = torch.tensor(list(shares.values()), dtype=torch.float64).cumsum(0).tolist()
    return list(zip(shares, ends))


def _below(stop: int, generator: Generator) -> int:
    return int(torch.randint(stop, (), generator=generator))


def _part(length: int, generator: Generator) -> slice:
    """A random non-empty part of ``range(length)``."""
    size = 1 + _below(length, generator)
    start = _below(length - size + 1, generator)
    return slice(start, start + size)
