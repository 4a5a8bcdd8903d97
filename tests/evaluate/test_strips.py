import numpy as np
import pytest

from ozora.evaluate.strips import GAP, side_by_side, write_strip
from ozora.media.read import read_clip


def clip(value, num=5, height=48, width=64):
    return np.full((num, height, width, 3), value, np.uint8)


def test_clips_stand_side_by_side_enlarged_and_as_long_as_the_longest():
    joined = side_by_side([clip(0, num=3), clip(200, num=5)])
    assert joined.shape == (5, 96, 2 * 128 + GAP, 3)
    assert (joined[:, :, :128] == 0).all() and (joined[:, :, -128:] == 200).all()
    assert all(side % 2 == 0 for side in side_by_side([clip(0, height=131, width=131)]).shape[1:3])


def test_a_strip_is_a_small_file_that_says_what_it_shows(tmp_path):
    strip = write_strip(tmp_path, "new 000", "a <red> ball", {"model": clip(0), "simulator": clip(200)})
    assert strip["file"] == "strips/new-000.mp4" and strip["caption"] == "a <red> ball"
    assert strip["sources"] == ["model", "simulator"] and strip["seconds"] == 5 / 8
    read = read_clip(tmp_path / strip["file"])
    assert list(read.size) == strip["size"] and read.num_frames == 5
    assert abs(int(read.frames[2, 50, 200].mean()) - 200) < 5


def test_clips_of_unlike_size_are_refused(tmp_path):
    with pytest.raises(ValueError, match="model 64x48, simulator 64x64"):
        write_strip(tmp_path, "x", "", {"model": clip(0), "simulator": clip(0, height=64)})
    with pytest.raises(ValueError, match="no clip"):
        write_strip(tmp_path, "x", "", {})
