"""Does a model change what it is asked to change, and leave the rest? Edit, fill, storyboard, and company in a row."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float

from ozora.clip import Clip
from ozora.evaluate.bench import Bench
from ozora.evaluate.cases import Case
from ozora.evaluate.continuing import SHOWN, Sources, Tables
from ozora.evaluate.measures import Scores, judge_all, summarize
from ozora.evaluate.motion import Frames, dilated, find_paths
from ozora.evaluate.pixel_cases import NUM_FRAMES, colors_of, recolored, truth_of
from ozora.evaluate.tables import Share
from ozora.evaluate.track import find_tracks
from ozora.generate import ask
from ozora.generate.generator import Generator
from ozora.generate.request import Request
from ozora.generate.storyboard import Shot
from ozora.generate.tasks import fill as fill_task

STRENGTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
TUNED_STRENGTHS = (0.7, 0.8, 0.9)
LEAST_SEEN = 0.75
"""Of the frames in which an object truly is: seen in fewer, it has no path."""
MARGIN = 2
"""Pixels around an object that are remade with it."""
SHOT_SECONDS = 2.0
SETTLING = 4
"""Frames after a shot's start that are not judged: its words have just begun to hold."""
AGREEMENT = 0.999


def edit(bench: Bench, tuning: Sequence[Case]) -> Tables:
    """The prompt says another color. ``tuning`` are the cases on which the strength for that is chosen.

    How far a clip goes with each strength is measured on the first half of the cases.
    """
    truths = bench.simulated
    half = max(2, len(truths) // 2)
    changed = bench.recolored
    distances: Sources = {}
    recolorings: Sources = {}
    tables: Tables = {}
    by_strength: dict[float, list[Frames]] = {}
    if bench.generator is not None:
        by_strength = {s: _edited(bench, bench.cases[:half], changed, s) for s in STRENGTHS}
        distances["model"] = [np.concatenate(clips) for clips in zip(*by_strength.values())]
        other_colors = [recolored(case) for case in tuning]
        tuned = {s: _tuning_row(bench, tuning, other_colors, s) for s in TUNED_STRENGTHS}
        tables["Edit: strengths tried on other cases"] = {f"strength {s:g}": row for s, row in tuned.items()}
        strength = max(tuned, key=lambda s: (_value(tuned[s]["recolored on its path %"]), -s))
        made = _edited(bench, bench.cases, changed, strength)
        recolorings[f"model, strength {strength:g}"] = made
        bench.sheet("edit", [clip for pair in list(zip(truths, made))[:SHOWN] for clip in pair])
    recolorings["simulator, recolored"] = [truth_of(case).clip.frames for case in changed]
    recolorings["source as it is"] = truths
    if bench.generator is not None:
        recolorings["text to video"] = by_strength[1.0]  # all is forgotten
        distances["reconstruction"] = [np.concatenate([r] * len(STRENGTHS)) for r in bench.reconstructed[:half]]
    distances["source as it is"] = [np.concatenate([t] * len(STRENGTHS)) for t in truths[:half]]

    def judge_distance(i: int, frames: Frames) -> Scores:
        clips = np.split(frames, len(STRENGTHS))
        far = [float(np.sqrt(np.square(clip.astype(np.float64) - truths[i]).mean())) for clip in clips]
        return {
            **{f"strength {s:g}": distance for s, distance in zip(STRENGTHS, far)},
            "always rises %": all(after > before for before, after in pairwise(far)),
        }

    tables["Edit: distance from the source, of 255"] = judge_all(distances, judge_distance)
    tables["Edit: one object gets another color"] = judge_all(
        recolorings, lambda i, frames: _recoloring(bench.cases[i], changed[i], frames)
    )
    return tables


def fill(bench: Bench) -> Tables:
    """An object is masked, wherever it is, and made again from the prompt."""
    truths = bench.simulated
    masks = [_object_mask(bench, i) for i in range(len(truths))]
    sources: Sources = {}
    if bench.generator is not None:
        sources["model"] = bench.draw(
            "fill",
            lambda generator, i: ask.fill(
                generator.model,
                bench.truth(i).clip,
                bench.cases[i].prompt,
                masks[i],
                **bench.options(bench.cases[i]),
            ),
        )
        sources["reconstruction"] = [_pasted(t, r, m) for t, r, m in zip(truths, bench.reconstructed, masks)]
    sources["simulator"] = truths
    sources["frozen clip"] = [_pasted(t, np.repeat(t[:1], len(t), axis=0), m) for t, m in zip(truths, masks)]
    sources["painted out"] = [_pasted(t, np.full_like(t, 128), m) for t, m in zip(truths, masks)]
    if bench.generator is not None:
        sources["text to video"] = [_pasted(t, f, m) for t, f, m in zip(truths, bench.from_text, masks)]
        bench.sheet("fill", [clip for pair in list(zip(truths, sources["model"]))[:SHOWN] for clip in pair])

    def judge(i: int, frames: Frames) -> Scores:
        truth, mask = bench.truth(i), masks[i]
        colors = [track.color for track in find_tracks(frames)[0]]
        paths = find_paths(frames, bench.colors(i)[:1])
        return {
            "identical outside %": np.array_equal(frames[~mask], truth.clip.frames[~mask]),
            "step over the mask's edge": _edge(frames, mask),
            "object is back %": Counter(colors) == Counter(bench.colors(i)),
            "on its path %": _on_path(paths.centers[:, 0], truth.centers[:, 0], truth.radii[0]),
        }

    tables = {"Fill: an object is masked and made again": judge_all(sources, judge)}
    if bench.generator is not None:
        leaks = [_leak_scores(bench, i, mask) for i, mask in enumerate(masks)]
        tables["Fill: what the model is shown"] = {"model": summarize(leaks)}
    return tables


def storyboard(bench: Bench) -> Tables:
    """Two shots of two seconds; in the second the first object has another color."""
    changed = bench.recolored
    sources: Sources = {}
    firsts: list[Frames] = []
    num = round(SHOT_SECONDS * 8)
    if bench.generator is not None:

        def scripted(generator: Generator, i: int) -> Request:
            shots = (
                Shot(bench.cases[i].prompt, 0.0, SHOT_SECONDS),
                Shot(changed[i].prompt, SHOT_SECONDS, SHOT_SECONDS),
            )
            options = bench.options(bench.cases[i])
            return ask.storyboard(generator.model, shots, size=(64, 64), fps=8.0, **options)

        def second(generator: Generator, i: int) -> Request:
            case = changed[i]
            return Request(case.prompt, (64, 64), NUM_FRAMES / 8, 8.0, **bench.options(case))

        sources["model"] = bench.draw("storyboard", scripted)
        firsts = [frames[:num] for frames in bench.from_text]
        seconds = [frames[:num] for frames in bench.draw("second shot alone", second)]
        sources["each shot drawn alone"] = [np.concatenate(shots) for shots in zip(firsts, seconds)]
        bench.sheet("storyboard", sources["model"][:SHOWN])
    simulated = [truth_of(case).clip.frames for case in changed]
    sources["simulator, cut"] = [np.concatenate([t[:num], c[:num]]) for t, c in zip(bench.simulated, simulated)]
    if bench.generator is not None:
        sources["first prompt throughout"] = [np.concatenate([first, first]) for first in firsts]
        sources["model, shots exchanged"] = [np.concatenate([f[num:], f[:num]]) for f in sources["model"]]
    sources["repeated clip"] = [np.concatenate([t[:num], t[:num]]) for t in bench.simulated]

    def judge(i: int, frames: Frames) -> Scores:
        old, new = colors_of(bench.cases[i])[0], colors_of(changed[i])[0]
        first, second = (
            {track.color for track in find_tracks(shot[SETTLING:])[0]} for shot in (frames[:num], frames[num:])
        )
        own = [old in first and new not in first, new in second and old not in second]
        return {"first shot's color %": own[0], "second shot's color %": own[1], "both in their spans %": all(own)}

    return {"Storyboard: each shot shows its own color": judge_all(sources, judge)}


def company(bench: Bench) -> Tables:
    """Unlike requests, each drawn alone and all in one row."""
    if bench.generator is None:
        return {}
    generator, count = bench.generator, min(4, len(bench.cases))
    requests = []
    for i in range(count):
        clip, prompt = bench.truth(i).clip, bench.cases[i].prompt
        options = bench.options(replace(bench.cases[i], seed=i))
        requests += [
            ask.animate(generator.model, clip.slice(0, 1), prompt, NUM_FRAMES / 8, 8.0, **options),
            ask.extend(generator.model, clip.slice(0, 9), prompt, 1.0, **options),
            ask.edit(generator.model, clip, prompt, 0.6, **options),
            Request(prompt, (48, 80), 1.0, 8.0, **options),
        ]
    scores = []
    for alone, together in zip((generator.render([r])[0] for r in requests), generator.render(requests)):
        apart = np.abs(alone.frames.astype(np.int16) - together.frames).max(axis=3)
        close = float((apart <= 1).mean())
        scores.append({"pixels within 1 of 255 %": close, "clips that agree %": close >= AGREEMENT})
    return {"Company: alone and in one row": {"model": summarize(scores)}}


def _edited(bench: Bench, cases: Sequence[Case], changed: Sequence[Case], strength: float) -> list[Frames]:
    """The cases' clips edited with the prompts of ``changed``."""
    return bench.draw(
        f"edit {strength:g}",
        lambda generator, i: ask.edit(
            generator.model,
            truth_of(cases[i]).clip,
            changed[i].prompt,
            strength,
            **bench.options(cases[i]),
        ),
        cases,
    )


def _tuning_row(
    bench: Bench, tuning: Sequence[Case], changed: Sequence[Case], strength: float
) -> dict[str, Share | None]:
    made = _edited(bench, tuning, changed, strength)
    return summarize([_recoloring(*parts) for parts in zip(tuning, changed, made)])


def _value(share: Share | None) -> float:
    return share.value if share else 0.0


def _recoloring(case: Case, changed: Case, frames: Frames) -> Scores:
    """Whether the first object has its new color, not its old one, and is where it was."""
    truth, old, new = truth_of(case), colors_of(case)[0], colors_of(changed)[0]
    seen = {track.color for track in find_tracks(frames)[0]}
    is_recolored = new in seen and old not in seen
    paths = find_paths(frames, [new if new in seen else old])
    stays = _on_path(paths.centers[:, 0], truth.centers[:, 0], truth.radii[0])
    return {"recolored %": is_recolored, "on its path %": stays, "recolored on its path %": is_recolored and stays}


def _on_path(path: Float[np.ndarray, "t 2"], truth: Float[np.ndarray, "t 2"], radius: float) -> bool:
    """Whether a path is within the object's radius of the true one on average, where it is seen often enough."""
    distance = np.linalg.norm(path - truth, axis=1)[np.isfinite(truth).all(axis=1)]
    seen = np.isfinite(distance)
    return bool(seen.mean() >= LEAST_SEEN and distance[seen].mean() <= radius)


def _object_mask(bench: Bench, i: int) -> Bool[np.ndarray, "t h w"]:
    """The first object's bounding box in every frame in which it is seen, and a margin."""
    masks = bench.truth(i).masks == 1
    boxes = np.zeros_like(masks)
    for box, mask in zip(boxes, masks):
        if mask.any():
            ys, xs = np.nonzero(mask)
            box[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] = True
    return np.stack([dilated(box, MARGIN) for box in boxes])


def _pasted(outside: Frames, inside: Frames, mask: Bool[np.ndarray, "t h w"]) -> Frames:
    return np.where(mask[..., None], inside, outside)


def _edge(frames: Frames, mask: Bool[np.ndarray, "t h w"]) -> float:
    """Mean difference between neighbors of which one is within the mask and one is not, of 255."""
    values = frames.astype(np.int16)
    down = np.abs(np.diff(values, axis=1)).mean(axis=3)[mask[:, 1:] != mask[:, :-1]]
    across = np.abs(np.diff(values, axis=2)).mean(axis=3)[mask[:, :, 1:] != mask[:, :, :-1]]
    both = np.concatenate([down, across])
    return float(both.mean()) if len(both) else 0.0


def _leak_scores(bench: Bench, i: int, mask: Bool[np.ndarray, "t h w"]) -> Scores:
    """Whether the known latents are the same when something else is under the mask."""
    assert bench.generator is not None
    model, clip = bench.generator.model, bench.truth(i).clip
    random = np.random.default_rng(i).integers(0, 256, clip.frames.shape, dtype=np.uint8)
    one = fill_task(clip, mask, model).canvas
    two = fill_task(Clip(_pasted(clip.frames, random, mask), clip.fps), mask, model).canvas
    known = one.known == 1
    plain = model.encode(clip)[:, known]
    return {
        "known latents do not depend on what was removed %": bool((one.clean[:, known] == two.clean[:, known]).all()),
        "cells known %": float(known.float().mean()),
        "they would, encoded with it in sight %": bool((plain != one.clean[:, known]).any()),
    }
