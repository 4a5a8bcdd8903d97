"""Shards give back exactly what was written, whole shards only, and name the file that is broken."""

import pickle

import numpy as np
import pytest

from ozora.clip import Clip
from ozora.data.record import Caption, Record
from ozora.data.shards import ShardReader, shard_path, whole_shards, write_shard

SIZES = [(1, 16, 32), (5, 32, 16), (17, 16, 16)]


def clips_of(shard: int) -> tuple[list[Clip], list[Record]]:
    generator = np.random.default_rng(shard)
    clips = [Clip(generator.integers(0, 256, (*size, 3), dtype=np.uint8), 8.0) for size in SIZES]
    records = [
        Record(f"{shard}-{i}", c.width, c.height, c.num_frames, c.fps, (Caption("short", "noise"),), "train")
        for i, c in enumerate(clips)
    ]
    records[1] = Record(**{**records[1].__dict__, "split": "test"})
    return clips, records


def test_round_trip_over_shards(tmp_path):
    written = [clips_of(shard) for shard in range(3)]
    for shard, (clips, records) in enumerate(written):
        write_shard(tmp_path, shard, clips, records, [{"position": np.full((2, 3), i)} for i in range(len(clips))])
    reader = ShardReader(tmp_path)
    assert len(reader) == 9
    assert reader.records() == [record for _, records in written for record in records]
    for i, clip in enumerate(clip for clips, _ in written for clip in clips):
        assert np.array_equal(reader.clip(i).frames, clip.frames)
        assert reader.clip(i).fps == clip.fps
        assert np.array_equal(reader.array(i, "position"), np.full((2, 3), i % 3))
    assert reader.indices("test") == [1, 4, 7]
    assert [record.id for record in reader.records("test")] == ["0-1", "1-1", "2-1"]
    assert np.array_equal(pickle.loads(pickle.dumps(reader)).clip(4).frames, reader.clip(4).frames)


def test_same_clips_same_bytes(tmp_path):
    clips, records = clips_of(0)
    paths = [write_shard(tmp_path / name, 0, clips, records) for name in ("a", "b")]
    for suffix in (".jsonl", ".safetensors"):
        first, second = (path.with_suffix(suffix).read_bytes() for path in paths)
        assert first == second


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    clips, records = clips_of(0)

    def full_disk(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr("ozora.data.shards.save_file", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_shard(tmp_path, 0, clips, records)
    assert list(tmp_path.iterdir()) == []


def test_half_shards_do_not_count(tmp_path):
    for shard in range(3):
        write_shard(tmp_path, shard, *clips_of(shard))
    shard_path(tmp_path, 1).unlink()
    assert whole_shards(tmp_path) == [0, 2]
    assert len(ShardReader(tmp_path)) == 6


def test_truncated_frames_are_named(tmp_path):
    path = write_shard(tmp_path, 0, *clips_of(0)).with_suffix(".safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"shard-00000.safetensors .*missing or truncated"):
        ShardReader(tmp_path).clip(0)


def test_disagreement_is_refused(tmp_path):
    clips, records = clips_of(0)
    with pytest.raises(ValueError, match="give one each"):
        write_shard(tmp_path, 0, clips[:2], records)
    with pytest.raises(ValueError, match="describes"):
        write_shard(tmp_path, 0, clips[::-1], records)
    with pytest.raises(ValueError, match="twice"):
        write_shard(tmp_path, 0, [clips[0]] * 2, [records[0]] * 2)
    with pytest.raises(ValueError, match="no shards"):
        ShardReader(tmp_path)
