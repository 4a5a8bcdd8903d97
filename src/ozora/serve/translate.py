"""What is the generator asked for a job? Its spec, with the source that it names, as one request or two.

A loop is made in two stages: the clip, then the bridge from its end back to its beginning, in place of its last part.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from ozora.clip import Clip
from ozora.generate import ask
from ozora.generate.generator import Generator
from ozora.generate.request import Request
from ozora.generate.tasks import as_task
from ozora.media.read import read_fitted
from ozora.serve.cost import num_loop_frames
from ozora.serve.spec import Media, VideoSpec
from ozora.serve.upload import read_upload

EDIT_STRENGTH = 0.6
SOURCE_NAMES = {"animate": "picture", "edit": "clip", "extend": "clip"}
PIECE_BYTES = 2**26  # of a source that is read piece by piece


def num_stages(spec: VideoSpec) -> int:
    return 2 if spec.loop else 1


def make_request(spec: VideoSpec, generator: Generator, data: Path, made: Clip | None = None) -> Request:
    """The request of a spec's first stage, or of its second where ``made`` is the first one's clip.

    ``data`` is the folder that the source's file is relative to. Raises ``ValueError`` for what cannot be asked.
    """
    options: dict[str, Any] = {
        "seed": spec.seed,
        "steps": spec.steps,
        "guidance": spec.guidance,
        "negative": spec.negative,
    }
    model, size = generator.model, spec.render_size or spec.size
    fps = generator.config.default_fps if spec.fps is None else spec.fps
    if made is not None:
        num_new = num_loop_frames(made.num_frames, generator.geometry.time_stride)
        kept = made.slice(0, made.num_frames - num_new)
        return ask.loop(model, kept, spec.prompt, num_new / made.fps, **options)
    if spec.task == "text":
        return Request(spec.prompt, size, spec.seconds, fps, script=spec.script, **options)
    if spec.source is None:
        raise ValueError(f"{spec.task} without a source; give a picture or a clip")
    if spec.task == "animate":
        picture = read_source(data, spec.source, size, fps, seconds=1 / fps).slice(0, 1)
        return ask.animate(model, picture, spec.prompt, spec.seconds, fps, script=spec.script, **options)
    clip = read_source(data, spec.source, size, fps)
    if spec.task == "edit":
        strength = EDIT_STRENGTH if spec.strength is None else spec.strength
        return ask.edit(model, clip, spec.prompt, strength, script=spec.script, **options)
    request = ask.extend(model, clip, spec.prompt, spec.seconds, **options)
    # A script's seconds count from where the new part begins; the canvas begins a little before it.
    task = as_task(request.canvas) if request.canvas is not None else None
    assert task is not None and task.stop is not None
    shown = (task.stop - generator.geometry.delivered_frames(spec.seconds, fps)) / fps
    return replace(request, script=tuple((start + shown, text) for start, text in spec.script))


def told(spec: VideoSpec) -> dict[str, Any]:
    """What the file carries beside the request's settings: the verb it was made by, and from what."""
    if spec.loop or spec.task == "text":
        return {"verb": "loop"} if spec.loop else {}
    strength = {"strength": EDIT_STRENGTH if spec.strength is None else spec.strength} if spec.task == "edit" else {}
    sources = {} if spec.source is None else {SOURCE_NAMES[spec.task]: {"sha256": spec.source.sha256}}
    return {"verb": spec.task, "sources": sources, "fit": "crop"} | strength


def kept_frames(
    spec: VideoSpec, num_frames: int, fps: float, stride: int, data: Path
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """The source's frames that stay, at the size of the delivered file, where that is not the size that is drawn.

    They open the delivered file's ``num_frames``: the picture of "animate", the clip of "extend".
    """
    if spec.source is None or spec.task == "edit" or spec.size == (spec.render_size or spec.size):
        return
    if spec.task == "animate":
        yield read_source(data, spec.source, spec.size, fps, seconds=1 / fps).frames[0]
        return
    num_kept = max(1, round(spec.source.seconds * fps))
    if spec.loop:
        num_kept = min(num_kept, num_frames - num_loop_frames(num_frames, stride))
    num_at_once = max(1, PIECE_BYTES // (3 * spec.size[0] * spec.size[1]))
    for first in range(0, num_kept, num_at_once):
        num = min(num_at_once, num_kept - first)
        yield from read_source(data, spec.source, spec.size, fps, first / fps, num / fps).frames


def read_source(
    data: Path, source: Media, size: tuple[int, int], fps: float, start: float = 0.0, seconds: float | None = None
) -> Clip:
    """A source, or ``seconds`` of it, at this size (by cropping) and rate.

    What a caller gave is decoded in a limited process; what this server made is decoded here.
    """
    path = data / source.file
    if source.video_id is None:
        return read_upload(path, size, fps, "crop", start=start, seconds=seconds)
    try:
        return read_fitted(path, size, "crop", fps=fps, start=start, seconds=seconds)[0]
    except ValueError as error:
        raise ValueError(str(error).replace(str(path), "the source")) from error
