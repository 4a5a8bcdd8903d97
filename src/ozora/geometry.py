"""How do sizes translate? Pixels and frames to latents, latents to tokens, and which sizes are legal.

Nothing here rounds in silence: an illegal size raises with the nearest legal ones.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

MAX_SIDE = 4096
MAX_SECONDS = 600.0
MIN_FPS, MAX_FPS = 0.1, 120.0


@dataclass(frozen=True)
class Geometry:
    """Strides of the autoencoder and the patch of the transformer.

    ``space_stride`` pixels and ``time_stride`` frames make one latent cell (the first latent frame
    holds one frame alone), ``patch`` x ``patch`` cells of one latent frame make one token.
    ``warm_up`` is R: of a window encoded
    mid-clip the first R latent frames differ from the whole clip's, the rest are equal.
    """

    space_stride: int = 8
    time_stride: int = 4
    patch: int = 2
    latent_channels: int = 16
    warm_up: int = 4

    @property
    def side_multiple(self) -> int:
        """Width and height in pixels are multiples of this: the side of one token."""
        return self.space_stride * self.patch

    @property
    def patch_width(self) -> int:
        """Numbers in one token's patch."""
        return self.latent_channels * self.patch**2

    def check_size(self, width: int, height: int) -> None:
        """Raise ``ValueError`` naming the nearest legal sizes unless both sides are legal."""
        multiple = self.side_multiple
        if all(multiple <= side <= MAX_SIDE and side % multiple == 0 for side in (width, height)):
            return
        below = tuple(self._nearest_side(side, math.floor) for side in (width, height))
        above = tuple(self._nearest_side(side, math.ceil) for side in (width, height))
        sizes = " or ".join(dict.fromkeys(f"{w}x{h}" for w, h in (below, above)))
        raise ValueError(
            f"size {width}x{height}: width and height must be multiples of {multiple} "
            f"from {multiple} to {MAX_SIDE}; the nearest legal size is {sizes}"
        )

    def _nearest_side(self, side: int, rounding) -> int:
        multiple = self.side_multiple
        return min(max(int(rounding(side / multiple)) * multiple, multiple), MAX_SIDE // multiple * multiple)

    def delivered_frames(self, seconds: float, fps: float) -> int:
        """Frames that ``seconds`` at ``fps`` deliver: at least one."""
        if not (math.isfinite(seconds) and 0 < seconds <= MAX_SECONDS):
            raise ValueError(f"seconds is {seconds}; it must be above 0 and at most {MAX_SECONDS:g}, 2 for instance")
        if not (math.isfinite(fps) and MIN_FPS <= fps <= MAX_FPS):
            raise ValueError(f"fps is {fps}; it must be from {MIN_FPS:g} to {MAX_FPS:g}, 8 for instance")
        return max(1, round(seconds * fps))

    def rendered_frames(self, num_frames: int) -> int:
        """The smallest legal number of frames (1 + ``time_stride`` k) that holds ``num_frames``."""
        return 1 + self.time_stride * math.ceil((num_frames - 1) / self.time_stride)

    def latent_frames(self, num_frames: int) -> int:
        """Latent frames of a clip of ``num_frames``, which must be 1 + ``time_stride`` k."""
        if num_frames < 1 or (num_frames - 1) % self.time_stride:
            above = self.rendered_frames(max(num_frames, 1))
            below = max(above - self.time_stride, 1)
            nearest = " or ".join(dict.fromkeys((str(below), str(above))))
            raise ValueError(
                f"{num_frames} frames: a clip to encode has 1 + {self.time_stride}k frames; "
                f"the nearest legal number is {nearest}"
            )
        return 1 + (num_frames - 1) // self.time_stride

    def latent_grid(self, num_frames: int, height: int, width: int) -> tuple[int, int, int]:
        """Latent (t, h, w) of a clip; raises for an illegal size or number of frames."""
        self.check_size(width, height)
        return self.latent_frames(num_frames), height // self.space_stride, width // self.space_stride

    def token_grid(self, num_frames: int, height: int, width: int) -> tuple[int, int, int]:
        """Token (t, h, w) of a clip; raises for an illegal size or number of frames."""
        t, h, w = self.latent_grid(num_frames, height, width)
        return t, h // self.patch, w // self.patch

    def num_tokens(self, num_frames: int, height: int, width: int) -> int:
        return math.prod(self.token_grid(num_frames, height, width))

    def latent_times(self, num_latents: int, fps: float, starts_clip: bool = True) -> Float[Tensor, " t"]:
        """Seconds at which latent frames sit: 0 for the one-frame latent, (4i - 1.5) / fps after it.

        A window that starts mid-clip has no one-frame latent; its first latent frame holds four
        frames, whose middle is taken as ``(time_stride - 1) / 2 / fps``.
        """
        index = torch.arange(num_latents, dtype=torch.float32)
        middle = (self.time_stride - 1) / 2
        if not starts_clip:
            return (self.time_stride * index + middle) / fps
        return (self.time_stride * index - middle).clamp(min=0.0) / fps

    def token_mask(self, mask: Bool[Tensor, "t h w"]) -> Bool[Tensor, "lt lh lw"]:
        """Dilate a pixel mask (true = remade) to whole tokens, given per latent cell.

        A cell is true if any pixel of any frame of its token is: 16x16 pixels, 4 frames (1 at the start).
        """
        num_frames, height, width = mask.shape
        t, h, w = self.token_grid(num_frames, height, width)
        side = self.side_multiple
        tokens = mask.reshape(num_frames, h, side, w, side).any(dim=4).any(dim=2)
        rest = tokens[1:].reshape(t - 1, self.time_stride, h, w).any(dim=1)
        tokens = torch.cat([tokens[:1], rest])
        return tokens.repeat_interleave(self.patch, 1).repeat_interleave(self.patch, 2)
