"""Make the strip of frames in the README, one row for each prompt, seed 0 each: `python recipes/strip.py`."""

from pathlib import Path

import numpy as np
import tyro

from ozora.clip import Clip
from ozora.generate.generator import Generator
from ozora.generate.request import Request
from ozora.train.metrics import sample_strip

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


def main(model: str = "mini", out: Path = Path("docs/strip.png"), columns: int = 9, scale: int = 2) -> None:
    """Write a PNG whose rows are the prompts and whose columns are moments, each pixel ``scale`` wide."""
    clips = Generator.load(model).render([Request(prompt, seconds=17 / 8, seed=0) for prompt in PROMPTS])
    strip = sample_strip(clips, columns)
    Clip(np.repeat(np.repeat(strip, scale, 0), scale, 1)[None], 1.0).save(out)
    print(out)


if __name__ == "__main__":
    tyro.cli(main)
