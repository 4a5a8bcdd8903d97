"""How is a prompt followed more closely than the network follows it by itself? Classifier-free guidance.

Everything here is computed within one segment, so a clip does not depend on what else is in its row.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def fitted_scale(
    conditional: Float[Tensor, "n p"], unconditional: Float[Tensor, "n p"], sigma: Float[Tensor, "n 1"]
) -> Float[Tensor, ""]:
    """The number by which the unconditional velocity of a segment comes nearest to the conditional one.

    ``<conditional, unconditional> / |unconditional|^2`` (CFG-Zero*, Fan et al. 2025, eq. 10) over the tokens that move:
    those of sigma 0 are left out, for they are given and nothing is predicted there.
    """
    moves = sigma > 0
    along = torch.where(moves, conditional * unconditional, 0).sum()
    length = torch.where(moves, unconditional.square(), 0).sum()
    return along / length.clamp(min=1e-8)


def guide(
    conditional: Float[Tensor, "n p"],
    unconditional: Float[Tensor, "n p"],
    sigma: Float[Tensor, "n 1"],
    scale: float,
    interval: tuple[float, float] = (0.0, 1.0),
    fitted: bool = True,
) -> Float[Tensor, "n p"]:
    """One segment's guided velocity: ``base + scale * (conditional - base)`` (Ho and Salimans 2022, eq. 6).

    ``base`` is the unconditional velocity, multiplied by ``fitted_scale`` if ``fitted``. A scale of 1 is no guidance.
    Tokens whose ``sigma`` lies outside ``interval`` keep the conditional velocity: guidance at the noisiest and
    the cleanest levels costs variety and gives nothing (Kynkäänniemi et al. 2024).
    """
    base = unconditional * fitted_scale(conditional, unconditional, sigma) if fitted else unconditional
    low, high = interval
    return torch.where((sigma >= low) & (sigma <= high), base + scale * (conditional - base), conditional)
