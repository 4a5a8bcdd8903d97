"""Does a command line do what it says, and is every mistake one clear line, an exit status, and no file?"""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import ozora
from ozora.generate.choose import likelihoods
from ozora.generate.generator import Generator
from ozora.generate.request import Request
from ozora.media.place import SLUG_LENGTH, check_place, free_name, slug
from ozora.media.provenance import read_settings
from ozora.media.read import read_clip
from ozora.verbs.options import merge_settings, parse_box, parse_size

QUICK = ["--steps", "2", "--size", "32x32", "--seconds", "0.5"]


def test_one_line_says_what_was_made(run):
    status, out, err = run("generate", "A red ball, falling!", "--model", "MODEL", *QUICK, "--seed", "7")
    assert status == 0
    assert len(out) == 1
    pattern = r"a-red-ball-falling-7\.mp4: 32x32, 4 frames at 8 fps \(5 rendered, 1 trimmed\), seed 7, \d+\.\d s"
    assert re.fullmatch(pattern, out[0])
    assert all(line.startswith("ozora: warning: ") for line in err)
    clip = read_clip(Path("a-red-ball-falling-7.mp4"))
    assert (clip.size, clip.num_frames, clip.fps) == ((32, 32), 4, 8)


def test_the_default_name_never_overwrites_and_a_given_one_does(run):
    for _ in range(2):
        run("picture", "a ball", "--model", "MODEL", "--steps", "2")
    assert {path.name for path in Path().iterdir()} == {"a-ball-0.png", "a-ball-0-2.png"}
    Path("given.png").write_bytes(b"old")
    assert run("picture", "a ball", "--model", "MODEL", "--steps", "2", "--out", "given.png")[0] == 0
    assert Path("given.png").read_bytes() == Path("a-ball-0.png").read_bytes()


@pytest.mark.parametrize("suffix", [".mp4", ".png", ".gif", ".webm"])
def test_like_makes_the_same_file_again(run, suffix):
    first, second, third = (Path(f"{name}{suffix}") for name in ("first", "second", "third"))
    asked = ["generate", "a red ball", "--model", "MODEL", *QUICK, "--seed", "3", "--negative", "blue", "--fps", "10"]
    assert run(*asked, "--out", str(first))[0] == 0
    assert run("generate", "--like", str(first), "--out", str(second))[0] == 0
    assert first.read_bytes() == second.read_bytes()
    assert run("generate", "--like", str(first), "--out", str(third), "--seed", "4")[0] == 0
    assert read_settings(third) == read_settings(first) | {"seed": 4}
    assert first.read_bytes() != third.read_bytes()


def test_settings_name_all_that_it_takes(run, model_folder):
    run("generate", "a red ball", "--model", "MODEL", *QUICK, "--out", "a.gif")
    settings = read_settings(Path("a.gif"))
    expected = {"prompt": "a red ball", "seed": 0, "size": "32x32", "seconds": 0.5, "fps": 8.0, "steps": 2}
    assert settings.items() >= expected.items()
    assert settings.items() >= {"model": model_folder, "dtype": "float32", "negative": ""}.items()
    assert settings["model_hash"] == Generator.load(model_folder).hash


def test_like_a_picture_is_a_picture(run):
    run("picture", "a ball", "--model", "MODEL", "--steps", "2", "--out", "a.png")
    status, out, _ = run("generate", "--like", "a.png", "--out", "b.png")
    assert (status, Path("a.png").read_bytes()) == (0, Path("b.png").read_bytes())
    assert "1 frame, seed 0" in out[0]


def test_like_warns_when_the_weights_differ(run, monkeypatch):
    run("generate", "a ball", "--model", "MODEL", *QUICK, "--out", "a.png")
    monkeypatch.setattr("ozora.media.provenance.read_settings", lambda path: read_settings(path) | {"model_hash": "0"})
    status, _, err = run("generate", "--like", "a.png", "--out", "b.png")
    assert status == 0
    assert [line for line in err if "other weights" in line]


