"""What full prompts are worth is judged by what the short ones asked for, on the same seeds."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ozora.clip import Clip
from ozora.data.record import Caption
from ozora.evaluate import expansion as module
from ozora.evaluate.cases import make_cases
from ozora.evaluate.expansion import evaluate_expansion, expanded_cases, short_cases
from ozora.generate.generator import Generator

FULL = "{} The scene is set on a dark floor under a warm sky. The camera does not move."


class Completes:
    """An expander that adds a setting to what it is asked."""

    id = "completes"

    def propose(self, prompt, seed=0):
        return [FULL.format(prompt)]


class Draws(Generator):
    """Draws grey clips, and remembers what it was asked."""

    hash = "0" * 64

    def __init__(self):
        self.asked = []

    def draw(self, generator, cases, batch, steps, guidance, folder):
        self.asked += [(case.prompt, case.seed, case.record) for case in cases]
        sizes = [(case.record.num_frames, case.record.height, case.record.width, 3) for case in cases]
        return [Clip(np.full(size, 128, np.uint8), case.record.fps) for case, size in zip(cases, sizes)]


@pytest.fixture(scope="module")
def cases():
    return make_cases("prompts", 4)


def test_prompts_in_full_are_asked_of_the_same_scenes_with_the_same_seeds(cases):
    longer = expanded_cases(cases, [Completes()])
    assert all(case.prompt.endswith(FULL[3:]) for case in longer)
    assert [replace(case, prompt="") for case in cases] == [replace(case, prompt="") for case in longer]
    assert all(case.prompt != longer.prompt for case, longer in zip(cases, expanded_cases(cases, [])))


def test_short_captions_ask_for_what_they_say(cases, monkeypatch):
    said = replace(cases[0].record, captions=(Caption("dense", "It falls."), Caption("short", "a red ball falls")))
    told = replace(cases[0], record=said, facts=replace(cases[0].facts, camera="pan left"))
    monkeypatch.setattr(module, "make_cases", lambda *_: [told])
    (short,) = short_cases(1)
    assert (short.prompt, short.facts.camera) == ("a red ball falls", "")
    assert replace(short, prompt=told.prompt, facts=told.facts) == told


def test_each_way_is_drawn_once_and_the_report_says_what_was_asked(cases, tmp_path, monkeypatch):
    generator = Draws()
    monkeypatch.setattr(module.Generator, "load", lambda *_: generator)
    monkeypatch.setattr(module, "generated", generator.draw)
    monkeypatch.setattr(module, "make_cases", lambda *_: cases)
    monkeypatch.setattr(module, "short_cases", lambda *_: [replace(case, prompt=FULL) for case in cases])
    monkeypatch.setattr(module, "load_expander", lambda _: Completes())
    report = evaluate_expansion("mini", tmp_path, 4, batch=2)
    assert report == json.loads((tmp_path / "expansion.json").read_text())
    by_hand, short = report["rows"].values()
    assert set(by_hand) == set(short) == {"as it is", "expanded", "by rules alone"}
    assert {share["value"] for share in by_hand["as it is"].values() if share} == {0.0}  # grey shows nothing
    assert len(generator.asked) == 12 + 4  # in full already, so the same in every way
    assert report["prompts"]["prompts"][0] == [generator.asked[i][0] for i in (0, 4, 8)]
    assert [asked[1:] for asked in generator.asked[:4]] == [asked[1:] for asked in generator.asked[4:8]]
    assert [asked[0] for asked in generator.asked[8:12]] == [case.prompt for case in expanded_cases(cases, [])]
