"""Which clips does a report show? The first few cases, the model beside the simulator beside the reconstruction.

Always the first ones, so that nobody chooses the good ones. What the model drew for the tables is read again from the
folder that keeps it; nothing is drawn here.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from ozora.evaluate.bench import Bench
from ozora.evaluate.cases import Case, render_case
from ozora.evaluate.motion import Frames
from ozora.evaluate.strips import write_strip
from ozora.generate.folder import Model
from ozora.generate.generator import Generator
from ozora.generate.request import Request

NUM_SHOWN = 4
NUM_MINUTES = 2
MINUTE_STEP = 8
"""Of a minute every eighth frame is shown: it plays in seven seconds."""


def prompt_strips(
    table: str, cases: Sequence[Case], drawn: Callable[[], Sequence[Frames]] | None, model: Model | None, out: Path
) -> list[dict]:
    """Strips of the first cases of a table, each of another prompt. ``drawn`` gives the model's clips, in order."""
    first: dict[str, int] = {}
    for i, case in enumerate(cases):
        first.setdefault(case.prompt, i)
    chosen = list(islice(first.values(), NUM_SHOWN))
    made = drawn() if drawn is not None else ()
    strips = []
    for i in chosen:
        clip, _ = render_case(cases[i])
        clips = {"model": made[i]} if made else {}
        clips["simulator"] = clip.frames
        if model is not None:
            clips["reconstruction"] = model.decode(model.encode(clip), clip.fps).frames
        strips.append(write_strip(out, f"{table}-{i:03d}", cases[i].prompt, clips, clip.fps))
    return strips


def pixel_strips(asked: Bench, minute: Bench | None = None) -> dict[str, list[dict]]:
    """Strips of the pixel suite by section: what the bench has drawn beside what is true. Empty without a model.

    Raises ``ValueError`` where the clips are not in the bench's folder.
    """
    if asked.generator is None:
        return {}
    model, chosen = asked.generator.model, range(min(NUM_SHOWN, len(asked.cases)))
    true = [asked.truth(i).clip for i in chosen]
    again = [model.decode(model.encode(clip), clip.fps).frames for clip in true]
    strips = {}
    for section, drawn in (("animate", "animate"), ("extend forward", "extend"), ("fill", "fill")):
        made = asked.draw(drawn, _kept)
        strips[section] = [
            write_strip(
                asked.out,
                f"pixels-{drawn}-{i:03d}",
                asked.cases[i].prompt,
                {"model": made[i], "simulator": true[i].frames, "reconstruction": again[i]},
            )
            for i in chosen
        ]
    for section, drawn, told in (
        ("loop", "loop", "The clip, then the bridge to its beginning"),
        ("connect", "connect", "A clip, the bridge, the next case's clip"),
        ("storyboard", "storyboard", "Two seconds each"),
    ):
        made = asked.draw(drawn, _kept)
        captions = (f"{told}. {asked.cases[i].prompt}" for i in chosen)
        strips[section] = [
            write_strip(asked.out, f"pixels-{drawn}-{i:03d}", caption, {"model": made[i]})
            for i, caption in zip(chosen, captions)
        ]
    if minute is not None:
        made = minute.draw("a minute", _kept)
        strips["minute"] = [
            write_strip(
                minute.out,
                f"pixels-minute-{i:03d}",
                f"{minute.cases[i].prompt} A minute, eight times as fast.",
                {"model": made[i][::MINUTE_STEP]},
            )
            for i in range(min(NUM_MINUTES, len(made)))
        ]
    return strips


def _kept(generator: Generator, i: int) -> Request:
    raise ValueError(
        f"clip {i} of {generator.name} is not in the folder; measure the section before its clips are shown"
    )
