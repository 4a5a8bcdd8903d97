"""Does every way to ask with pixels make the file that it promises, say so in one line, and make it again?"""

import re
from pathlib import Path

import numpy as np
import pytest

from ozora.clip import Clip
from ozora.media.provenance import read_settings
from ozora.media.read import read_clip
from ozora.media.write import write_clip

QUICK = ["--model", "MODEL", "--steps", "2", "--size", "32x32"]


def smooth(num_frames: int, size: tuple[int, int] = (32, 32), fps: float = 8.0, phase: float = 0.0) -> Clip:
    """Colours that drift, so gently that no codec loses much of them."""
    t, y, x = np.meshgrid(*(np.arange(n) for n in (num_frames, size[1], size[0])), indexing="ij")
    waves = [np.sin(x / 9 + t / 5 + phase), np.sin(y / 8 - t / 6 + phase), np.cos((x + y) / 12 + t / 7)]
    return Clip((127.5 + 100 * np.stack(waves, axis=-1)).astype(np.uint8), fps)


@pytest.fixture
def files(run):
    """Files to start from, in the folder where command lines run."""
    write_clip(smooth(1), Path("still.png"))
    write_clip(smooth(12), Path("a.webm"))
    write_clip(smooth(9, phase=1.0), Path("b.webm"))
    write_clip(smooth(9, (48, 32)), Path("wide.webm"))
    write_clip(smooth(9, fps=12.0), Path("fast.webm"))
    Path("board.toml").write_text(
        '[[shot]]\nseconds = 1\nprompt = "a ball"\npicture = "still.png"\n\n'
        '[[shot]]\nseconds = 1\nprompt = "a cube"\nclip = "b.webm"\n'
    )


ASKED = {
    "animate": (["still.png", "a ball", "--seconds", "1"], "a-ball-0.mp4", 8, ["still.png"]),
    "extend": (["a.webm", "a ball", "--seconds", "0.5"], "a-ball-0.mp4", 16, ["a.webm"]),
    "loop": (["a.webm", "--seconds", "0.5"], "a-loop-0.mp4", 16, ["a.webm"]),
    "connect": (["a.webm", "b.webm", "--seconds", "0.5"], "a-connect-0.mp4", 25, ["a.webm", "b.webm"]),
    "edit": (["a.webm", "a ball", "--strength", "0.5"], "a-ball-0.mp4", 12, ["a.webm"]),
    "fill": (["a.webm", "a ball", "--box", "0,0,16,16"], "a-ball-0.mp4", 12, ["a.webm"]),
    "storyboard": (["board.toml"], "board-0.mp4", 16, ["board.toml", "still.png", "b.webm"]),
}


@pytest.mark.parametrize("verb", ASKED)
def test_a_verb_makes_one_file_says_one_line_and_makes_it_again(run, files, verb):
    words, name, num_frames, sources = ASKED[verb]
    status, out, err = run(verb, *words, *QUICK)
    assert (status, len(out)) == (0, 1), err
    assert re.fullmatch(rf"{name}: 32x32, {num_frames} frames at 8 fps, .*, seed 0, \d+\.\d s", out[0])
    assert all(file in out[0] for file in sources if not file.endswith(".toml"))
    assert read_clip(Path(name)).num_frames == num_frames
    settings = read_settings(Path(name))
    assert settings["verb"] == verb
    assert isinstance(settings["sources"], dict)
    assert [source["file"] for source in settings["sources"].values()] == sources
    assert all(re.fullmatch("[0-9a-f]{64}", source["sha256"]) for source in settings["sources"].values())
    assert run(verb, "--like", name, "--out", "again.mp4")[0] == 0
    assert Path("again.mp4").read_bytes() == Path(name).read_bytes()


