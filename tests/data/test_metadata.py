"""A folder of anyone's clips: captioned in place, stopped and gone on with, nothing lost and nothing overwritten."""

import json

import numpy as np
import pytest

from ozora.clip import Clip
from ozora.data.metadata import JOURNAL, chosen_text, media_files, read_metadata_lines, recaption

CLIP = Clip(np.zeros((2, 8, 8, 3), np.uint8), 8.0)


class Names:
    """A captioner that says how many clips it has described; it fails where ``trouble`` tells it to."""

    id = "names"

    def __init__(self, trouble=None, stops_after=10**6):
        self.trouble, self.left, self.count = trouble, stops_after, 0

    def caption(self, clips, style="dense"):
        if self.trouble is not None and len(clips) >= self.trouble:
            raise RuntimeError("answered nonsense")
        self.left -= len(clips)
        if self.left < 0:
            raise ConnectionError("nobody answers")
        self.count += len(clips)
        return [f"{style} {clip.fps:g}" for clip in clips]


def read(path):
    """The file's number as the clip's rate; a file that says "broken" cannot be read."""
    if path.read_text() == "broken":
        raise ValueError(f"{path.name} is damaged")
    return Clip(np.zeros((1, 8, 8, 3), np.uint8), float(path.read_text()))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    for i in range(20):
        (tmp_path / ("sub" if i % 2 else ".") / f"clip-{i:02d}.mp4").write_text(str(i + 1))
    (tmp_path / "notes.txt").write_text("not a clip")
    (tmp_path / ".hidden.mp4").write_text("1")
    return tmp_path


def lines_of(folder):
    return {line["file_name"]: line for line in read_metadata_lines(folder / "metadata.jsonl")}


def test_a_bare_folder_gets_a_line_for_every_clip(folder):
    done = recaption(folder, Names(), read)
    lines = lines_of(folder)
    assert done.num_written == 20 and not done.failed and set(lines) == set(media_files(folder)) and len(lines) == 20
    assert lines["clip-04.mp4"] == {
        "file_name": "clip-04.mp4",
        "text": "dense 5",
        "written": "dense 5",
        "captioner": "names dense",
    }
    assert not (folder / JOURNAL).exists() and not (folder / "metadata.before.jsonl").exists()
    again = Names()
    assert recaption(folder, again, read).num_before == 20 and again.count == 0


def test_originals_and_other_fields_stay(folder):
    old = [{"file_name": "clip-00.mp4", "text": "mine", "license": "CC0"}, {"file_name": "sub/clip-01.mp4", "label": 3}]
    text = "".join(json.dumps(line) + "\n" for line in old)
    (folder / "metadata.jsonl").write_text(text)
    recaption(folder, Names(), read)
    line = lines_of(folder)["clip-00.mp4"]
    assert line["original"] == "mine" and line["written"] == "dense 1" and line["license"] == "CC0"
    assert line["text"] == chosen_text("clip-00.mp4", "dense 1", "mine")
    assert lines_of(folder)["sub/clip-01.mp4"]["label"] == 3 and "original" not in lines_of(folder)["sub/clip-01.mp4"]
    assert (folder / "metadata.before.jsonl").read_text() == text
    recaption(folder, Names(), read, "short")  # another style is another caption; the original is still the first
    assert (
        lines_of(folder)["clip-00.mp4"]["original"] == "mine"
        and lines_of(folder)["clip-00.mp4"]["written"] == "short 1"
    )
    assert (folder / "metadata.before.jsonl").read_text() == text


def test_one_in_twenty_keeps_its_original():
    names = [f"clip-{i}.mp4" for i in range(4000)]
    kept = sum(chosen_text(name, "new", "old") == "old" for name in names)
    assert 140 < kept < 260 and all(chosen_text(name, "new", None) == "new" for name in names[:50])


def test_broken_files_are_named_and_the_rest_is_done(folder):
    (folder / "clip-06.mp4").write_text("broken")
    (folder / "metadata.jsonl").write_text(
        '{"file_name": "clip-06.mp4", "text": "was here"}\n{"file_name": "gone.mp4", "text": "no file"}\n'
    )
    done = recaption(folder, Names(), read)
    assert done.num_written == 19
    assert done.failed == {"clip-06.mp4": "clip-06.mp4 is damaged", "gone.mp4": "in metadata.jsonl, but no such file"}
    assert lines_of(folder)["clip-06.mp4"] == {"file_name": "clip-06.mp4", "text": "was here"}
    assert lines_of(folder)["gone.mp4"]["text"] == "no file"


def test_where_a_batch_has_no_answer_each_clip_is_asked_about_alone(folder):
    done = recaption(folder, Names(trouble=2), read)
    assert done.num_written == 20 and not done.failed
    for path in folder.rglob("*.jsonl"):
        path.unlink()
    done = recaption(folder, Names(trouble=1), read)
    assert done.num_written == 0 and set(done.failed.values()) == {"answered nonsense"} and len(done.failed) == 20


def test_a_stopped_run_goes_on(folder):
    (folder / "metadata.jsonl").write_text('{"file_name": "clip-00.mp4", "text": "mine"}\n')
    with pytest.raises(ConnectionError):
        recaption(folder, Names(stops_after=10), read)
    assert len(lines_of(folder)) == 1  # nothing was replaced
    with (folder / JOURNAL).open("a") as file:
        file.write('{"file_name": "clip-')  # cut off in the middle of a line
    rest = Names()
    done = recaption(folder, rest, read)
    assert rest.count == done.num_written == 12 and done.num_before == 8
    assert len(lines_of(folder)) == 20 and lines_of(folder)["clip-00.mp4"]["original"] == "mine"


def test_what_is_no_folder_of_clips_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no clips"):
        recaption(tmp_path, Names(), read)
    with pytest.raises(ValueError, match="no such folder"):
        media_files(tmp_path / "nowhere")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.mp4"}\n["list"]\n')
    with pytest.raises(ValueError, match="line 2: no object with a file_name"):
        read_metadata_lines(tmp_path / "metadata.jsonl")
    (tmp_path / "metadata.jsonl").write_text("{nonsense\n")
    with pytest.raises(ValueError, match="line 1: no JSON"):
        read_metadata_lines(tmp_path / "metadata.jsonl")
