import json
import re

import pytest

from ozora.evaluate.alignment import event_class
from ozora.evaluate.cases import _PROMPTS, Case, cases_hash, make_cases, render_case
from ozora.evaluate.reader import CAMERAS, SHAPES
from ozora.evaluate.segment import COLORS
from ozora.world.split import HELD_OUT_PAIRS
from ozora.world.wording import HELD_OUT_WORDS

PROMPTS = json.loads(_PROMPTS.read_text(encoding="utf-8"))


def test_prompts_use_words_that_no_caption_has_and_name_facts_that_can_be_read():
    assert len({prompt["prompt"] for prompt in PROMPTS}) == 40
    for prompt in PROMPTS:
        words = set(re.findall(r"[a-z]+", prompt["prompt"].lower()))
        singular = words | {word.removesuffix("s") for word in words} | {word.removesuffix("es") for word in words}
        assert len(singular & set(HELD_OUT_WORDS)) >= 2, prompt["prompt"]
        assert not words & {*COLORS, *SHAPES, "ball", "box", "block"}, prompt["prompt"]
        assert all(item["color"] in COLORS and item["shape"] in SHAPES for item in prompt["objects"])
        assert event_class(prompt["event"]) == prompt["event"]
        assert prompt["camera"] in ("", *CAMERAS)


def test_the_set_is_a_function_of_its_seed_and_shorter_sets_begin_longer_ones(tmp_path):
    cases = make_cases("new", 3, tmp_path / "cases.json")
    assert cases_hash(make_cases("new", 3)) == cases_hash(cases)
    assert [case.prompt for case in make_cases("new", 2)] == [case.prompt for case in cases[:2]]
    assert make_cases("new", 3, tmp_path / "cases.json") == cases
    assert [Case.from_json(case.to_json()) for case in cases] == cases
    assert all(case.record.split == "new_seeds" for case in cases)
    assert {len(case.facts.objects) for case in cases} <= {1, 2}


def test_pairs_are_those_held_out():
    (case,) = make_cases("pairs", 1)
    assert {(item.color, item.shape) for item in case.facts.objects} & HELD_OUT_PAIRS


def test_a_prompt_has_five_seeds_and_scenes_that_show_it():
    cases = make_cases("prompts", 6)
    assert len({case.prompt for case in cases[:5]}) == 1
    assert [case.seed for case in cases] == [0, 1, 2, 3, 4, 0]
    shown = cases[5].record.facts
    assert shown is not None and shown.event == cases[5].facts.event
    clip, mask = render_case(cases[5])
    assert clip.frames.shape[:3] == mask.shape == (17, 64, 64)
    assert mask.any() and not mask.all()


def test_an_unknown_table_is_refused():
    with pytest.raises(ValueError, match="not simulated"):
        make_cases("old", 1)
