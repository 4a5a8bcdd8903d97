"""The head reads one block, teaches it and those before it, and travels with the run, not with the model."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ozora.data.latents import LatentCache, encode_clips, make_maps
from ozora.data.shards import ShardReader, write_shard
from ozora.generate.folder import load_folder
from ozora.geometry import Geometry
from ozora.model.transformer import Transformer, TransformerConfig
from ozora.nn.rows import Segment, Span, pack
from ozora.train.alignment import AlignedLatents, Alignment, AlignmentConfig, make_truth
from ozora.world.build import build
from ozora.world.maps import maps_of_clips, motion_maps
from ozora.world.mix import WorldMix

STATES = ("position", "quaternion", "velocity", "spin", "visible", "scale", "color")
NETWORK = TransformerConfig(patch_width=16, text_width=8, width=32, num_blocks=3, num_heads=2)


def network_and_row(num_tokens: int = 6):
    torch.manual_seed(0)
    network = Transformer(NETWORK)
    segment = Segment(
        torch.rand(num_tokens, 3), torch.zeros(num_tokens, dtype=torch.bool), (Span(num_tokens, torch.rand(2, 8)),)
    )
    return network, pack([segment])


def test_the_loss_teaches_the_blocks_up_to_the_one_that_is_read() -> None:
    network, layout = network_and_row()
    alignment = Alignment(network, AlignmentConfig(weight=0.5, block=2), 4)
    for parameter in network.parameters():  # gates start at zero; then nothing would flow
        torch.nn.init.normal_(parameter, std=0.2)
    network(torch.randn(6, 16), torch.full((6,), 0.5), layout)
    maps = torch.randn(6, 4)
    loss = alignment.loss(maps)
    loss.backward()
    assert loss.item() > 0 and all(weight.grad is not None for weight in alignment.parameters())
    reached = [any(w.grad is not None and w.grad.any() for w in block.parameters()) for block in network.blocks]
    assert reached == [True, True, False]
    with pytest.raises(AssertionError):
        alignment.loss(maps)  # once for each forward pass


def test_a_block_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="block 4; the network has 1 to 3"):
        Alignment(Transformer(NETWORK), AlignmentConfig(block=4), 4)


def test_latents_carry_maps_of_mean_zero_and_deviation_one(tmp_path) -> None:
    build(tmp_path / "data", 4, seed=2, mix=WorldMix.mini(), workers=1, clips_per_shard=4, show_progress=False)
    reader, model = ShardReader(tmp_path / "data"), load_folder_of_mini()
    latents = encode_clips(
        reader, tmp_path / "cache", model.autoencoder, model.config.latent_mean, model.config.latent_std
    )
    maps = make_truth(reader, tmp_path / "cache", model.geometry, "train")
    both = AlignedLatents(latents, maps)
    plain, joined = latents.normalised(0), both.normalised(0)
    assert torch.equal(joined[: len(plain)], plain) and joined.shape[1:] == plain.shape[1:]
    everything = torch.cat([both.normalised(i)[len(plain) :].flatten(1) for i in both.indices], dim=1)
    assert everything.mean(dim=1).abs().max() < 1e-3 and everything.std(dim=1).max() < 1.001

    def refuse(*_):
        raise AssertionError("the cache was not read")

    again = make_maps(reader, tmp_path / "cache", "truth-1", refuse)
    assert np.array_equal(again.maps(1), maps.maps(1))


class Shown(LatentCache):
    """Latents of these clips, and one that was refused."""

    def __init__(self, indices: list[int]) -> None:
        self._latents, self.refused = dict.fromkeys(indices, torch.zeros(1, 1, 1, 1)), {7: "too wide"}


def test_clips_of_more_than_one_scene_have_no_maps_and_are_refused_one_by_one(tmp_path):
    build(tmp_path / "data", 3, seed=2, mix=WorldMix.mini(), workers=1, clips_per_shard=3, show_progress=False)
    scenes = ShardReader(tmp_path / "data")
    clips, records = [scenes.clip(i) for i in range(3)], [scenes.record(i) for i in range(3)]
    arrays = [{name: scenes.array(i, name) for name in STATES} for i in range(3)]
    records[1] = replace(records[1], source={"turn": {"start": 3, "frames": 4}})
    write_shard(tmp_path / "mixed", 0, clips, records, arrays)
    reader = ShardReader(tmp_path / "mixed")

    def motion(reader, indices):
        return (
            (i, torch.from_numpy(maps)) for i, maps in maps_of_clips(reader.folder, indices, Geometry(), motion_maps)
        )

    maps = make_maps(reader, tmp_path / "cache", "motion", motion, split=None)
    assert maps.indices == [0, 2] and maps.maps(2).shape[0] == 4
    both = AlignedLatents(Shown([0, 1, 2]), maps, maps)
    assert both.indices == [0, 2] and set(both.refused) == {1, 7} and "one simulated scene" in both.refused[1]
    with pytest.raises(ValueError, match=r"no clip is left.*one simulated scene"):
        AlignedLatents(Shown([1]), maps)


def load_folder_of_mini():
    from ozora.generate.folder import find_model

    return load_folder(find_model("mini"))