def test_what_is_given_stays(run, files):
    run("extend", "a.webm", "a ball", "--seconds", "1", "--direction", "backward", *QUICK, "--out", "longer.webm")
    longer, given = read_clip("longer.webm").frames.astype(int), read_clip("a.webm").frames.astype(int)
    assert len(longer) == 20 and abs(longer[8:] - given).mean() < 3
    run("fill", "a.webm", "a ball", "--from", "0.5", "--to", "1", *QUICK, "--out", "filled.webm")
    error = abs(read_clip("filled.webm").frames.astype(int) - given).mean(axis=(1, 2, 3))
    assert (error[4:8] > 10).all() and (np.delete(error, range(4, 8)) < 3).all()


def test_a_mask_marks_what_is_remade(run, files):
    mask = np.zeros((1, 32, 32, 3), np.uint8)
    mask[:, :, 16:] = 255
    write_clip(Clip(mask, 1.0), Path("mask.png"))
    assert run("fill", "a.webm", "a ball", "--mask", "mask.png", *QUICK, "--out", "filled.webm")[0] == 0
    error = abs(read_clip("filled.webm").frames.astype(int) - read_clip("a.webm").frames).mean(axis=(0, 1, 3))
    assert (error[:13] < 4).all() and (error[18:] > 10).all()
    settings = read_settings("filled.webm")
    assert isinstance(settings["sources"], dict) and settings["sources"]["mask"]["file"] == "mask.png"
    assert run("fill", "--like", "filled.webm", "--out", "again.webm")[0] == 0
    assert Path("again.webm").read_bytes() == Path("filled.webm").read_bytes()


def test_what_people_have_is_fitted_and_said(run, files):
    write_clip(smooth(45, (98, 54), 29.97), Path("phone.webm"))
    status, out, _ = run("extend", "phone.webm", "a ball", "--seconds", "0.5", "--model", "MODEL", "--steps", "2")
    assert status == 0
    assert "64x64, 16 frames at 8 fps, phone.webm (98x54 webm, 45 frames, 1.502 s at 29.97 fps): cropped" in out[0]
    assert "resampled to 8 fps" in out[0]
    _, out, _ = run("extend", "phone.webm", "a ball", *QUICK, "--seconds", "0.5", "--fit", "letterbox", "--fps", "10")
    assert "32x32, 20 frames at 10 fps" in out[0] and "black bars" in out[0]
    _, out, _ = run("connect", "a.webm", "wide.webm", *QUICK, "--seconds", "0.5", "--out", "c.mp4")
    assert "wide.webm (48x32" in out[0] and "cropped" in out[0]
    _, out, _ = run("animate", "a.webm", "a ball", *QUICK, "--seconds", "0.5", "--out", "d.mp4")
    assert "32x32, 4 frames" in out[0]


def test_variations_of_what_was_asked_with_pixels(run, files):
    asked = ["extend", "a.webm", "a ball", "--seconds", "0.5", *QUICK, "--variations", "2", "--out", "v.gif"]
    status, out, _ = run(*asked)
    assert (status, len(out)) == (0, 2)
    assert run("extend", "--like", "v-1.gif", "--out", "again.gif")[0] == 0
    assert Path("again.gif").read_bytes() == Path("v-1.gif").read_bytes() != Path("v-0.gif").read_bytes()