def test_variation_i_is_seed_plus_i(run):
    asked = ["generate", "a ball", "--model", "MODEL", *QUICK]
    status, out, _ = run(*asked, "--seed", "5", "--variations", "3", "--out", "out.png")
    assert (status, len(out)) == (0, 3)
    assert sorted(path.name for path in Path().iterdir()) == ["out-0.png", "out-1.png", "out-2.png"]
    run(*asked, "--seed", "6", "--out", "alone.png")
    alone, second = (read_clip(Path(name)).frames.astype(int) for name in ("alone.png", "out-1.png"))
    assert (abs(alone - second) <= 1).mean() > 0.999
    assert read_settings(Path("out-1.png")) == read_settings(Path("alone.png")) | {"variations": 3, "variation": 1}


def test_variations_are_one_row_and_each_is_made_again_in_it(run, monkeypatch):
    rows = []
    advance = Generator.advance
    monkeypatch.setattr(Generator, "advance", lambda self, all: (rows.append(len(all)), advance(self, all)))
    asked = ["generate", "a ball", "--model", "MODEL", "--steps", "4", "--size", "32x32", "--seconds", "0.5"]
    run(*asked, "--seed", "5", "--variations", "3", "--out", "out.gif")
    assert rows == [3] * 3  # of four steps a guided walk leaves out the first
    status, out, _ = run("generate", "--like", "out-2.gif", "--out", "again.gif")
    assert (status, len(out)) == (0, 1) and rows == [3] * 6
    assert Path("again.gif").read_bytes() == Path("out-2.gif").read_bytes()
    run("generate", "--like", "out-2.gif", "--out", "other.gif", "--seed", "1")
    assert read_settings(Path("other.gif"))["seed"] == 1 and "variations" not in read_settings(Path("other.gif"))
    run("generate", "--like", "out-2.gif", "--out", "more.gif", "--variations", "2")
    assert read_settings(Path("more-1.gif")).items() >= {"seed": 8, "variations": 2, "variation": 1}.items()


def test_the_best_of_several_is_one_file_and_is_made_again(run, writing_folder):
    asked = ["generate", "a red ball falls", "--as-written", "--model", str(writing_folder), *QUICK, "--seed", "5"]
    run(*asked, "--variations", "4", "--out", "all.gif")
    status, out, _ = run(*asked, "--best-of", "4", "--out", "best.gif")
    assert status == 0 and len(out) == 1 and ", the best of 4, seed " in out[0]
    settings = read_settings(Path("best.gif"))
    number = settings["variation"]
    assert isinstance(number, int)
    assert settings == read_settings(Path(f"all-{number}.gif")) | {"best_of": 4} and settings["seed"] == 5 + number
    assert (read_clip(Path("best.gif")).frames == read_clip(Path(f"all-{number}.gif")).frames).all()
    generator = Generator.load(writing_folder)
    clips = [read_clip(Path(f"all-{i}.gif")) for i in range(4)]
    nats = likelihoods(generator.captioner, clips, Request("a red ball falls"), generator.geometry)
    assert nats[number] > sorted(nats)[0]  # a GIF's colours are a few, so the best may be another by a hair
    run("generate", "--like", "best.gif", "--out", "again.gif")
    assert Path("again.gif").read_bytes() == Path("best.gif").read_bytes()
    run("generate", "--like", "best.gif", "--out", "other.gif", "--seed", "9")
    other = read_settings(Path("other.gif"))
    assert other["best_of"] == 4 and isinstance(other["variation"], int) and other["seed"] == 9 + other["variation"]
    run("generate", "--like", "best.gif", "--out", "plain.gif", "--best-of", "1")
    assert not {"best_of", "variations", "variation"} & read_settings(Path("plain.gif")).keys()
    run(*asked, "--best-of", "2")
    (named,) = Path().glob("a-red-ball-falls-*.mp4")
    assert named.stem.endswith(f"-{read_settings(named)['seed']}")


def test_without_a_seed_the_best_of_three_is_kept_where_a_model_can_tell(run, writing_folder, model_folder):
    asked = ["a red ball falls", "--size", "64x64", "--steps", "2"]

    def best_of(verb: str, *words: str, model: object = writing_folder) -> object:
        assert run(verb, *asked, "--model", str(model), *words, "--out", "a.gif")[0] == 0
        return read_settings(Path("a.gif")).get("best_of")

    assert best_of("generate", "--seconds", "0.5") == best_of("picture") == 3
    assert best_of("generate", "--seconds", "0.5", "--best-of", "2") == 2
    assert best_of("generate", "--seconds", "0.5", "--seed", "0") is None
    assert best_of("generate", "--seconds", "0.5", model=model_folder) is None
    assert best_of("generate", "--seconds", "4") is None  # longer than training's clips
    assert best_of("picture", "--size", "32x32") is None


