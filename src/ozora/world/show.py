"""What is in a folder of shards? A picture with a strip of frames for each of some clips, and their captions."""

import os
from pathlib import Path

import numpy as np

from ozora.clip import Clip
from ozora.data.record import Record
from ozora.data.shards import ShardReader
from ozora.media.write import write_clip


def show(
    shards: str | os.PathLike[str], out: str | os.PathLike[str], num_clips: int = 12, start: int = 0, columns: int = 9
) -> list[Record]:
    """Write a sheet of strips as ``out`` (.png) and return the records of its rows, from the top.

    A row holds up to ``columns`` frames spread evenly over the clip. Raises ``ValueError`` for nothing to show.
    """
    reader = ShardReader(shards)
    if num_clips < 1 or columns < 1 or not 0 <= start < len(reader):
        raise ValueError(
            f"{num_clips} clips from number {start} in {columns} columns; {shards} holds clips 0 to {len(reader) - 1}"
        )
    chosen = range(start, min(start + num_clips, len(reader)))
    strips = [strip(reader.clip(i), columns) for i in chosen]
    width = max(picture.shape[1] for picture in strips)
    rows = [np.pad(picture, ((0, 4), (0, width - picture.shape[1]), (0, 0))) for picture in strips]
    write_clip(Clip(np.concatenate(rows)[None], 1.0), Path(out), {})
    return [reader.record(i) for i in chosen]


def strip(clip: Clip, columns: int) -> np.ndarray:
    """Frames side by side, two pixels apart, as uint8 ``h w 3``."""
    times = np.linspace(0, clip.num_frames - 1, min(columns, clip.num_frames)).round().astype(int)
    return np.concatenate([np.pad(clip.frames[i], ((0, 0), (0, 2), (0, 0))) for i in times], axis=1)
