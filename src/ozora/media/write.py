"""How does a clip become a file that plays everywhere? The suffix chooses the format.

The bytes depend on the clip and the settings alone: one thread, no dates, no random identifiers, and x264 told to
forget the processor's model. They are made in memory and appear under the final name whole or not at all.
"""

import io
import math
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.codec.context import Flags
from av.error import FFmpegError
from av.filter import Graph
from jaxtyping import UInt8

from ozora.clip import Clip
from ozora.media.pixels import BT709, yuv420_converter
from ozora.media.place import check_place
from ozora.media.provenance import add_to_gif, add_to_png, to_text
from ozora.media.timing import retime

# The slowest and the fastest frame rate. GIF counts in hundredths of a second, and viewers slow down a delay of one.
RATES = {".mp4": (0.01, 1000), ".webm": (0.01, 1000), ".gif": (0.01, 50.0), ".png": (0, math.inf)}
MAX_GIF_RATE = RATES[".gif"][1]
MAX_SHEET_PIXELS = 2**26
MAX_SIDE = {".mp4": 8192, ".webm": 16383, ".gif": 65535, ".png": 65535}

# Visually lossless. Without cpu-independent, x264 gives other bytes now and then, even on one thread of one machine.
X264_OPTIONS = {"crf": "12", "preset": "slow", "x264-params": "cpu-independent=1"}
VP9_OPTIONS = {"crf": "10", "b": "0", "deadline": "good", "cpu-used": "2", "row-mt": "0"}


def write_clip(clip: Clip, path: str | os.PathLike[str], settings: Mapping[str, object] | None = None) -> Path:
    """Write ``.mp4`` (H.264), ``.webm`` (VP9), ``.gif``, or ``.png`` (the picture; of several frames a contact sheet).

    ``settings`` travel inside the file; ``read_settings`` gives them back. Every frame is kept and shown for 1 / fps
    (in a GIF, rounded to hundredths of a second without drift). The same clip and settings give the same bytes.
    Raises ``ValueError`` for what the format cannot hold (``check_format``) and for a place that cannot
    be written, ``OSError`` if writing fails; no partial file stays.
    """
    path = Path(path)
    check_place(path)
    check_format(path, clip.size, clip.num_frames, clip.fps)
    text = to_text(settings or {})
    try:
        data = _encode(clip, path.suffix.lower(), text)
    except FFmpegError as error:
        raise ValueError(f"{path}: {clip!r} cannot be encoded: {error.strerror}") from error
    _write_whole(path, data)
    return path


def check_format(path: Path, size: tuple[int, int], num_frames: int, fps: float) -> None:
    """Raise ``ValueError`` unless the format that the suffix names can hold such a clip; known before it is made."""
    suffix, (width, height) = path.suffix.lower(), size
    if max(size) > MAX_SIDE[suffix]:
        raise ValueError(f"{path}: size {width}x{height}; a {suffix} file has sides of at most {MAX_SIDE[suffix]}")
    if suffix == ".mp4" and (width % 2 or height % 2):
        nearest = f"{max(2, width // 2 * 2)}x{max(2, height // 2 * 2)}"
        raise ValueError(f"{path}: size {width}x{height}; an .mp4 has even sides, {nearest}; .webm takes any")
    slowest, fastest = RATES[suffix]
    if not slowest <= fps <= fastest:
        raise ValueError(f"{path}: {fps:g} fps; a {suffix} file plays {slowest:g} to {fastest:g}")
    if suffix == ".png":
        rows, columns = _sheet_grid(size, num_frames, None)
        if rows * columns * width * height > MAX_SHEET_PIXELS:
            raise ValueError(
                f"{path}: a contact sheet of {num_frames} frames of {width}x{height} is too large; at most "
                f"{max(1, MAX_SHEET_PIXELS // (width * height))} frames of that size fit; .mp4 takes them all"
            )


def encode_gif(clip: Clip) -> bytes:
    """The clip as a GIF that loops, for a notebook. Above 50 fps, which no GIF can play, it is resampled to 50."""
    if clip.fps > MAX_GIF_RATE:
        num_frames = max(1, round(clip.seconds * MAX_GIF_RATE))
        index = list(retime(((i / clip.fps, i) for i in range(clip.num_frames)), MAX_GIF_RATE, num_frames))
        clip = Clip(clip.frames[index], MAX_GIF_RATE)
    return _encode_gif(clip)


