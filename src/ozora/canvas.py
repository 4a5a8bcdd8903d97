"""What is known, and what is to be generated? All of "conditioning on pixels" is one value.

``known`` is 1 where the latents are given, 0 where they are to be made, and in between where they
are given in part. A cell's noise level is ``sigma * (1 - known)``, so one loss and one sampling
loop serve every task.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Canvas:
    """Normalised latents and how much of each cell is known.

    ``clean``: latents with mean 0 and standard deviation 1 per channel, anything (zeros) where
    unknown. ``known``: in [0, 1], constant within a patch of a latent frame. ``starts_clip`` says
    whether the first latent frame is the one-frame latent with which every clip begins; it is false
    for a window that starts mid-clip.
    """

    clean: Float[Tensor, "c t h w"]
    known: Float[Tensor, "t h w"]
    fps: float
    starts_clip: bool = True

    def __post_init__(self) -> None:
        if self.clean.shape[1:] != self.known.shape:
            raise ValueError(f"known has shape {tuple(self.known.shape)}; it must be {tuple(self.clean.shape[1:])}")
        low, high = float(self.known.min()), float(self.known.max())
        if not (low >= 0 and high <= 1):
            raise ValueError(f"known lies in [{low:g}, {high:g}]; every cell must lie in [0, 1]")

    @staticmethod
    def blank(grid: tuple[int, int, int], channels: int, fps: float, starts_clip: bool = True) -> "Canvas":
        """Nothing is known: text to video, or to a picture where ``grid`` has one latent frame."""
        return Canvas(torch.zeros(channels, *grid), torch.zeros(grid), fps, starts_clip)

    @property
    def grid(self) -> tuple[int, int, int]:
        """Latent (t, h, w)."""
        t, h, w = self.known.shape
        return t, h, w
