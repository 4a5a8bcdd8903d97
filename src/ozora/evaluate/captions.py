"""How much of what happens does a captioner say, and what does an expansion keep? Words against the simulator's truth.

Captions are read back into slots (``language/slots.py``) and compared with the facts: objects with their colours and
shapes as precision and recall; the event, the camera, the order of what happens and the seconds that are told as right
or wrong. The simulator's own captions are the ceiling, captions of other clips the floor.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from ozora.data.record import Facts
from ozora.evaluate.asked import Asked, asked_prompts, by_kind
from ozora.evaluate.cases import cases_hash, make_cases, render_case
from ozora.evaluate.parts import plain_rows, write_text
from ozora.evaluate.tables import Rows, Share, bootstrap, markdown_table, terminal_table
from ozora.generate.folder import find_model, load_folder
from ozora.generate.watch import load_captioner, load_expander
from ozora.language.captioner import STYLES, Captioner, Style
from ozora.language.expander import Expander, expand
from ozora.language.slots import Said, plain, read_text
from ozora.world.wording import seconds

PARTS = ("objects", "colors", "shapes", "event", "camera", "order", "seconds")
# The words that tell each main event of a clip; of "mark" and "hide" the thing that they happen to may be a prop.
EVENT_ACTIONS: dict[str, frozenset[str]] = {
    "fall": frozenset({"fall"}),
    "roll": frozenset({"roll"}),
    "slide": frozenset({"slide"}),
    "hit": frozenset({"hit"}),
    "swing": frozenset({"swing"}),
    "rest": frozenset({"rest"}),
    "hide": frozenset({"hide"}),
    "break": frozenset({"break"}),
    "vanish": frozenset({"vanish"}),
    "mark": frozenset({"mark"}),
    "topple": frozenset({"topple"}),
    "descend": frozenset({"roll", "slide"}),
    "ride": frozenset({"ride"}),
    "orbit": frozenset({"orbit"}),
    "enter": frozenset({"enter"}),
}
# Kinds of events whose order a caption can tell, as its words name them.
TOLD = {"land": "hit", "hit": "hit", "hidden": "hide", "appear": "reappear", "break": "break", "consume": "vanish"}
TOLD |= {"mark": "mark", "topple": "topple", "bounce": "bounce", "stop": "stop", "leave": "leave", "fall": "fall"}
SECONDS = {seconds(tenths / 10): tenths / 10 for tenths in range(1, 100)}
_SECONDS = re.compile(rf"\b(?:after|at) ({'|'.join(sorted(map(re.escape, SECONDS), key=len, reverse=True))})")
NEAR = 0.2
"""Seconds: as near as this a told time is right. A frame lasts 0.125, and times are told to a tenth."""


@dataclass(frozen=True)
class CaptionScore:
    """How well one caption says the facts. The first three are F1 in [0, 1]; the rest 0 or 1, None where the facts
    leave it open (``order`` where fewer than two kinds of events can be told, ``seconds`` where no time is told)."""

    objects: float
    colors: float
    shapes: float
    event: float | None
    camera: float | None
    order: float | None
    seconds: float | None


def score_caption(text: str, facts: Facts) -> CaptionScore:
    """Compare what a caption says with the truth.

    ``order``: of the kinds of events that the caption tells and that happened, the first mentions come in the order in
    which they first happened. ``seconds``: which share of the times that the caption tells ("after 0.4 seconds") lies
    within ``NEAR`` of something that happened.
    """
    said = read_text(text)
    true = [(item.color, item.shape) for item in facts.objects]
    told = [(thing.color, thing.shape) for thing in said.things]
    actions = set(said.values("action"))
    camera = said.values("camera")
    times = [SECONDS[words] for words in _SECONDS.findall(text)]
    happened = [event.seconds for event in facts.events]
    right = [any(abs(time - other) <= NEAR for other in happened) for time in times]
    return CaptionScore(
        objects=f1(told, true),
        colors=f1([color for color, _ in told if color], [color for color, _ in true]),
        shapes=f1([shape for _, shape in told if shape], [shape for _, shape in true]),
        event=float(bool(actions & EVENT_ACTIONS[facts.event])) if facts.event else None,
        camera=float(camera[0] == facts.camera) if facts.camera and camera else (0.0 if facts.camera else None),
        order=_order(said, facts),
        seconds=float(np.mean(right)) if right else None,
    )


def f1(told: Sequence[object], true: Sequence[object]) -> float:
    """The harmonic mean of precision and recall of two bags: 1 where both are empty, 0 where they share nothing."""
    if not told and not true:
        return 1.0
    shared = (Counter(told) & Counter(true)).total()
    return 2 * shared / (len(told) + len(true))


def _order(said: Said, facts: Facts) -> float | None:
    happened = list(dict.fromkeys(TOLD[event.kind] for event in facts.events if event.kind in TOLD))
    told = [action for action in dict.fromkeys(said.values("action")) if action in happened]
    if len(happened) < 2:
        return None
    return float(len(told) > 1 and told == [kind for kind in happened if kind in told])


def caption_rows(captions: Mapping[str, Sequence[str]], facts: Sequence[Facts]) -> Rows:
    """A row of means with intervals for every source of captions, one caption for each of the ``facts``.

    Beside each stands the floor: the same captions compared with the next clip's facts.
    """
    rows: dict[str, dict[str, Share | None]] = {}
    shifted = [*facts[1:], facts[0]]
    for source, texts in captions.items():
        for name, truth in ((source, facts), (f"{source}, other clips", shifted)):
            scores = [score_caption(text, true) for text, true in zip(texts, truth, strict=True)]
            rows[name] = {part: _mean([getattr(score, part) for score in scores]) for part in PARTS}
    return rows


def _mean(values: Sequence[float | None]) -> Share | None:
    judged = np.array([value for value in values if value is not None])
    return bootstrap(judged) if len(judged) else None


def evaluate_captions(
    model: str = "mini",
    out: Path = Path("report"),
    num_clips: int = 200,
    captioner: Captioner | None = None,
    styles: Sequence[Style] = STYLES,
    console: Console | None = None,
) -> dict:
    """Score the model's captioner (or another) on held-out clips, real renders and their reconstructions, in every
    style, and its expander on the prompts of asked.py; print tables, write captions.md and captions.json into ``out``,
    return the latter.

    A short caption leaves the camera open, so there it is not judged.
    """
    console = console or Console()
    folder = find_model(model)
    loaded = load_folder(folder)
    captioner = captioner or load_captioner(folder, loaded)
    cases = make_cases("new", num_clips)
    facts = [case.record.facts for case in cases if case.record.facts is not None]
    clips = [render_case(case)[0] for case in cases]
    again = [loaded.decode(loaded.encode(clip), clip.fps) for clip in clips]
    told: dict[Style, Rows] = {}
    for style in styles:
        captions = {
            "simulator": [case.record.text(style) or "" for case in cases],
            "captioner": captioner.caption(clips, style),
            "captioner, reconstructions": captioner.caption(again, style),
        }
        asked = [replace(one, camera="") for one in facts] if style == "short" else facts
        told[style] = caption_rows(captions, asked)
    kept = expansion_rows(load_expander(folder))
    tables = {f"What {style} captions say, {captioner.id}": rows for style, rows in told.items()}
    tables["What expansions keep"] = kept
    for title, rows in tables.items():
        console.print(terminal_table(title, rows))
    report = {
        "model": model,
        "model_hash": loaded.hash,
        "captioner": captioner.id,
        "num_clips": num_clips,
        "evaluation_set": cases_hash(cases),
        "captions": {style: plain_rows(rows) for style, rows in told.items()},
        "expansions": plain_rows(kept),
    }
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "captions.json", json.dumps(report, indent=1) + "\n")
    write_text(out / "captions.md", "\n".join(markdown_table(title, rows) for title, rows in tables.items()))
    return report


@dataclass(frozen=True)
class _Drafts:
    """What an expander proposes for one prompt, asked once."""

    id: str
    texts: list[str]

    def propose(self, prompt: str, seed: int = 0) -> list[str]:
        return self.texts


def expansion_rows(expander: Expander | None, prompts: Sequence[Asked] | None = None) -> Rows:
    """By kind of wording: which share of expansions keeps all that was asked (``Asked.lost``), and who wrote them.

    ``kept`` judges what ``expand`` returns, checks and rules included, ``rules alone`` what it returns without an
    expander, ``first draw`` the expander's first proposal as it is; ``by the expander`` is how often one of its
    proposals was taken. ``setting``, ``light`` and ``camera``: what is returned names a floor, a sky, how the camera
    moves.
    """
    rows: dict[str, dict[str, Share | None]] = {}
    prompts = prompts or asked_prompts()
    values: dict[str, dict[str, float]] = {}
    for i, asked in enumerate(prompts):
        drafts = _Drafts(expander.id, expander.propose(plain(asked.prompt), i)) if expander else None
        expansion = expand(asked.prompt, [drafts] if drafts else [], seed=i)
        values[asked.prompt] = {
            "kept": float(not asked.lost(expansion.text)),
            "rules alone": float(not asked.lost(expand(asked.prompt, [], seed=i).text)),
        }
        said = read_text(expansion.text)
        for name, kind in (("setting", "floor"), ("light", "sky"), ("camera", "camera")):
            values[asked.prompt][name] = float(bool(said.values(kind)))
        if drafts is not None:
            first = drafts.texts[:1]
            values[asked.prompt]["first draw"] = float(bool(first) and not asked.lost(first[0]))
            values[asked.prompt]["by the expander"] = float(expansion.by == drafts.id)
    for kind, chosen in by_kind(prompts):
        own = [values[asked.prompt] for asked in chosen]
        rows[kind] = {name: _mean([value[name] for value in own]) for name in own[0]}
    return rows
