"""How do latents become tokens, and where does each token stand in time and space?

A token is one patch x patch square of cells of one latent frame, all channels; tokens run over time,
then rows, then columns.
"""

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from ozora.geometry import Geometry
from ozora.nn.rows import Segment, Span


def patchify(latents: Float[Tensor, "c t h w"], patch: int) -> Float[Tensor, "n p"]:
    """Cut latents into patches: one row of ``p = c * patch**2`` numbers per token."""
    _check_grid(tuple(latents.shape[1:]), patch)
    return rearrange(latents, "c t (h i) (w j) -> (t h w) (c i j)", i=patch, j=patch)


def unpatchify(patches: Float[Tensor, "n p"], grid: tuple[int, int, int], patch: int) -> Float[Tensor, "c t h w"]:
    """The inverse of ``patchify``; ``grid`` is the latent (t, h, w)."""
    t, h, w = _token_grid(grid, patch)
    if patches.shape[0] != t * h * w or patches.shape[1] % patch**2:
        raise ValueError(
            f"patches have shape {tuple(patches.shape)}; a latent grid of {grid} has {t * h * w} tokens "
            f"of a multiple of {patch**2} numbers"
        )
    return rearrange(patches, "(t h w) (c i j) -> c t (h i) (w j)", t=t, h=h, w=w, i=patch, j=patch)


def token_values(cells: Float[Tensor, "t h w"], patch: int) -> Float[Tensor, " n"]:
    """One value per token of a quantity that is constant within a patch, such as ``known``."""
    _check_grid(tuple(cells.shape), patch)
    return rearrange(cells[:, ::patch, ::patch], "t h w -> (t h w)")


def positions(
    grid: tuple[int, int, int],
    fps: float,
    geometry: Geometry,
    starts_clip: bool = True,
    jitter: tuple[float, float, float] | None = None,
) -> Float[Tensor, "n 3"]:
    """Seconds, y and x of every token of a latent ``grid`` (t, h, w).

    y and x are patch centres relative to the middle of the frame, in units of its short side: 64x64 and
    128x128 cover the same square, 80x48 reaches further in x. ``jitter`` multiplies the three axes
    (factors near 1, drawn in training) so that sizes and durations between the trained ones are familiar.
    """
    t, h, w = _token_grid(grid, geometry.patch)
    short = min(h, w)
    seconds = geometry.latent_times(t, fps, starts_clip)
    y = (torch.arange(h) + 0.5 - h / 2) / short
    x = (torch.arange(w) + 0.5 - w / 2) / short
    position = torch.cartesian_prod(seconds, y, x)
    return position if jitter is None else position * torch.tensor(jitter)


def segment(
    grid: tuple[int, int, int],
    fps: float,
    geometry: Geometry,
    spans: Sequence[Span],
    starts_clip: bool = True,
    jitter: tuple[float, float, float] | None = None,
) -> Segment:
    """The segment of a clip of latent ``grid``; ``spans`` partition its tokens (whole latent frames, usually)."""
    t, h, w = _token_grid(grid, geometry.patch)
    one_frame = torch.zeros(t, h * w, dtype=torch.bool)
    one_frame[0] = starts_clip
    return Segment(positions(grid, fps, geometry, starts_clip, jitter), one_frame.flatten(), tuple(spans))


def _token_grid(grid: tuple[int, ...], patch: int) -> tuple[int, int, int]:
    _check_grid(grid, patch)
    t, h, w = grid
    return t, h // patch, w // patch


def _check_grid(grid: tuple[int, ...], patch: int) -> None:
    t, h, w = grid
    if min(grid) < 1 or h % patch or w % patch:
        nearest = (max(t, 1), *(max(round(side / patch), 1) * patch for side in (h, w)))
        raise ValueError(
            f"latent grid is {grid}; height and width must be positive multiples of {patch}, {nearest} for instance"
        )
