"""Does fitting do what its sentence says: the right box, no aliasing, no change where none is needed?"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ozora.clip import Clip
from ozora.media.resize import check_fit, crop_box, describe_fit, letterbox_size, resample, resize

side = st.integers(1, 3000)
size = st.tuples(side, side)


@given(size, size)
def test_crop_box_is_centred_and_of_the_right_shape(source, target):
    left, top, width, height = crop_box(source, target)
    assert width == source[0] or height == source[1]
    assert 0 <= source[0] - width - 2 * left <= 1 and 0 <= source[1] - height - 2 * top <= 1
    # To the nearest pixel (at least one) of the exact shape.
    exact = (source[1] * target[0] / target[1], source[0] * target[1] / target[0])
    assert abs(width - min(source[0], max(1, exact[0]))) <= 0.5 or width == source[0]
    assert abs(height - min(source[1], max(1, exact[1]))) <= 0.5 or height == source[1]


@given(size, size)
def test_letterbox_fills_one_side(source, target):
    width, height = letterbox_size(source, target)
    assert 1 <= width <= target[0] and 1 <= height <= target[1]
    assert width == target[0] or height == target[1]


def test_the_same_size_is_the_same_clip(clip):
    for fit in ("crop", "letterbox", "stretch"):
        assert resize(clip, clip.size, fit) is clip


def test_crop_keeps_the_middle_exactly_where_nothing_is_scaled(make_clip):
    clip = make_clip(3, 64, 48)
    assert np.array_equal(resize(clip, (48, 48)).frames, clip.frames[:, :, 8:56])
    assert np.array_equal(resize(clip, (64, 20)).frames[0].shape, (20, 64, 3))


def test_letterbox_has_black_bars_and_the_whole_picture(make_clip):
    clip = make_clip(2, 64, 32)
    boxed = resize(clip, (64, 64), "letterbox").frames
    assert np.array_equal(boxed[:, 16:48], clip.frames)
    assert (boxed[:, :16] == 0).all() and (boxed[:, 48:] == 0).all()


@pytest.mark.parametrize("fit", ["crop", "letterbox", "stretch"])
def test_a_flat_picture_stays_flat(fit):
    clip = Clip(np.full((1, 50, 70, 3), (10, 200, 90), np.uint8), 8.0)
    for target in ((16, 16), (200, 100), (33, 7)):
        frame = resize(clip, target, fit).frames[0]
        seen = frame[frame.sum(-1) > 0]
        assert (seen == (10, 200, 90)).all()
        if fit != "letterbox":
            assert len(seen) == target[0] * target[1]


def test_shrinking_is_antialiased():
    """A fine chequerboard shrinks to grey; picking pixels would give black or white."""
    y, x = np.mgrid[0:256, 0:256]
    board = np.repeat((255 * ((x + y) % 2)).astype(np.uint8)[None, ..., None], 3, axis=-1)
    frame = resize(Clip(board, 8.0), (32, 32)).frames.astype(int)
    assert np.abs(frame - 127.5).max() <= 3


def test_a_smooth_picture_survives_a_round_trip(make_clip):
    clip = make_clip(1, 64, 48)
    there = resize(clip, (192, 144), "stretch")
    back = resize(there, (64, 48), "stretch")
    assert np.abs(back.frames.astype(int) - clip.frames).max() <= 12
    assert np.abs(back.frames.astype(int) - clip.frames).mean() < 0.6


def test_the_sentence():
    assert describe_fit((64, 64), (64, 64), "crop") == "size kept at 64x64"
    assert describe_fit((1080, 1920), (64, 64), "crop") == (
        "cropped at the centre from 1080x1920 to 1080x1080, scaled from 1080x1080 to 64x64"
    )
    assert describe_fit((64, 48), (48, 48), "crop") == "cropped at the centre from 64x48 to 48x48"
    assert describe_fit((128, 128), (64, 64), "crop") == "scaled from 128x128 to 64x64"
    assert describe_fit((128, 64), (64, 64), "letterbox") == "scaled from 128x64 to 64x32, with black bars to 64x64"
    assert describe_fit((128, 128), (64, 64), "letterbox") == "scaled from 128x128 to 64x64"
    assert describe_fit((128, 100), (64, 64), "stretch") == "stretched from 128x100 to 64x64"


def test_illegal_fits_are_named():
    with pytest.raises(ValueError, match="'zoom'; it must be one of crop, letterbox, stretch"):
        check_fit((64, 64), "zoom")
    with pytest.raises(ValueError, match="0x64: both sides must be at least 1"):
        check_fit((0, 64), "crop")


def test_resample_keeps_the_length_and_picks_the_nearest_frame():
    clip = Clip(np.tile(np.arange(20, dtype=np.uint8)[:, None, None, None], (1, 4, 4, 3)), 10.0)
    assert resample(clip, 10.0) is clip
    half = resample(clip, 5.0)
    assert half.fps == 5 and np.array_equal(half.frames, clip.frames[::2])
    double = resample(clip, 20.0)
    assert double.num_frames == 40 and np.array_equal(double.frames[::2], clip.frames)
    odd = resample(clip, 7.3)
    assert odd.num_frames == 15
    for k, frame in enumerate(odd.frames):
        assert abs(frame[0, 0, 0] / 10 - k / 7.3) <= 0.05 + 1e-9
    with pytest.raises(ValueError, match="fps is -1"):
        resample(clip, -1.0)
