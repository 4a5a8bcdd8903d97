"""Recipes load and are refused before any work where they are wrong; the debug recipe gives models that load."""

from dataclasses import replace
from pathlib import Path

import pytest

from ozora.generate.folder import load_folder
from ozora.train import run
from ozora.train.config import TrainConfig, TransformerFit
from ozora.train.run import load_recipe, train

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize("name", ["debug", "mini"])
def test_recipes_are_frozen_values(name):
    path = RECIPES / f"{name}.py"
    config = load_recipe(str(path))
    assert config.name == path.stem and config == load_recipe(f"{path}:recipe")
    with pytest.raises(AttributeError):
        config.name = "other"  # pyright: ignore[reportAttributeAccessIssue]


def test_what_is_no_recipe_is_said_at_once(tmp_path):
    with pytest.raises(ValueError, match="is no file"):
        load_recipe("recipes/nowhere.py")
    (tmp_path / "wrong.py").write_text("def recipe():\n    return 3\n")
    with pytest.raises(ValueError, match="returns a TrainConfig"):
        load_recipe(str(tmp_path / "wrong.py"))
    with pytest.raises(ValueError, match="each with its own name"):
        train(TrainConfig("empty", ()), out=tmp_path)


def test_a_run_is_not_overwritten_and_finished_fits_are_not_done_again(tmp_path, monkeypatch):
    config = load_recipe(str(RECIPES / "debug.py"))
    fits = tuple(replace(fit, name=name) for fit, name in zip(config.fits[1:3], "ab"))
    done = []

    def fake_fit(fit: TransformerFit, data: Path, out: Path, resume: bool) -> None:
        done.append((fit.name, resume))
        (out / fit.name).mkdir(parents=True)
        (out / fit.name / "config.json").write_text("{}")
        if resume is False:
            raise KeyboardInterrupt

    monkeypatch.setattr(run, "fit_transformer", fake_fit)
    short = TrainConfig("short", fits)
    with pytest.raises(KeyboardInterrupt):
        train(short, out=tmp_path)
    with pytest.raises(ValueError, match="--resume"):
        train(short, out=tmp_path)
    assert train(short, resume=True, out=tmp_path) == tmp_path / "b"
    assert done == [("a", False), ("b", True)]


def test_the_debug_recipe_trains_both_networks_with_all_conditionings(tmp_path):
    config = load_recipe(str(RECIPES / "debug.py"))
    last = train(config, out=tmp_path)
    assert last == tmp_path / config.fits[-1].name
    for fit in config.fits:
        model = load_folder(tmp_path / fit.name)
        assert (model.transformer is not None) == isinstance(fit, TransformerFit)
        assert (tmp_path / f"{fit.name}-run" / "log.jsonl").stat().st_size > 0
