"""What if somebody else had described the clips? A folder of shards of the same clips with other captions.

As DALL-E 3 was trained: 95 % of the clips have the written caption, the rest keep their own (Betker et al. 2023,
section 3).
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ozora.data.metadata import WRITTEN_SHARE, caption_each, share_of
from ozora.data.record import Caption, Record
from ozora.data.shards import ShardReader, shard_path, whole_shards
from ozora.language.captioner import Captioner, Style

BATCH = 16


def retell(
    source: Path,
    out: Path,
    captioner: Captioner,
    style: Style = "dense",
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write into ``out`` the shards of ``source``, described by the captioner; returns how many clips there are.

    19 records of 20, by their ids, have the caption that was written in ``style`` and no other; of a picture that is a
    "still" one. The rest keep what captions they have, and so do those of which the captioner has nothing to say.
    Shards that are there already are kept, so a stopped run goes on.
    """

    def told(reader: ShardReader, indices: range) -> list[Record]:
        records = {index: reader.record(index) for index in indices}
        chosen = [index for index, record in records.items() if share_of(record.id) < WRITTEN_SHARE]
        for start in range(0, len(chosen), BATCH):
            clips = {str(index): reader.clip(index) for index in chosen[start : start + BATCH]}
            for index, text in caption_each(clips, captioner, style, {}).items():
                record = records[int(index)]
                caption = Caption("still" if record.num_frames == 1 else style, text)
                records[int(index)] = replace(record, captions=(caption,))
        return list(records.values())

    return describe_anew(source, out, told, progress)


def describe_anew(
    source: Path,
    out: Path,
    told: Callable[[ShardReader, range], list[Record]],
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write into ``out`` the shards of ``source`` with the records that ``told`` gives for a range of its clips.

    Frames are linked, not copied, where the file system allows it. Shards that are there already are kept. Returns how
    many clips there are.
    """
    reader, done, first = ShardReader(source), whole_shards(out), 0
    out.mkdir(parents=True, exist_ok=True)
    for shard in whole_shards(source):
        lines, target = shard_path(source, shard), shard_path(out, shard)
        indices = range(first, first + len(lines.read_text(encoding="utf-8").splitlines()))
        if shard not in done:
            text = "".join(record.to_json() + "\n" for record in told(reader, indices))
            link(lines.with_suffix(".safetensors"), target.with_suffix(".safetensors"))
            part = target.with_name(f".{target.name}.part")
            part.write_text(text, encoding="utf-8")
            part.replace(target)
        first = indices.stop
        if progress is not None:
            progress(first, len(reader))
    return first


def link(source: Path, target: Path) -> None:
    """Let ``target`` be the same file as ``source``, or a copy of it where the file system has no links."""
    target.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
