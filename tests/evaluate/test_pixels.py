import io
import json

import numpy as np
import pytest
from rich.console import Console

from ozora.clip import Clip
from ozora.evaluate.bench import Bench
from ozora.evaluate.pixels import SECTIONS, evaluate_pixels
from ozora.evaluate.suite import evaluate
from ozora.generate.generator import Generator
from ozora.generate.request import Request

SECTIONS_WITHOUT_A_MODEL = ("animate", "extend forward", "extend backward", "loop", "connect", "edit", "fill")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, two_cases):
    """A folder with two cases in it, so that no test draws them again."""
    folder = tmp_path_factory.mktemp("pixels")
    lines = "".join(case.to_json() + "\n" for case in two_cases)
    (folder / "cases-pixels-asked.json").write_text(lines, encoding="utf-8")
    return folder


def quiet():
    return Console(file=io.StringIO(), width=200)


def value(report, section, row, column):
    (table,) = [table for table in report["sections"][section].values() if row in table and column in table[row]]
    return table[row][column]["value"]


def test_measures_rank_the_controls_below_the_simulator(folder):
    report = evaluate_pixels(None, folder, 2, console=quiet(), sections=SECTIONS_WITHOUT_A_MODEL)
    assert value(report, "animate", "simulator", "moves %") == 1 > value(report, "animate", "frozen clip", "moves %")
    for section in ("extend forward", "extend backward"):
        assert value(report, section, "simulator", "step 0.5 to 1.5 %") == 1
        assert value(report, section, "simulator", "velocity goes on %") == 1
        for control in ("frozen clip", "repeated clip"):
            assert value(report, section, control, "step 0.5 to 1.5 %") == 0
            assert value(report, section, control, "velocity goes on %") == 0
    assert value(report, "loop", "back and forth", "step 0.5 to 1.5 %") == 1
    assert value(report, "loop", "back and forth", "velocity goes on %") == 0
    assert value(report, "loop", "frozen clip", "travels its width %") == 0
    assert value(report, "loop", "repeated clip", "step 0.5 to 1.5 %") == 0
    assert value(report, "connect", "frozen clip", "no jump above 3 %") == 0
    assert value(report, "connect", "cross-fade", "no jump above 3 %") == 1
    assert value(report, "connect", "cross-fade", "sharpness in the middle / ends") < 0.6
    assert value(report, "edit", "simulator, recolored", "recolored on its path %") == 1
    assert value(report, "edit", "source as it is", "recolored on its path %") == 0
    assert (
        value(report, "fill", "simulator", "object is back %")
        == 1
        > value(report, "fill", "painted out", "object is back %")
    )
    assert value(report, "fill", "frozen clip", "on its path %") == 0
    assert json.loads((folder / "report.json").read_text()) == report
    assert "Loop: the bridge" in (folder / "report.md").read_text()
    assert not list(folder.glob(".*"))


def test_a_model_is_measured_beside_its_ceilings_and_controls(folder, noisy_generator):
    sections = ("animate", "loop", "fill", "company")
    report = evaluate_pixels(noisy_generator, folder, 2, batch=2, steps=2, console=quiet(), sections=sections)
    assert value(report, "animate", "model", "first frame exact %") == 1
    assert value(report, "animate", "text to video", "first frame exact %") == 0
    assert value(report, "loop", "model", "given frames exact %") == 1
    assert value(report, "fill", "model", "identical outside %") == 1
    assert value(report, "fill", "model", "known latents do not depend on what was removed %") == 1
    assert value(report, "fill", "model", "they would, encoded with it in sight %") == 1
    assert value(report, "company", "model", "clips that agree %") == 1
    assert (folder / "pixels-animate.png").exists()


def test_a_stopped_evaluation_goes_on(two_cases, noisy_generator, tmp_path, monkeypatch):
    bench = Bench(noisy_generator, two_cases, tmp_path, batch=1, steps=1)

    def request(generator, i):
        return Request(two_cases[i].prompt, (32, 32), 0.5, 8.0, **bench.options(two_cases[i]))

    first = bench.draw("short", request)
    drawn = []

    def render(generator, requests):
        drawn.extend(requests)
        return [Clip(np.zeros((4, 32, 32, 3), np.uint8), 8.0) for _ in requests]

    monkeypatch.setattr(Generator, "render", render)
    assert all(np.array_equal(*clips) for clips in zip(first, bench.draw("short", request)))
    assert not drawn
    (shard,) = tmp_path.glob("clips-pixels/*/shard-00001.jsonl")
    shard.unlink()
    again = bench.draw("short", request)
    assert [r.seed for r in drawn] == [two_cases[1].seed]
    assert np.array_equal(again[0], first[0]) and not again[1].any()
    bench.draw("another", request)
    assert len(drawn) == 3


def test_bad_requests_are_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match="not one of animate"):
        evaluate_pixels(None, tmp_path / "no", 2, sections=("dance",))
    with pytest.raises(ValueError, match="at least 2"):
        evaluate_pixels(None, tmp_path / "no", 1)
    with pytest.raises(ValueError, match="world, pixels"):
        evaluate("simulator", "pixel", tmp_path / "no")
    assert not (tmp_path / "no").exists()
    assert "minute" in SECTIONS
