import io
import json

import pytest
from rich.console import Console

from ozora.data.record import Facts, ObjectFacts, Record
from ozora.evaluate.alignment import Reading, SeenObject
from ozora.evaluate.cases import Case
from ozora.evaluate.suite import _others, evaluate, score_rows
from ozora.evaluate.track import Track


def case(number: int, color: str, shape: str) -> Case:
    facts = Facts((ObjectFacts(color, shape, "medium"),), "fall", "static")
    record = Record(
        f"c{number}", 64, 64, 17, 8.0, (), facts=facts, source={"scene": {"family": "drop", "seed": number}}
    )
    return Case(f"g{number}", f"a {color} {shape}", number, facts, record)


def test_others_never_share_a_prompt():
    groups = [f"g{i // 5}" for i in range(40)]
    others = _others(groups)
    assert all(groups[i] != groups[other] for i, other in enumerate(others))
    assert len(set(others)) > 30


def test_a_perfect_model_is_perfect_and_fails_other_prompts():
    colors = ("red", "green", "blue", "yellow")
    cases = [case(i, color, "sphere") for i, color in enumerate(colors)]
    readings = [Reading((SeenObject(color, "sphere", Track(color, ())),), "fall", "static") for color in colors]
    rows = score_rows({"model": readings}, cases, range(4))
    assert all(share is not None and share.value == share.low == 1 for share in rows["model"].values())
    shuffled = {part: share.value for part, share in rows["model, shuffled prompts"].items() if share}
    assert shuffled == {"count": 1, "colors": 0, "shapes": 1, "binding": 0, "event": 1, "camera": 1, "all": 0}


def test_the_simulator_passes_its_own_evaluation(tmp_path):
    console = Console(file=io.StringIO(), width=160)
    report = evaluate("simulator", "new", tmp_path, num_clips=6, console=console)
    rows = report["tables"]["new"]["subsets"]["all"]
    assert rows["simulator"]["count"]["value"] == rows["simulator"]["colors"]["value"] == 1
    assert rows["simulator, shuffled prompts"]["all"]["value"] < 0.5
    assert json.loads((tmp_path / "report.json").read_text()) == report
    assert "New seeds and wording" in (tmp_path / "report.md").read_text()
    assert not list(tmp_path.glob(".*"))


def test_bad_requests_are_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match="not one of"):
        evaluate("simulator", "everything", tmp_path / "no")
    with pytest.raises(ValueError, match="at least 2"):
        evaluate("simulator", "new", tmp_path / "no", num_clips=1)
    assert not (tmp_path / "no").exists()
