"""The evaluation sets are frozen: their first cases are those that `mini` was scored on, in words, facts and scenes."""

from importlib.metadata import version

import pytest

from ozora.evaluate.cases import cases_hash, make_cases
from ozora.evaluate.world_cases import KINDS, world_cases

MUJOCO = "4.0.0"
FROZEN = {
    "new": "a508279660c1456eea8477cb531107d2e560ed2dc7b617d306c9940364fcc287",
    "pairs": "e516ebf8830ac78380c6a303851cdc4a2d0dc86fc1db571ce0f62023d948792f",
    "prompts": "716813e556957f19a5f510e61bd7672efd196d368c5d5199331baae1a1d9a7bd",
}
FROZEN_WORLD = {
    "gravity": "67ad136fd7414b662d4246aa50143a9f57e6fff49ec6ec7a6f06c2ef93d42abd",
    "contacts": "eb38c5aace228a5e31e9d28da0858804ab33a31d9ba83bde0f37dc578ed882a1",
    "state": "5b324aae265581f0f0ceb6937f473186b78ff61aec3ada2aeda4e5976cb9af7a",
    "permanence": "8e9bc373039c9c45a6c7b85595786fc3ce254d89ac71f6b7e40abc3472981675",
    "rigidity": "1aeabf8126162d0c164bc2466d574d253f74e2b6753ba21459e1fce26cf03b02",
    "in distribution": "657391f5c1dcae4745b1dd2d864411b71318a593a157208c86ce20892665b3c7",
    "held-out templates": "d4cbeb8271f2970343d9fa8ce3c0a3bf7401498cd34e55c966600ab9083d8574",
    "held-out speeds": "87bb22a3079d40a4b92d7e01333658a4348837e34c207905fb8b94efe24ccbe6",
    "held-out pairs": "13e93d2fe3b2c62af622b51a72bb6cd19ab043552646c2bbb893725325a0c452",
}


@pytest.fixture(autouse=True)
def same_physics() -> None:
    if version("mujoco") != MUJOCO:
        pytest.skip(f"what happens in a scene is exact for one MuJoCo version; the sets were frozen with {MUJOCO}")


@pytest.mark.parametrize("table", FROZEN)
def test_the_first_cases_of_a_table_are_the_frozen_ones(table):
    assert cases_hash(make_cases(table, 8)) == FROZEN[table]


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_cases_about_the_world_are_the_frozen_ones(kind):
    assert cases_hash(world_cases(kind, 2)) == FROZEN_WORLD[kind]
