"""Does a model go on from what it is given? Animate, extend both ways, loop, connect, and where physics went.

Each section gives tables whose first rows are the model and what it can reach at best (the simulator, and its clips
through the autoencoder), and whose last rows are what a trivial answer gets.
"""

from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
from jaxtyping import Float

from ozora.clip import Clip
from ozora.evaluate.bench import Bench
from ozora.evaluate.join import Join, judge_join, largest_step, reversed_join, static_error
from ozora.evaluate.measures import Scores, all_of, judge_all, summarize
from ozora.evaluate.motion import Frames, find_paths, sharpness, steps, travel
from ozora.evaluate.physics_error import constant_velocity, nothing_moves, seen_places, trajectory_error
from ozora.evaluate.pixel_cases import NUM_FRAMES, NUM_GIVEN, NUM_PHYSICS, scene_of, turned
from ozora.evaluate.tables import Rows
from ozora.evaluate.track import find_tracks
from ozora.generate import ask

NUM_BRIDGE = 8
"""Frames between two clips, and from a clip's end back to its beginning."""
NUM_BEGINNINGS = 3
NUM_LAST = 4
"""Frames at a clip's end that say what is left of it: half a second."""
MAX_JUMP = 3.0
SHOWN = 4
"""Clips of a contact sheet."""
Tables = dict[str, Rows]
Sources = dict[str, list[Frames]]


def animate(bench: Bench) -> Tables:
    """The first frame is given. Is it there, does something move, are the objects the same at the end?"""
    sources: Sources = {}
    if bench.generator is not None:
        sources["model"] = _animated(bench)
        sources["reconstruction"] = [_joined(t[:1], r[1:]) for t, r in zip(bench.simulated, bench.reconstructed)]
    sources["simulator"] = bench.simulated
    sources["frozen clip"] = [np.repeat(frames[:1], NUM_FRAMES, axis=0) for frames in bench.simulated]
    if bench.generator is not None:
        sources["text to video"] = bench.from_text
        bench.sheet("animate", _pairs(bench.simulated, sources["model"]))

    def judge(i: int, frames: Frames) -> Scores:
        truth, colors = bench.truth(i), bench.colors(i)
        seen = Counter(track.color for track in find_tracks(frames[-NUM_LAST:])[0])
        changes, true_changes = steps(frames), steps(truth.clip.frames)
        later = float(changes[1:].mean())
        return {
            "first frame exact %": np.array_equal(frames[0], truth.clip.frames[0]),
            "moves %": bool((travel(find_paths(frames, colors).centers) >= truth.radii).any()),
            "colors kept %": seen == Counter(colors),
            "number kept %": seen.total() == len(colors),
            "change / simulator's": float(changes.mean() / true_changes.mean()),
            "first step / later ones": float(changes[0]) / later if later > 0 else None,
        }

    return {"Animate: the first frame is given": judge_all(sources, judge)}


def extend_forward(bench: Bench) -> Tables:
    """Nine frames are given, eight more are made."""
    sources: Sources = {}
    truths = bench.simulated
    if bench.generator is not None:
        sources["model"] = bench.draw(
            "extend",
            lambda generator, i: ask.extend(
                generator.model,
                bench.truth(i).clip.slice(0, NUM_GIVEN),
                bench.cases[i].prompt,
                (NUM_FRAMES - NUM_GIVEN) / 8,
                **bench.options(bench.cases[i]),
            ),
        )
        sources["reconstruction"] = [_joined(t[:NUM_GIVEN], r[NUM_GIVEN:]) for t, r in zip(truths, bench.reconstructed)]
    sources["simulator"] = truths
    num_new = NUM_FRAMES - NUM_GIVEN
    sources["frozen clip"] = [_joined(t[:NUM_GIVEN], np.repeat(t[NUM_GIVEN - 1][None], num_new, 0)) for t in truths]
    sources["repeated clip"] = [_joined(t[:NUM_GIVEN], t[:num_new]) for t in truths]
    if bench.generator is not None:
        sources["text to video"] = [_joined(t[:NUM_GIVEN], f[NUM_GIVEN:]) for t, f in zip(truths, bench.from_text)]
        bench.sheet("extend", _pairs(truths, sources["model"]))

    def judge(i: int, frames: Frames) -> Scores:
        exact = np.array_equal(frames[:NUM_GIVEN], truths[i][:NUM_GIVEN])
        error = _floor(bench, i, NUM_GIVEN, backward=False)
        return _join_scores(exact, [judge_join(frames, NUM_GIVEN, bench.colors(i))], [error])

    return {"Extend forward: nine frames are given": judge_all(sources, judge)}


