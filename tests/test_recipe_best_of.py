"""The best of several: who chooses what, how sure the gain is, and a run that goes on where it stopped."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ozora.evaluate.alignment import Score

RECIPE = Path(__file__).parents[1] / "recipes/best_of.py"


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("recipe_best_of", RECIPE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def drawn(recipe, good, own, other):
    scores = tuple(Score(one, one, one, one, None, None) for one in good)
    return recipe.Drawn(scores, tuple(own), tuple(other))


def test_shares_are_means_over_all_choices(recipe):
    # The captioner finds the good one of every pair, another prompt never does.
    cases = [drawn(recipe, (True, False, False, True), (-1, -2, -4, -3), (-2, -1, -3, -4)) for _ in range(3)]
    one = recipe.shares(cases, 1, recipe.by_captioner)
    assert (one["count"].value, one["count"].num_clips, one["event"]) == (0.5, 12, None)
    assert recipe.shares(cases, 2, recipe.by_captioner)["colors"].value == 1
    assert recipe.shares(cases, 2, recipe.by_another_prompt)["colors"].value == 0
    assert recipe.shares(cases, 4, recipe.by_captioner)["colors"].value == 1  # -1 is the first
    gain = recipe.gains(cases, 2)["shapes"]
    assert (gain.value, gain.low, gain.high) == (0.5, 0.5, 0.5)
    # One of four is good: the captioner is wrong about it, the evaluator is not.
    blind = [drawn(recipe, (False, False, True, False), (-1, -2, -3, -4), (0, 0, 0, 0))] * 2
    assert recipe.shares(blind, 4, recipe.by_captioner)["count"].value == 0
    assert recipe.shares(blind, 4, recipe.by_evaluator)["all"].value == 1
    assert recipe.gains(blind, 4)["count"].value == -0.25


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_was_drawn_is_kept_and_gone_on_from(recipe, writing_folder, tmp_path):
    asked = (tmp_path, str(writing_folder), "new", 3, 2, 2)
    file = recipe.draw_all(*asked)
    whole = file.read_text()
    head, cases = recipe.read_drawn(file)
    assert (head["num"], head["steps"], head["answers"], len(cases)) == (2, 2, 4, 3)
    assert all(len(case.scores) == len(case.own) == len(case.other) == 2 for case in cases)
    assert len({case.own for case in cases}) == 3 and all(case.own != case.other for case in cases)
    file.write_text("".join(whole.splitlines(keepends=True)[:3]))
    with pytest.raises(ValueError, match="holds 2 of 3 cases"):
        recipe.read_drawn(file)
    assert recipe.draw_all(*asked).read_text() == whole
    page = recipe.written([file], tmp_path)
    assert "New seeds and wording, 2 steps, all, 3 prompts" in page and "best of 2, 8 answers" in page
    file.write_text(whole.replace(json.dumps(head["model"]), '"another"'))
    with pytest.raises(ValueError, match="move it away to draw anew"):
        recipe.draw_all(*asked)
