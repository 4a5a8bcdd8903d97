"""How long does a minute stay what it was? Color, number, identity and sharpness, second by second.

A clip that stops has stopped drifting too, so a second counts only while the clip moves at least half as much as the
simulator does. A clip breaks at the first of two seconds in a row in which it is not whole: moving, with objects of
the colors and in the number that were asked for.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from ozora.evaluate.alignment import EVENTS
from ozora.evaluate.bench import Bench
from ozora.evaluate.continuing import Sources, Tables
from ozora.evaluate.measures import Scores, summarize
from ozora.evaluate.motion import Frames, paths_of, sharpness
from ozora.evaluate.pixel_cases import colors_of, prolonged
from ozora.evaluate.reader import SHAPES, load_reader, shape_crops
from ozora.evaluate.track import find_tracks
from ozora.generate.generator import Generator
from ozora.generate.request import Request

SECONDS = 60
FPS = 8
LEAST_MOTION = 0.5
"""Of the simulator's: with less a second does not count."""
SHOWN_SECONDS = (1, 2, 4, 8, 15, 30, 45, 60)


@dataclass(frozen=True)
class Second:
    """What one second of a clip shows. ``motion`` is the way of the object that moves most, in pixels per second.

    ``objects`` are (color, shape) as they are read; ``sharpness`` is the frames' mean.
    """

    objects: tuple[tuple[str, str], ...]
    motion: float
    sharpness: float

    @property
    def colors(self) -> Counter[str]:
        return Counter(color for color, _ in self.objects)


def read_seconds(frames: Frames, colors: Sequence[str]) -> list[Second]:
    """Every whole second of a clip, read by itself; ``colors`` are those of the objects whose motion is measured."""
    return [_read_second(frames[start : start + FPS], colors) for start in range(0, len(frames) - FPS + 1, FPS)]


@torch.no_grad()
def _read_second(frames: Frames, colors: Sequence[str]) -> Second:
    tracks, labels = find_tracks(frames)
    objects: tuple[tuple[str, str], ...] = ()
    if tracks:
        crops = torch.stack([shape_crops(frames, labels, track) for track in tracks])
        shapes = load_reader(len(EVENTS)).shape(crops).argmax(dim=1).tolist()
        objects = tuple((track.color, SHAPES[shape]) for track, shape in zip(tracks, shapes, strict=True))
    centers = paths_of(tracks, len(frames), colors).centers
    step = np.linalg.norm(np.diff(centers, axis=0), axis=2)
    motion = np.nan_to_num(step).sum(axis=0).max() * FPS / (FPS - 1)
    return Second(objects, float(motion), float(sharpness(frames).mean()))


def score_seconds(seconds: Sequence[Second], colors: Sequence[str], motion: float) -> list[Scores]:
    """Each second's scores, beside the first second and ``motion``, the simulator's in pixels per second.

    All but "moves" are None for a second that does not move half as much: it does not count.
    """
    first, wanted = seconds[0], Counter(colors)
    scores: list[Scores] = []
    for second in seconds:
        moves = second.motion >= LEAST_MOTION * motion
        counted: Scores = {
            "colors %": set(second.colors) == set(wanted),
            "number %": second.colors.total() == wanted.total(),
            "as in the first second %": Counter(second.objects) == Counter(first.objects),
            "sharpness / first second's": second.sharpness / max(first.sharpness, 1e-9),
        }
        scores.append({"moves %": moves, **{name: value if moves else None for name, value in counted.items()}})
    return scores


def breaks_after(scores: Sequence[Scores]) -> int:
    """Whole seconds before the first two in a row that are not whole; all of them where there are no such two."""
    whole = [bool(score["moves %"] and score["colors %"] and score["number %"]) for score in scores]
    for second, pair in enumerate(pairwise(whole)):
        if not any(pair):
            return second
    return len(whole)


def drift(bench: Bench) -> Tables:
    """A minute from a prompt, of scenes that move for ever; ``bench`` holds cases of those."""
    truths = [prolonged(case, SECONDS * FPS).frames for case in bench.cases]
    colors = [list(colors_of(case)) for case in bench.cases]
    sources: Sources = {}
    if bench.generator is not None:

        def request(generator: Generator, i: int) -> Request:
            case = bench.cases[i]
            return Request(case.prompt, (64, 64), SECONDS, FPS, **bench.options(case))

        sources["model"] = bench.draw("a minute", request)
        bench.sheet("minute", sources["model"][:4])
    sources["simulator"] = truths
    sources["frozen clip"] = [np.broadcast_to(frames[:1], frames.shape) for frames in truths]
    if bench.generator is not None:
        clips = [frames[: 2 * FPS] for frames in sources["model"]]
        sources["repeated clip"] = [np.tile(clip, (SECONDS // 2, 1, 1, 1)) for clip in clips]
    by_source: dict[str, list[list[Scores]]] = {}
    true_motion = [float(np.mean([s.motion for s in read_seconds(t, c)])) for t, c in zip(truths, colors)]
    for name, clips in sources.items():
        read = [read_seconds(frames, own) for frames, own in zip(clips, colors)]
        by_source[name] = [score_seconds(*parts) for parts in zip(read, colors, true_motion)]
    tables: Tables = {
        "A minute: until it breaks": {
            name: summarize([_whole_scores(scores) for scores in clips]) for name, clips in by_source.items()
        }
    }
    for name in ("model", "simulator"):
        if name in by_source:
            tables[f"A minute: {name}, second by second"] = {
                f"second {n}": summarize([scores[n - 1] for scores in by_source[name]]) for n in SHOWN_SECONDS
            }
    return tables


def _whole_scores(scores: Sequence[Scores]) -> Scores:
    after = breaks_after(scores)
    return {
        "seconds before it breaks": float(after),
        "whole for 2 s %": after >= 2,
        "whole for 10 s %": after >= 10,
        "whole for 60 s %": after >= len(scores),
        "seconds that move %": float(np.mean([bool(score["moves %"]) for score in scores])),
    }