def extend_backward(bench: Bench) -> Tables:
    """Eight frames are given, nine are made before them; and three beginnings for one ending."""
    sources: Sources = {}
    truths = bench.simulated
    beginnings: list[list[Frames]] = []
    if bench.generator is not None:
        beginnings = [_backward(bench, number) for number in range(NUM_BEGINNINGS)]
        sources["model"] = beginnings[0]
        sources["reconstruction"] = [_joined(r[:NUM_GIVEN], t[NUM_GIVEN:]) for t, r in zip(truths, bench.reconstructed)]
    sources["simulator"] = truths
    sources["frozen clip"] = [_joined(np.repeat(t[NUM_GIVEN][None], NUM_GIVEN, 0), t[NUM_GIVEN:]) for t in truths]
    sources["repeated clip"] = [
        _joined(np.concatenate([t[NUM_GIVEN:]] * 2)[-NUM_GIVEN:], t[NUM_GIVEN:]) for t in truths
    ]
    if bench.generator is not None:
        sources["text to video"] = [_joined(f[:NUM_GIVEN], t[NUM_GIVEN:]) for t, f in zip(truths, bench.from_text)]
        bench.sheet("backward", [clips[i] for i in range(2) for clips in (truths, *beginnings)])

    def judge(i: int, frames: Frames) -> Scores:
        exact = np.array_equal(frames[NUM_GIVEN:], truths[i][NUM_GIVEN:])
        error = _floor(bench, i, NUM_GIVEN, backward=True)
        return _join_scores(exact, [reversed_join(frames, NUM_GIVEN, bench.colors(i))], [error])

    tables = {"Extend backward: eight frames are given": judge_all(sources, judge)}
    if bench.generator is not None:
        three: Sources = {
            "model": [np.concatenate(clips) for clips in zip(*beginnings)],
            "frozen clip": [np.concatenate([frames] * NUM_BEGINNINGS) for frames in sources["frozen clip"]],
        }

        def judge_three(i: int, frames: Frames) -> Scores:
            clips = np.split(frames, NUM_BEGINNINGS)
            noise = _distance(bench.reconstructed[i][:NUM_GIVEN], truths[i][:NUM_GIVEN])
            apart = min(_distance(a[:NUM_GIVEN], b[:NUM_GIVEN]) for a, b in combinations(clips, 2)) / noise
            joins = [reversed_join(clip, NUM_GIVEN, bench.colors(i)).is_ordinary for clip in clips]
            return {
                "one ending %": all(np.array_equal(clip[NUM_GIVEN:], truths[i][NUM_GIVEN:]) for clip in clips),
                "three ordinary joins %": all_of(joins),
                "least difference / reconstruction error": apart,
                "all differ %": apart > 1,
            }

        tables["Extend backward: three beginnings, one ending"] = judge_all(three, judge_three)
    return tables


