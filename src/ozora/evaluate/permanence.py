"""Do things stay what and where they are? None may vanish, come from nowhere, or turn into something else.

That objects appear from nowhere, and that long clips drift, are failures that Sora's authors admit. A clip in which
nothing moves has no trouble to keep anything, so only clips count in which something travels by its own radius.
"""

from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int

from ozora.evaluate.alignment import EVENTS
from ozora.evaluate.bench import Bench
from ozora.evaluate.broken import (
    added_halfway,
    changes_shape,
    hue_turns,
    never_returns,
    removed_halfway,
    world_sources,
)
from ozora.evaluate.cases import Case
from ozora.evaluate.measures import Scores, judge_all
from ozora.evaluate.motion import Frames, paths_of, travel
from ozora.evaluate.pixel_cases import colors_of, scene_of
from ozora.evaluate.ranking import COVERAGE, Judged
from ozora.evaluate.reader import load_reader, shape_crops
from ozora.evaluate.segment import hue_chroma_saturation
from ozora.evaluate.track import Track, find_tracks
from ozora.evaluate.verdicts import Metric

NUM_FIRST = 3
"""Frames by which everything that was asked for is there."""
NUM_ABSENT = 3
"""Frames in a row: shorter is a flicker."""
LEFT = 0.25
"""Of its largest area: with less an object is not there, or hidden."""
BACK = 0.5
MARGIN = 2
"""Pixels from the frame's edge, or to another object: nearer, a thing may have gone out of sight."""


def is_there(track: Track, num_frames: int) -> np.ndarray:
    """In which frames an object is seen, by more than a remnant."""
    areas = np.array([track.area(t) for t in range(num_frames)])
    return areas > LEFT * np.median(areas[areas > 0])


def vanishes(track: Track, tracks: list[Track], size: tuple[int, int], num_frames: int) -> bool:
    """Whether an object is gone for ``NUM_ABSENT`` frames or for good, away from the frame's edges and from others."""
    there = is_there(track, num_frames)
    return any(
        not _out_of_sight(track, tracks, start - 1, size)
        for start, stop in _absences(there)
        if start > 0 and (stop - start >= NUM_ABSENT or stop == num_frames)
    )


def comes_from_nowhere(track: Track, tracks: list[Track], size: tuple[int, int], num_frames: int) -> bool:
    """Whether an object is first seen after the first frames, away from the frame's edges and from others."""
    there = is_there(track, num_frames)
    first = int(there.argmax())
    return first >= NUM_FIRST and int(there.sum()) >= NUM_ABSENT and not _out_of_sight(track, tracks, first, size)


