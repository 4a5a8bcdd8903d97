import io
import json
from types import SimpleNamespace

import pytest
from rich.console import Console

from ozora.evaluate import report, suite
from ozora.evaluate.claims import PIXEL_ASKS, PIXEL_CLAIMS, PROMPT_COLUMNS
from ozora.evaluate.pixels import SECTIONS
from ozora.evaluate.report import PARTS, Part, describe, evaluate_all, read_part

PART = Part("world", "The world")


def share(value, half=0.02):
    return {"value": value, "low": value - half, "high": value + half, "num_clips": 9}


def result(model=0.5):
    rows = {"model": {"falls %": share(model)}, "simulator": {"falls %": share(0.9)}, "noise": {"falls %": share(0.1)}}
    metric = {"better": "high", "truth": "simulator", "worse": ["noise"], "aim": 0.9, "about": ""}
    return {
        "num_clips": 9,
        "evaluation_sets": {"gravity": "abc"},
        "sections": {"gravity": {"Gravity": rows}},
        "asks": {"gravity": "Do things fall?"},
        "metrics": {"Gravity": {"falls %": metric}},
        "thrown_out": {"Gravity": {"floats %": "ghosts float no more than the simulator"}},
        "thrown_out_values": {"Gravity": {"simulator": {"floats %": share(0.3)}}},
    }


def test_a_part_is_judged_by_its_controls_and_what_it_threw_out_stays_out():
    entry = describe(PART, result())
    assert entry["verdicts"]["Gravity"]["falls %"]["ranks"] is True
    assert entry["verdicts"]["Gravity"]["floats %"]["ranks"] is False
    assert entry["sections"]["gravity"]["Gravity"]["simulator"]["floats %"] == share(0.3)
    assert entry["sections"]["gravity"]["Gravity"]["model"]["falls %"] == share(0.5)
    assert json.loads(json.dumps(entry)) == entry


def test_tables_of_prompts_become_sections_with_their_claims():
    row = {part: share(0.9) for part in ("count", "colors")}
    wrong = {part: share(0.1) for part in ("count", "colors")}
    tables = {
        "new": {
            "title": "New",
            "evaluation_set": "abc",
            "subsets": {
                "all": {"simulator": row, "simulator, shuffled prompts": wrong},
                "one object": {"simulator": row},
            },
            "distortion": {"psnr": share(30.0), "ssim": share(0.9)},
        }
    }
    entry = describe(Part("new", "New"), {"tables": tables})
    assert entry["evaluation_sets"] == {"new": "abc"}
    assert set(entry["sections"]["new"]) == {
        "New, all",
        "New, one object",
        "New: the simulator's clips through the autoencoder",
    }
    assert entry["verdicts"]["New, all"]["count %"]["ranks"] is True
    assert entry["verdicts"]["New, one object"]["count %"]["ranks"] is None
    assert entry["metrics"]["New, all"]["colors %"]["aim"] == PROMPT_COLUMNS["colors %"].aim
    assert entry["metrics"]["New, one object"]["colors %"]["aim"] is None


def test_every_claim_about_pixels_is_about_a_section_there_is():
    assert set(PIXEL_ASKS) == set(SECTIONS)
    entry = describe(Part("pixels", "Pixels"), {"sections": {"loop": {}}, "evaluation_sets": {"asked": "a"}})
    assert entry["asks"]["loop"] == PIXEL_ASKS["loop"] and set(entry["metrics"]) == set(PIXEL_CLAIMS)


@pytest.fixture
def measured(monkeypatch):
    """What was asked of the suite, which answers at once."""
    asked = []

    def evaluate(model, name, *settings):
        asked.append(name)
        return result(0.1 * len(asked))

    monkeypatch.setattr(suite, "evaluate", evaluate)
    return asked


def run(out, **settings):
    printed = io.StringIO()
    console = Console(file=printed, width=400)
    whole = evaluate_all("simulator", out, console=console, parts=(PART, Part("x", "X", "", "writers")), **settings)
    return whole, printed.getvalue()


def test_a_report_is_json_tables_and_a_page_and_says_where_it_is(tmp_path, measured):
    whole, printed = run(tmp_path)
    assert json.loads((tmp_path / "report.json").read_text()) == whole
    assert "falls %" in (tmp_path / "report.md").read_text()
    assert "Do things fall?" in (tmp_path / "report.html").read_text()
    assert str(tmp_path / "report.html") in printed
    assert whole["left_out"] == {"X": "the simulator has no networks"}
    assert [one["column"] for one in whole["thrown_out"]] == ["floats %"]
    assert not list(tmp_path.rglob(".*"))


def test_what_was_measured_is_kept_until_settings_change(tmp_path, measured):
    first, _ = run(tmp_path)
    again, _ = run(tmp_path)
    assert measured == ["world"] and first == again
    run(tmp_path, steps=4)
    assert measured == ["world"] * 2


def test_words_are_measured_again_where_somebody_else_writes(tmp_path, measured, monkeypatch):
    def words():
        parts = (Part("words", "Words", "", "writers"),)
        return evaluate_all("mini", tmp_path, console=Console(quiet=True), parts=parts)

    assert words() == words() and measured == ["words"]
    monkeypatch.setattr(report, "load_writer", lambda _: SimpleNamespace(hash="another"))
    words()
    assert measured == ["words"] * 2


def test_what_does_not_belong_to_this_model_or_is_broken_is_measured_again(tmp_path):
    place = tmp_path / "world.json"
    assert read_part(place, {"model_hash": "a"}) is None
    place.write_text(json.dumps({"identity": {"model_hash": "a"}, "entry": {"title": "x"}}))
    assert read_part(place, {"model_hash": "a"}) == {"title": "x"}
    assert read_part(place, {"model_hash": "b"}) is None
    place.write_text("{")
    assert read_part(place, {"model_hash": "a"}) is None


def test_what_takes_more_clips_is_left_out(tmp_path, measured):
    console = Console(file=io.StringIO())
    many = Part("many", "Many", least=20)
    assert evaluate_all("simulator", tmp_path, 8, console=console, parts=(PART, many))["left_out"] == {
        "Many": "it takes 20 clips at least"
    }


def test_parts_have_names_of_their_own():
    names = [part.name for part in PARTS]
    assert len(set(names)) == len(names) and "all" not in names
