"""How are a few clips shown side by side? One small video, the model beside the simulator beside the reconstruction."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ozora.clip import Clip
from ozora.evaluate.motion import Frames
from ozora.media.place import slug
from ozora.media.write import write_clip

GAP = 4
"""Pixels of grey between two clips."""
LEAST_SIDE = 128
"""Smaller clips are enlarged, pixel by pixel: video files keep colors at half the resolution."""
FOLDER = "strips"


def write_strip(out: Path, name: str, caption: str, clips: Mapping[str, Frames], fps: float = 8.0) -> dict:
    """Write ``clips``, by their source, into one .mp4 in ``out``/strips; return what a report says of it.

    A clip that ends before others stands still on its last frame. Raises ``ValueError`` where there is no clip, or
    clips differ in size.
    """
    if not clips:
        raise ValueError(f"strip {name!r} shows no clip; give one at least")
    sizes = {frames.shape[1:3] for frames in clips.values()}
    if len(sizes) > 1:
        told = ", ".join(f"{source} {f.shape[2]}x{f.shape[1]}" for source, f in clips.items())
        raise ValueError(f"strip {name!r}: {told}; clips side by side have one size")
    pixels = side_by_side(list(clips.values()))
    height, width = pixels.shape[1:3]
    path = out / FOLDER / f"{slug(name)}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_clip(Clip(pixels, fps), path, {})
    return {
        "file": f"{FOLDER}/{path.name}",
        "caption": caption,
        "sources": list(clips),
        "size": [width, height],
        "seconds": len(pixels) / fps,
    }


def side_by_side(clips: list[Frames]) -> UInt8[np.ndarray, "_frames _high _wide 3"]:
    """All clips in a row, enlarged to ``LEAST_SIDE`` and with even sides, as long as the longest."""
    num_frames, (height, width) = max(map(len, clips)), clips[0].shape[1:3]
    times = max(1, -(-LEAST_SIDE // max(height, width)))
    columns = []
    for frames in clips:
        held = frames[np.minimum(np.arange(num_frames), len(frames) - 1)]
        large = held.repeat(times, axis=1).repeat(times, axis=2)
        columns.append(np.pad(large, ((0, 0), (0, 0), (0, GAP), (0, 0)), constant_values=128))
    joined = np.concatenate(columns, axis=2)[:, :, :-GAP]
    odd = joined.shape[1] % 2, joined.shape[2] % 2
    return np.ascontiguousarray(np.pad(joined, ((0, 0), (0, odd[0]), (0, odd[1]), (0, 0)), mode="edge"))