def hue_drift(frames: Frames, labels: Int[np.ndarray, "t h w"], track: Track) -> float | None:
    """Degrees between the mean hues of an object in the first and in the last quarter of the clip, 0 to 180."""
    quarter = max(1, len(frames) // 4)
    hue = hue_chroma_saturation(frames)[0]
    ends = []
    for span in (range(quarter), range(len(frames) - quarter, len(frames))):
        own = [np.isin(labels[t], [part.label for part in track.parts[t]]) for t in span]
        values = np.concatenate([hue[t][mask] for t, mask in zip(span, own)])
        if not len(values):
            return None
        ends.append(np.exp(1j * np.radians(values)).mean())
    return float(abs(np.degrees(np.angle(ends[1] / ends[0]))))


def returns(areas: Float[np.ndarray, " t"], across: Float[np.ndarray, " t"]) -> tuple[bool, bool | None]:
    """Whether an object is hidden in between, and if so, whether it comes back, as large as half of it and further on.

    ``areas`` in pixels, ``across`` its x where it is seen (else NaN).
    """
    whole = np.median(areas[areas > 0]) if (areas > 0).any() else 1.0
    hidden = np.flatnonzero(areas < LEFT * whole)
    hidden = hidden[hidden >= NUM_FIRST - 1]
    if not len(hidden):
        return False, None
    before, after = slice(0, int(hidden[0])), slice(int(hidden[0]), None)
    if not np.isfinite(across[before]).any():
        return False, None
    back = areas[after] >= BACK * whole
    if not back.any():
        return True, False
    seen = across[before][np.isfinite(across[before])]
    moved = seen[-1] - seen[0]
    return True, bool((across[after][back][-1] - seen[-1]) * moved > 0)


@torch.no_grad()
def same_shape(frames: Frames, tracks: list[Track], labels: Int[np.ndarray, "t h w"]) -> bool | None:
    """Whether every object is read as of one shape in both halves of the clip; None where none is seen in both."""
    half = len(frames) // 2
    answers = []
    for track in tracks:
        parts = [Track(track.color, track.parts[:half]), Track(track.color, track.parts[half:])]
        if all(part.frames for part in parts):
            crops = [
                shape_crops(frames[span], labels[span], part)
                for span, part in zip((slice(0, half), slice(half, None)), parts)
            ]
            shapes = load_reader(len(EVENTS)).shape(torch.stack(crops)).argmax(dim=1)
            answers.append(bool(shapes[0] == shapes[1]))
    return all(answers) if answers else None


def judge_permanence(case: Case, frames: Frames) -> Scores:
    """One clip's scores. Behind a wall things may be out of sight, so there only their return is judged."""
    colors, size = list(colors_of(case)), frames.shape[1:3]
    tracks, labels = find_tracks(frames)
    own = [track for track in tracks if track.color in colors]
    paths = paths_of(tracks, len(frames), colors)
    if not own or not (travel(paths.centers) >= np.maximum(paths.radii, 2)).any():
        return {COVERAGE: False}
    if scene_of(case).family == "hide":
        mover = next((track for track in own if track.color == colors[0]), None)
        if mover is None or mover.frames[0] >= NUM_FIRST:
            return {COVERAGE: False}
        areas = np.array([mover.area(t) for t in range(len(frames))], float)
        hides, back = returns(areas, paths.centers[:, 0, 1])
        return {COVERAGE: True, "hides behind the wall %": hides, "returns from behind it %": back}
    early = [track for track in own if track.frames[0] < NUM_FIRST]
    drifts = [drift for track in early if (drift := hue_drift(frames, labels, track)) is not None]
    return {
        COVERAGE: True,
        "vanishes %": any(vanishes(track, tracks, size, len(frames)) for track in early) if early else None,
        "from nowhere %": any(comes_from_nowhere(track, tracks, size, len(frames)) for track in tracks),
        "hue drift (degrees)": max(drifts) if drifts else None,
        "same shape in both halves %": same_shape(frames, early, labels),
    }


def permanence(bench: Bench) -> list[Judged]:
    """Objects that move in the open, and objects that pass behind a wall, under a camera that stands still."""
    broken = {
        "removed halfway": removed_halfway,
        "added halfway": added_halfway,
        "hue turns": hue_turns,
        "changes shape": changes_shape,
        "never returns": never_returns,
    }
    sources = world_sources(bench, broken)
    open_air = [i for i, case in enumerate(bench.cases) if scene_of(case).family != "hide"]
    behind = [i for i in range(len(bench.cases)) if i not in open_air]

    def rows(chosen: list[int]):
        chosen_clips = {name: [clips[i] for i in chosen] for name, clips in sources.items()}
        return judge_all(chosen_clips, lambda n, frames: judge_permanence(bench.cases[chosen[n]], frames))

    in_the_open = {
        "vanishes %": Metric("low", worse=("removed halfway",), aim=0.05, about="away from edges and other objects"),
        "from nowhere %": Metric("low", worse=("added halfway",), aim=0.05, about="as above, of any color"),
        "hue drift (degrees)": Metric("low", worse=("hue turns",), about="from the first quarter to the last"),
        "same shape in both halves %": Metric("high", worse=("changes shape",), about="as the reader names it"),
    }
    at_the_wall = {
        "hides behind the wall %": Metric("high", worse=("noise",)),
        "returns from behind it %": Metric("high", worse=("never returns",), about="of those that were hidden"),
    }
    tables = []
    if open_air:
        title = "Objects from nowhere, and drift of hue and identity (admitted of Sora), within two seconds"
        tables.append(Judged(title, rows(open_air), in_the_open))
    if behind:
        tables.append(Judged("Permanence: behind a wall and back", rows(behind), at_the_wall))
    return tables


def _absences(there: np.ndarray) -> list[tuple[int, int]]:
    """Runs of frames (start, stop) in which something is not there."""
    edges = np.flatnonzero(np.diff(np.concatenate([[1], there.astype(int), [1]])))
    return [(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2])]


def _out_of_sight(track: Track, tracks: list[Track], frame: int, size: tuple[int, int]) -> bool:
    """Whether at ``frame`` an object may pass over the frame's edge or behind another one.

    Its box is near to the edge, or its center to the other's box: by ``MARGIN`` pixels and what it travels in a frame.
    """
    if not track.parts[frame]:
        return False
    seen = [t for t in track.frames if abs(t - frame) <= 2]
    steps = [np.hypot(*np.subtract(track.center(a), track.center(b))) / (b - a) for a, b in pairwise(seen)]
    reach = MARGIN + max(steps, default=0.0)
    top, left, bottom, right = track.box(frame)
    if min(top, left, size[0] - bottom, size[1] - right) <= reach:
        return True
    y, x = track.center(frame)
    for other in tracks:
        if other is not track and other.parts[frame]:
            o_top, o_left, o_bottom, o_right = other.box(frame)
            if o_top - reach <= y <= o_bottom + reach and o_left - reach <= x <= o_right + reach:
                return True
    return False
