"""How does a clip become a file that plays everywhere? The suffix chooses the format.

The bytes depend on the clip and the settings alone, however its frames come: one thread, no dates, no random
identifiers, and x264 told to forget the processor's model. They appear under the final name whole or not at all.
"""

import io
import itertools
import math
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
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
# Where a frame has more pixels the preset is "faster": at 720x1280 it takes 45 ms a frame instead of 106, and the file
# is 10 % smaller and 0.4 dB worse at 53 dB.
MAX_SLOW_PIXELS = 512 * 512
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
    with open_clip_writer(path, clip.size, clip.fps, settings) as writer:
        writer.write(clip.frames)
    return path


class ClipWriter:
    """Takes a clip's frames as they come; made by ``open_clip_writer``."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float, encode: "Encode") -> None:
        self.path, self.size, self.fps, self.num_frames, self._encode = path, size, fps, 0, encode

    def write(self, frames: UInt8[np.ndarray, "t h w 3"]) -> None:
        """The frames that come next.

        Raises ``ValueError`` for another size and for more than the format holds, ``OSError`` if writing fails.
        """
        width, height = self.size
        if frames.shape[1:] != (height, width, 3):
            raise ValueError(f"{self.path}: frames of shape {frames.shape}; the clip has size {width}x{height}")
        check_format(self.path, self.size, self.num_frames + len(frames), self.fps)
        for pixels in frames:
            try:
                self._encode(pixels)
            except (OSError, FFmpegError) as error:
                raise _named(error, self.path) from error
            self.num_frames += 1


@contextmanager
def open_clip_writer(
    path: str | os.PathLike[str], size: tuple[int, int], fps: float, settings: Mapping[str, object] | None = None
) -> Iterator[ClipWriter]:
    """Write a clip piece by piece: the file that ``write_clip`` would write of the whole, byte for byte.

    ``size`` is (width, height). An ``.mp4`` or ``.webm`` grows on the disk under a hidden name, so memory stays flat; a
    ``.gif`` or ``.png`` is made at the end, of frames held in memory. At the end of the block the file gets its name;
    if the block fails, nothing stays of it. Raises as ``write_clip`` does, and ``ValueError`` where no frame came.
    """
    path = Path(path)
    check_place(path)
    check_format(path, size, 1, fps)
    text = to_text(settings or {})
    open_encoder = _open_video if path.suffix.lower() in (".mp4", ".webm") else _open_whole
    partial = path.with_name(f".{secrets.token_hex(8)}.partial")
    is_ours = True  # the error, if one comes: not the caller's, from whatever makes the frames
    try:
        with open_encoder(partial, path.suffix.lower(), size, fps, text) as encode:
            writer = ClipWriter(path, size, fps, encode)
            is_ours = False
            yield writer
            is_ours = True
            if not writer.num_frames:
                raise ValueError(f"{path}: no frame was written; a clip has at least one")
        with partial.open("r+b") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, FFmpegError) as error:
        if is_ours:
            raise _named(error, path) from error
        raise
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


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


Encode = Callable[[UInt8[np.ndarray, "h w 3"]], None]


@contextmanager
def _open_video(place: Path, suffix: str, size: tuple[int, int], fps: float, text: str) -> Iterator[Encode]:
    """Takes frames one by one and writes them as soon as the codec lets go of them.

    FFmpeg writes the file itself: a Ctrl-C that arrives while it calls back into Python would be lost.
    """
    codec, options = ("libx264", X264_OPTIONS) if suffix == ".mp4" else ("libvpx-vp9", VP9_OPTIONS)
    if suffix == ".mp4" and size[0] * size[1] > MAX_SLOW_PIXELS:
        options = options | {"preset": "faster"}
    rate = Fraction(fps).limit_denominator(1001)
    # The protocol is named, so that no folder's name is taken for one.
    with av.open(f"file:{place.absolute()}", "w", format=suffix[1:], options={"fflags": "+bitexact"}) as container:
        if text:
            container.metadata["comment"] = text
        stream = container.add_stream(codec, rate=rate, options={**options, "chroma_sample_location": "left"})
        assert isinstance(stream, av.VideoStream)
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        context = stream.codec_context
        context.time_base = 1 / rate
        context.thread_count = 1
        context.flags |= Flags.bitexact
        context.colorspace = context.color_primaries = context.color_trc = context.color_range = BT709
        convert, number = yuv420_converter(*size), itertools.count()

        def encode(pixels: UInt8[np.ndarray, "h w 3"]) -> None:
            frame = convert(pixels)
            frame.pict_type = 0
            frame.pts, frame.time_base = next(number), 1 / rate
            container.mux(stream.encode(frame))

        yield encode
        container.mux(stream.encode(None))


@contextmanager
def _open_whole(place: Path, suffix: str, _: tuple[int, int], fps: float, text: str) -> Iterator[Encode]:
    """Collects the frames of a format that must see them all: one palette, one contact sheet."""
    frames: list[np.ndarray] = []
    yield lambda pixels: frames.append(pixels.copy())
    clip = Clip(np.stack(frames), fps)
    if suffix == ".gif":
        data = _encode_gif(clip)
        data = add_to_gif(data, text) if text else data
    else:
        data = encode_png(contact_sheet(clip))
        data = add_to_png(data, text) if text else data
    with place.open("xb") as file:
        file.write(data)


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


def encode_png(pixels: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """One picture as the bytes of a PNG, the same for the same pixels."""
    context = av.CodecContext.create("png", "w")
    context.height, context.width = pixels.shape[:2]
    context.pix_fmt, context.time_base, context.thread_count = "rgb24", Fraction(1), 1
    context.options = {"pred": "mixed", "compression_level": "9"}
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    frame.pts = 0
    return b"".join(bytes(packet) for packet in (*context.encode(frame), *context.encode(None)))


def _named(error: Exception, path: Path) -> Exception:
    """The error as one that says which file could not be made, and why."""
    if isinstance(error, OSError):
        return OSError(f"{path} cannot be written: {error.strerror or error}")
    return ValueError(f"{path}: these frames cannot be encoded: {getattr(error, 'strerror', error)}")
