"""What if the captioner had described the clips? A folder of shards of the same clips with other dense captions.

As DALL-E 3 was trained: 95 % of the clips have the written caption, the rest keep their own (Betker et al. 2023).
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ozora.data.metadata import caption_each, chosen_text
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
    """Write into ``out`` the shards of ``source`` with captions of ``style`` by the captioner; returns how many clips.

    Frames are linked, not copied, where the file system allows it. Shards that are there already are kept, so a stopped
    run goes on. Clips that have no caption of that style (pictures), and those of which the captioner has nothing to
    say, keep what they have.
    """
    reader = ShardReader(source)
    done = whole_shards(out)
    first = 0
    out.mkdir(parents=True, exist_ok=True)
    for shard in whole_shards(source):
        lines = shard_path(source, shard)
        records = [Record.from_json(line) for line in lines.read_text(encoding="utf-8").splitlines()]
        if shard not in done:
            told = [_told(reader, records, first, start, captioner, style) for start in range(0, len(records), BATCH)]
            frames, target = lines.with_suffix(".safetensors"), shard_path(out, shard)
            _link(frames, target.with_suffix(".safetensors"))
            part = target.with_name(f".{target.name}.part")
            part.write_text("".join(record.to_json() + "\n" for some in told for record in some), encoding="utf-8")
            part.replace(target)
        first += len(records)
        if progress is not None:
            progress(first, len(reader))
    return first


def _told(
    reader: ShardReader, records: list[Record], first: int, start: int, captioner: Captioner, style: Style
) -> list[Record]:
    """A few records with their new captions."""
    some = records[start : start + BATCH]
    clips = {record.id: reader.clip(first + start + i) for i, record in enumerate(some) if record.text(style)}
    written = caption_each(clips, captioner, style, {})
    return [_with(record, style, written[record.id]) if record.id in written else record for record in some]


def _with(record: Record, style: Style, text: str) -> Record:
    chosen = chosen_text(record.id, text, record.text(style))
    captions = tuple(Caption(style, chosen) if caption.style == style else caption for caption in record.captions)
    return replace(record, captions=captions)


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
