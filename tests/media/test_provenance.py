"""Do settings come back from every format, whatever they say, and does their absence have a clear message?"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ozora.clip import Clip
from ozora.media.provenance import read_settings, to_text
from ozora.media.read import read_clip
from ozora.media.write import write_clip

SUFFIXES = (".mp4", ".webm", ".gif", ".png")
TINY = Clip(np.full((2, 16, 16, 3), 90, np.uint8), 8.0)

LONG = "Ein roter Ball 红色的球 كرة حمراء 🎈 " * 3000
EXAMPLES = [
    {"prompt": "a red ball", "seed": 0, "size": [64, 64], "guidance": 3.5, "fps": None, "nested": {"a": [True, None]}},
    {"prompt": 'quotes " and \\ and\nnew\tlines\x00\x1f', "ключ": "значение", "": ""},
    {"prompt": LONG},
    {"lone": "\ud800 surrogate", "large": 2**63, "small": 1e-300},
]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("example", EXAMPLES, ids=["plain", "strange", "long", "surrogate"])
def test_settings_come_back(tmp_path, suffix, example):
    path = write_clip(TINY, tmp_path / f"a{suffix}", example)
    assert read_settings(path) == example
    plain = read_clip(write_clip(TINY, tmp_path / f"b{suffix}"))
    assert np.array_equal(read_clip(path).frames, plain.frames)


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=600) | st.integers() | st.booleans(), min_size=1))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_settings_come_back(tmp_path, example):
    for suffix in (".gif", ".png", ".webm"):
        assert read_settings(write_clip(TINY, tmp_path / f"a{suffix}", example)) == example


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_without_settings_says_so(tmp_path, suffix):
    path = write_clip(TINY, tmp_path / f"a{suffix}")
    with pytest.raises(ValueError, match=r"carries no settings.*not made by Ozora"):
        read_settings(path)


def test_a_foreign_comment_is_not_taken_for_settings(tmp_path):
    path = write_clip(TINY, tmp_path / "a.gif", {"x": 1})
    for comment in (b'{"ozora": [1]}  ', b'{"other": 1}    ', b"[" * 16, b"\xff" * 16):
        data = path.read_bytes()
        (tmp_path / "b.gif").write_bytes(data.replace(b'{"ozora": {"x": 1}}', comment.ljust(19, b" ")[:19]))
        with pytest.raises(ValueError, match="carries no settings"):
            read_settings(tmp_path / "b.gif")


def test_what_is_no_media_says_so(tmp_path):
    (tmp_path / "a.mp4").write_text('{"ozora": {"prompt": "no"}}')
    with pytest.raises(ValueError, match=r"a\.mp4 is not a media file"):
        read_settings(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match=r"none\.mp4 cannot be opened: No such file"):
        read_settings(tmp_path / "none.mp4")


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, b"bytes", np.float32(1)])
def test_what_json_cannot_hold_is_named(value):
    with pytest.raises(ValueError, match="setting 'guidance' is "):
        to_text({"seed": 1, "guidance": value})
