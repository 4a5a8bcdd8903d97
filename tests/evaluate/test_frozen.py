"""The evaluation set is frozen: its first cases are those that `mini` was scored on, in words, facts and scenes."""

from importlib.metadata import version

import pytest

from ozora.evaluate.cases import cases_hash, make_cases

MUJOCO = "4.0.0"
FROZEN = {
    "new": "a508279660c1456eea8477cb531107d2e560ed2dc7b617d306c9940364fcc287",
    "pairs": "e516ebf8830ac78380c6a303851cdc4a2d0dc86fc1db571ce0f62023d948792f",
    "prompts": "716813e556957f19a5f510e61bd7672efd196d368c5d5199331baae1a1d9a7bd",
}


@pytest.mark.parametrize("table", FROZEN)
def test_the_first_cases_of_a_table_are_the_frozen_ones(table):
    if version("mujoco") != MUJOCO:
        pytest.skip(f"what happens in a scene is exact for one MuJoCo version; the set was frozen with {MUJOCO}")
    assert cases_hash(make_cases(table, 8)) == FROZEN[table]
