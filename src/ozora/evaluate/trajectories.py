"""How far from physics does a clip go when its first frames are given, and how much further on what is new?

The protocol of PhyWorld (Kang et al. 2024) in three dimensions: five frames are given; the error is measured in
distribution and on templates, speeds and pairs that training never showed. The same five families serve every split.
"""

from collections.abc import Mapping

import numpy as np

from ozora.evaluate.bench import Bench
from ozora.evaluate.broken import Sources, shuffled
from ozora.evaluate.continuing import from_five, off_path
from ozora.evaluate.measures import Scores, summarize
from ozora.evaluate.physics_error import constant_velocity, nothing_moves, seen_places
from ozora.evaluate.pixel_cases import NUM_PHYSICS
from ozora.evaluate.ranking import Judged
from ozora.evaluate.tables import Rows, Share
from ozora.evaluate.verdicts import Metric

GUESSES = {"nothing moves": nothing_moves, "constant velocity": constant_velocity}
FLOOR = "simulator"
AIM = 3.0
"""Times the floor."""


def trajectories(benches: Mapping[str, Bench]) -> list[Judged]:
    """Distances in percent of the frame's side and by the floor's, a column for each split (the benches' names)."""
    distances: dict[str, dict[str, Share | None]] = {}
    ratios: dict[str, dict[str, Share | None]] = {}
    for split, bench in benches.items():
        off, times = _split_rows(bench, split)
        for table, rows in ((distances, off), (ratios, times)):
            for name, shares in rows.items():
                table.setdefault(name, {}).update(shares)
    worse = ("shuffled frames", "nothing moves")
    about = "mean over frames and objects, at most 50, which is what an unseen object counts"
    first = {f"{split} (% of side)": Metric("low", FLOOR, worse, about=about) for split in benches}
    second = {f"{split} / floor": Metric("low", FLOOR, worse, aim=AIM) for split in benches}
    title = "Trajectories, five frames given: distance from where physics went"
    return [Judged(title, distances, first), Judged(f"{title}, by the simulator's as it is read", ratios, second)]


def _split_rows(bench: Bench, split: str) -> tuple[Rows, Rows]:
    """Distances and places found, and distances by the simulator's mean one."""
    sources: Sources = {FLOOR: bench.simulated}
    if bench.generator is not None:
        sources = {"model": from_five(bench), "reconstruction": bench.reconstructed, **sources}
    sources["shuffled frames"] = [
        np.concatenate([frames[:NUM_PHYSICS], shuffled(case, frames[NUM_PHYSICS:])])
        for case, frames in zip(bench.cases, bench.simulated, strict=True)
    ]
    places = {name: [seen_places(f, bench.colors(i)) for i, f in enumerate(clips)] for name, clips in sources.items()}
    for name, guess in GUESSES.items():
        places[name] = [guess(bench.truth(i).centers, NUM_PHYSICS) for i in range(len(bench.cases))]
    errors = {
        name: [off_path(bench, i, at, NUM_PHYSICS) for i, at in enumerate(found)] for name, found in places.items()
    }
    floor = float(np.mean([error for error, _ in errors[FLOOR]]))
    off: dict[str, dict[str, Share | None]] = {}
    times: dict[str, dict[str, Share | None]] = {}
    for name, pairs in errors.items():
        scores: list[Scores] = [{f"{split} (% of side)": 100 * e, f"{split}: found %": found} for e, found in pairs]
        off[name] = summarize(scores)
        times[name] = summarize([{f"{split} / floor": error / floor} for error, _ in pairs])
    return off, times
