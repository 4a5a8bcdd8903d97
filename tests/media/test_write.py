"""Is a written file whole, exact in its frames, the same every time, and absent when writing fails?"""

import errno
import io
import os
import resource
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from ozora.clip import Clip
from ozora.media import write
from ozora.media.provenance import read_settings
from ozora.media.read import read_clip
from ozora.media.write import check_format, contact_sheet, encode_gif, open_clip_writer, write_clip

VIDEO = (".mp4", ".webm", ".gif")


def psnr(clip: Clip, other: Clip) -> float:
    error = ((clip.frames.astype(float) - other.frames) ** 2).mean()
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


@pytest.mark.parametrize("suffix", VIDEO)
@pytest.mark.parametrize("fps", [8.0, 25.0, 30000 / 1001, 12.5])
def test_video_comes_back(make_clip, tmp_path, suffix, fps):
    clip = make_clip(fps=fps)
    back = read_clip(write_clip(clip, tmp_path / f"a{suffix}"))
    assert back.num_frames == clip.num_frames and back.size == clip.size
    # GIF cannot tell 29.97 from 30.
    assert back.fps == pytest.approx(fps, rel=2e-3 if suffix == ".gif" else 1e-9)
    assert psnr(back, clip) > 37
    # Every frame is nearer to its own original than to any other.
    distance = [[np.abs(a.astype(float) - b).mean() for b in clip.frames] for a in back.frames]
    assert np.argmin(distance, axis=1).tolist() == list(range(clip.num_frames))


@pytest.mark.parametrize("suffix", VIDEO)
def test_colors_are_true(tmp_path, suffix):
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 128, 128), (200, 100, 50)]
    for color in colors:
        clip = Clip(np.full((2, 32, 32, 3), color, np.uint8), 8.0)
        back = read_clip(write_clip(clip, tmp_path / f"a{suffix}"))
        assert np.abs(back.frames.astype(int) - color).max() <= 3, color


def test_color_is_not_shifted(tmp_path):
    """A mirrored clip comes back mirrored: chroma sampled at the wrong place would break the symmetry."""
    x = np.arange(64) + 0.5
    bump = np.exp(-(((x - 32) / 6) ** 2))
    row = np.stack([120 + 100 * bump, np.full(64, 120), 120 - 100 * bump], axis=-1).round().astype(np.uint8)
    clip = Clip(np.broadcast_to(row, (4, 64, 64, 3)).copy(), 8.0)
    for suffix in (".mp4", ".webm"):
        back = read_clip(write_clip(clip, tmp_path / f"a{suffix}")).frames.astype(float)
        weight = back[..., 0] - back[..., 2]
        assert abs(float((weight * (x - 32)).sum() / weight.sum())) < 0.15


def test_picture_is_exact(make_clip, tmp_path):
    for width, height in ((64, 48), (17, 9), (1, 1)):
        clip = make_clip(1, width, height)
        back = read_clip(write_clip(clip, tmp_path / "a.png"))
        assert np.array_equal(back.frames, clip.frames)


@pytest.mark.parametrize("suffix", [".webm", ".gif", ".png"])
@pytest.mark.parametrize("size", [(33, 17), (1, 1), (2, 3), (7, 64)])
def test_odd_sizes(make_clip, tmp_path, suffix, size):
    clip = make_clip(3, *size)
    back = read_clip(write_clip(clip, tmp_path / f"a{suffix}"))
    assert suffix == ".png" or (back.size == size and back.num_frames == 3)


def test_mp4_names_the_nearest_even_size(make_clip, tmp_path):
    for size in ((2, 2), (18, 34)):
        assert read_clip(write_clip(make_clip(2, *size), tmp_path / "a.mp4")).size == size
    with pytest.raises(ValueError, match=r"33x18.*even sides, 32x18"):
        write_clip(make_clip(2, 33, 18), tmp_path / "b.mp4")
    assert not (tmp_path / "b.mp4").exists()


@pytest.mark.parametrize("suffix", VIDEO)
def test_one_frame_and_still_frames_are_kept(make_clip, tmp_path, suffix):
    one = make_clip(1)
    still = Clip(np.repeat(one.frames, 6, axis=0), 8.0)
    assert read_clip(write_clip(one, tmp_path / f"a{suffix}")).num_frames == 1
    back = read_clip(write_clip(still, tmp_path / f"b{suffix}"))
    assert back.num_frames == 6 and back.fps == 8