def test_a_prompt_may_change_on_the_way(run):
    asked = ["generate", "a ball", "--then", "0.5", "a cube", "--then", "1", "a cone", "--model", "MODEL"]
    assert run(*asked, "--steps", "2", "--seconds", "1.5", "--out", "a.gif")[0] == 0
    assert read_settings(Path("a.gif"))["script"] == [[0.5, "a cube"], [1.0, "a cone"]]
    assert run("generate", "--like", "a.gif", "--out", "b.gif")[0] == 0
    assert Path("a.gif").read_bytes() == Path("b.gif").read_bytes()


def test_an_expanded_prompt_keeps_the_words_it_comes_from(run, monkeypatch):
    def expanded(prompt, model, seed, always):
        return f"{prompt} on a grey floor, take {seed}" if always or "orb" in prompt else prompt

    monkeypatch.setitem(sys.modules, "ozora.verbs.words", SimpleNamespace(expanded=expanded))
    status, out, _ = run("generate", "an orb", "--model", "MODEL", *QUICK, "--seed", "3", "--out", "orb.mp4")
    assert status == 0 and out[0] == "the prompt in full: an orb on a grey floor, take 3" and len(out) == 2
    expected = {"prompt": "an orb on a grey floor, take 3", "asked": "an orb"}
    assert read_settings(Path("orb.mp4")).items() >= expected.items()
    assert run("generate", "--like", "orb.mp4", "--out", "again.mp4")[0] == 0  # it is in full already
    assert Path("again.mp4").read_bytes() == Path("orb.mp4").read_bytes()
    asked = {"an orb": ["--as-written"], "a ball": [], "a ball on a grey floor, take 0": ["--expand"]}
    for number, (prompt, words) in enumerate(asked.items()):
        words = [prompt.partition(" on")[0], *words, "--out", f"{number}.gif"]
        assert run("generate", *words, "--model", "MODEL", *QUICK)[0] == 0
        settings = read_settings(Path(f"{number}.gif"))
        assert settings["prompt"] == prompt and settings.get("asked") == ("a ball" if "--expand" in words else None)


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_a_long_clip_has_all_its_frames(run, suffix):
    asked = ["generate", "a ball", "--model", "MODEL", "--steps", "2", "--seconds", "7", "--out", f"long{suffix}"]
    status, out, err = run(*asked)
    assert status == 0 and "32x32, 56 frames at 8 fps (57 rendered, 1 trimmed)" in out[0]
    assert len([line for line in err if "part by part" in line]) == 1
    assert read_clip(Path(f"long{suffix}")).num_frames == 56


def test_a_prompt_that_cannot_be_read_is_warned_of_once(run):
    status, out, err = run("generate", "красный мяч", "--model", "MODEL", *QUICK, "--variations", "2")
    assert (status, len(out)) == (0, 2)
    assert out[0].startswith("clip-0.mp4: ")
    assert len([line for line in err if line.startswith("ozora: warning: ") and "Cyrillic" in line]) == 1


