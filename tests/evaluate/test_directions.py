"""Left is told from right: in prompts, in the simulator's clips and their mirrors, and not by what stands still."""

import io

import pytest
from rich.console import Console

from ozora.evaluate.directions import (
    METRICS,
    NUM_CHOICE,
    TITLE,
    asked_side,
    direction_cases,
    evaluate_directions,
    mirrored,
)
from ozora.evaluate.verdicts import check, metric_of, shares_of
from ozora.generate.generator import Generator


@pytest.mark.parametrize(
    ("prompt", "side"),
    [
        ("A red ball rolls to the left, seen by a static camera.", "left"),
        ("A cube is on the left. It slides across the floor to the right and stops.", "right"),
        ("A cube on the left stands still.", None),
        ("A ball rolls to the left. Then it rolls to the right.", None),
    ],
)
def test_a_prompt_says_one_side_or_none(prompt, side):
    assert asked_side(prompt) == side


def test_cases_say_their_way_and_mirrors_the_other():
    cases = direction_cases(6)
    assert {case.facts.event for case in cases} == {"roll", "slide"}
    for case in cases:
        assert len(case.facts.objects) == 1 and case.facts.camera == "static"
        assert {asked_side(case.prompt), asked_side(mirrored(case).prompt)} == {"left", "right"}
        assert mirrored(mirrored(case)) == case and mirrored(case).seed == case.seed
    assert {asked_side(case.prompt) for case in direction_cases(12)} == {"left", "right"}


def test_the_simulator_goes_there_and_its_controls_do_not(tmp_path):
    report = evaluate_directions(None, tmp_path, 8, console=Console(file=io.StringIO()))
    rows = shares_of(report["sections"]["directions"][TITLE])
    assert {column: share.value for column, share in rows["simulator"].items() if share} == {
        "goes there %": 1.0,
        "both ways %": 1.0,
        "seen in both %": 1.0,
    }
    exchanged, frozen = rows["words exchanged"]["goes there %"], rows["frozen clip"]["both ways %"]
    assert exchanged and exchanged.value == 0 and frozen and frozen.value == 0
    for column, fields in report["metrics"][TITLE].items():
        assert column in METRICS and check(rows, column, metric_of(fields)).ranks is True
    assert (tmp_path / "directions.md").exists()
    assert all((tmp_path / strip["file"]).exists() for strip in report["strips"]["directions"])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_model_that_can_see_is_measured_as_its_best_too(writing_folder, tmp_path):
    generator = Generator.load(writing_folder)
    report = evaluate_directions(generator, tmp_path, 2, steps=2, console=Console(file=io.StringIO()))
    rows = report["sections"]["directions"][TITLE]
    assert list(rows)[:4] == ["model", f"best of {NUM_CHOICE}", "reconstruction", "simulator"]
    assert len(list((tmp_path / "clips-pixels").iterdir())) == 2 * NUM_CHOICE
