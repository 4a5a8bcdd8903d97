import io

import pytest
from rich.console import Console

from ozora.evaluate.sizes import SIZES, TITLE, evaluate_sizes, size_cases
from ozora.evaluate.verdicts import check, metric_of, shares_of


def test_prompts_differ_in_the_size_and_scenes_in_nothing_else():
    cases = size_cases(3)
    for small, large in zip(cases["small"], cases["large"], strict=True):
        assert small.facts.objects[0].size == "small" and large.facts.objects[0].size == "large"
        assert small.prompt != large.prompt and small.seed == large.seed
        one, two = (dict(case.record.source["scene"]) for case in (small, large))
        for scene, word in ((one, "small"), (two, "large")):
            bodies = [dict(body) for body in scene.pop("bodies")]
            assert [body.pop("size") for body in bodies if body["role"] == "object"] == [SIZES[word]]
        assert one == two


def test_the_simulator_shows_sizes_and_its_controls_do_not(tmp_path):
    report = evaluate_sizes(None, tmp_path, 6, console=Console(file=io.StringIO()))
    rows = shares_of(report["sections"]["sizes"][TITLE])
    true = {column: share.value for column, share in rows["simulator"].items() if share}
    assert true["large is larger %"] == true["seen in both %"] == 1
    assert true["radius, large / small"] == pytest.approx(SIZES["large"] / SIZES["small"], rel=0.1)
    for column, fields in report["metrics"][TITLE].items():
        assert check(rows, column, metric_of(fields)).ranks is True
    assert (tmp_path / "sizes.md").exists()
    assert all((tmp_path / strip["file"]).exists() for strip in report["strips"]["sizes"])
