"""A build is a function of its plan: not of the number of workers, nor of how often it was stopped."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ozora.data.shards import ShardReader, whole_shards
from ozora.world import build as building
from ozora.world.build import Plan, build, draw_scene
from ozora.world.mix import WorldMix, parse_shares
from ozora.world.render import render
from ozora.world.scene import Scene
from ozora.world.show import show
from ozora.world.simulate import simulate
from ozora.world.split import HELD_OUT_PAIRS, split_of

MIX = WorldMix.mini().change(families="drop,roll:2,collide", sizes="32x32,48x16:0.5", num_frames="5:3,1")


def make(folder: Path, **changes: Any) -> int:
    arguments: dict[str, Any] = {"clips": 6, "seed": 4, "mix": MIX, "workers": 1, "clips_per_shard": 2}
    return build(folder, show_progress=False, **(arguments | changes))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    assert make(folder) == 6
    return folder


def test_two_workers_make_what_one_makes(whole, tmp_path):
    assert make(tmp_path, workers=2) == 6
    assert contents(tmp_path) == contents(whole)


def test_records_are_complete(whole):
    """Scene and simulator are in the record: simulating and rendering again gives every number and pixel back."""
    reader = ShardReader(whole)
    assert len(reader) == 6
    for i, record in enumerate(reader.records()):
        scene = Scene.from_json(json.dumps(record.source["scene"]))
        trajectory = simulate(scene)
        assert np.array_equal(render(scene, trajectory).frames, reader.clip(i).frames)
        assert np.array_equal(trajectory.position.astype(np.float32), reader.array(i, "position"))
        assert len(record.source["events"]) == len(trajectory.events)
        assert record.split == split_of(scene) == "train"
        assert record.facts is not None and len(record.captions) == (5 if record.num_frames > 1 else 1)
    assert len({record.id for record in reader.records()}) == 6


def test_resumes_whole_shards_and_grows(whole, tmp_path):
    make(tmp_path, clips=3)
    assert whole_shards(tmp_path) == [0, 1]
    assert make(tmp_path, clips=6) == 4  # the last shard was short, and is made again
    assert contents(tmp_path) == contents(whole)
    (tmp_path / "shard-00001.jsonl").unlink()
    (tmp_path / ".shard-00002.jsonl.part").write_text("left by a power cut")
    assert make(tmp_path) == 2
    assert make(tmp_path) == 0
    assert contents(tmp_path) == contents(whole)


def test_an_interrupted_build_leaves_whole_shards(whole, tmp_path, monkeypatch):
    real = building.make_clip

    def interrupted(plan, index):
        if index == 3:
            raise KeyboardInterrupt
        return real(plan, index)

    monkeypatch.setattr(building, "make_clip", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path)
    assert sorted(contents(tmp_path)) == ["build.json", "shard-00000.jsonl", "shard-00000.safetensors"]
    monkeypatch.undo()
    make(tmp_path)
    assert contents(tmp_path) == contents(whole)


def test_an_error_in_a_worker_is_raised_here(tmp_path):
    (tmp_path / "shard-00001.safetensors").mkdir()  # so that this shard cannot be written
    (tmp_path / "shard-00001.safetensors" / "in the way").touch()
    with pytest.raises(OSError, match="shard-00001"):
        make(tmp_path, workers=2)
    assert 1 not in whole_shards(tmp_path)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"clips": 0}, "clips is 0; it must be 1 or more"),
        ({"clips_per_shard": 0}, "clips_per_shard is 0"),
        ({"workers": 0}, "workers is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"split": "tests"}, "split 'tests' is not one of train"),
        ({"mix": MIX.change(shapes="cube")}, "needs at least one of sphere"),
    ],
)
def test_bad_input_is_refused_before_any_work(tmp_path, changes, says):
    folder = tmp_path / "new"
    with pytest.raises(ValueError, match=says):
        make(folder, **changes)
    assert not folder.exists()


def test_two_builds_do_not_mix(whole, tmp_path):
    before = contents(whole)
    for changes in ({"seed": 5}, {"split": "all"}, {"mix": WorldMix()}, {"clips": 1}):
        with pytest.raises(ValueError, match=f"{whole} holds"):
            make(whole, **changes)
    assert contents(whole) == before
    (tmp_path / "shard-00000.jsonl").touch()
    (tmp_path / "shard-00000.safetensors").touch()
    with pytest.raises(ValueError, match=r"no build.json"):
        make(tmp_path)


def test_a_split_can_be_asked_for(tmp_path):
    make(tmp_path, clips=2, split="held_out_pairs")
    for record in ShardReader(tmp_path).records():
        assert record.facts is not None
        assert {(o.color, o.shape) for o in record.facts.objects} & HELD_OUT_PAIRS


def test_a_mix_is_drawn_in_its_shares():
    mix = MIX.change(num_objects="1:3,2", cameras="static:3,pan")
    scenes = [draw_scene(Plan(0, mix), i) for i in range(300)]
    share = {
        "roll": np.mean([scene.family == "roll" for scene in scenes]),
        "wide": np.mean([scene.width == 48 for scene in scenes]),
        "static": np.mean([scene.camera.motion == "static" for scene in scenes]),
        "one": np.mean([len(scene.objects) == 1 for scene in scenes if scene.family != "collide"]),
    }
    for name, expected in {"roll": 0.5, "wide": 1 / 3, "static": 0.75, "one": 0.75}.items():
        assert abs(share[name] - expected) < 0.1, share


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"families": "drop,fly"}, "families: 'fly' is not one of drop"),
        ({"sizes": "64x64,65x64"}, "nearest legal size is 64x64 or 80x64"),
        ({"sizes": "64"}, "not WIDTHxHEIGHT"),
        ({"num_frames": "16"}, "nearest legal number is 13 or 17"),
        ({"fps": "0"}, "fps is 0"),
        ({"fps": "nan"}, "fps is nan"),
        ({"colors": "red:-1"}, "not negative"),
        ({"colors": "red:0"}, "every weight is 0"),
        ({"num_objects": "5"}, "5 is not one of 1, 2, 3, 4"),
        ({"num_objects": "two"}, "'two' in 'two'"),
    ],
)
def test_impossible_mixes(changes, says):
    with pytest.raises(ValueError, match=says):
        WorldMix.mini().change(**changes)


def test_presets_and_shares():
    assert parse_shares("a:2, b", str) == (("a", 2.0), ("b", 1.0))
    assert WorldMix.preset("mini") == WorldMix.mini()
    with pytest.raises(ValueError, match="there are full, mini"):
        WorldMix.preset("maxi")


def test_show_writes_a_sheet(whole, tmp_path):
    records = show(whole, tmp_path / "sheet.png", num_clips=2, start=1)
    assert records == ShardReader(whole).records()[1:3]
    assert (tmp_path / "sheet.png").stat().st_size > 500
    with pytest.raises(ValueError, match="holds clips 0 to 5"):
        show(whole, tmp_path / "sheet.png", start=6)
