"""Make the pictures of the README: `python recipes/strip.py`, or with the name of another model.

docs/strip.png has a row for each prompt: the best of three, as ``ozora generate`` keeps it by itself. In
docs/verbs/VERB.png stands what each way to ask with pixels makes of clips that the same model made; there seeds are the
first ones, nothing is chosen. A bar below a frame says that it was given. Hardware: one core. Time: five minutes, most
of it for the minute.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tyro
from jaxtyping import UInt8

from ozora.clip import Clip
from ozora.evaluate.motion import Frames
from ozora.generate import ask
from ozora.generate.generator import Generator
from ozora.generate.request import Request
from ozora.generate.storyboard import Shot
from ozora.train.metrics import sample_strip
from ozora.verbs.draw import USUAL_CHOICE

PROMPTS = (
    "a red ball falls and bounces on a grey floor",
    "a blue cube slides to the right",
    "a green sphere rolls to the left on a beige floor",
    "a yellow cone swings back and forth",
    "a purple cylinder stands still while the camera orbits to the left",
    "an orange ball hits a cyan cube",
    "a pink ball goes behind a wall and comes out again",
    "a green cube and a red cone stand on a dark floor",
)
BALL = "a red ball rolls to the right on a grey floor"
CUBE = "a blue cube slides to the left on a grey floor"
SECONDS = 17 / 8
COLUMNS = 9
GAP = 2
BAR = (240, 150, 30)
Row = tuple[Frames, Sequence[int]]
"""Frames, and the numbers of those that were given."""


def verbs(generator: Generator) -> dict[str, list[Row]]:
    """By verb, the rows that show it: what was made, and above it what it was made from where all of it changes."""
    model = generator.model
    drawn = generator.render([Request(BALL, seconds=SECONDS, seed=0), Request(CUBE, seconds=SECONDS, seed=0)])
    stills = generator.render([Request("a red ball and a blue cube", seconds=1 / 8, seed=i) for i in range(COLUMNS)])
    ball, cube = drawn
    green = "a green ball rolls to the right on a grey floor"
    box = np.repeat(ask.box_mask(ball.size, (16, 16, 32, 48))[None], ball.num_frames, axis=0)
    span = np.repeat(ask.span_mask(ball, 0.625, 1.625)[:, None, None], 64, axis=1).repeat(64, axis=2)
    shots = [Shot(BALL, 0, 2), Shot("a blue ball rolls to the right on a grey floor", 2, 2)]
    made = generator.render(
        [
            ask.animate(model, stills[0], "a red ball hits a blue cube", SECONDS),
            ask.extend(model, ball, BALL, 2.0),
            ask.extend(model, ball, BALL, 2.0, "backward"),
            ask.loop(model, ball, BALL),
            ask.connect(model, ball, cube, ""),
            ask.edit(model, ball, green, 0.8),
            ask.fill(model, ball, "an empty grey floor", box),
            ask.fill(model, ball, BALL, span),
            ask.storyboard(model, shots, [stills[0], None]),
            Request(BALL, seconds=60.0, script=((30.0, shots[1].prompt),)),
        ]
    )
    animate, forward, backward, loop, connect, edit, fill_box, fill_span, storyboard, minute = (c.frames for c in made)
    num, source = ball.num_frames, (ball.frames, range(ball.num_frames))
    later = range(len(backward) - num, len(backward))
    given = np.flatnonzero(~span[:, 0, 0]).tolist()
    return {
        "picture": [(np.concatenate([still.frames for still in stills]), [])],
        "animate": [(animate, [0])],
        "extend": [(forward, range(num)), (backward, later)],
        "loop": [(np.concatenate([loop, loop[:1]]), [*range(num), len(loop)])],
        "connect": [(connect, [*range(num), *range(len(connect) - cube.num_frames, len(connect))])],
        "edit": [source, (edit, [])],
        "fill": [source, (fill_box, []), (fill_span, given)],
        "storyboard": [(storyboard, [0])],
        "minute": [(minute, [])],
    }


def draw(rows: Sequence[Row], scale: int) -> UInt8[np.ndarray, "high wide 3"]:
    """``COLUMNS`` moments of each row, each pixel ``scale`` wide, with a bar below frames that were given."""
    lines = []
    for frames, given in rows:
        cells = []
        for number in np.linspace(0, len(frames) - 1, COLUMNS).round().astype(int):
            cell = np.pad(frames[number], ((0, 2 * GAP), (0, GAP), (0, 0)), constant_values=255)
            if number in given:
                cell[-GAP - 1 : -1, :-GAP] = BAR
            cells.append(cell)
        lines.append(np.concatenate(cells, axis=1))
    return np.concatenate(lines).repeat(scale, axis=0).repeat(scale, axis=1)


def main(model: str = "mini", out: Path = Path("docs"), scale: int = 2) -> None:
    """Write the pictures into ``out``, each pixel of a frame ``scale`` wide."""
    generator = Generator.load(model)
    clips = [generator(prompt, seconds=SECONDS, best_of=USUAL_CHOICE) for prompt in PROMPTS]
    pictures = {
        "strip": sample_strip([clip for clip in clips if isinstance(clip, Clip)], COLUMNS)
        .repeat(scale, axis=0)
        .repeat(scale, axis=1)
    }
    pictures |= {f"verbs/{verb}": draw(rows, scale) for verb, rows in verbs(generator).items()}
    (out / "verbs").mkdir(parents=True, exist_ok=True)
    for name, pixels in pictures.items():
        Clip(pixels[None], 1.0).save(out / f"{name}.png")
        print(out / f"{name}.png")


if __name__ == "__main__":
    tyro.cli(main)