def contact_sheet(clip: Clip, columns: int | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """All frames in reading order on one picture, thin white gaps between; a single frame is that frame.

    By default as many ``columns`` as make the sheet about as wide as a screen.
    """
    if columns is not None and columns < 1:
        raise ValueError(f"columns is {columns}; it must be 1 or more")
    rows, columns = _sheet_grid(clip.size, clip.num_frames, columns)
    gap = max(1, round(min(clip.size) / 32))
    width, height = clip.width + gap, clip.height + gap
    sheet = np.full((rows * height - gap, columns * width - gap, 3), 255, np.uint8)
    for i, frame in enumerate(clip.frames):
        top, left = i // columns * height, i % columns * width
        sheet[top : top + clip.height, left : left + clip.width] = frame
    return sheet


def _sheet_grid(size: tuple[int, int], num_frames: int, columns: int | None) -> tuple[int, int]:
    if columns is None:
        columns = min(num_frames, math.ceil(math.sqrt(num_frames * 16 / 9 * size[1] / size[0])))
        columns = math.ceil(num_frames / math.ceil(num_frames / columns))
    columns = min(columns, num_frames)
    return math.ceil(num_frames / columns), columns


def _encode(clip: Clip, suffix: str, text: str) -> bytes:
    if suffix == ".mp4":
        return _encode_video(clip, "mp4", "libx264", X264_OPTIONS, text)
    if suffix == ".webm":
        return _encode_video(clip, "webm", "libvpx-vp9", VP9_OPTIONS, text)
    if suffix == ".gif":
        data = _encode_gif(clip)
        return add_to_gif(data, text) if text else data
    data = _encode_png(contact_sheet(clip))
    return add_to_png(data, text) if text else data


def _encode_video(clip: Clip, container_format: str, codec: str, options: dict[str, str], text: str) -> bytes:
    rate = Fraction(clip.fps).limit_denominator(1001)
    file = io.BytesIO()
    with av.open(file, "w", format=container_format, options={"fflags": "+bitexact"}) as container:
        if text:
            container.metadata["comment"] = text
        stream = container.add_stream(codec, rate=rate, options={**options, "chroma_sample_location": "left"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "yuv420p"
        context = stream.codec_context
        context.time_base = 1 / rate
        context.thread_count = 1
        context.flags |= Flags.bitexact
        context.colorspace = context.color_primaries = context.color_trc = context.color_range = BT709
        convert = yuv420_converter(clip.width, clip.height)
        for i, pixels in enumerate(clip.frames):
            frame = convert(pixels)
            frame.pict_type = 0
            frame.pts, frame.time_base = i, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def _encode_gif(clip: Clip) -> bytes:
    """One palette for the whole clip and ordered dithering, so that what stands still does not shimmer."""
    tick = Fraction(1, 100)
    stamps = [round(i * 100 / clip.fps) for i in range(clip.num_frames + 1)]
    options = {"fflags": "+bitexact", "loop": "0", "final_delay": str(stamps[-1] - stamps[-2])}
    file = io.BytesIO()
    with av.open(file, "w", format="gif", options=options) as container:
        stream = container.add_stream("gif", rate=100)
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "pal8"
        stream.codec_context.time_base = tick
        stream.codec_context.thread_count = 1
        graph = Graph()
        source = graph.add_buffer(width=clip.width, height=clip.height, format=av.VideoFormat("rgb24"), time_base=tick)
        split, palette = graph.add("split"), graph.add("palettegen")
        dither, sink = graph.add("paletteuse", "dither=bayer:bayer_scale=5"), graph.add("buffersink")
        source.link_to(split)
        split.link_to(palette, 0, 0)
        split.link_to(dither, 1, 0)
        palette.link_to(dither, 0, 1)
        dither.link_to(sink)
        graph.configure()
        for stamp, pixels in zip(stamps, clip.frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = stamp, tick
            graph.vpush(frame)
        graph.vpush(None)
        # The palette is known after the last frame; then all frames come out, one for one.
        for stamp in stamps[:-1]:
            frame = graph.vpull()
            frame.pts, frame.time_base = stamp, tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def _encode_png(pixels: UInt8[np.ndarray, "h w 3"]) -> bytes:
    context = av.CodecContext.create("png", "w")
    context.height, context.width = pixels.shape[:2]
    context.pix_fmt, context.time_base, context.thread_count = "rgb24", Fraction(1), 1
    context.options = {"pred": "mixed", "compression_level": "9"}
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    frame.pts = 0
    return b"".join(bytes(packet) for packet in (*context.encode(frame), *context.encode(None)))


def _write_whole(path: Path, data: bytes) -> None:
    """Give ``path`` all of the data or leave it as it was, whatever stops us."""
    partial = path.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
