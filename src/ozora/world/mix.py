"""What is a set of simulated clips made of? Shares of families, sizes, lengths, objects, colours and cameras.

A ``WorldMix`` is checked when it is made, so that a build of an hour does not fail in its last minute.
"""

import math
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from ozora.geometry import MAX_FPS, MAX_SECONDS, Geometry
from ozora.world.scene import CAMERAS, COLORS, FAMILIES, SHAPES

T = TypeVar("T")
Shares = tuple[tuple[T, float], ...]

CAMERA_MOTIONS: tuple[str, ...] = tuple(dict.fromkeys(motion for motion, _ in CAMERAS))


_ALL_FAMILIES: Shares[str] = tuple((family, 1.0) for family in FAMILIES)
_ALL_SHAPES: Shares[str] = tuple((shape, 1.0) for shape in SHAPES)
_ALL_COLORS: Shares[str] = tuple((color, 1.0) for color in COLORS)


@dataclass(frozen=True)
class WorldMix:
    """Shares are (value, weight) pairs; weights need not sum to 1. Every clip draws each field by itself.

    Sizes are (width, height) in pixels, ``num_frames`` counts 1 + 4k, ``fps`` frames per second. A
    picture is a clip of one frame. Raises ``ValueError`` for what no scene can have.
    """

    families: Shares[str] = _ALL_FAMILIES
    num_objects: Shares[int] = ((1, 0.4), (2, 0.3), (3, 0.2), (4, 0.1))
    shapes: Shares[str] = _ALL_SHAPES
    colors: Shares[str] = _ALL_COLORS
    sizes: Shares[tuple[int, int]] = (
        ((64, 64), 0.4),
        ((96, 96), 0.1),
        ((128, 128), 0.1),
        ((96, 64), 0.15),
        ((64, 96), 0.1),
        ((112, 64), 0.1),
        ((48, 80), 0.05),
    )
    num_frames: Shares[int] = ((17, 0.6), (33, 0.2), (9, 0.1), (49, 0.05), (1, 0.05))
    fps: Shares[float] = ((8.0, 0.8), (12.0, 0.1), (16.0, 0.1))
    cameras: Shares[str] = (("static", 0.55), ("orbit", 0.15), ("dolly", 0.15), ("pan", 0.15))

    @staticmethod
    def mini() -> "WorldMix":
        """What the shipped model ``mini`` is trained on: small clips of two seconds, one or two objects."""
        return WorldMix(
            families=(
                *(("drop", 0.15), ("roll", 0.12), ("slide", 0.11), ("collide", 0.10), ("swing", 0.08)),
                *(("rest", 0.08), ("hide", 0.08), ("break", 0.04), ("consume", 0.04), ("mark", 0.04)),
                *(("ramp", 0.04), ("topple", 0.03), ("pendulum", 0.02), ("conveyor", 0.03), ("orbit", 0.02)),
                ("stream", 0.02),
            ),
            num_objects=((1, 0.6), (2, 0.4)),
            shapes=(("sphere", 0.3), ("cube", 0.3), ("cylinder", 0.2), ("cone", 0.2)),
            sizes=(((64, 64), 0.7), ((80, 48), 0.1), ((48, 80), 0.1), ((48, 48), 0.1)),
            num_frames=((17, 0.97), (1, 0.03)),
            fps=((8.0, 1.0),),
            cameras=(("static", 0.65), ("orbit", 0.13), ("dolly", 0.11), ("pan", 0.11)),
        )

    @staticmethod
    def preset(name: str) -> "WorldMix":
        """The mix called "full" (everything there is) or "mini"."""
        presets = {"full": WorldMix, "mini": WorldMix.mini}
        if name not in presets:
            raise ValueError(f"no mix is called {name!r}; there are {', '.join(presets)}")
        return presets[name]()

    def __post_init__(self) -> None:
        for field, allowed in (
            ("families", FAMILIES),
            ("shapes", tuple(SHAPES)),
            ("colors", tuple(COLORS)),
            ("cameras", CAMERA_MOTIONS),
            ("num_objects", (1, 2, 3, 4)),
        ):
            for value in _check_shares(field, getattr(self, field)):
                if value not in allowed:
                    raise ValueError(f"{field}: {value!r} is not one of {', '.join(map(str, allowed))}")
        geometry = Geometry()
        for width, height in _check_shares("sizes", self.sizes):
            geometry.check_size(width, height)
        for num_frames in _check_shares("num_frames", self.num_frames):
            geometry.latent_frames(num_frames)
        for fps in _check_shares("fps", self.fps):
            if not (math.isfinite(fps) and 0 < fps <= MAX_FPS):
                raise ValueError(f"fps is {fps}; it must be above 0 and at most {MAX_FPS:g}, 8 for instance")
        longest = max(count for count, _ in self.num_frames) / min(fps for fps, _ in self.fps)
        if longest > MAX_SECONDS:
            raise ValueError(f"a clip would last {longest:g} s; at most {MAX_SECONDS:g} s is allowed")

    def change(
        self,
        families: str = "",
        num_objects: str = "",
        shapes: str = "",
        colors: str = "",
        sizes: str = "",
        num_frames: str = "",
        fps: str = "",
        cameras: str = "",
    ) -> "WorldMix":
        """The same mix with some fields replaced, each given as "value:weight,value:weight"; "" keeps a field.

        A weight may be left out and is then 1: ``change(sizes="64x64:0.7,80x48:0.3", families="drop,roll")``.
        """
        texts = {"families": families, "shapes": shapes, "colors": colors, "cameras": cameras}
        fields: dict[str, object] = {name: parse_shares(text, str) for name, text in texts.items() if text}
        if num_objects:
            fields["num_objects"] = parse_shares(num_objects, int)
        if num_frames:
            fields["num_frames"] = parse_shares(num_frames, int)
        if fps:
            fields["fps"] = parse_shares(fps, float)
        if sizes:
            fields["sizes"] = parse_shares(sizes, parse_size)
        return replace(self, **fields)  # pyright: ignore[reportArgumentType]


def draw(shares: Shares[T], generator: np.random.Generator) -> T:
    """One value, by its share."""
    weights = np.array([weight for _, weight in shares])
    return shares[int(generator.choice(len(shares), p=weights / weights.sum()))][0]


def parse_shares(text: str, kind) -> Shares:
    """ "a:2,b" -> (("a", 2.0), ("b", 1.0)); ``kind`` reads a value. Raises ``ValueError`` naming the bad part."""
    shares = []
    for part in text.split(","):
        value, _, weight = part.strip().partition(":")
        try:
            shares.append((kind(value.strip()), float(weight) if weight else 1.0))
        except ValueError as error:
            raise ValueError(f"{part.strip()!r} in {text!r}: {error}; write value or value:weight") from error
    return tuple(shares)


def parse_size(text: str) -> tuple[int, int]:
    """ "80x48" -> (80, 48)."""
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise ValueError(f"size {text!r} is not WIDTHxHEIGHT, 64x64 for instance")
    return int(width), int(height)


def _check_shares(field: str, shares: Shares[T]) -> list[T]:
    if not shares or not all(math.isfinite(weight) and weight >= 0 for _, weight in shares):
        raise ValueError(f"{field}: {shares}; give at least one value, and weights that are not negative")
    if sum(weight for _, weight in shares) <= 0:
        raise ValueError(f"{field}: every weight is 0; one at least must be above 0")
    return [value for value, _ in shares]
