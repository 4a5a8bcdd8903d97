"""What is a clip? Frames as uint8 with a frame rate; a picture is a clip of one frame.

This is the only place where uint8 pixels meet the signal range [-1, 1] that networks see.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Clip:
    """Pixels at rest: ``frames`` is uint8 RGB ``t h w 3``, ``fps`` is frames per second.

    The array is made read-only, so a clip can be shared without copies. Raises ``ValueError`` for an
    array of another type or shape, for no frames at all, and for a frame rate that is not a
    positive finite number.
    """

    frames: UInt8[np.ndarray, "t h w 3"]
    fps: float

    def __post_init__(self) -> None:
        frames = self.frames
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
            raise ValueError(
                f"frames are {frames.dtype} of shape {frames.shape}; a clip holds uint8 of shape (t, h, w, 3)"
            )
        if 0 in frames.shape:
            raise ValueError(f"frames have shape {frames.shape}; a clip holds at least one frame of one pixel")
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"fps is {self.fps}; it must be a positive finite number, 8 for instance")
        frames.setflags(write=False)

    @property
    def num_frames(self) -> int:
        return self.frames.shape[0]

    @property
    def height(self) -> int:
        return self.frames.shape[1]

    @property
    def width(self) -> int:
        return self.frames.shape[2]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.width, self.height

    @property
    def seconds(self) -> float:
        """How long the clip plays."""
        return self.num_frames / self.fps

    def to_signal(self) -> Float[Tensor, "3 t h w"]:
        """The frames as float32 in [-1, 1], channels first."""
        pixels = torch.from_numpy(np.array(self.frames, copy=True))
        return pixels.permute(3, 0, 1, 2).float() / 127.5 - 1.0

    @staticmethod
    def from_signal(signal: Float[Tensor, "3 t h w"], fps: float) -> "Clip":
        """The inverse of ``to_signal``: values outside [-1, 1] are clamped, then rounded to uint8."""
        pixels = ((signal.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        return Clip(np.ascontiguousarray(pixels.permute(1, 2, 3, 0).cpu().numpy()), fps)

    def slice(self, start: int, stop: int) -> "Clip":
        """Frames ``start`` to ``stop`` (exclusive) at the same rate."""
        if not 0 <= start < stop <= self.num_frames:
            raise ValueError(
                f"frames {start}:{stop} asked of a clip of {self.num_frames}; "
                f"0 <= start < stop <= {self.num_frames} must hold"
            )
        return Clip(self.frames[start:stop].copy(), self.fps)

    def save(self, path: str | os.PathLike[str], **settings: object) -> Path:
        """Write the clip; the suffix chooses the format (see ``ozora.media.write.write_clip``)."""
        from ozora.media.write import write_clip

        return write_clip(self, Path(path), settings)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Play in a notebook: an animated picture in HTML, with a text alternative."""
        import base64

        from ozora.media.write import encode_gif

        data = base64.b64encode(encode_gif(self)).decode("ascii")
        html = f'<img alt="{self!r}" src="data:image/gif;base64,{data}">'
        return {"text/html": html, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"Clip({self.width}x{self.height}, {self.num_frames} frames at {self.fps:g} fps)"
