"""Is a storyboard read as it is written, and is every mistake in one named by its line or its shot?"""

import pytest

from ozora.generate.storyboard import Shot, parse_storyboard, read_storyboard

TWO = """
size = "64x64"
fps = 8

[[shot]]
seconds = 2
prompt = "a red ball rolls"
picture = "ball.png"

[[shot]]
start = 2.5
seconds = 3
prompt = "a blue ball rolls"
"""


def test_shots_follow_each_other_on_a_timeline(tmp_path):
    (tmp_path / "two.toml").write_text(TWO)
    board = read_storyboard(tmp_path / "two.toml")
    assert board.shots == (
        Shot("a red ball rolls", 0.0, 2.0, tmp_path / "ball.png"),
        Shot("a blue ball rolls", 2.5, 3.0),
    )
    assert (board.size, board.fps, board.seconds) == ("64x64", 8.0, 5.5)


def test_what_is_not_said_follows_from_the_neighbours(tmp_path):
    shots = [{"prompt": "a"}, {"start": 1.5, "prompt": "b", "seconds": 1}, {"prompt": "c", "seconds": 2}]
    board = parse_storyboard({"shot": shots}, tmp_path)
    assert [(shot.start, shot.seconds) for shot in board.shots] == [(0, 1.5), (1.5, 1), (2.5, 2)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", r"no shots.*\[\[shot\]\], seconds = 2"),
        ("shot = 3", "no shots"),
        ("[[shot]]\nprompt = \n", r"line 2"),
        ("[[shot]]\nseconds = 2\nprompt = 'a'\n[[shot]]\nseconds == 2", r"line 5"),
        ("colour = 'red'", "'colour' is unknown"),
        ("size = 64\n[[shot]]\nprompt='a'\nseconds=1", "size is 64"),
        ("fps = 0\n[[shot]]\nprompt='a'\nseconds=1", "fps is 0"),
        ("[[shot]]\nseconds = 2", "shot 1: it has no prompt"),
        ("[[shot]]\nseconds = 2\nprompt = '  '", "shot 1: it has no prompt"),
        ("[[shot]]\nprompt = 'a'", "shot 1: it has no seconds"),
        ("[[shot]]\nprompt = 'a'\nseconds = true", "shot 1: seconds is True"),
        ("[[shot]]\nprompt = 'a'\nseconds = nan", "shot 1: seconds is nan"),
        ("[[shot]]\nprompt = 'a'\nseconds = '2'", "shot 1: seconds is '2'"),
        ("[[shot]]\nprompt = 'a'\nseconds = 0", "shot 1: it lasts from 0 to 0 s"),
        ("[[shot]]\nprompt = 'a'\nseconds = 1e9", "at most 600"),
        ("[[shot]]\nprompt = 'a'\nseconds = 1\nlength = 2", "shot 1: 'length' is unknown"),
        ("[[shot]]\nprompt = 'a'\nseconds = 1\nstart = 1", "shot 1: start is 1; the first shot starts at 0"),
        (
            "[[shot]]\nprompt='a'\nseconds=2\n[[shot]]\nprompt='b'\nstart=1\nseconds=2",
            "shot 2: start is 1, .* until 2 s",
        ),
        ("[[shot]]\nprompt='a'\nseconds=2\npicture='a.png'\nclip='a.mp4'", "shot 1: it has a picture and a clip"),
    ],
)
def test_mistakes_are_named(tmp_path, text, complaint):
    path = tmp_path / "board.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"(?s)board\.toml.*{complaint}"):
        read_storyboard(path)


def test_what_is_no_text_is_refused(tmp_path):
    (tmp_path / "bytes.toml").write_bytes(b"size = '64x64'\nfps = \xff")
    with pytest.raises(ValueError, match="line 2: no text in UTF-8"):
        read_storyboard(tmp_path / "bytes.toml")
    (tmp_path / "long.toml").write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(ValueError, match="short text"):
        read_storyboard(tmp_path / "long.toml")
    with pytest.raises(ValueError, match="cannot be opened"):
        read_storyboard(tmp_path / "missing.toml")