def test_gif_delays_do_not_drift(make_clip):
    clip = make_clip(12, 16, 16, fps=7.0)
    with av.open(io.BytesIO(encode_gif(clip)), mode="r", format="gif") as container:
        times = [frame.time for frame in container.decode(video=0)]
        length = container.duration
    assert len(times) == 12
    assert np.abs(np.array(times) - np.arange(12) / 7).max() <= 0.005 + 1e-9
    assert length == pytest.approx(12 / 7 * 1e6, abs=5001)


def test_gif_for_a_notebook_is_resampled_where_no_gif_can_play_it(make_clip, tmp_path):
    fast = make_clip(12, 16, 16, fps=60.0)
    with pytest.raises(ValueError, match=r"60 fps; a \.gif file plays 0\.01 to 50"):
        write_clip(fast, tmp_path / "a.gif")
    with av.open(io.BytesIO(encode_gif(fast)), mode="r", format="gif") as container:
        assert sum(1 for _ in container.decode(video=0)) == 10
    assert fast._repr_mimebundle_()["text/html"].startswith("<img")


@pytest.mark.parametrize("suffix", [*VIDEO, ".png"])
def test_the_same_clip_gives_the_same_bytes(clip, tmp_path, suffix):
    settings = {"prompt": "a red ball", "seed": 3}
    files = {write_clip(clip, tmp_path / f"{i}{suffix}", settings).read_bytes() for i in range(5)}
    assert len(files) == 1
    assert write_clip(clip, tmp_path / f"other{suffix}", {"seed": 4}).read_bytes() not in files


def test_mp4_is_what_players_expect(clip, tmp_path):
    with av.open(str(write_clip(clip, tmp_path / "a.mp4")), "r") as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt, stream.frames) == ("h264", "yuv420p", 9)
        assert (context.colorspace, context.color_range, context.color_primaries, context.color_trc) == (1, 1, 1, 1)
        assert stream.average_rate == Fraction(8)
        assert "creation_time" not in container.metadata and "encoder" not in container.metadata


def test_contact_sheet(make_clip, tmp_path):
    clip = make_clip(7, 32, 24)
    sheet = contact_sheet(clip, columns=3)
    assert sheet.shape == (3 * 25 - 1, 3 * 33 - 1, 3)
    for i, frame in enumerate(clip.frames):
        top, left = i // 3 * 25, i % 3 * 33
        assert np.array_equal(sheet[top : top + 24, left : left + 32], frame)
    assert (sheet[24] == 255).all() and (sheet[:, 32] == 255).all() and (sheet[50:, 33:] == 255).all()
    assert np.array_equal(contact_sheet(make_clip(1)), make_clip(1).frames[0])
    back = read_clip(write_clip(clip, tmp_path / "a.png"))
    assert np.array_equal(back.frames[0], contact_sheet(clip))
    with pytest.raises(ValueError, match="columns is 0"):
        contact_sheet(clip, columns=0)


def test_formats_say_what_they_cannot_hold(clip, tmp_path):
    for name in ("a.avi", "a", "a.jpg"):
        with pytest.raises(ValueError, match=r"\.mp4, \.webm, \.gif, \.png"):
            write_clip(clip, tmp_path / name)
    with pytest.raises(ValueError, match=r"sides of at most 8192"):
        check_format(Path("a.mp4"), (8200, 16), 1, 8.0)
    with pytest.raises(ValueError, match=r"at most 32 frames of that size fit"):
        check_format(Path("a.png"), (1920, 1080), 400, 8.0)
    with pytest.raises(ValueError, match=r"2000 fps"):
        check_format(Path("a.webm"), (16, 16), 4, 2000.0)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_or_a_folder_in_place_is_refused(clip, tmp_path):
    with pytest.raises(ValueError, match="written"):
        write_clip(clip, tmp_path / "none" / "a.mp4")
    (tmp_path / "b.mp4").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        write_clip(clip, tmp_path / "b.mp4")


