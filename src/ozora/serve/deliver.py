"""How do frames become the files that are downloaded? The video, a thumbnail and a sprite sheet, at the size asked for.

Frames are scaled and written one by one as they are decoded, so memory does not grow with the clip. A file has its
name once it is whole.
"""

from collections.abc import Generator, Iterable, Mapping
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.codec.context import Flags
from av.error import FFmpegError
from jaxtyping import UInt8

from ozora.clip import Clip
from ozora.media.resize import resize_frame
from ozora.media.write import contact_sheet, open_clip_writer
from ozora.serve.whole import write_whole

FILES = {"video": "video.mp4", "thumbnail": "thumbnail.webp", "spritesheet": "spritesheet.jpg"}
THUMBNAIL_SIDE = 512
SHEET_FRAMES = 16
SHEET_COLUMNS = 4
SHEET_SIDE = 256

Frame = UInt8[np.ndarray, "h w 3"]


def deliver(
    folder: Path,
    pieces: Iterable[UInt8[np.ndarray, "_t h w 3"]],
    size: tuple[int, int],
    num_frames: int,
    fps: float,
    settings: Mapping[str, object],
    given: Iterable[Frame] = (),
) -> Generator[int, None, None]:
    """Write ``FILES`` into ``folder``, and yield after every frame how many are written.

    ``pieces`` are ``num_frames`` frames in all, scaled to ``size`` (width, height) by cropping what its shape has not.
    The frames of ``given`` take the place of the first ones: they are of that size already.
    """
    kept = {round(i * (num_frames - 1) / max(1, SHEET_FRAMES - 1)) for i in range(min(num_frames, SHEET_FRAMES))}
    shown: list[Frame] = []
    first: Frame | None = None
    with open_clip_writer(folder / FILES["video"], size, fps, settings) as writer:
        replacing = chain(iter(given))
        for i, frame in enumerate(frame for piece in pieces for frame in piece):
            original = next(replacing, None)
            scaled = resize_frame(frame, size, "crop") if original is None else original
            writer.write(scaled[None])
            if first is None:
                first = scaled
            if i in kept:
                shown.append(resize_frame(scaled, within(size, SHEET_SIDE), "stretch"))
            yield i + 1
    assert first is not None
    write_whole(folder / FILES["thumbnail"], webp(resize_frame(first, within(size, THUMBNAIL_SIDE), "stretch")))
    write_whole(folder / FILES["spritesheet"], jpeg(contact_sheet(Clip(np.stack(shown), fps), SHEET_COLUMNS)))


def within(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The size itself, or its shape with the longer side ``side`` where it is longer than that."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def webp(frame: Frame) -> bytes:
    """The picture as WebP."""
    return _encode(frame, "libwebp", "bgra", {"quality": "85"})


def jpeg(frame: Frame) -> bytes:
    """The picture as JPEG."""
    return _encode(frame, "mjpeg", "yuvj420p", {"qmin": "3", "qmax": "3"})


def _encode(frame: Frame, codec: str, pixels: str, options: dict[str, str]) -> bytes:
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.height, context.width = frame.shape[:2]
    context.pix_fmt, context.time_base, context.thread_count = pixels, Fraction(1), 1
    context.options = options
    context.flags |= Flags.bitexact
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24").reformat(format=pixels)
    picture.pts = 0
    try:
        return b"".join(bytes(packet) for packet in (*context.encode(picture), *context.encode(None)))
    except FFmpegError as error:
        raise RuntimeError(
            f"a {frame.shape[1]}x{frame.shape[0]} picture cannot be encoded: {error.strerror}"
        ) from error
