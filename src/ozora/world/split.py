"""Which split does a scene belong to? One pure function of its parameters, so no list of clips need be kept.

A model learns from "train". Each other split asks for one thing that "train" never shows: a new seed, a pair of colour
and shape, a template (a family under a certain camera, or with a certain number of objects), a speed.
"""

from ozora.world.scene import Scene

SPLITS: tuple[str, ...] = ("train", "new_seeds", "held_out_pairs", "held_out_templates", "held_out_speeds")

# One scene in this many is kept for tests whatever it shows.
NEW_SEED_EVERY = 20
# (colour, shape); each colour and each shape is seen in training, never the two together.
HELD_OUT_PAIRS: frozenset[tuple[str, str]] = frozenset(
    {
        ("pink", "sphere"),
        ("cyan", "cube"),
        ("orange", "cylinder"),
        ("purple", "cone"),
        ("green", "capsule"),
        ("yellow", "ellipsoid"),
    }
)
# (family, camera motion, camera direction)
HELD_OUT_CAMERAS: frozenset[tuple[str, str, str]] = frozenset(
    {
        ("drop", "orbit", "left"),
        ("roll", "dolly", "out"),
        ("slide", "pan", "right"),
        ("collide", "dolly", "in"),
        ("swing", "orbit", "right"),
        ("hide", "pan", "left"),
        ("rest", "dolly", "out"),
        ("break", "orbit", "left"),
        ("consume", "dolly", "in"),
        ("mark", "orbit", "right"),
    }
)
# (family, number of objects)
HELD_OUT_COUNTS: frozenset[tuple[str, int]] = frozenset({("roll", 4), ("swing", 3), ("collide", 4), ("rest", 3)})
# family -> from, to (m/s, exclusive) of ``parameters["speed"]``
HELD_OUT_SPEEDS: dict[str, tuple[float, float]] = {
    "roll": (0.70, 0.76),
    "slide": (2.0, 2.2),
    "collide": (1.60, 1.70),
    "drop": (4.50, 4.60),
    "swing": (2.45, 2.60),
}


def split_of(scene: Scene) -> str:
    """The split, one of ``SPLITS``. A scene that suits several belongs to the first of template, speed, pair, seed."""
    camera = scene.camera
    if (scene.family, camera.motion, camera.direction) in HELD_OUT_CAMERAS:
        return "held_out_templates"
    if (scene.family, len(scene.objects)) in HELD_OUT_COUNTS:
        return "held_out_templates"
    low, high = HELD_OUT_SPEEDS.get(scene.family, (0.0, 0.0))
    if low < float(scene.parameters.get("speed", 0.0)) < high:
        return "held_out_speeds"
    if any((body.color, body.shape) in HELD_OUT_PAIRS for body in scene.objects):
        return "held_out_pairs"
    if scene.seed % NEW_SEED_EVERY == 0:
        return "new_seeds"
    return "train"
