"""How do clips and their records lie on disk? In shards: raw frames in one file, records in a second one beside it.

``shard-00007.safetensors`` holds uint8 frames ``t h w 3`` under the clip's id, and any further arrays of the clip
(a trajectory) under ``id/name``; ``shard-00007.jsonl`` holds one record a line, in the same order. Both are
written under another name first; the records get theirs last, so a shard that has records is whole.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ozora.clip import Clip
from ozora.data.record import Record

_SHARD = re.compile(r"shard-(\d{5,})\.jsonl")


def shard_path(folder: Path, index: int) -> Path:
    """The records' file of shard ``index``; the frames lie beside it with the suffix ``.safetensors``."""
    return folder / f"shard-{index:05d}.jsonl"


def whole_shards(folder: Path) -> list[int]:
    """Indices of the shards that are completely written, in order. A folder that is not there has none."""
    if not folder.is_dir():
        return []
    found = (_SHARD.fullmatch(path.name) for path in folder.iterdir())
    indices = sorted(int(match.group(1)) for match in found if match)
    return [index for index in indices if shard_path(folder, index).with_suffix(".safetensors").exists()]


def write_shard(
    folder: Path,
    index: int,
    clips: Sequence[Clip],
    records: Sequence[Record],
    arrays: Sequence[Mapping[str, np.ndarray]] | None = None,
) -> Path:
    """Write clips and their records as shard ``index``, whole or not at all; returns the records' path.

    ``arrays`` gives further arrays of each clip by name. Raises ``ValueError`` where clips and records
    disagree in number, size or rate, and where an id comes twice.
    """
    arrays = [{} for _ in clips] if arrays is None else arrays
    if not len(clips) == len(records) == len(arrays):
        raise ValueError(f"{len(clips)} clips, {len(records)} records, {len(arrays)} sets of arrays: give one each")
    tensors: dict[str, np.ndarray] = {}
    for clip, record, extra in zip(clips, records, arrays):
        described = (record.num_frames, record.height, record.width)
        if clip.frames.shape[:3] != described or clip.fps != record.fps:
            raise ValueError(f"record {record.id} describes {described} at {record.fps} fps, but the clip is {clip}")
        if record.id in tensors:
            raise ValueError(f"record id {record.id} comes twice in one shard; ids are unique")
        tensors[record.id] = np.ascontiguousarray(clip.frames)
        tensors.update({f"{record.id}/{name}": np.ascontiguousarray(array) for name, array in extra.items()})
    folder.mkdir(parents=True, exist_ok=True)
    lines = shard_path(folder, index)
    frames = lines.with_suffix(".safetensors")
    part_lines, part_frames = (path.with_name(f".{path.name}.part") for path in (lines, frames))
    try:
        save_file(tensors, part_frames, metadata={"format": "ozora-shard-1"})
        part_lines.write_text("".join(record.to_json() + "\n" for record in records), encoding="utf-8")
        part_frames.chmod(part_lines.stat().st_mode)
        lines.unlink(missing_ok=True)
        part_frames.replace(frames)
        part_lines.replace(lines)
    finally:
        part_frames.unlink(missing_ok=True)
        part_lines.unlink(missing_ok=True)
        if frames.is_file() and not lines.exists():
            frames.unlink()
    return lines


class ShardReader:
    """The clips and records of a folder of shards, by one running index over all whole shards.

    Records are read at once; frames are read when asked for, straight from the mapped file. Raises
    ``ValueError`` for a folder without shards, and names the file that is missing or truncated.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)
        self._records: list[Record] = []
        self._shard_of: list[int] = []
        self._open: dict[int, safe_open] = {}
        for index in whole_shards(self.folder):
            lines = shard_path(self.folder, index).read_text(encoding="utf-8").splitlines()
            self._records.extend(Record.from_json(line) for line in lines)
            self._shard_of.extend([index] * len(lines))
        if not self._records:
            raise ValueError(f"{self.folder} holds no shards; `ozora world build --out {self.folder}` makes some")

    def __len__(self) -> int:
        return len(self._records)

    def record(self, i: int) -> Record:
        return self._records[i]

    def records(self, split: str | None = None) -> list[Record]:
        """All records, or those of one split, in order."""
        return [self._records[i] for i in self.indices(split)]

    def indices(self, split: str | None = None) -> list[int]:
        """Indices of all clips, or of those of one split, in order."""
        return [i for i, record in enumerate(self._records) if split in (None, record.split)]

    def clip(self, i: int) -> Clip:
        """Clip ``i``, a copy of its own."""
        record = self._records[i]
        return Clip(self._read(i, record.id), record.fps)

    def array(self, i: int, name: str) -> np.ndarray:
        """A further array of clip ``i``; raises ``ValueError`` where the clip has none of that name."""
        return self._read(i, f"{self._records[i].id}/{name}")

    def _read(self, i: int, key: str) -> np.ndarray:
        shard = self._shard_of[i]
        path = shard_path(self.folder, shard).with_suffix(".safetensors")
        try:
            if shard not in self._open:
                self._open[shard] = safe_open(path, framework="numpy")
            return self._open[shard].get_tensor(key)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path} holds no {key}: it is missing or truncated ({error})") from error

    def __getstate__(self) -> dict[str, object]:
        """A reader travels to another process without its open files."""
        return {**self.__dict__, "_open": {}}