def test_reconstruct_prints_what_was_lost(run):
    run("generate", "a ball", "--model", "MODEL", *QUICK, "--out", "a.gif")
    status, out, err = run("reconstruct", "a.gif", "--model", "MODEL", "--out", "b.png")
    assert (status, len(out), err) == (0, 1, [])
    assert re.fullmatch(r"b\.png: 32x32, 4 frames at 8 fps, PSNR \d+\.\d\d dB, SSIM -?\d\.\d{4}, \d+\.\d s", out[0])
    status, out, _ = run("reconstruct", "a.gif", "--model", "MODEL", "--out", "c.png", "--size", "48x16")
    assert (status, out[0].partition(" ")[2][:6]) == (0, "48x16,")


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        (["generate"], "the prompt is empty"),
        (["generate", "   "], "the prompt is empty"),
        (["generate", "\u200b"], "the prompt is empty"),
        (["generate", "a" * 10_001], "10001 characters"),
        (["generate", "a ball", "--size", "64"], "size is '64'.*64x64"),
        (["generate", "a ball", "--size", "-64x64"], "size is '-64x64'"),
        (["generate", "a ball", "--size", "70x64"], "64x64 or 80x64"),
        (["generate", "a ball", "--seconds", "nan"], "seconds is nan"),
        (["generate", "a ball", "--seconds", "-1"], "seconds is -1"),
        (["generate", "a ball", "--seconds", "1e9"], "seconds is 1000000000"),
        (["generate", "a ball", "--fps", "0"], "fps is 0"),
        (["generate", "a ball", "--fps", "inf"], "fps is inf"),
        (["generate", "a ball", "--seed", "-1"], "seed is -1"),
        (["generate", "a ball", "--seed", "one"], "--seed.*'one'"),
        (["generate", "a ball", "--steps", "0"], "steps is 0"),
        (["generate", "a ball", "--guidance", "nan"], "guidance is nan"),
        (["generate", "a ball", "--negative", "a" * 10_001], "negative prompt has 10001"),
        (["generate", "a ball", "--variations", "0"], "variations is 0"),
        (["generate", "a ball", "--variations", "1000000000"], "variations is 1000000000"),
        (["generate", "a ball", "--best-of", "0"], "best_of is 0; it must be 1 or more"),
        (["generate", "a ball", "--best-of", "2000"], "2000"),
        (["generate", "a ball", "--best-of", "2", "--variations", "2"], "best_of is 2 beside variations 2"),
        (["generate", "a ball", "--best-of", "2", "--as-written"], "holds no captioner; train one"),
        (["generate", "a ball", "--then", "0", "a cube"], "starts at second 0"),
        (["generate", "a ball", "--then", "2", "a cube"], "at 2 s comes after the clip's end"),
        (["generate", "a ball", "--then", "1", " "], "prompt at 1 s is empty"),
        (["generate", "a ball", "--threads", "0"], "threads is 0"),
        (["generate", "a ball", "--device", "toaster"], "toaster"),
        (["generate", "a ball", "--dtype", "int8"], "'int8'"),
        (["generate", "a ball", "--model", "no/such/model"], "no/such/model"),
        (["generate", "a ball", "--out", "a.avi"], "a.avi: the suffix.*mp4"),
        (["generate", "a ball", "--out", "no/such/a.mp4"], "no/such/a.mp4: no file can be written there"),
        (["generate", "a ball", "--out", "a" * 300 + ".mp4"], "File name too long"),
        (["generate", "a ball", "--out", "a.gif", "--fps", "60"], "60 fps"),
        (["generate", "--like", "missing.mp4"], "missing.mp4"),
        (["generate", "a", "ball"], "Unrecognized options: ball"),
        (["generate", "a ball", "--sizes", "64x64"], "--sizes"),
        (["picture", "a ball", "--seconds", "3"], "--seconds"),
        (["reconstruct", "missing.mp4", "--out", "a.mp4"], "missing.mp4: no such file"),
        (["train", "recipes/none.py"], "none.py"),
        (["evaluate", "MODEL", "--suite", "beauty"], "'beauty'"),
        (["world", "build", "--clips", "0", "--out", "w"], "clips is 0"),
        (["world"], "--out"),
        (["keys"], "write keys create or keys list or keys revoke"),
        (["dream"], "Unrecognized options: dream"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(refused, words, pattern):
    if words[0] in ("generate", "picture") and "--model" not in words:
        words = [*words, "--model", "MODEL"]
    refused(words, pattern)


def test_settings_from_an_altered_file_are_refused():
    with pytest.raises(ValueError, match=r"x\.mp4: seed is '3', which is no int"):
        merge_settings({}, {"prompt": "a", "seed": "3"}, Path("x.mp4"))
    with pytest.raises(ValueError, match="does not say how it was made"):
        merge_settings({}, {"reconstructed": "a.mp4"}, Path("x.mp4"))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("out of\nluck"), OSError(28, "No space left")])