@pytest.mark.parametrize("suffix", [*VIDEO, ".png"])
def test_nothing_partial_stays_where_the_disk_is_full(make_clip, tmp_path, suffix):
    """A limit on the size of files stands for the disk: the old file stays, and nothing else."""
    clip, path = make_clip(40), tmp_path / f"a{suffix}"
    path.write_bytes(b"precious")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (1, 700):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(OSError) as caught:
                write_clip(clip, path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert str(caught.value) == f"{path} cannot be written: File too large"
        assert [file.name for file in tmp_path.iterdir()] == [path.name] and path.read_bytes() == b"precious"


@pytest.mark.parametrize("suffix", [*VIDEO, ".png"])
def test_nothing_partial_stays_where_the_last_step_fails(clip, tmp_path, monkeypatch, suffix):
    path = tmp_path / f"a{suffix}"
    for error in (KeyboardInterrupt(), OSError(errno.EIO, os.strerror(errno.EIO))):

        def failing(_, error=error):
            raise error

        monkeypatch.setattr(os, "fsync", failing)
        with pytest.raises(type(error)) as caught:
            write_clip(clip, path)
        assert list(tmp_path.iterdir()) == []
    assert str(caught.value) == f"{path} cannot be written: Input/output error"


def test_folders_with_strange_names_are_no_protocols(clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("http:", "%03d", "a b'c", "\u00fcber"):
        Path(name).mkdir()
        assert read_clip(write_clip(clip, Path(name) / "a.mp4")).num_frames == 9


def test_an_interrupted_encoder_leaves_nothing(clip, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "yuv420_converter", lambda *_: interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_clip(clip, tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_clip_save_carries_settings(clip, tmp_path):
    path = clip.save(tmp_path / "a.webm", prompt="a red ball", seed=7)
    assert read_settings(path) == {"prompt": "a red ball", "seed": 7}


@pytest.mark.parametrize("suffix", [*VIDEO, ".png"])
@pytest.mark.parametrize("lengths", [[9], [1] * 9, [5, 4]])
def test_a_clip_written_in_pieces_is_the_same_file(clip, tmp_path, suffix, lengths):
    settings = {"prompt": "a red ball"}
    whole = write_clip(clip, tmp_path / f"whole{suffix}", settings)
    with open_clip_writer(tmp_path / f"pieces{suffix}", clip.size, clip.fps, settings) as writer:
        for piece in np.split(clip.frames, np.cumsum(lengths)[:-1]):
            writer.write(piece)
    assert writer.num_frames == 9
    assert (tmp_path / f"pieces{suffix}").read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_video_grows_on_the_disk_while_frames_come(tmp_path, suffix):
    rng = np.random.default_rng(0)
    path, sizes = tmp_path / f"a{suffix}", []
    with open_clip_writer(path, (64, 64), 2.0) as writer:
        for _ in range(8):
            writer.write(rng.integers(0, 256, (20, 64, 64, 3), dtype=np.uint8))
            assert not path.exists()
            sizes.append(sum(file.stat().st_size for file in tmp_path.iterdir()))
    assert sizes[-1] > path.stat().st_size / 5 and [file.name for file in tmp_path.iterdir()] == [path.name]
    assert read_clip(path).num_frames == 160


def test_frames_that_may_change_later_are_taken_as_they_are(make_clip, tmp_path):
    clip = make_clip(4)
    expected = write_clip(clip, tmp_path / "a.gif").read_bytes()
    with open_clip_writer(tmp_path / "b.gif", clip.size, clip.fps) as writer:
        buffer = np.empty_like(clip.frames[:1])
        for frame in clip.frames:
            buffer[0] = frame
            writer.write(buffer)
    assert (tmp_path / "b.gif").read_bytes() == expected


@pytest.mark.parametrize("suffix", [*VIDEO, ".png"])
@pytest.mark.parametrize("error", [ValueError("the model broke"), KeyboardInterrupt(), OSError("not this file's")])
def test_whoever_makes_the_frames_may_fail_and_nothing_stays(clip, tmp_path, suffix, error):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"precious")
    with pytest.raises(type(error)) as caught, open_clip_writer(path, clip.size, clip.fps) as writer:
        writer.write(clip.frames)
        raise error
    assert caught.value is error
    assert [file.name for file in tmp_path.iterdir()] == [path.name] and path.read_bytes() == b"precious"


@pytest.mark.parametrize("suffix", [*VIDEO, ".png"])
def test_what_cannot_be_written_in_pieces_is_refused(clip, tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    with pytest.raises(ValueError, match="no frame was written"), open_clip_writer(path, clip.size, clip.fps):
        pass
    with (
        pytest.raises(ValueError, match="the clip has size 32x32"),
        open_clip_writer(path, (32, 32), clip.fps) as writer,
    ):
        writer.write(clip.frames)
    assert list(tmp_path.iterdir()) == []
