"""Are a model's clips, taken together, like the simulator's? Distances between clouds of features, and what moves them.

All sets are compared with one half of held-out renders. The simulator's other half is the floor, the same clips through
the autoencoder what a model can reach at best, and clips broken on purpose are the controls. A model draws the prompts
of the other half, so that no set has seen the scenes that it is compared with.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from ozora.clip import Clip
from ozora.evaluate.cases import cases_hash, make_cases, render_case
from ozora.evaluate.damage import DAMAGES, Damage, noise_like
from ozora.evaluate.features import clip_features, look_features
from ozora.evaluate.frechet import Cloud, frechet, jackknife, mmd
from ozora.evaluate.parts import leave_part
from ozora.evaluate.tables import Rows, Share
from ozora.evaluate.verdicts import Metric
from ozora.generate.generator import Generator

NUM_CLIPS = 200
LEAST_CLIPS = 20
FEW = 4
"""Different clips in the control that repeats a few."""
SIMULATOR, UNDAMAGED, REPEATED, NOISE = "simulator", "undamaged", f"{FEW} clips over and over", "noise alone"
DISTANCE_TITLE, REACTION_TITLE = "Distance from the simulator's clips", "How distances rise with damage"


def evaluate_distribution(
    generator: Generator | None,
    out: Path,
    num_clips: int | None = None,
    batch: int = 10,
    steps: int | None = None,
    guidance: float | None = None,
    console: Console | None = None,
) -> dict:
    """Measure how far the clips of "new" prompts are from renders; print tables, write distribution.json and .md.

    Without a ``generator`` the simulator and its controls are measured alone. The model's clips are those of table
    "new" and kept in ``out``, so that a stopped evaluation goes on. ``num_clips`` None is ``NUM_CLIPS``; all sets are
    compared with as many further scenes. Returns what distribution.json holds. Raises ``ValueError`` for fewer than
    ``LEAST_CLIPS`` clips.
    """
    num_clips = NUM_CLIPS if num_clips is None else num_clips
    if num_clips < LEAST_CLIPS:
        raise ValueError(f"num_clips is {num_clips}; a cloud needs {LEAST_CLIPS} at least, {NUM_CLIPS} to be compared")
    console = console or Console()
    out.mkdir(parents=True, exist_ok=True)
    with Progress(console=console, transient=True) as progress:
        cases = make_cases("new", 2 * num_clips, out / "cases-distribution.json")
        asked = cases[:num_clips]
        renders = [render_case(case)[0] for case in progress.track(cases, description="simulator")]
        true, other = renders[:num_clips], Clouds.of(renders[num_clips:])
        sets: dict[str, Clouds] = {}
        if generator is not None:
            from ozora.evaluate.suite import clips_folder, generated  # which calls this module

            model, folder = generator.model, clips_folder(out, "new", generator, asked, batch, steps, guidance)
            drawn = generated(generator, asked, batch, steps, guidance, folder)
            sets["model"] = Clouds.of(list(progress.track(drawn, total=num_clips, description="model")))
            again = progress.track(true, description="reconstruction")
            sets["reconstruction"] = Clouds.of([model.decode(model.encode(clip), clip.fps) for clip in again])
        sets[SIMULATOR] = Clouds.of(true)
        damaged = {
            damage.words.format(level): Clouds.of(damage_clips(true, damage, level))
            for damage in progress.track(DAMAGES.values(), description="damage")
            for level in damage.levels
        }
        sets |= {worst(damage): damaged[worst(damage)] for damage in DAMAGES.values()}
        sets[REPEATED] = Clouds.of([true[i % FEW] for i in range(num_clips)])
        sets[NOISE] = Clouds.of([Clip(noise_like(c.frames, i), c.fps) for i, c in enumerate(true)])
        tables = {
            "distribution": {DISTANCE_TITLE: distance_rows(sets, other)},
            "reaction": {REACTION_TITLE: distance_rows({UNDAMAGED: sets[SIMULATOR], **damaged}, other)},
        }
    order = {column: rank_damages(tables["reaction"][REACTION_TITLE], column) for column in COLUMNS}
    identity = {
        "model": generator.name if generator else "simulator",
        "model_hash": generator.hash if generator else None,
        "steps": steps,
        "guidance": guidance,
        "num_clips": num_clips,
        "evaluation_sets": {"distribution": cases_hash(cases)},
        "asks": _ASKS,
        "metrics": {DISTANCE_TITLE: {column: dataclasses.asdict(metric) for column, metric in METRICS.items()}},
        "levels in order": order,
        "thrown_out": {DISTANCE_TITLE: thrown_out(order)},
    }
    return leave_part(out, "distribution", "Distribution of clips", _HOW_TO_READ, identity, tables, console)


@dataclasses.dataclass(frozen=True, eq=False)
class Clouds:
    """Features of a set of clips: of what happens in them, and of how their frames look."""

    clips: Cloud
    look: Cloud

    @staticmethod
    def of(clips: Sequence[Clip]) -> "Clouds":
        return Clouds(clip_features(clips), look_features(clips))


COLUMNS: dict[str, Callable[[Clouds, Clouds], Share | None]] = {
    "clips, Fréchet": lambda some, reference: _frechet(some.clips, reference.clips),
    "clips, MMD": lambda some, reference: jackknife(mmd, some.clips, reference.clips),
    "look, Fréchet": lambda some, reference: _frechet(*_scaled(some.look, reference.look)),
    "look, MMD": lambda some, reference: jackknife(mmd, *_scaled(some.look, reference.look)),
}
CLAIMS = {
    "clips": tuple(name for name in DAMAGES if name != "mosaic"),
    "look": tuple(name for name, damage in DAMAGES.items() if not damage.temporal),
}
"""Damage that distances must rise with. What happens in a clip can be told through tiles of unlike brightness, and the
features that tell it hardly see them; how frames look says nothing of time."""


def worst(damage: Damage) -> str:
    """The name of a set of clips with the damage at its highest level."""
    return damage.words.format(damage.levels[-1])


def _metric(column: str) -> Metric:
    """What a column claims: to be further from the simulator for clips with any damage of ``CLAIMS`` and for noise."""
    kind = column.split(",")[0]
    about = {"clips": "of what is shown and what happens", "look": "of how frames look, in whatever order"}[kind]
    controls = [worst(DAMAGES[name]) for name in CLAIMS[kind]]
    return Metric("low", SIMULATOR, (*controls, REPEATED, NOISE), about=f"between sets of clips, {about}")


METRICS = {column: _metric(column) for column in COLUMNS}


def distance_rows(sets: Mapping[str, Clouds], reference: Clouds) -> Rows:
    """A row of distances from ``reference`` for every set."""
    return {
        name: {column: measure(clouds, reference) for column, measure in COLUMNS.items()}
        for name, clouds in sets.items()
    }


def damage_clips(clips: Iterable[Clip], damage: Damage, level: float) -> list[Clip]:
    """Every clip with the damage, each by its own seed."""
    return [Clip(damage.apply(clip.frames, level, i), clip.fps) for i, clip in enumerate(clips)]


def rank_damages(rows: Rows, column: str) -> dict[str, float | None]:
    """For every damage the share of pairs of levels, no damage among them, that are not in the wrong order.

    A pair is in the wrong order where the milder level is further away and is not within the interval of no damage,
    with which it might be confused. 0 where the highest level is within it too; None where the column has no values.
    """
    shares: dict[str, float | None] = {}
    for name, damage in DAMAGES.items():
        values = [rows[row][column] for row in (UNDAMAGED, *map(damage.words.format, damage.levels))]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            shares[name] = None
        elif known[-1].value <= known[0].high:
            shares[name] = 0.0
        else:
            right = [a.value < b.value or a.value <= known[0].high for a, b in combinations(known, 2)]
            shares[name] = float(np.mean(right))
    return shares


def thrown_out(order: Mapping[str, Mapping[str, float | None]], least: float = 0.9) -> dict[str, str]:
    """The columns that fail to put a damage's levels in order, with the reason.

    Only damage of ``CLAIMS`` counts.
    """
    reasons = {}
    for column, shares in order.items():
        failed = [
            name for name in CLAIMS[column.split(",")[0]] if (share := shares[name]) is not None and share < least
        ]
        if failed:
            reasons[column] = f"it does not rise with {', '.join(failed)}"
    return reasons


def _frechet(first: Cloud, second: Cloud) -> Share | None:
    return jackknife(frechet, first, second) if min(len(first), len(second)) >= 2 * first.shape[1] else None


def _scaled(some: Cloud, reference: Cloud) -> tuple[Cloud, Cloud]:
    """Both in units of the reference's deviations from its means."""
    mean, deviation = reference.mean(axis=0), reference.std(axis=0) + 1e-6
    return (some - mean) / deviation, (reference - mean) / deviation


_ASKS = {
    "distribution": "Is the set of a model's clips like the set of the simulator's?",
    "reaction": "Do the distances rise with damage, to frames and to time?",
}
_HOW_TO_READ = """Distances between sets of clips, as features of a small network trained on the simulator's facts see
them; 0 is alike. In brackets stands the 95 % interval of a jackknife over clips, both ways of measuring free of the
bias of few clips as far as that falls as one over their number. All sets are compared with the same held-out renders;
*simulator* is their other half and what a perfect model reaches, *reconstruction* the same through the autoencoder.

- *clips*: what is shown and what happens, from sixteen frames at 8 frames a second, each of 64x64 pixels' area
  whatever the aspect. *look*: edges, grain and light of the same frames, in whatever order: what is far in *clips*
  and near in *look* is wrong in what it shows or in time.
- *Fréchet*: between Gaussians of the features' means and covariances (as FVD); empty below two clips a feature.
  *MMD*: with a kernel of third degree (as KID); right on average from any number of clips, and so sometimes below 0.
"""
