"""What may a family choose from when it draws a scene by lot? Sizes, colours and shapes that fit frame and request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ozora.world.scene import FLOORS, PROP_COLORS, SHAPES, Body, Vector

_CONTRAST = 0.19  # least difference of brightness between a prop and the floor
_SIZES = {1: (0.23, 0.33), 2: (0.20, 0.29), 3: (0.17, 0.24), 4: (0.15, 0.21)}


@dataclass(frozen=True)
class Plan:
    """What a family decided: bodies, what to record, and where a camera should look from."""

    bodies: tuple[Body, ...]
    parameters: Mapping[str, float | int | str] = field(default_factory=dict)
    gravity: float = 9.81
    look_height: float | None = None  # metres; None is the usual one, with the floor in the lower third
    zoom: float = 1.0  # above 1 the camera stands closer
    elevation: tuple[float, float] = (-22.0, -11.0)  # degrees


@dataclass(frozen=True, eq=False)
class Lot:
    """One draw, in a frame that sees ``half_width`` and ``half_height`` metres from the middle of the stage.

    The short side's half is 1 m. The floor and the number of objects are drawn already.
    """

    rng: np.random.Generator
    num_objects: int
    shapes: tuple[str, ...]
    colors: tuple[str, ...]  # one for each object, all different
    half_width: float
    half_height: float
    seconds: float
    floor: str

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def sign(self) -> float:
        """-1 or 1."""
        return 1.0 if self.chance(0.5) else -1.0

    def pick(self, options: Sequence[str]) -> str:
        return str(options[int(self.rng.integers(len(options)))])

    def shape(self, suitable: Sequence[str] = tuple(SHAPES)) -> str:
        """One of the shapes asked for that suits; ``ValueError`` where none does."""
        both = [shape for shape in self.shapes if shape in suitable]
        if not both:
            raise ValueError(
                f"shapes are {', '.join(self.shapes)}; this family needs at least one of {', '.join(suitable)}"
            )
        return self.pick(both)

    def prop_color(self) -> str:
        """A colour of PROP_COLORS that stands out from the floor."""
        floor = np.mean(FLOORS[self.floor])
        return self.pick([name for name, rgb in PROP_COLORS.items() if abs(np.mean(rgb) - floor) > _CONTRAST])

    def size(self) -> float:
        """Metres, smaller where there are more objects."""
        return round(self.uniform(*_SIZES[min(4, max(1, self.num_objects))]), 3)

    def yaw(self, largest: float = np.pi) -> tuple[float, float, float, float]:
        half = self.uniform(-largest, largest) / 2
        return (float(np.cos(half)), 0.0, 0.0, float(np.sin(half)))

    def object(self, i: int, shape: str, position: Vector | None = None, **fields) -> Body:
        """Object ``i`` in its colour; by default of a drawn size."""
        size = fields.pop("size", None) or self.size()
        return Body(f"object {i + 1}", shape, self.colors[i], size, position or (0.0, 0.0, 0.0), **fields)