def loop(bench: Bench) -> Tables:
    """Eight frames lead from a clip's end back to its beginning, without a prompt."""
    sources: Sources = {}
    truths = bench.simulated
    if bench.generator is not None:
        sources["model"] = bench.draw(
            "loop",
            lambda generator, i: ask.loop(
                generator.model,
                bench.truth(i).clip,
                "",
                NUM_BRIDGE / 8,
                **bench.options(bench.cases[i]),
            ),
        )
    sources["frozen clip"] = [_joined(t, np.repeat(t[-1:], NUM_BRIDGE, axis=0)) for t in truths]
    sources["repeated clip"] = truths
    sources["back and forth"] = [_joined(t, t[-2:0:-1]) for t in truths]
    if bench.generator is not None:
        sources["text to video"] = [_joined(t, f[:NUM_BRIDGE]) for t, f in zip(truths, bench.from_text)]
        bench.sheet("loop", [*sources["model"][:SHOWN]])

    def judge(i: int, frames: Frames) -> Scores:
        truth, colors = bench.truth(i), bench.colors(i)
        num_given = len(truth.clip.frames)
        twice = _joined(frames, truth.clip.frames)
        joins = [judge_join(twice, num_given, colors), reversed_join(twice, len(frames), colors)]
        errors = [_floor(bench, i, NUM_GIVEN, backward) for backward in (False, True)]
        bridge = frames[num_given:]
        moved = travel(find_paths(bridge, colors).centers) if len(bridge) else np.zeros(len(colors))
        exact = np.array_equal(frames[:num_given], truth.clip.frames)
        return {
            **_join_scores(exact, joins, errors),
            "travels its width %": bool((moved >= 2 * truth.radii).any()),
        }

    return {"Loop: the bridge from end to beginning": judge_all(sources, judge)}