def test_like_knows_its_sources(run, refused, files):
    run("extend", "a.webm", "a ball", "--seconds", "0.5", *QUICK, "--out", "made.gif")
    refused(["edit", "a.webm", "--like", "made.gif", "--out", "x.gif"], "ozora extend --like makes it again")
    refused(["generate", "--like", "made.gif", "--out", "x.gif"], "was made by ozora extend")
    status, _, err = run("extend", "b.webm", "--like", "made.gif", "--out", "other.gif")
    assert status == 0 and any("b.webm is not the file that made.gif was made from" in line for line in err)
    Path("a.webm").rename("elsewhere.webm")
    refused(["extend", "--like", "made.gif", "--out", "x.gif"], "was made from a.webm, which lies neither here nor")
    assert run("extend", "elsewhere.webm", "--like", "made.gif", "--out", "again.gif")[0] == 0
    first, second = (read_clip(name) for name in ("made.gif", "again.gif"))
    assert np.array_equal(first.frames, second.frames)


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        (["animate"], "no file is named; ozora animate PICTURE PROMPT"),
        (["animate", "still.png"], "the prompt is empty"),
        (["animate", "missing.png", "a ball"], "missing.png"),
        (["animate", "still.png", "a ball", "--seconds", "0.1"], "the picture alone; ask for 0.25 seconds"),
        (["animate", "still.png", "a ball", "--seconds", "nan"], "seconds is nan"),
        (["animate", "still.png", "a ball", "--fps", "0"], "fps is 0"),
        (["animate", "still.png", "a ball", "--size", "40x32"], "32x32 or 48x32"),
        (["extend", "still.png", "a ball"], "one frame does not say how things move; animate takes a picture"),
        (["extend", "a.webm", "a ball", "--direction", "up"], "direction"),
        (["extend", "a.webm", "a ball", "--seconds", "0"], "seconds is 0"),
        (["extend", "a.webm", "a ball", "--fit", "squeeze"], "fit"),
        (["extend", "a.webm", "a ball", "--fps", "1000"], "fps is 1000"),
        (["extend", "cut.webm", "a ball"], "cut.webm"),
        (["extend", "text.mp4", "a ball"], "text.mp4 is not a media file"),
        (["extend", "a.webm", "a ball", "--out", "a.txt"], "a.txt: the suffix"),
        (["loop", "still.png"], "at least 4 frames"),
        (["loop"], "no file is named"),
        (["connect", "a.webm"], "no file is named; ozora connect FIRST SECOND"),
        (["connect", "a.webm", "still.png"], "at least 4 frames"),
        (["connect", "a.webm", "wide.webm"], r"a.webm \(32x32\) and wide.webm \(48x32\) differ in size; --size 64x64"),
        (["connect", "a.webm", "fast.webm"], "at 8 fps and fast.webm at 12 differ in rate; --fps 8 fits"),
        (["edit", "a.webm", "a ball", "--strength", "1.5"], "strength is 1.5; it must be from 0"),
        (["edit", "a.webm", "a ball", "--strength", "nan"], "strength is nan"),
        (["fill", "a.webm", "a ball"], "nothing says what to remake"),
        (["fill", "a.webm", "a ball", "--box", "0,0,64,64"], "0,0,32,32 for instance"),
        (["fill", "a.webm", "a ball", "--box", "all"], "box is 'all'"),
        (["fill", "a.webm", "a ball", "--mask", "wide.webm"], "has 48x32 pixels; it must have .* 32x32"),
        (["fill", "a.webm", "a ball", "--mask", "b.webm"], "has 9 frames at 8 fps; it must have 1 or 12"),
        (["fill", "a.webm", "a ball", "--mask", "b.webm", "--box", "0,0,8,8"], "a mask and a box"),
        (["fill", "a.webm", "a ball", "--from", "2"], "the span is 2 to 1.5 s; it must lie within 0 to 1.5 s"),
        (["fill", "wide.webm", "a ball", "--box", "0,0,4,4", "--size", "32x32"], "outside what is kept"),
        (["storyboard"], "no file is named"),
        (["storyboard", "missing.toml"], "missing.toml cannot be opened"),
        (["storyboard", "a.webm"], "line 1: no text in UTF-8"),
        (["storyboard", "bad.toml"], "bad.toml, shot 1: missing.png cannot be opened"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(refused, files, words, pattern):
    data = Path("a.webm").read_bytes()
    Path("cut.webm").write_bytes(data[: len(data) // 2])
    Path("text.mp4").write_text("no video")
    Path("bad.toml").write_text('[[shot]]\nseconds = 1\nprompt = "a"\npicture = "missing.png"')
    refused([*words, "--model", "MODEL"], pattern)
