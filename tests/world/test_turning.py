"""One scene turns into another: alone at both ends, no jump between, the same again from its record."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ozora.data.dataset import Dataset
from ozora.data.latents import encode_captions, encode_clips
from ozora.data.record import Record
from ozora.data.shards import ShardReader
from ozora.geometry import Geometry
from ozora.model.autoencoder import Autoencoder, AutoencoderConfig
from ozora.world.build import Plan, build, make_clip
from ozora.world.camera import between, poses
from ozora.world.families import sample_scene
from ozora.world.mix import WorldMix
from ozora.world.render import render
from ozora.world.simulate import simulate
from ozora.world.split import split_of
from ozora.world.turning import Turn, render_between, render_turn, sample_turn, split_of_turn, stored_turn, write_turn
from ozora.world.wording import HELD_OUT_WORDS

MIX = WorldMix.mini().change(sizes="32x32,48x16", num_frames="9,1:0.3")


def scenes(one: str, two: str, seed: int = 3):
    return [sample_scene(family, seed, num_frames=13, width=48, height=48) for family in (one, two)]


@pytest.mark.parametrize(("one", "two"), [("collide", "swing"), ("pendulum", "conveyor")])
def test_each_scene_is_alone_before_and_after(one: str, two: str) -> None:
    first, then = scenes(one, two)
    paths = simulate(first), simulate(then)
    turn = Turn(first, then, start=3, frames=8)
    frames = render_turn(turn, *paths).frames
    assert np.array_equal(frames[:4], render(first, paths[0]).frames[:4])
    assert np.array_equal(frames[11:], render(then, paths[1]).frames[8:10])
    # Between them every step is a part of the way: no frame jumps as a cut would.
    way = np.abs(frames.astype(float)[3] - frames.astype(float)[11]).mean()
    steps = np.abs(np.diff(frames[3:12].astype(float), axis=0)).mean(axis=(1, 2, 3))
    assert steps.max() < 0.6 * way
    assert steps[1:-1].min() > 0.02 * way


def test_a_bridge_leads_from_the_last_frame_to_the_first() -> None:
    first, then = scenes("collide", "swing")
    paths = simulate(first), simulate(then)
    ends = render(first, paths[0]).frames[-1:], render(then, paths[1]).frames[:1]
    bridge = render_between(first, paths[0], then, paths[1], 4).frames
    steps = np.abs(np.diff(np.concatenate([ends[0], bridge, ends[1]]).astype(float), axis=0)).mean(axis=(1, 2, 3))
    way = np.abs(ends[0].astype(float) - ends[1]).mean()
    assert len(bridge) == 4 and steps.max() < 0.5 * way and steps.min() > 0.1 * way


def test_the_share_is_smooth_and_the_camera_turns_the_short_way() -> None:
    first, then = scenes("drop", "roll")
    turn = Turn(first, then, start=2, frames=6)
    shares = [turn.share(i) for i in range(13)]
    assert shares[:3] == [0, 0, 0] and shares[8:] == [1] * 5 and shares[5] == 0.5
    assert (np.diff(shares) >= 0).all()
    one, two = (replace(pose, azimuth=azimuth) for pose, azimuth in zip(poses(first)[:2], (350.0, 10.0)))
    assert between(one, two, 0.25).azimuth == 355.0
    assert np.allclose(between(one, one, 0.4).position, one.position)


def test_a_turn_that_cannot_be_is_refused() -> None:
    first, then = scenes("drop", "roll")
    for start, frames in ((-1, 4), (0, 0), (6, 7)):
        with pytest.raises(ValueError, match="end by frame 12"):
            Turn(first, then, start, frames)
    with pytest.raises(ValueError, match="make them equal"):
        Turn(first, replace(then, width=64), 2, 4)
    generator = np.random.default_rng(0)
    turns = [sample_turn(first, then, generator) for _ in range(200)]
    assert {turn.frames for turn in turns} == set(range(3, 10))
    assert {turn.start for turn in turns} == set(range(10))


def test_words_tell_of_both_scenes_as_far_as_they_are_seen() -> None:
    first, then = scenes("drop", "collide")
    paths = simulate(first), simulate(then)
    told = {caption.style: caption.text for caption in write_turn(Turn(first, then, 0, 4), *paths)}
    assert set(told) == {"dense", "medium", "short", "tags", "still"}
    for style in ("dense", "medium", "short", "tags"):
        for scene in (first, then):
            assert all(body.color in told[style] for body in scene.objects), told[style]
    assert all(body.color in told["still"] for body in first.objects)
    late = {caption.style: caption.text for caption in write_turn(Turn(first, then, 8, 4), *paths)}
    # What falls in the first scene has landed when a late turn begins, and has not when an early one is half over.
    assert "floor" in told["tags"] and "one second" in late["dense"]
    lands = [event.time for event in paths[0].events if event.kind == "land"]
    assert lands and 2 / first.fps < lands[0] < 10 / first.fps
    assert _lands(late["medium"]) and not _lands(told["medium"])
    words = {word.strip(".,;") for text in (*told.values(), *late.values()) for word in text.lower().split()}
    assert not words & set(HELD_OUT_WORDS)


def _lands(text: str) -> bool:
    return "the floor" in text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("turns")
    build(path, 4, seed=2, mix=MIX, workers=1, clips_per_shard=2, show_progress=False, transitions=0.5)
    return path


def test_a_build_holds_both_kinds_and_makes_each_again(folder) -> None:
    reader, plain = ShardReader(folder), Plan(2, MIX)
    turned = ["turn" in record.source for record in reader.records()]
    assert any(turned) and not all(turned)
    for i, record in enumerate(reader.records()):
        assert Record.from_json(record.to_json()) == record
        assert record.split == "train"
        if turned[i]:
            turn = stored_turn(record)
            again = render_turn(turn, simulate(turn.one), simulate(turn.two))
            assert np.array_equal(again.frames, reader.clip(i).frames)
            assert split_of(turn.one) == split_of(turn.two) == split_of_turn(turn) == "train"
            assert record.facts is None and record.num_frames == 9
        else:  # what is no transition is what it would have been without any
            assert make_clip(plain, i)[1] == record
            with pytest.raises(ValueError, match="is no turn"):
                stored_turn(record)


class WordLengths:
    """A text encoder whose state of a word is its length."""

    id, width, max_tokens, hash = "lengths", 3, 400, "0123456789abcdef0123"

    def pieces(self, text: str) -> list:
        return []

    def encode(self, texts) -> list[torch.Tensor]:
        return [torch.tensor([[float(len(word))] * 3 for word in text.split()]).reshape(-1, 3) for text in texts]


def test_training_takes_them_as_any_other_clip(folder, tmp_path) -> None:
    reader = ShardReader(folder)
    torch.manual_seed(0)
    autoencoder = Autoencoder(AutoencoderConfig(4, 8, 8, (1, 1), (1, 1)))
    latents = encode_clips(reader, tmp_path, autoencoder, [0.0] * 4, [1.0] * 4, autocast=False)
    captions = encode_captions(reader, tmp_path, WordLengths())
    dataset = Dataset(latents, captions, Geometry(latent_channels=4), lambda grid, generator: torch.zeros(grid))
    assert dataset.indices == list(range(len(reader))) and not dataset.refused
    assert all(dataset.example(0, i).num_tokens > 0 for i in dataset.order(0))


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(tmp_path, share: float) -> None:
    with pytest.raises(ValueError, match=r"transitions is .*from 0 to 1"):
        build(tmp_path / "new", 1, mix=MIX, transitions=share, show_progress=False)
    assert not (tmp_path / "new").exists()


def test_pictures_alone_cannot_turn_and_builds_do_not_mix(folder) -> None:
    with pytest.raises(ValueError, match="5 or more"):
        Plan(0, MIX.change(num_frames="1"), transitions=0.5)
    with pytest.raises(ValueError, match="transitions"):
        build(folder, 4, seed=2, mix=MIX, clips_per_shard=2, show_progress=False)
    assert "transitions" not in Plan(0, MIX).to_json()  # folders from before there were any are still the same build
