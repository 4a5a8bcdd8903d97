"""How does a file become a clip? Upright, opaque, square pixels, one constant frame rate, within a budget.

Phone videos say which way is up and keep uneven time; pictures have transparency; a file of 53 kB can decode to
3 GB, and a truncated one to half of what it promises. All of that is settled here. Sizes and counts are checked from
what the file declares before it is decoded, and again while it is. What cannot be read is a one-line ``ValueError``
that names the file and the reason.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from jaxtyping import UInt8

from ozora.clip import Clip
from ozora.geometry import MAX_FPS, MAX_SECONDS
from ozora.media.container import ANIMATIONS, DEMUXERS, PICTURES, identify, open_media
from ozora.media.orientation import Turn, picture_turn, turn, video_turn
from ozora.media.pixels import to_rgb
from ozora.media.resize import Fit, check_fit, describe_fit, resize_frame
from ozora.media.timing import frame_rate, retime

MAX_FRAMES = int(MAX_SECONDS * MAX_FPS)
MAX_PIXELS = 8192 * 8192
MAX_BYTES = 2**30
# Work, not memory: frames that are decoded and dropped cost time too. Half an hour of 1080p at 60 frames a second.
MAX_DECODED_PIXELS = 2**38
# What decodes to over a gigabyte, and to so many times the file's size, is a bomb or as empty as one: phones write 150.
MAX_EXPANSION = 20_000
MAX_PACKETS = 1_000_000


# (time stamp in seconds, decoded frame), in the order of showing.
Timed = Generator[tuple[float | None, av.VideoFrame], None, None]


@dataclass(frozen=True)
class Metadata:
    """What a media file holds, before it is decoded in full: the size as shown (upright, square pixels), and the rate.

    ``num_frames`` are stored frames; ``is_variable`` says that they are unevenly spaced, and ``fps`` is then the rate
    they are read at. ``turn`` is how stored frames are turned upright (see ``media/orientation.py``).
    """

    kind: str
    width: int
    height: int
    turn: Turn
    num_frames: int
    fps: float
    seconds: float
    is_variable: bool

    def __str__(self) -> str:
        if self.kind in PICTURES:
            return f"{self.width}x{self.height} {self.kind} picture"
        rate = f"{'about ' if self.is_variable else ''}{self.fps:.4g} fps{' (variable)' if self.is_variable else ''}"
        return f"{self.width}x{self.height} {self.kind}, {self.num_frames} frames, {self.seconds:.4g} s at {rate}"


def read_metadata(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Metadata:
    """What the file holds: its time stamps are read, and its first frame is decoded to see which way is up."""
    path = Path(path)
    with open_media(path) as file:
        return _survey(file, path, max_pixels)


def read_clip(
    path: str | os.PathLike[str],
    *,
    fps: float | None = None,
    start: float = 0.0,
    seconds: float | None = None,
    max_frames: int = MAX_FRAMES,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
) -> Clip:
    """Read a video, an animated GIF or a picture (one frame) as it is meant to be seen.

    ``fps``: resample to this rate; by default the file's own, and for frames unevenly spaced the rate of
    their median gap. ``start`` and ``seconds``: the part to keep, at most. Transparency is laid on white.
    Budgets: ``max_frames`` kept, ``max_pixels`` in a decoded frame, ``max_bytes`` of pixels kept.
    Raises ``ValueError`` for a file that is missing, damaged, over a budget or no media.
    """
    clip, _ = _read(Path(path), None, "crop", fps, start, seconds, max_frames, max_pixels, max_bytes)
    return clip


def read_fitted(
    path: str | os.PathLike[str],
    size: tuple[int, int],
    fit: Fit = "crop",
    *,
    fps: float | None = None,
    start: float = 0.0,
    seconds: float | None = None,
    max_frames: int = MAX_FRAMES,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
) -> tuple[Clip, str]:
    """``read_clip`` with each frame fitted to ``size`` (width, height), and a sentence that says what was done.

    Frames are fitted as they are decoded: a minute of phone video needs gigabytes as it is, megabytes at a model's
    size. See ``resize`` for ``fit``.
    """
    check_fit(size, fit)
    path = Path(path)
    clip, source = _read(path, size, fit, fps, start, seconds, max_frames, max_pixels, max_bytes)
    done = [describe_fit((source.width, source.height), size, fit)]
    if source.kind not in PICTURES:
        if source.is_variable or abs(clip.fps - source.fps) > 1e-3 * source.fps:
            done.append(f"resampled to {clip.fps:.4g} fps")
        if start > 0 or (seconds is not None and seconds < source.seconds):
            done.append(f"kept {start:.4g} to {start + clip.seconds:.4g} s")
    return clip, f"{path.name} ({source}): {', '.join(done)}"


def _read(
    path: Path,
    size: tuple[int, int] | None,
    fit: Fit,
    fps: float | None,
    start: float,
    seconds: float | None,
    max_frames: int,
    max_pixels: int,
    max_bytes: int,
) -> tuple[Clip, Metadata]:
    if fps is not None and not 0 < fps <= MAX_FPS:
        raise ValueError(f"fps is {fps}; it must be above 0 and at most {MAX_FPS:g}, 8 for instance")
    if not 0 <= start < float("inf"):
        raise ValueError(f"start is {start}; it must be 0 or more seconds")
    if seconds is not None and not seconds > 0:
        raise ValueError(f"seconds is {seconds}; it must be above 0, 2 for instance")
    with open_media(path) as file:
        source = _survey(file, path, max_pixels)
        if start >= source.seconds:
            raise ValueError(f"start is {start:g} s, but {path} ends at {source.seconds:.4g} s")
        rate = source.fps if fps is None else fps
        kept = source.seconds - start if seconds is None else min(seconds, source.seconds - start)
        num_frames = 1 if source.kind in PICTURES else max(1, round(kept * rate))
        width, height = size or (source.width, source.height)
        _check_budget(path, source, num_frames, (width, height), start + kept, max_frames, max_bytes)
        _check_expansion(path, os.fstat(file.fileno()).st_size, source, start + kept, max_bytes)
        pixels = np.empty((num_frames, height, width, 3), np.uint8)
        with closing(_decode(file, path, source.kind, max_pixels)) as frames:
            previous = None
            for i, frame in enumerate(retime(_to_the_end(frames, path, source), rate, num_frames, start)):
                if frame is previous:  # held for another slot
                    pixels[i] = pixels[i - 1]
                    continue
                shown = _as_shown(frame, source)
                pixels[i] = shown if size is None else resize_frame(shown, size, fit)
                previous = frame
    return Clip(pixels, float(rate)), source


def _check_budget(
    path: Path,
    source: Metadata,
    num_frames: int,
    size: tuple[int, int],
    stop: float,
    max_frames: int,
    max_bytes: int,
) -> None:
    if num_frames > max_frames:
        raise ValueError(
            f"{path}: {num_frames} frames; at most {max_frames} are read, so keep fewer seconds or lower fps"
        )
    num_bytes = num_frames * size[0] * size[1] * 3
    if num_bytes > max_bytes:
        raise ValueError(
            f"{path}: {num_frames} frames of {size[0]}x{size[1]} are {num_bytes / 1e6:.1f} MB of pixels; "
            f"at most {max_bytes / 1e6:.1f} MB are read, so keep fewer seconds, a lower fps or a smaller size"
        )
    # Frames may be declared that are never kept; to reach the last kept one they are decoded all the same.
    num_decoded = source.num_frames * min(1.0, stop / source.seconds)
    if num_decoded * source.width * source.height > MAX_DECODED_PIXELS:
        raise ValueError(
            f"{path}: {num_decoded:.0f} frames of {source.width}x{source.height} to decode; "
            f"at most {MAX_DECODED_PIXELS // (source.width * source.height)} of that size are, so keep fewer seconds"
        )


def _check_expansion(path: Path, file_bytes: int, source: Metadata, stop: float, max_bytes: int) -> None:
    frame_bytes = source.width * source.height * 3
    decoded = source.num_frames * min(1.0, stop / source.seconds) * frame_bytes
    allowed = max(max_bytes, MAX_EXPANSION * file_bytes)
    if decoded > allowed:
        seconds = allowed // frame_bytes * source.seconds / source.num_frames
        raise ValueError(
            f"{path}: {file_bytes / 1e6:.2g} MB decode to {decoded / 1e6:.1f} MB of pixels; of so small a file at most "
            f"{allowed / 1e6:.1f} MB are decoded, so cut it to {seconds:.3g} s, or make it smaller than "
            f"{source.width}x{source.height}"
        )


def _open(file: BinaryIO, path: Path, kind: str, max_pixels: int) -> InputContainer:
    """The demuxer for that kind and no other, on an open file: nothing inside can name another file or address."""
    file.seek(0)
    options = {"max_pixels": str(max_pixels)}
    try:
        return av.open(file, "r", format=DEMUXERS[kind], options=options, metadata_errors="replace")
    except FFmpegError as error:
        raise ValueError(f"{path} is damaged or no {kind} file: {error.strerror}") from error


def _video_stream(container: InputContainer, path: Path, kind: str, max_pixels: int) -> av.VideoStream:
    stream = container.streams.best("video")
    if not isinstance(stream, av.VideoStream):
        raise ValueError(f"{path} holds no video")
    if stream.codec_context is None:
        raise ValueError(f"{path}: its video is of a kind that cannot be decoded here; convert it to H.264 in mp4")
    if stream.width * stream.height > max_pixels:
        raise ValueError(
            f"{path} declares {stream.width}x{stream.height}; at most {max_pixels} pixels a frame are read"
        )
    if stream.width == 0:  # the demuxer already met the limit, or nonsense
        raise ValueError(f"{path} is damaged, or has more than {max_pixels} pixels, the most that is read")
    stream.codec_context.options = {"max_pixels": str(max_pixels), "err_detect": "explode"}
    return stream


def _survey(file: BinaryIO, path: Path, max_pixels: int) -> Metadata:
    """Read every time stamp, decode one frame."""
    kind = identify(file, path)
    times: list[float] = []
    last_duration = 0.0
    try:
        with _open(file, path, kind, max_pixels) as container:
            stream = _video_stream(container, path, kind, max_pixels)
            tick = float(stream.time_base or 1)
            for packet in container.demux(stream):
                if packet.size == 0 or packet.is_discard:
                    continue
                stamp = packet.dts if packet.pts is None else packet.pts
                times.append(len(times) * tick if stamp is None else stamp * tick)
                if times[-1] >= max(times[-2:]):
                    last_duration = (packet.duration or 0) * tick
                if len(times) > MAX_PACKETS:
                    raise ValueError(f"{path}: more than {MAX_PACKETS} frames; cut it first")
            # Pictures and GIFs declare no rate worth believing, and viewers do not stretch them by a pixel aspect.
            is_video = kind not in PICTURES and kind not in ANIMATIONS
            declared = (stream.guessed_rate, stream.average_rate) if is_video else ()
            aspect = (stream.sample_aspect_ratio if is_video else None) or Fraction(1)
    except FFmpegError as error:
        raise ValueError(f"{path} is damaged: {error.strerror}") from error
    if not times:
        raise ValueError(f"{path} is damaged or holds no frames")
    times.sort()
    rate, is_even = frame_rate(times, tick, declared)
    seconds = len(times) / float(rate) if is_even else times[-1] - times[0] + max(last_duration, 1 / float(rate))

    with closing(_decode(file, path, kind, max_pixels)) as frames:
        first = next(frames, None)
    if first is None:
        raise ValueError(f"{path} is damaged: no frame of it can be decoded")
    frame, turned = first[1], video_turn(first[1])
    if kind in PICTURES:
        file.seek(0)
        turned = picture_turn(file.read(), kind)
    width, height = max(frame.width, round(frame.width * aspect)), max(frame.height, round(frame.height / aspect))
    if width * height > max_pixels:
        raise ValueError(f"{path} is shown at {width}x{height}; at most {max_pixels} pixels in a frame are read")
    if turned[0] == 0:
        width, height = height, width
    return Metadata(kind, width, height, turned, len(times), float(rate), seconds, not is_even)


def _decode(file: BinaryIO, path: Path, kind: str, max_pixels: int) -> Timed:
    """Every frame; refuses damage and a change of size."""
    size = None
    try:
        with _open(file, path, kind, max_pixels) as container:
            stream = _video_stream(container, path, kind, max_pixels)
            for i, frame in enumerate(container.decode(stream)):
                if frame.is_corrupt:
                    raise ValueError(f"{path} is damaged: frame {i} cannot be decoded whole")
                size = size or (frame.width, frame.height)
                if (frame.width, frame.height) != size:
                    change = f"{size[0]}x{size[1]} to {frame.width}x{frame.height}"
                    raise ValueError(f"{path} changes from {change} at frame {i}; only videos of one size are read")
                yield frame.time, frame
    except FFmpegError as error:
        raise ValueError(f"{path} is damaged: {error.strerror}") from error


def _to_the_end(frames: Timed, path: Path, source: Metadata) -> Iterator[tuple[float, av.VideoFrame]]:
    """Time from the first frame, never falling; raises where decoding ends well before the time stamps did."""
    first, now = None, 0.0
    for i, (stamp, frame) in enumerate(frames):
        stamp = i / source.fps if stamp is None else stamp
        first = stamp if first is None else first
        now = max(now, stamp - first)
        yield now, frame
    if first is None or (not source.is_variable and now < source.seconds - 2.5 / source.fps):
        raise ValueError(f"{path} is damaged: only {now:.4g} of its {source.seconds:.4g} s can be decoded")


def _as_shown(frame: av.VideoFrame, source: Metadata) -> UInt8[np.ndarray, "h w 3"]:
    """Opaque RGB with square pixels, upright."""
    width, height = (source.width, source.height) if source.turn[0] else (source.height, source.width)
    return np.ascontiguousarray(turn(to_rgb(frame, width, height), source.turn))
