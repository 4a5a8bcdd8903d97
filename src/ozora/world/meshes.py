"""What are the points of a cone, of a wedge, and of an eighth of a shape?

All shapes fill the box from -1 to 1, so that multiplying by half extents gives the body.
"""

import itertools

import numpy as np
from jaxtyping import Float

OCTANTS: tuple[tuple[int, ...], ...] = tuple(itertools.product((-1, 1), repeat=3))
# Shapes that can come apart: eighths of a box, of a ball, of a drum and of a cone are convex.
BREAKABLE: tuple[str, ...] = ("sphere", "cube", "cylinder", "cone", "ellipsoid")


def cone_points(num_sides: int = 32) -> Float[np.ndarray, "n 3"]:
    """Rim and tip of the cone whose base is the unit disc at z = -1 and whose tip is (0, 0, 1)."""
    angle = np.arange(num_sides) * 2 * np.pi / num_sides
    rim = np.stack([np.cos(angle), np.sin(angle), -np.ones(num_sides)], axis=-1)
    return np.concatenate([rim, [[0.0, 0.0, 1.0]]])


def wedge_points() -> Float[np.ndarray, "n 3"]:
    """A ramp: full height at x = -1, none at x = 1."""
    return np.array([(x, y, z) for x, z in ((-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0)) for y in (-1.0, 1.0)])


def octant_points(shape: str, octant: int, num_steps: int = 6) -> Float[np.ndarray, "n 3"]:
    """Points whose convex hull is the part of a unit shape in octant ``octant`` (0 to 7, see OCTANTS)."""
    signs = np.array(OCTANTS[octant], dtype=float)
    quarter = np.linspace(0, np.pi / 2, num_steps)
    arc = np.stack([np.cos(quarter), np.sin(quarter)], axis=-1)
    axis = np.zeros(2)
    match shape:
        case "cube":
            points = np.array(list(itertools.product((0.0, 1.0), repeat=3)))
        case "sphere" | "ellipsoid":
            rings = [np.column_stack([arc * np.cos(t), np.full(num_steps, np.sin(t))]) for t in quarter]
            points = np.concatenate([*rings, [[0.0, 0.0, 0.0]]])
        case "cylinder":
            disc = np.concatenate([arc, [axis]])
            points = np.concatenate([np.column_stack([disc, np.full(len(disc), z)]) for z in (0.0, 1.0)])
        case "cone":
            # The radius is 1 at z = -1, half at 0, none at 1.
            low, high = (1.0, 0.5) if signs[2] < 0 else (0.5, 0.0)
            near, far = (-1.0, 0.0) if signs[2] < 0 else (0.0, 1.0)
            disc = np.concatenate([arc, [axis]])
            points = np.concatenate(
                [np.column_stack([disc * r, np.full(len(disc), z)]) for r, z in ((low, near), (high, far))]
            )
            return np.unique(np.round(points * np.array([signs[0], signs[1], 1.0]), 12), axis=0)
        case _:
            raise ValueError(f"a {shape} does not come apart; {', '.join(BREAKABLE)} do")
    return np.unique(np.round(points * signs, 12), axis=0)