def connect(bench: Bench) -> Tables:
    """Eight frames lead from one case's clip to another's, without a prompt."""
    sources: Sources = {}
    truths = bench.simulated
    others = [*truths[1:], truths[0]]
    bridges: Sources = {}
    if bench.generator is not None:
        sources["model"] = bench.draw(
            "connect",
            lambda generator, i: ask.connect(
                generator.model,
                bench.truth(i).clip,
                Clip(others[i], 8.0),
                "",
                NUM_BRIDGE / 8,
                **bench.options(bench.cases[i]),
            ),
        )
    scenes = [scene_of(case) for case in bench.cases]
    bridges["simulator's turn"] = [turned(a, b, NUM_BRIDGE) for a, b in zip(scenes, [*scenes[1:], scenes[0]])]
    bridges["frozen clip"] = [np.repeat(a[-1:], NUM_BRIDGE, axis=0) for a in truths]
    bridges["repeated clip"] = [a[:NUM_BRIDGE] for a in truths]
    bridges["cross-fade"] = [_faded(a[-1], b[0]) for a, b in zip(truths, others)]
    if bench.generator is not None:
        bridges["text to video"] = [frames[:NUM_BRIDGE] for frames in bench.from_text]
        bench.sheet("connect", [frames[NUM_FRAMES - 5 : -NUM_FRAMES + 5] for frames in sources["model"][:SHOWN]])
    for name, made in bridges.items():
        sources[name] = [np.concatenate(parts) for parts in zip(truths, made, others)]

    def judge(i: int, frames: Frames) -> Scores:
        start, stop = NUM_FRAMES, len(frames) - NUM_FRAMES
        jump = largest_step(frames, start, stop)
        middle = sharpness(frames[(start + stop) // 2 - 1 : (start + stop) // 2 + 1]).mean()
        ends = sharpness(frames[[start - 1, stop]]).mean()
        return {
            "both ends exact %": np.array_equal(frames[:start], truths[i]) and np.array_equal(frames[stop:], others[i]),
            "no jump above 3 %": None if jump is None else jump <= MAX_JUMP,
            "largest step / ordinary": jump,
            "sharpness in the middle / ends": float(middle / ends),
        }

    return {"Connect: from one clip to another": judge_all(sources, judge)}


def physics(bench: Bench) -> Tables:
    """Where objects are seen, against where physics took them, when the first frame or the first five are given.

    ``bench`` holds cases of things that fall, land, stop and tip over as well.
    """
    return {
        "Against what physics did, the first frame given": _physics_rows(bench, 1),
        "Against what physics did, the first five frames given": _physics_rows(bench, NUM_PHYSICS),
    }


def _physics_rows(bench: Bench, num_given: int) -> Rows:
    sources: Sources = {}
    if bench.generator is not None:
        sources["model"] = _animated(bench) if num_given == 1 else from_five(bench)
        sources["reconstruction"] = bench.reconstructed
    sources["simulator as it is read"] = bench.simulated
    if bench.generator is not None:
        sources["text to video"] = bench.from_text

    def judge(i: int, frames: Frames) -> Scores:
        return _physics_scores(bench, i, seen_places(frames, bench.colors(i)), num_given)

    guesses = {"nothing moves": nothing_moves}
    if num_given > 1:
        guesses["constant velocity"] = constant_velocity
    rows = dict(judge_all(sources, judge))
    for name, guess in guesses.items():
        places = [guess(bench.truth(i).centers, num_given) for i in range(len(bench.cases))]
        rows[name] = summarize([_physics_scores(bench, i, at, num_given) for i, at in enumerate(places)])
    return rows


def _physics_scores(bench: Bench, i: int, places: Float[np.ndarray, "t k 2"], num_given: int) -> Scores:
    error, found = off_path(bench, i, places, num_given)
    try:
        late = off_path(bench, i, places, NUM_FRAMES - NUM_LAST)[0]
    except ValueError:  # nothing is in view at the end
        late = None
    return {
        "distance (% of side)": 100 * error,
        "in the last half second": None if late is None else 100 * late,
        "places found %": found,
    }


def off_path(bench: Bench, i: int, places: Float[np.ndarray, "t k 2"], start: int) -> tuple[float, float]:
    """``trajectory_error`` of what is seen in case i, from frame ``start`` on."""
    truth = bench.truth(i)
    return trajectory_error(places[start:], truth.centers[start:], min(truth.clip.size))


def _animated(bench: Bench) -> list[Frames]:
    return bench.draw(
        "animate",
        lambda generator, i: ask.animate(
            generator.model,
            bench.truth(i).clip.slice(0, 1),
            bench.cases[i].prompt,
            NUM_FRAMES / 8,
            8.0,
            **bench.options(bench.cases[i]),
        ),
    )


def from_five(bench: Bench) -> list[Frames]:
    """What the model makes of each case's first five frames and its prompt."""
    return bench.draw(
        "five frames",
        lambda generator, i: ask.extend(
            generator.model,
            bench.truth(i).clip.slice(0, NUM_PHYSICS),
            bench.cases[i].prompt,
            (NUM_FRAMES - NUM_PHYSICS) / 8,
            **bench.options(bench.cases[i]),
        ),
    )


def _backward(bench: Bench, number: int) -> list[Frames]:
    return bench.draw(
        f"extend backward, beginning {number}",
        lambda generator, i: ask.extend(
            generator.model,
            bench.truth(i).clip.slice(NUM_GIVEN, NUM_FRAMES),
            bench.cases[i].prompt,
            NUM_GIVEN / 8,
            "backward",
            **bench.options(replace(bench.cases[i], seed=bench.cases[i].seed + 1_000_000 * number)),
        ),
    )


def _join_scores(exact: bool, joins: list[Join], errors: list[float | None]) -> Scores:
    """One join's scores, or those of two that must both be right."""
    ratios = [join.still / error for join, error in zip(joins, errors) if join.still is not None and error]
    found = [join.step for join in joins if join.step is not None]
    return {
        "given frames exact %": exact,
        "step 0.5 to 1.5 %": all_of([join.is_ordinary for join in joins]),
        "step / ordinary": float(np.mean(found)) if found else None,
        "velocity goes on %": all_of([join.goes_on for join in joins]),
        "static step / reconstruction error": max(ratios) if ratios else None,
    }


def _floor(bench: Bench, i: int, join: int, backward: bool) -> float | None:
    """What reconstruction alone changes at the join, in the static region; None without an autoencoder."""
    if bench.generator is None:
        return None
    truth, again = bench.simulated[i], bench.reconstructed[i]
    if backward:
        return static_error(truth[::-1], again[::-1], len(truth) - join)
    return static_error(truth, again, join)


def _joined(first: Frames, second: Frames) -> Frames:
    return np.concatenate([first, second])


def _pairs(truths: list[Frames], made: list[Frames]) -> list[Frames]:
    return [clip for pair in list(zip(truths, made))[:SHOWN] for clip in pair]


def _distance(first: Frames, second: Frames) -> float:
    """Root mean square difference, of 255."""
    return float(np.sqrt(np.square(first.astype(np.float64) - second).mean()))


def _faded(first: np.ndarray, second: np.ndarray) -> Frames:
    share = (np.arange(1, NUM_BRIDGE + 1) / (NUM_BRIDGE + 1))[:, None, None, None]
    return ((1 - share) * first + share * second).round().astype(np.uint8)
