"""How do things change for good? Break, consume, mark.

Each family is one function: a lot in, a plan out. Whether the change happens is left to physics: some impacts are too
weak and some paths miss.
"""

from dataclasses import replace

import numpy as np

from ozora.world.meshes import BREAKABLE, OCTANTS
from ozora.world.placing import ROLLERS, bystander, direction, leaning, low_view, on_floor, rolling
from ozora.world.sampling import Lot, Plan
from ozora.world.scene import Body

_TOUGH_SHARE = 0.3  # of breakable things withstand the usual impact
_MISS_SHARE = 0.15  # of movers pass by


def break_apart(lot: Lot) -> Plan:
    """Something brittle falls to the floor, or is struck, and comes apart if the impact is hard enough."""
    whole = lot.object(0, lot.shape(BREAKABLE), bounce=0.3, friction=0.5, reaction="break", rolling_friction=0.01)
    tough = lot.chance(_TOUGH_SHARE)
    others: list[Body] = []
    if lot.num_objects == 1 or lot.chance(0.5):
        top = 1.6 * lot.half_height - whole.size
        height = lot.uniform(0.75, 1.0) * top
        speed = float(np.sqrt(2 * 9.81 * (height - whole.size)))
        whole = replace(whole, position=(lot.uniform(-0.3, 0.3), 0.0, height), quaternion=leaning(lot, 0.3))
        facts: dict[str, float | str] = {"speed": round(speed, 3), "way": "fall"}
        others = [bystander(lot, i, 0.7) for i in range(1, lot.num_objects)]
        strength = speed
        view = 0.72 * lot.half_height
    else:
        sign, speed = lot.sign(), lot.uniform(1.9, 2.6)
        whole = replace(whole, position=on_floor(whole, sign * lot.uniform(0.0, 0.15), 0.0))
        striker = lot.object(1, lot.shape(), density=900.0, friction=0.1, rolling_friction=0.03)
        gap = min(lot.uniform(0.3, 0.45) * speed, 0.95 * lot.half_width - 0.4)
        start = whole.position[0] - sign * (whole.half_extents[0] + striker.half_extents[0] + gap)
        others = [_mover(lot, striker, start, 0.0, sign * speed)]
        others += [bystander(lot, i, 0.7) for i in range(2, lot.num_objects)]
        facts = {"speed": round(speed, 3), "direction": direction(sign), "way": "strike"}
        strength = 0.5 * speed
        view = low_view(lot)
    whole = replace(whole, threshold=round(strength * (lot.uniform(2.5, 3.5) if tough else lot.uniform(0.4, 0.7)), 3))
    return Plan((whole, *others, *_pieces(whole)), facts, look_height=view)


def consume(lot: Lot) -> Plan:
    """One object reaches another, which is gone at the touch."""
    sign, speed = lot.sign(), lot.uniform(0.7, 1.1) * min(1.3, lot.half_width)
    eater = lot.object(0, lot.shape(), friction=0.03, rolling_friction=0.002)
    missed = lot.chance(_MISS_SHARE)
    bodies, place = [], sign * lot.uniform(0.05, 0.25) * lot.half_width
    for i in range(1, lot.num_objects):
        food = lot.object(i, lot.shape(), friction=0.8, rolling_friction=0.02, reaction="consume", threshold=0.01)
        depth = (eater.size + food.size) * lot.uniform(1.25, 1.5) if missed else lot.uniform(-0.05, 0.05)
        bodies.append(replace(food, position=on_floor(food, place, depth), quaternion=lot.yaw()))
        place += sign * (2 * food.size + 0.2)
    start = sign * bodies[0].position[0] - eater.size - bodies[0].size - lot.uniform(0.3, 0.5) * speed
    facts = {"speed": round(speed, 3), "direction": direction(sign)}
    return Plan((_mover(lot, eater, sign * start, 0.0, sign * speed), *bodies), facts, look_height=low_view(lot))


def mark(lot: Lot) -> Plan:
    """What is touched takes the colour of what touched it: another object, or a pale patch on the floor."""
    sign, speed = lot.sign(), lot.uniform(0.9, 1.3) * min(1.3, lot.half_width)
    painter = lot.object(0, lot.shape(), friction=0.05, rolling_friction=0.006, bounce=0.4)
    missed = lot.chance(_MISS_SHARE)
    facts = {"speed": round(speed, 3), "direction": direction(sign)}
    if lot.num_objects == 1 or lot.chance(0.35):
        radius = lot.uniform(0.26, 0.34)
        depth = -(radius + painter.size + 0.1) if missed else 0.0
        at = (lot.uniform(-0.1, 0.3) * sign, depth, 0.004)
        patch = Body("patch", "patch", lot.prop_color(), 1.0, at, "prop", (radius, radius, 0.004), fixed=True)
        patch = replace(patch, reaction="mark")
        start = -0.66 * lot.half_width * sign
        others = [bystander(lot, i, 0.7) for i in range(1, lot.num_objects)]
        mover = _mover(lot, replace(painter, friction=0.03), start, 0.0, sign * speed)
        return Plan((mover, *others, patch), facts | {"on": "floor"}, look_height=low_view(lot))
    target = lot.object(1, lot.shape(), friction=0.25, rolling_friction=0.03, bounce=0.4)
    target = replace(target, reaction="mark", threshold=0.02)
    depth = (painter.size + target.size) * lot.uniform(1.25, 1.5) if missed else lot.uniform(-0.04, 0.04)
    target = replace(target, position=on_floor(target, sign * lot.uniform(0.0, 0.2), depth), quaternion=lot.yaw())
    start = target.position[0] - sign * (target.size + painter.size + lot.uniform(0.3, 0.5) * speed)
    others = [bystander(lot, i, 1.2 if missed else 0.75) for i in range(2, lot.num_objects)]
    mover = _mover(lot, painter, start, 0.0, sign * speed)
    return Plan((mover, target, *others), facts | {"on": "object"}, look_height=low_view(lot))


def _mover(lot: Lot, body: Body, x: float, y: float, speed: float) -> Body:
    """A body that rolls or slides along x."""
    if body.shape == "sphere" or (body.shape in ROLLERS and lot.chance(0.4)):
        return rolling(replace(body, friction=0.7), x, y, speed)
    return replace(body, position=on_floor(body, x, y), velocity=(speed, 0.0, 0.0))


def _pieces(whole: Body) -> list[Body]:
    """The eighths that are in it, unseen until it breaks."""
    return [
        replace(
            whole,
            name=f"piece {i + 1} of {whole.name}",
            role="piece",
            part_of=whole.name,
            octant=i,
            reaction="",
            threshold=0.0,
            friction=0.6,
            rolling_friction=0.0,
            bounce=0.2,
        )
        for i in range(len(OCTANTS))
    ]
