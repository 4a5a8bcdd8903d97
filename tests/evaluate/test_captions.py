"""Captions are scored against the truth: the simulator's own come out on top, other clips' at the bottom."""

import json
from dataclasses import asdict

import pytest
from rich.console import Console

from ozora.data.record import EventFacts, Facts, ObjectFacts
from ozora.evaluate import captions as module
from ozora.evaluate.asked import KINDS, asked_prompts, by_kind
from ozora.evaluate.captions import caption_rows, expansion_rows, f1, score_caption
from ozora.evaluate.report import Part, describe
from ozora.language.captioner import STYLES
from ozora.language.expander import expand

SOURCES = ("simulator", "captioner", "captioner, reconstructions")

FACTS = Facts(
    (ObjectFacts("red", "sphere", "large"), ObjectFacts("blue", "cube", "medium")),
    "fall",
    "pan left",
    (EventFacts("land", 0.4, 0), EventFacts("bounce", 0.5, 0), EventFacts("stop", 1.2, 0)),
)
TRUE = (
    "A red ball falls near a blue box, hits the floor after half a second, bounces once and comes to rest at 1.3 "
    "seconds. The camera pans left."
)


def test_a_true_caption_has_every_part_and_each_fault_costs_its_own():
    assert asdict(score_caption(TRUE, FACTS)) == dict.fromkeys(asdict(score_caption(TRUE, FACTS)), 1.0)
    changes = {
        ("red ball", "red cone"): "shapes",
        ("blue box", "green box"): "colors",
        ("falls", "rolls"): "event",
        ("pans left", "pans right"): "camera",
        ("at 1.3 seconds", "at 1.9 seconds"): "seconds",
    }
    for (old, new), part in changes.items():
        score = asdict(score_caption(TRUE.replace(old, new), FACTS))
        assert score[part] < 1, part
        assert {name for name, value in score.items() if value < 1} <= {part, "objects"}
    backwards = (
        "A red ball falls near a blue box, comes to rest, bounces once and hits the floor. The camera pans left."
    )
    assert score_caption(backwards, FACTS).order == 0.0
    assert score_caption(backwards, FACTS).seconds is None  # it tells none
    assert score_caption(TRUE.replace("half a second", "two seconds"), FACTS).seconds == 0.5
    assert score_caption("The camera pans left.", FACTS).objects == 0.0


def value(share):
    assert share is not None
    return share.value


def test_f1_is_one_for_equal_bags_and_zero_for_strangers():
    assert f1([], []) == f1("ab", "ba") == 1.0 and f1("ab", "cd") == 0.0
    assert f1("aa", "a") == pytest.approx(2 / 3) and f1("a", "") == 0.0


def test_rows_have_a_floor_beside_each_source():
    other = Facts((ObjectFacts("green", "cone", "small"),), "rest", "static")
    rows = caption_rows({"simulator": [TRUE, "A green cone stays still. The camera is static."]}, [FACTS, other])
    top, floor = rows["simulator"], rows["simulator, other clips"]
    assert (
        value(top["objects"]) == value(top["event"]) == 1.0 and value(floor["objects"]) == value(floor["camera"]) == 0.0
    )
    assert top["order"] is not None and top["order"].num_clips == 1


def test_three_hundred_prompts_of_six_kinds_always_the_same():
    prompts = asked_prompts()
    assert len(prompts) == 300 and prompts == asked_prompts()
    assert [kind for kind, _ in by_kind(prompts)] == [*KINDS, "all"]
    assert all(not asked.lost(asked.prompt) for asked in prompts if asked.kind not in ("Spanish",))
    assert all(asked.lost("Nothing of this is here.") for asked in prompts)


def test_needs_ask_for_the_colour_beside_its_noun():
    asked = next(asked for asked in asked_prompts() if asked.kind == "captions' words")
    color, noun = asked.prompt.split()[1:3]
    assert asked.lost(asked.prompt.replace(f"{color} {noun}", f"{noun} {color}"))


def test_rules_alone_keep_all_that_is_asked():
    prompts = asked_prompts(12)
    lost = {asked.prompt: found for asked in prompts if (found := asked.lost(expand(asked.prompt).text))}
    assert not lost
    rows = expansion_rows(None, prompts)
    kept = rows["all"]["kept"]
    assert kept is not None and kept.value == 1.0 and kept.num_clips == 72
    known = rows["captions' words"]
    assert value(known["setting"]) == value(known["light"]) == value(known["camera"]) == 1.0


class Mirror:
    """A captioner that says the same of every clip, and remembers what it was shown and in which style it was asked."""

    id = "mirror"

    def __init__(self):
        self.asked = []

    def caption(self, clips, style="dense"):
        self.asked.append((style, [clip.frames.shape for clip in clips]))
        return [TRUE] * len(clips)


def test_every_style_is_told_of_renders_and_of_reconstructions(tmp_path, monkeypatch):
    small = asked_prompts(1)
    monkeypatch.setattr(module, "load_expander", lambda _: None)
    monkeypatch.setattr(module, "asked_prompts", lambda: small)
    captioner = Mirror()
    report = module.evaluate_captions("mini", tmp_path, 2, captioner, console=Console(quiet=True))
    assert report == json.loads((tmp_path / "captions.json").read_text()) and report["captioner"] == "mirror"
    assert [style for style, _ in captioner.asked] == ["short", "short", "medium", "medium", "dense", "dense"]
    assert all(shapes == captioner.asked[0][1] for _, shapes in captioner.asked)
    for style, rows in report["captions"].items():
        assert set(rows) == {f"{name}{floor}" for name in SOURCES for floor in ("", ", other clips")}
        assert rows["simulator"]["event"]["value"] == 1.0 and (rows["captioner"]["camera"] is None) == (
            style == "short"
        )
    entry = describe(Part("captions", "Captions"), report)
    assert set(entry["sections"]["captions"]) == {f"What {style} captions say, mirror" for style in STYLES}
