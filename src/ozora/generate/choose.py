"""Which of several clips shows best what was asked for? The captioner watches each, and says how likely the prompt is.

More compute at sampling instead of in training: many clips are drawn from one prompt and the best is kept (with CLIP in
DALL-E, Ramesh et al. 2021, sec. 2.6; as search over noise, Ma et al. 2025). The judge is the captioner that ships with
the model, so nothing is asked of anybody else; it cannot tell what it does not see.
"""

from collections.abc import Sequence

import numpy as np

from ozora.clip import Clip
from ozora.generate.request import Request
from ozora.generate.watch import watched_size
from ozora.geometry import Geometry
from ozora.language.captioner import TrainedCaptioner
from ozora.media.resize import resample, resize


def check_choice(num: int, texts: Sequence[str]) -> None:
    """Raise ``ValueError`` unless the best of ``num`` clips can be chosen by what ``texts`` say."""
    if type(num) is not int or num < 1:
        raise ValueError(f"best_of is {num!r}; it must be a whole number from 1 on, 8 for instance")
    if num > 1 and not all(text.strip() for text in texts):
        raise ValueError(f"best_of is {num}, but there is no prompt to choose by; write what the clip should show")


def likelihoods(
    captioner: TrainedCaptioner, clips: Sequence[Clip], request: Request, geometry: Geometry
) -> list[float]:
    """How likely what ``request`` asks for is to a captioner who watches each clip, ``log p(text | clip)`` in nats.

    Clips are watched in the size and at the rate that the captioner knows; a long one part by part, each beside the
    text that holds in its middle.
    """
    seen = captioner.stored.config
    watched, texts, owners = [], [], []
    for owner, clip in enumerate(clips):
        small = resize(clip, watched_size(clip.width, clip.height, seen.max_area, geometry))
        for second, part in captioner.parts(resample(small, seen.fps) if clip.num_frames > 1 else small):
            middle = second + part.seconds / 2
            watched.append(part)
            texts.append(([request.prompt] + [text for start, text in request.script if start <= middle])[-1])
            owners.append(owner)
    found = captioner.likelihoods(watched, texts)
    return np.bincount(owners, found, len(clips)).tolist()


def best(captioner: TrainedCaptioner, clips: Sequence[Clip], request: Request, geometry: Geometry) -> int:
    """The number of the clip under which ``likelihoods`` finds the request likeliest, of equals the first."""
    return int(np.argmax(likelihoods(captioner, clips, request, geometry)))
