"""Distances between sets of clips rise with damage to frames and with damage to time, and tell the two apart."""

import io
import json
from itertools import combinations

import numpy as np
import pytest
from rich.console import Console

from ozora.clip import Clip
from ozora.evaluate import distribution
from ozora.evaluate.damage import DAMAGES
from ozora.evaluate.distribution import (
    CLAIMS,
    DISTANCE_TITLE,
    METRICS,
    REACTION_TITLE,
    SIMULATOR,
    UNDAMAGED,
    damage_clips,
    evaluate_distribution,
    rank_damages,
    thrown_out,
)
from ozora.evaluate.features import clip_features, look_features
from ozora.evaluate.frechet import frechet, mmd
from ozora.evaluate.tables import Share

NUM_CLIPS = 32


@pytest.fixture(scope="module")
def clips():
    """Renders that training never saw."""
    from ozora.evaluate.cases import make_cases, render_case

    return [render_case(case)[0] for case in make_cases("new", NUM_CLIPS)]


@pytest.mark.parametrize("name", CLAIMS["clips"])
def test_distances_of_clips_rise_with_damage_to_simulator_clips(clips, name):
    assert in_order(clip_features, clips, name) >= 0.9


@pytest.mark.parametrize("name", CLAIMS["look"])
def test_distances_of_look_rise_with_damage_to_frames(clips, name):
    assert in_order(look_features, clips, name) == 1


def in_order(see, clips, name):
    """The share of pairs of levels that are in order, for both distances the lower of the two."""
    damage, true = DAMAGES[name], see(clips)
    deviation = true.std(axis=0) + 1e-6
    clouds = [true, *(see(damage_clips(clips, damage, level)) for level in damage.levels)]
    values = [[distance(cloud / deviation, true / deviation) for cloud in clouds] for distance in (frechet, mmd)]
    return min(np.mean([a < b for a, b in combinations(row, 2)]) for row in values)


def test_look_does_not_see_disorder_and_does_see_noise(clips):
    true = look_features(clips)
    shuffled = look_features(damage_clips(clips, DAMAGES["shuffled"], 17.0))
    noisy = look_features(damage_clips(clips, DAMAGES["noise"], 32.0))
    assert frechet(noisy, true) > 20 * frechet(shuffled, true)


def share(value):
    return Share(value, value - 0.1, value + 0.1, 100)


def test_a_column_that_does_not_rank_damage_is_thrown_out():
    def rows(values):
        return {name: {"clips, MMD": share(value)} for name, value in values.items()}

    good = {UNDAMAGED: 0.0} | {
        damage.words.format(level): float(level) for damage in DAMAGES.values() for level in damage.levels
    }
    order = rank_damages(rows(good), "clips, MMD")
    assert set(order.values()) == {1.0} and not thrown_out({"clips, MMD": order})
    bad = {name: -value for name, value in good.items()}
    order = rank_damages(rows(bad), "clips, MMD")
    assert set(order.values()) == {0.0}
    assert "blur" in thrown_out({"clips, MMD": order})["clips, MMD"]
    temporal = {name: 0.0 if damage.temporal else 1.0 for name, damage in DAMAGES.items()}
    assert not thrown_out({"look, MMD": temporal}) and thrown_out({"clips, MMD": temporal})


def drawn_clip(draw_discs, line, number):
    chance = np.random.default_rng(number)
    start, step = chance.uniform(16, 48, 2), chance.uniform(-1, 1, 2)
    color = ("red", "blue", "green")[number % 3]
    return Clip(draw_discs({color: line(start, step, 5)}, radius=7.0), 8.0)


def test_evaluation_goes_on_where_it_was_stopped(draw_discs, line, monkeypatch, tmp_path, noisy_generator):
    from ozora.data.record import Facts, ObjectFacts, Record
    from ozora.evaluate.cases import Case

    def cases(table, num, cache=None):
        facts = Facts((ObjectFacts("red", "sphere", "medium"),), "roll", "static")
        source = [{"scene": {"family": "roll", "seed": i}} for i in range(num)]
        records = [Record(f"c{i}", 64, 64, 5, 8.0, (), facts=facts, source=source[i]) for i in range(num)]
        return [Case(f"g{i}", "a red ball rolls", i, facts, record) for i, record in enumerate(records)]

    monkeypatch.setattr(distribution, "make_cases", cases)
    monkeypatch.setattr(distribution, "render_case", lambda case: (drawn_clip(draw_discs, line, case.seed), None))
    console = Console(file=io.StringIO(), width=200)
    report = evaluate_distribution(noisy_generator, tmp_path, 20, console=console)
    rows = report["sections"]["distribution"][DISTANCE_TITLE]
    assert list(rows)[:3] == ["model", "reconstruction", SIMULATOR]
    assert set(METRICS["clips, MMD"].worse) <= set(rows)
    assert rows[SIMULATOR]["clips, Fréchet"] is None  # of so few clips
    assert rows["noise alone"]["clips, MMD"]["value"] > 10 * abs(rows[SIMULATOR]["clips, MMD"]["value"])
    assert rows["model"]["look, MMD"]["num_clips"] == 20
    assert UNDAMAGED in report["sections"]["reaction"][REACTION_TITLE]
    assert json.loads((tmp_path / "distribution.json").read_text()) == report
    assert DISTANCE_TITLE in (tmp_path / "distribution.md").read_text()
    folder = next(tmp_path.glob("clips-new-*"))
    kept = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert evaluate_distribution(noisy_generator, tmp_path, 20, console=console) == report
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == kept


def test_too_few_clips_are_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match="20 at least"):
        evaluate_distribution(None, tmp_path / "no", 19)
    assert not (tmp_path / "no").exists()
