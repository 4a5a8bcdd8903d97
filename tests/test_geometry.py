"""Does the arithmetic of sizes agree with counting, and do refusals name sizes that are legal?"""

import itertools
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ozora.geometry import MAX_SIDE, Geometry

GEOMETRY = Geometry()
geometries = st.builds(
    Geometry,
    space_stride=st.sampled_from([2, 4, 8]),
    time_stride=st.integers(1, 4),
    patch=st.integers(1, 3),
    latent_channels=st.integers(1, 16),
)


@given(geometries, st.integers(1, 500))
def test_rendered_frames_are_the_next_legal_number(geometry, num_frames):
    rendered = geometry.rendered_frames(num_frames)
    assert num_frames <= rendered < num_frames + geometry.time_stride
    legal = [n for n in range(num_frames, num_frames + geometry.time_stride) if (n - 1) % geometry.time_stride == 0]
    assert [rendered] == legal and geometry.rendered_frames(rendered) == rendered


@given(geometries, st.integers(0, 60))
def test_latent_frames_count_groups(geometry, k):
    num_frames = 1 + geometry.time_stride * k
    assert geometry.latent_frames(num_frames) == 1 + k
    for between in range(num_frames + 1, num_frames + geometry.time_stride):
        with pytest.raises(
            ValueError, match=rf"nearest legal number is {num_frames} or {num_frames + geometry.time_stride}$"
        ):
            geometry.latent_frames(between)


@pytest.mark.parametrize("num_frames", [0, -3])
def test_no_frames_are_refused(num_frames):
    with pytest.raises(ValueError, match=rf"^{num_frames} frames: .* nearest legal number is 1$"):
        GEOMETRY.latent_frames(num_frames)


@given(st.floats(0.01, 600.0), st.floats(0.1, 120.0))
def test_delivered_frames_are_the_nearest_and_at_least_one(seconds, fps):
    delivered = GEOMETRY.delivered_frames(seconds, fps)
    assert delivered >= 1
    assert delivered == 1 or abs(delivered - seconds * fps) <= 0.5


@pytest.mark.parametrize(
    ("seconds", "fps", "message"),
    [
        (0.0, 8.0, r"seconds is 0\.0; .*at most 600, 2 for instance"),
        (-1.0, 8.0, r"seconds is -1\.0"),
        (float("nan"), 8.0, "seconds is nan"),
        (float("inf"), 8.0, "seconds is inf"),
        (601.0, 8.0, r"seconds is 601\.0"),
        (2.0, 0.0, r"fps is 0\.0; .*from 0\.1 to 120, 8 for instance"),
        (2.0, float("nan"), "fps is nan"),
        (2.0, 121.0, r"fps is 121\.0"),
    ],
)
def test_impossible_durations_are_named(seconds, fps, message):
    with pytest.raises(ValueError, match=message):
        GEOMETRY.delivered_frames(seconds, fps)


@given(st.integers(-50, 5000), st.integers(-50, 5000))
def test_a_size_is_legal_or_its_refusal_names_legal_neighbours(width, height):
    legal = all(16 <= side <= MAX_SIDE and side % 16 == 0 for side in (width, height))
    if legal:
        GEOMETRY.check_size(width, height)
        return
    with pytest.raises(ValueError, match=rf"^size {width}x{height}: .*multiples of 16 from 16 to {MAX_SIDE}") as caught:
        GEOMETRY.check_size(width, height)
    named = re.findall(r"(\d+)x(\d+)", str(caught.value).split("nearest legal size is ")[1])
    assert 1 <= len(named) <= 2
    for sides in named:
        for side, asked in zip(map(int, sides), (width, height)):
            GEOMETRY.check_size(side, side)
            assert abs(side - min(max(asked, 16), MAX_SIDE)) < 16


def test_refusal_in_words():
    with pytest.raises(ValueError) as caught:
        GEOMETRY.check_size(65, 64)
    assert str(caught.value) == (
        "size 65x64: width and height must be multiples of 16 from 16 to 4096; the nearest legal size is 64x64 or 80x64"
    )


@given(geometries, st.integers(0, 5), st.integers(1, 6), st.integers(1, 6))
def test_tokens_tile_the_clip(geometry, k, rows, columns):
    """Pixels and frames add up: every token holds a patch of latents, every latent its pixels."""
    side, num_frames = geometry.side_multiple, 1 + geometry.time_stride * k
    height, width = rows * side, columns * side
    t, h, w = geometry.latent_grid(num_frames, height, width)
    assert (1 + (t - 1) * geometry.time_stride, h * geometry.space_stride, w * geometry.space_stride) == (
        num_frames,
        height,
        width,
    )
    assert geometry.token_grid(num_frames, height, width) == (t, rows, columns)
    num_tokens = geometry.num_tokens(num_frames, height, width)
    assert num_tokens * geometry.patch_width == t * h * w * geometry.latent_channels


def test_the_default_token_is_16x16_pixels_by_4_frames():
    assert GEOMETRY.side_multiple == 16 and GEOMETRY.patch_width == 64
    assert GEOMETRY.num_tokens(17, 64, 64) == 5 * 4 * 4 == 80


@given(st.integers(1, 40), st.floats(1.0, 60.0))
def test_latents_sit_in_the_middle_of_their_frames(num_latents, fps):
    starting = GEOMETRY.latent_times(num_latents, fps)
    groups = [[0]] + [list(range(4 * i - 3, 4 * i + 1)) for i in range(1, num_latents)]
    middles = torch.tensor([sum(group) / len(group) / fps for group in groups])
    assert torch.allclose(starting, middles, rtol=1e-6)
    # A window that starts mid-clip has four frames in every latent, its own first frame at 0 s.
    window = GEOMETRY.latent_times(num_latents, fps, starts_clip=False)
    middles = torch.tensor([(4 * i + 1.5) / fps for i in range(num_latents)])
    assert torch.allclose(window, middles, rtol=1e-6)


@given(geometries, st.integers(0, 3), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_a_mask_is_dilated_to_whole_tokens(geometry, k, rows, columns, seed):
    """Against a loop over the few pixels that are remade."""
    side, num_frames = geometry.side_multiple, 1 + geometry.time_stride * k
    generator = torch.Generator().manual_seed(seed)
    mask = torch.zeros(num_frames, rows * side, columns * side, dtype=torch.bool)
    num_pixels = int(torch.randint(0, 4, (), generator=generator))
    expected = torch.zeros(geometry.latent_grid(num_frames, rows * side, columns * side), dtype=torch.bool)
    for _ in range(num_pixels):
        t, y, x = (int(torch.randint(0, length, (), generator=generator)) for length in mask.shape)
        mask[t, y, x] = True
        latent = 0 if t == 0 else 1 + (t - 1) // geometry.time_stride
        for i, j in itertools.product(range(geometry.patch), repeat=2):
            expected[latent, y // side * geometry.patch + i, x // side * geometry.patch + j] = True
    assert torch.equal(geometry.token_mask(mask), expected)


def test_a_mask_of_an_illegal_size_is_refused():
    with pytest.raises(ValueError, match="nearest legal number is 1 or 5"):
        GEOMETRY.token_mask(torch.zeros(4, 32, 32, dtype=torch.bool))
    with pytest.raises(ValueError, match="nearest legal size is 32x32 or 32x48"):
        GEOMETRY.token_mask(torch.zeros(5, 40, 32, dtype=torch.bool))