@pytest.mark.parametrize("where", ["advance", "stream"])
def test_what_stops_midway_leaves_what_was_finished_and_no_more(run, monkeypatch, error, where):
    called = []
    whole = getattr(Generator, where)

    def stop_at_the_second(self, *arguments):
        called.append(arguments)
        if len(called) == 2:
            raise error
        return whole(self, *arguments)

    monkeypatch.setattr(Generator, where, stop_at_the_second)
    asked = ["generate", "a ball", "--model", "MODEL", *QUICK, "--steps", "4", "--variations", "2", "--out", "a.mp4"]
    status, out, err = run(*asked)
    assert status == (130 if isinstance(error, KeyboardInterrupt) else 1)
    finished = ["a-0.mp4"] if where == "stream" else []
    assert len(out) == len(finished)
    assert len([line for line in err if line.startswith("ozora: error: ")]) == 1
    assert [path.name for path in Path().iterdir()] == finished


def test_a_missing_extra_is_named(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco", None)
    monkeypatch.setattr("ozora.world.build.build", lambda *_, **__: __import__("mujoco"))
    refused(["world", "build", "--out", "w"], r"mujoco is not installed; pip install 'ozora\[world\]'", 1)


def test_a_bug_keeps_its_traceback(run, monkeypatch):
    monkeypatch.setattr("ozora.verbs.draw.make", lambda *_, **__: [].pop())
    with pytest.raises(IndexError):
        run("generate", "a ball", "--model", "MODEL")


@pytest.mark.parametrize(
    ("text", "size"), [("64x48", (64, 48)), ("64X48", (64, 48)), ("64\u00d748", (64, 48)), (" 64 x 48 ", (64, 48))]
)
def test_sizes_are_read(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "64", "x64", "64x", "64x64x64", "1e2x64", "64.0x64", "9999999x1", "٦٤x٦٤"])
def test_what_is_no_size_is_not(text):
    with pytest.raises(ValueError, match="64x64 for instance"):
        parse_size(text)


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("A red ball, falling!", "a-red-ball-falling"),
        ("../../etc/passwd", "etc-passwd"),
        ("Café", "cafe"),
        ("красный", "clip"),
        ("one two three four five six seven eight nine", "one-two-three-four-five-six-seven-eight"),
        ("x" * 100, "x" * SLUG_LENGTH),
    ],
)
def test_a_prompt_becomes_a_file_name(prompt, name):
    assert slug(prompt) == name


def test_a_free_name_counts_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "a-2.mp4", "a-3.mp4"):
        assert free_name("a", ".mp4") == Path(name)
        Path(name).touch()


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(ValueError, match="this is a folder"):
        check_place(tmp_path / "a.mp4")


def test_help_and_version_import_no_torch():
    code = (
        "import sys, ozora.cli\n"
        "try: status = ozora.cli.main(sys.argv[1:])\n"
        "except SystemExit as end: status = end.code or 0\n"
        "print([m for m in ('torch', 'numpy', 'av', 'mujoco', 'transformers') if m in sys.modules], status)"
    )
    for words in (["--help"], ["--version"], ["generate", "--help"], ["world", "build", "--help"], []):
        shown = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
        assert shown.stdout.splitlines()[-1] == "[] 0"
        assert "ozora" in shown.stdout
        assert shown.stderr == ""


def test_boxes_are_read():
    assert parse_box(" 16, 0,32,48 ") == (16, 0, 32, 48)
    for text in ("", "1,2,3", "1,2,3,4,5", "-1,2,3,4", "1.5,2,3,4", "1x2x3x4"):
        with pytest.raises(ValueError, match="16,0,32,48 for instance"):
            parse_box(text)


def test_the_program_as_installed(tmp_path):
    """The console script's exit status, and one line even though nobody reads standard output."""
    program = [sys.executable, "-c", "import sys; from ozora.cli import main; sys.exit(main())"]
    shown = subprocess.run([*program, "generate", ""], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (shown.returncode, shown.stdout, shown.stderr.count("\n")) == (2, "", 1)
    reading, writing = os.pipe()
    os.close(reading)
    closed = subprocess.run([*program, "--version"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert "Traceback" not in closed.stderr


def test_the_package_exports_its_nouns():
    for name in ozora.__all__:
        assert name in dir(ozora)
        assert getattr(ozora, name) is not None
    assert ozora.Generator is Generator
    with pytest.raises(AttributeError, match="has no attribute 'Movie'"):
        _ = ozora.Movie
