"""Do the world's measures tell the simulator from clips that are broken on purpose?"""

import json

import pytest

from ozora.evaluate.bench import Bench
from ozora.evaluate.cases import cases_hash
from ozora.evaluate.contacts import contacts
from ozora.evaluate.gravity import GRAVITY, gravity
from ozora.evaluate.permanence import permanence
from ozora.evaluate.ranking import Judged, kept_and_thrown_out
from ozora.evaluate.rigidity import rigidity
from ozora.evaluate.state import state
from ozora.evaluate.tables import Share
from ozora.evaluate.trajectories import trajectories
from ozora.evaluate.verdicts import Metric
from ozora.evaluate.world_cases import SPLITS, world_cases
from ozora.evaluate.worlds import evaluate_world
from ozora.world.scene import Scene
from ozora.world.split import split_of


def values(measure, kind: str, out, num: int = 3) -> dict[str, dict[str, float]]:
    """Row -> column -> value of all tables of a section, on the first cases, without a model."""
    bench = Bench(None, world_cases(kind, num), out, 8)
    rows: dict[str, dict[str, float]] = {}
    for judged in measure(bench):
        for name, row in judged.rows.items():
            rows.setdefault(name, {}).update({column: share.value for column, share in row.items() if share})
    return rows


def test_gravity_is_read_and_a_fifth_of_it_too(tmp_path) -> None:
    rows = values(gravity, "gravity", tmp_path)
    read = {name: row.get("gravity (m/s2)") for name, row in rows.items()}
    assert read["simulator"] == pytest.approx(GRAVITY, rel=0.1)
    assert read["a fifth of the gravity"] == pytest.approx(GRAVITY / 5, rel=0.15)
    assert read["frozen frame"] == pytest.approx(0, abs=0.1)
    assert rows["simulator"]["floats %"] == 0 and rows["frozen frame"]["floats %"] == 1


def test_who_is_struck_moves_and_is_not_passed_through(tmp_path) -> None:
    rows = values(contacts, "contacts", tmp_path, num=8)
    moves = {name: row.get("the struck one moves %") for name, row in rows.items()}
    assert moves["simulator"] == 1 and moves["ghosts"] == 0 and moves["held in place"] == 0
    overlap = "overlap / the smaller one"
    assert rows["simulator"][overlap] < 0.3 < 0.6 < rows["ghosts"][overlap]
    assert rows["simulator"]["energy after / before"] < 1 < rows["backwards"]["energy after / before"]


def test_states_change_when_they_must_only_then_and_for_good(tmp_path) -> None:
    rows = values(state, "state", tmp_path)
    assert rows["simulator"]["changes when it must %"] == 1 and rows["nothing reacts"]["changes when it must %"] == 0
    assert rows["simulator"]["only at a touch %"] == 1 and rows["turned away"]["only at a touch %"] < 1
    assert rows["simulator"]["stays changed %"] == 1 and rows["changes undone"]["stays changed %"] == 0


def test_what_vanishes_appears_or_turns_into_something_else_is_seen(tmp_path) -> None:
    rows = values(permanence, "permanence", tmp_path, num=4)
    assert rows["simulator"]["vanishes %"] == 0 and rows["removed halfway"]["vanishes %"] == 1
    assert rows["simulator"]["from nowhere %"] == 0 and rows["added halfway"]["from nowhere %"] == 1
    same = "same shape in both halves %"
    assert rows["simulator"][same] == 1 and rows["changes shape"][same] == 0


def test_a_scene_is_rigid_and_what_melts_or_does_not_turn_is_not(tmp_path) -> None:
    rows = values(rigidity, "rigidity", tmp_path, num=2)
    off = "off one rigid scene (pixels)"
    assert rows["simulator"][off] < rows["things drift"][off] < rows["melting"][off]
    assert rows["simulator"]["turned / asked"] == pytest.approx(1, abs=0.3)
    assert rows["the camera pans"]["turned / asked"] < 0.3


def test_every_split_has_its_own_cases_and_physics_is_nearest(tmp_path) -> None:
    benches = {split: Bench(None, world_cases(split, 2), tmp_path, 8) for split in SPLITS}
    for split, bench in benches.items():
        scenes = [Scene.from_json(json.dumps(case.record.source["scene"])) for case in bench.cases]
        assert {split_of(scene) for scene in scenes} == {SPLITS[split]}
    distance, *_ = trajectories(benches)
    for split in SPLITS:
        column = f"{split} (% of side)"
        own, still = (distance.rows[name][column] for name in ("simulator", "nothing moves"))
        assert own is not None and still is not None and own.value < 2 < still.value


def test_a_longer_set_begins_as_a_shorter_one_does() -> None:
    assert cases_hash(world_cases("gravity", 2)) == cases_hash(world_cases("gravity", 4)[:2])
    with pytest.raises(ValueError, match="kind 'magic' is not one of"):
        world_cases("magic", 2)


def test_a_column_that_does_not_rank_its_controls_is_thrown_out() -> None:
    def share(value: float) -> Share:
        return Share(value, value - 0.05, value + 0.05, 20)

    rows = {
        "simulator": {"good %": share(0.9), "blind %": share(0.9)},
        "frozen frame": {"good %": share(0.1), "blind %": share(0.88)},
    }
    claims = Metric("high", worse=("frozen frame",))
    kept, rest, why = kept_and_thrown_out(Judged("a table", rows, {"good %": claims, "blind %": claims}))
    assert list(kept["simulator"]) == ["good %"] and list(rest["simulator"]) == ["blind %"] and list(why) == ["blind %"]


def test_a_section_is_left_as_files_and_bad_input_is_refused(tmp_path) -> None:
    report = evaluate_world(None, tmp_path, 2, sections=("gravity",))
    assert json.loads((tmp_path / "world.json").read_text(encoding="utf-8")) == report
    (title,) = report["sections"]["gravity"]
    assert f"### {title}" in (tmp_path / "world.md").read_text(encoding="utf-8")
    assert report["model"] == "simulator" and list(report["evaluation_sets"]) == ["gravity"]
    with pytest.raises(ValueError, match="section 'magic'"):
        evaluate_world(None, tmp_path, 2, sections=("magic",))
    with pytest.raises(ValueError, match="at least 2"):
        evaluate_world(None, tmp_path, 1)
