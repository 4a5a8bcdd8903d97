"""How does a clip come before a captioner, and who writes for a model? The two writers that a model folder may hold.

``captioner/`` reads the latents of that model's autoencoder and of no other; ``expander/`` writes in the dialect that
its transformer learned from.
"""

import math
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ozora.clip import Clip
from ozora.data.latents import weights_hash
from ozora.data.writing import watched
from ozora.generate.folder import Model, find_model
from ozora.geometry import Geometry
from ozora.language.captioner import Look, TrainedCaptioner
from ozora.language.encoder import load_text_encoder
from ozora.language.expander import TrainedExpander
from ozora.language.stored import load_writer


def look_with(model: Model, width: int) -> Look:
    """A function that brings clips of a legal size before a writer: the first ``width`` numbers of ``watched`` vectors
    (captioners of before changes were shown read patches alone), and their places.

    A clip whose number of frames is not legal is held on its last frame.
    """

    def look(clip: Clip) -> tuple[Float[Tensor, "_ p"], Float[Tensor, "_ 3"]]:
        geometry = model.geometry
        surplus = geometry.rendered_frames(clip.num_frames) - clip.num_frames
        held = Clip(np.concatenate([clip.frames, np.repeat(clip.frames[-1:], surplus, axis=0)]), clip.fps)
        with torch.inference_mode():
            vectors, place = watched(model.encode(held), clip.fps, geometry)
            return vectors[:, :width].clone(), place

    return look


def load_captioner(folder: Path, model: Model, captioner: Path | None = None, num_beams: int = 1) -> TrainedCaptioner:
    """The captioner of the model in ``folder``, or the one in the folder ``captioner``.

    Raises ``ValueError`` where there is none, and for one that learned from another autoencoder's latents.
    """
    place = captioner or folder / "captioner"
    if not place.is_dir():
        raise ValueError(f"{folder} holds no captioner; train one (recipes/captioner.py) and put it at {place}")
    stored = load_writer(place, "captioner")
    own = weights_hash(model.autoencoder)
    if stored.config.reads != own:
        raise ValueError(
            f"{place} learned from the latents of autoencoder {stored.config.reads}; {model.config.name} has {own}: "
            f"train it on this one (recipes/captioner.py)"
        )
    return TrainedCaptioner(stored, look_with(model, stored.config.writer.prefix_width), num_beams=num_beams)


def load_expander(folder: Path) -> TrainedExpander:
    """The expander of the model in ``folder``, else the one that ships with ``mini``: all speak one dialect.

    Raises ``ValueError`` where neither is there.
    """
    place = folder / "expander"
    if not place.is_dir():
        place = find_model("mini") / "expander"
    if not place.is_dir():
        raise ValueError(
            f"{folder} holds no expander; train one (recipes/expander.py) and put it at {folder / 'expander'}"
        )
    return TrainedExpander(load_writer(place, "expander"), load_text_encoder())


def watched_size(width: int, height: int, max_area: int, geometry: Geometry) -> tuple[int, int]:
    """The legal size in which a captioner watches a clip of this one: its aspect, and about ``max_area`` pixels."""
    multiple, scale = geometry.side_multiple, math.sqrt(max_area / (width * height))
    sides = [max(1, round(side * scale / multiple)) for side in (width, height)]
    while sides[0] * sides[1] * multiple**2 > max_area and max(sides) > 1:
        sides[sides.index(max(sides))] -= 1
    return sides[0] * multiple, sides[1] * multiple
