"""A model folder written when format 1 was new still loads, under the same hash, and makes the same frames."""

from pathlib import Path

import numpy as np

from ozora.generate.folder import load_folder
from ozora.generate.generator import Generator
from ozora.generate.request import Request

FOLDER = Path(__file__).with_name("format_1")


def test_a_folder_of_format_1_makes_the_frames_that_it_made(make_generator):
    model = load_folder(FOLDER)
    assert model.config.format_version == 1
    assert model.hash == "7c0e1fef30c24c2d9a9159726c08352d4c99da1bfd7e7d4095ab54cfdd91ce44"
    generator = Generator(model, make_generator().text_encoder)
    clip = generator.render([Request("red ball", (32, 32), 1.0, 8.0, seed=3)])[0]
    difference = np.abs(clip.frames[::4].astype(int) - np.load(FOLDER / "frames.npy"))
    assert (difference <= 1).mean() > 0.999
