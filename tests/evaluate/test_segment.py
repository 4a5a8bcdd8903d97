import colorsys
from collections import deque

import numpy as np
import pytest

from ozora.evaluate.segment import COLORS, HUES, blobs, color_index, hue_chroma_saturation
from ozora.evaluate.track import find_tracks


def paint(color: str, brightness: float = 0.9, saturation: float = 0.85) -> np.ndarray:
    return (np.array(colorsys.hsv_to_rgb(HUES[color] / 360, saturation, brightness)) * 255).round().astype(np.uint8)


def flood(index: np.ndarray) -> set[frozenset[tuple[int, int]]]:
    """Connected patches by flooding from every pixel: slow and plain."""
    left = {(int(y), int(x)) for y, x in np.argwhere(index >= 0)}
    patches = set()
    while left:
        queue, patch = deque([left.pop()]), set()
        while queue:
            y, x = queue.popleft()
            patch.add((y, x))
            for near in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                if near in left and index[near] == index[y, x]:
                    left.remove(near)
                    queue.append(near)
        patches.add(frozenset(patch))
    return patches


def test_hue_agrees_with_colorsys():
    pixels = np.random.default_rng(0).integers(0, 256, (1, 1, 200, 3), dtype=np.uint8)
    hue, chroma, saturation = hue_chroma_saturation(pixels)
    for i, pixel in enumerate(pixels[0, 0]):
        expected = colorsys.rgb_to_hsv(*(pixel / 255))
        assert chroma[0, 0, i] == pixel.max() - pixel.min()
        assert saturation[0, 0, i] == pytest.approx(expected[1], abs=1e-6)
        assert hue[0, 0, i] == pytest.approx(expected[0] * 360, abs=1e-3)


@pytest.mark.parametrize("color", COLORS)
def test_shade_changes_no_color(color):
    shades = np.stack([paint(color, brightness) for brightness in (0.35, 0.6, 1.0)])[None, None]
    assert (color_index(shades) == COLORS.index(color)).all()


def test_greys_and_pale_tones_have_no_color():
    pale = np.array([[120, 120, 120], [204, 191, 171], [127, 153, 184], [110, 104, 92], [20, 20, 22]], np.uint8)
    assert (color_index(pale[None, None]) == -1).all()


def test_blobs_are_the_connected_patches():
    rng = np.random.default_rng(1)
    for _ in range(20):
        index = rng.choice([-1, -1, 0, 1], size=(2, 9, 11))
        found, labels = blobs(index)
        for frame in range(2):
            ours = {
                frozenset((int(y), int(x)) for y, x in np.argwhere(labels[frame] == blob.label))
                for blob in found
                if blob.frame == frame
            }
            assert ours == flood(index[frame])
        for blob in found:
            ys, xs = np.nonzero(labels[blob.frame] == blob.label)
            assert blob.area == len(ys)
            assert blob.center == pytest.approx((ys.mean(), xs.mean()))
            assert blob.box == (ys.min(), xs.min(), ys.max() + 1, xs.max() + 1)
            assert (index[blob.frame][ys, xs] == COLORS.index(blob.color)).all()


def scene(num_frames: int = 8) -> np.ndarray:
    return np.full((num_frames, 64, 64, 3), 140, np.uint8)


def test_objects_are_counted_by_color_and_followed():
    frames = scene()
    for t in range(8):
        frames[t, 20:32, 5 + 3 * t : 17 + 3 * t] = paint("red")
        frames[t, 40:50, 40:50] = paint("cyan")
    tracks, _ = find_tracks(frames)
    assert [track.color for track in tracks] == ["red", "cyan"]
    assert [tracks[0].center(t)[1] for t in range(8)] == pytest.approx([10.5 + 3 * t for t in range(8)])
    assert tracks[1].box(3) == (40, 40, 50, 50)


def test_two_objects_of_one_color_keep_their_tracks_when_they_swap_sizes():
    frames = scene()
    for t in range(8):
        frames[t, 10 : 22 + t, 5:17] = paint("blue")
        frames[t, 40 : 54 - t, 40:52] = paint("blue")
    tracks, _ = find_tracks(frames)
    assert [track.color for track in tracks] == ["blue", "blue"]
    for track in tracks:
        xs = [track.center(t)[1] for t in track.frames]
        assert len(xs) == 8
        assert max(xs) - min(xs) < 1


def test_an_object_split_by_a_post_is_one_object():
    frames = scene()
    for t in range(8):
        frames[t, 20:34, 2 + 5 * t : 16 + 5 * t] = paint("green")
    frames[:, :, 30:35] = 90
    tracks, _ = find_tracks(frames)
    assert [track.color for track in tracks] == ["green"]


def test_specks_and_flashes_are_nothing():
    frames = scene()
    frames[:, 5:7, 5:8] = paint("red")
    frames[3, 30:50, 30:50] = paint("yellow")
    assert find_tracks(frames)[0] == []


def test_a_picture_has_objects_too():
    frames = scene(1)
    frames[0, 20:34, 20:34] = paint("purple")
    assert [track.color for track in find_tracks(frames)[0]] == ["purple"]
