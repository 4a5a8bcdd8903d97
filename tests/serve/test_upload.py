"""What strangers send is looked through in a limited child: bytes decide, budgets come first, nothing stays of it."""

import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ozora.clip import Clip
from ozora.media.container import PNG_SIGNATURE
from ozora.media.read import read_clip, read_fitted
from ozora.media.write import write_clip
from ozora.serve.errors import ApiError
from ozora.serve.settings import ServeSettings
from ozora.serve.upload import check_upload, read_upload

SETTINGS = ServeSettings(max_upload_pixels=64 * 64, max_upload_frames=20, max_upload_seconds=3.0)


def make_clip(num_frames=9, width=48, height=32, fps=8.0):
    t, y, x = np.mgrid[:num_frames, :height, :width]
    return Clip(np.stack([x * 4, y * 6, t * 20], axis=-1).astype(np.uint8), fps)


@pytest.fixture
def send(tmp_path):
    """A function: bytes -> Media, as if they had just arrived."""
    (tmp_path / "uploads").mkdir()

    def send(data):
        arrived = tmp_path / "uploads" / "arrived"
        arrived.write_bytes(data)
        try:
            return check_upload(arrived, tmp_path / "uploads", SETTINGS)
        finally:
            assert not arrived.exists()

    return send


@pytest.fixture
def encode(tmp_path):
    """A function: clip, suffix -> the bytes of such a file."""
    return lambda clip, suffix: write_clip(clip, tmp_path / f"made{suffix}").read_bytes()


@pytest.mark.parametrize(("suffix", "num_frames"), [(".png", 1), (".mp4", 9), (".webm", 9), (".gif", 9)])
def test_the_bytes_say_what_it_is(tmp_path, send, encode, suffix, num_frames):
    clip = make_clip(num_frames)
    data = encode(clip, suffix)
    media = send(data)
    kept = tmp_path / media.file
    assert kept.parent == tmp_path / "uploads" and kept.suffix == suffix and kept.read_bytes() == data
    assert (media.size, media.num_frames) == ((48, 32), num_frames)
    assert media.fps == pytest.approx(1.0 if num_frames == 1 else 8.0, rel=0.02)
    assert media.video_id is None


def test_pixels_are_those_that_the_plain_reader_gives(tmp_path, encode):
    path = tmp_path / "made.mp4"
    encode(make_clip(), ".mp4")
    plain, confined = read_clip(path), read_upload(path)
    assert np.array_equal(plain.frames, confined.frames) and plain.fps == confined.fps
    plain, _ = read_fitted(path, (16, 16), "letterbox", fps=4.0, start=0.25, seconds=0.5)
    confined = read_upload(path, (16, 16), 4.0, "letterbox", start=0.25, seconds=0.5)
    assert np.array_equal(plain.frames, confined.frames) and plain.fps == confined.fps
    with pytest.raises(ValueError, match="at most 3 are read"):
        read_upload(path, max_frames=3)
    assert [one.name for one in tmp_path.iterdir()] == ["made.mp4"]


@pytest.mark.parametrize(
    ("clip", "suffix", "code", "words"),
    [
        (make_clip(1, 128, 64), ".png", "invalid_image", "4096 pixels"),
        (make_clip(9, 128, 64), ".mp4", "invalid_video", "4096"),
        (make_clip(21, fps=20.0), ".mp4", "invalid_video", "21 frames; at most 20"),
        (make_clip(16, fps=4.0), ".mp4", "invalid_video", "at most 3 s"),
    ],
)
def test_budgets(tmp_path, send, encode, clip, suffix, code, words):
    with pytest.raises(ApiError) as refusal:
        send(encode(clip, suffix))
    assert (refusal.value.status, refusal.value.code) == (400, code)
    assert words in refusal.value.message and str(tmp_path) not in refusal.value.message
    assert not list((tmp_path / "uploads").iterdir())


def test_a_bomb_is_refused_by_what_it_declares(send):
    """A picture of 30000x30000, 2.7 GB, in a hundred bytes."""
    header = (30000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(90001))), (b"IEND", b"")]
    data = PNG_SIGNATURE + b"".join(
        len(payload).to_bytes(4, "big") + name + payload + zlib.crc32(name + payload).to_bytes(4, "big")
        for name, payload in chunks
    )
    with pytest.raises(ApiError, match="pixels"):
        send(data)


def test_truncated_and_foreign_files_are_refused(send, encode):
    whole = encode(make_clip(), ".mp4")
    for data, code in (
        (whole[: len(whole) // 2], "invalid_video"),
        (b"", "invalid_video"),
        (b"#EXTM3U\nhttp://127.0.0.1/secret\n", "invalid_video"),
        (b"\x89PNG\r\n\x1a\n", "invalid_image"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "invalid_image"),
    ):
        with pytest.raises(ApiError) as refusal:
            send(data)
        assert refusal.value.code == code


KINDS = (".mp4", ".webm", ".gif", ".png")


@given(
    st.sampled_from(KINDS),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=30),
)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_is_read_or_refused_but_never_worse(send, encode, suffix, changes):
    data = bytearray(encode(make_clip(1 if suffix == ".png" else 5), suffix))
    for place, value in changes:
        data[int(place * len(data))] = value
    try:
        assert send(bytes(data)).num_frames <= SETTINGS.max_upload_frames
    except ApiError as refusal:
        assert refusal.status == 400 and refusal.code in ("invalid_image", "invalid_video")
