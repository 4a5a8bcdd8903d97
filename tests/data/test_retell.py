"""Clips described anew: the captioner's words for 19 in 20, everything else as it was, and a stopped run goes on."""

from dataclasses import replace

import numpy as np
import pytest

from ozora.clip import Clip
from ozora.data.metadata import WRITTEN_SHARE, share_of
from ozora.data.record import Caption, Record
from ozora.data.retell import retell
from ozora.data.shards import ShardReader, shard_path, write_shard


class Shades:
    """A captioner that says how bright a clip is; of black clips it has nothing to say."""

    id = "shades"

    def __init__(self, stops_after=10**6):
        self.left, self.sizes = stops_after, []

    def caption(self, clips, style="dense"):
        self.left -= len(clips)
        if self.left < 0:
            raise ConnectionError("nobody answers")
        self.sizes.append(len(clips))
        if any(not clip.frames.any() for clip in clips):
            raise RuntimeError("answered nothing")
        return [f"{style} of brightness {clip.frames.max()}" for clip in clips]


def record(name, num_frames=2):
    captions = (Caption("dense", f"own words of {name}"), Caption("short", f"a clip {name}"))
    return Record(name, 8, 8, num_frames, 8.0, captions if num_frames > 1 else (Caption("still", "a picture"),))


@pytest.fixture
def source(tmp_path):
    for shard in range(2):
        records = [record(f"s{shard}-{i}") for i in range(20)] + [record(f"s{shard}-picture", 1)]
        clips = [Clip(np.full((one.num_frames, 8, 8, 3), i, np.uint8), 8.0) for i, one in enumerate(records)]
        write_shard(tmp_path / "data", shard, clips, records)
    return tmp_path / "data"


def test_19_in_20_are_described_by_the_captioner_alone_and_the_rest_stay(source, tmp_path):
    told = []
    assert retell(source, tmp_path / "out", Shades(), progress=lambda done, total: told.append((done, total))) == 42
    assert told == [(21, 42), (42, 42)]
    before, after = ShardReader(source), ShardReader(tmp_path / "out")
    kept = 0
    for i in range(42):
        one, other = before.record(i), after.record(i)
        assert replace(other, captions=one.captions) == one
        assert np.array_equal(before.clip(i).frames, after.clip(i).frames)
        if share_of(one.id) >= WRITTEN_SHARE or not i % 21:  # of a black clip there is nothing to say
            assert other == one
            kept += 1
        else:
            style = "still" if one.num_frames == 1 else "dense"
            assert other.captions == (Caption(style, f"dense of brightness {i % 21}"),)
    assert 2 < kept < 12


def test_a_stopped_run_goes_on_with_the_shards_it_lacks(source, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ConnectionError):
        retell(source, out, Shades(stops_after=60))
    first = shard_path(out, 0).read_text()
    assert not shard_path(out, 1).exists()
    assert retell(source, out, Shades()) == 42 and shard_path(out, 0).read_text() == first
    idle = Shades()
    retell(source, out, idle)
    assert not idle.sizes
