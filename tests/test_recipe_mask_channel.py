"""Do both arms of the comparison with a mask channel see the same rows, and are they told what they should be?"""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ozora.data.dataset import Dataset, MixtureConfig
from ozora.data.latents import CaptionCache, LatentCache
from ozora.generate.tasks import random_canvas_mask
from ozora.geometry import Geometry
from ozora.model.transformer import TransformerConfig
from ozora.nn.rows import Segment, Span, pack
from ozora.train.config import RunConfig, TransformerFit

RECIPE = Path(__file__).parents[1] / "recipes" / "mask_channel.py"
spec = importlib.util.spec_from_file_location("recipe_mask_channel", RECIPE)
assert spec and spec.loader
recipe = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = recipe
spec.loader.exec_module(recipe)

TINY = TransformerConfig(patch_width=16, text_width=2, width=16, num_blocks=1, num_heads=1)


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    """Eight clips of noise in the latent grid of 17 frames of 64x64, and a picture."""
    torch.manual_seed(0)
    grids = {i: (1 if i == 8 else 5, 8, 8) for i in range(9)}
    latents = {str(i): torch.randn(4, *grid).half() for i, grid in grids.items()}
    header = {"refused": "{}", "fps": json.dumps(dict.fromkeys(range(9), 8.0))}
    save_file(latents, tmp_path / "latents.safetensors", header)
    captions = {"states": torch.randn(9, 2).half(), "offsets": torch.arange(10)}
    save_file(captions, tmp_path / "captions.safetensors", {"captions": json.dumps([(i, "dense") for i in range(9)])})
    return Dataset(
        LatentCache([tmp_path / "latents.safetensors"], [0.0] * 4, [1.0] * 4),
        CaptionCache([tmp_path / "captions.safetensors"]),
        Geometry(latent_channels=4),
        random_canvas_mask,
        MixtureConfig(),
    )


def layout_of(*lengths: int):
    return pack([Segment(torch.randn(n, 3), torch.zeros(n).bool(), (Span(n, torch.ones(1, 2)),)) for n in lengths])


def test_all_tokens_of_a_clip_are_told_one_level_and_what_is_given():
    """Beside the mask there is no difference: with it taken away the network cannot tell given from made."""
    torch.manual_seed(0)
    channel, layout = recipe.MaskChannel(TINY).eval(), layout_of(3, 2)
    for parameter in channel.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    sigma = torch.tensor([0.0, 0.5, 0.5, 0.9, 0.0])
    assert recipe.level_of_segments(sigma, layout).tolist() == pytest.approx([0.5] * 3 + [0.9] * 2)
    patches, whole = torch.randn(5, 16), torch.tensor([0.5] * 3 + [0.9] * 2)
    assert channel(patches, sigma, layout).shape == (5, 16)
    assert not torch.allclose(channel(patches, sigma, layout), channel(patches, whole, layout))
    with torch.no_grad():
        channel.network.patch_in.weight[:, -1] = 0
    assert torch.allclose(channel(patches, sigma, layout), channel(patches, whole, layout))


def test_the_held_out_rows_of_all_tasks_differ_in_what_is_given_alone(dataset):
    first, *others = [recipe.held_out_rows(dataset, task)[0] for task in recipe.TASKS]
    assert len(first.known) == 8 * 80  # the picture is left out
    assert first.known[:80].sum() == 16
    for row in others:
        assert torch.equal(row.clean, first.clean) and not torch.equal(row.known, first.known)
        assert set(row.known.unique().tolist()) == {0.0, 1.0}


def test_both_arms_go_on_from_the_same_weights():
    """Before the first step the mask channel answers as the start does when it is told one level for all."""
    torch.manual_seed(0)
    start, layout = recipe.Transformer(TINY), layout_of(3, 2)
    for parameter in start.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    patches, sigma = torch.randn(5, 16), torch.tensor([0.0, 0.5, 0.5, 0.9, 0.0])
    levels, channel = (recipe.begin(arm, TINY, start) for arm in ("noise levels", "mask channel"))
    assert torch.equal(levels(patches, sigma, layout), start(patches, sigma, layout))
    level = recipe.level_of_segments(sigma, layout)
    assert torch.allclose(channel(patches, sigma, layout), start(patches, level, layout), atol=1e-6)


def test_an_arm_is_measured_once_and_told_apart_by_the_table(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "CLIPS_A_ROW", 4)
    fit = TransformerFit(RunConfig(2), network=TINY, row_tokens=160, mixture=replace(dataset.mixture, jitter=0.0))
    held_out = {task: recipe.held_out_rows(dataset, task) for task in recipe.TASKS}
    results = {arm: [recipe.run_arm(arm, 0, 2, fit, dataset, held_out, tmp_path)] for arm in recipe.ARMS}
    one, other = (found[0] for found in results.values())
    assert all(0 < one.loss[task] != other.loss[task] for task in recipe.TASKS)
    monkeypatch.setattr(recipe, "training_step", lambda *_: pytest.fail("trained again"))
    assert recipe.run_arm("noise levels", 0, 2, fit, dataset, held_out, tmp_path) == one
    assert recipe.table(results, 2).count("| mask channel, 0 |") == 1
