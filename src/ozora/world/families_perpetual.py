"""How do things move on and on? Pendulum, conveyor, orbit, stream.

Each family is one function: a lot in, a plan out. Lengths in metres, speeds in m/s; +x is to the right.
"""

from dataclasses import replace

import numpy as np

from ozora.world.placing import ROLLERS, beam, direction, hanging, low_view, on_floor, rolling
from ozora.world.sampling import Lot, Plan
from ozora.world.scene import Body


def pendulum(lot: Lot) -> Plan:
    """A long pendulum; several hang side by side and hand the swing on, as in Newton's cradle."""
    sign, angle = lot.sign(), np.radians(lot.uniform(30.0, 42.0))
    top = 2.0 * lot.half_height - 0.1
    size = lot.size() * 0.9
    length = min(lot.uniform(1.15, 1.35), top - size - 0.12)
    hung = [
        lot.object(i, lot.shape(), size=size, bounce=0.9, friction=0.0, density=300.0) for i in range(lot.num_objects)
    ]
    # Each touches the next at its widest.
    widths = np.array([2 * body.half_extents[0] for body in hung])
    places = np.cumsum(widths) - widths / 2 - widths.sum() / 2
    bodies = [
        hanging(body, (float(sign * place), 0.0, top), length, -sign * angle if i == 0 else 0.0)
        for i, (body, place) in enumerate(zip(hung, places, strict=True))
    ]
    bar = beam((0.0, 0.0, top), lot)
    bar = replace(bar, stretch=(0.2 + size * lot.num_objects, 0.05, 0.04))
    speed = float(np.sqrt(2 * 9.81 * length * (1 - np.cos(angle))))
    facts = {"speed": round(speed, 3), "direction": direction(sign), "length": round(length, 3)}
    return Plan((*bodies, bar), facts, look_height=1.0 * lot.half_height, zoom=0.88, elevation=(-14.0, -7.0))


def conveyor(lot: Lot) -> Plan:
    """Objects stand on a belt that carries them along."""
    sign, speed = lot.sign(), lot.uniform(0.35, 0.75) * lot.half_width
    high = lot.uniform(0.12, 0.2)
    belt = Body(
        "belt", "belt", lot.prop_color(), 1.0, (0.0, 0.0, high + 0.01), "prop", (12.0, 0.36, high), density=2000.0
    )
    belt = replace(belt, drive=sign * speed, velocity=(sign * speed, 0.0, 0.0))
    bodies, place = [], lot.uniform(-0.35, 0.0) * lot.half_width
    for i in range(lot.num_objects):
        body = lot.object(i, lot.shape(("cube", "cylinder", "cone")), friction=0.9, bounce=0.05)
        if i > 0:
            place -= body.size + lot.uniform(0.12, 0.35)
        at = on_floor(body, sign * place, lot.uniform(-0.06, 0.06))
        lifted = (at[0], at[1], at[2] + 2 * high + 0.01)
        bodies.append(replace(body, position=lifted, velocity=(sign * speed, 0.0, 0.0), quaternion=lot.yaw()))
        place -= body.size
    facts = {"speed": round(speed, 3), "direction": direction(sign)}
    return Plan((*bodies, belt), facts, look_height=low_view(lot) + high)


def orbit(lot: Lot) -> Plan:
    """Bodies circle a heavy one that floats in the middle and pulls them, as planets do."""
    sign, height = lot.sign(), 0.78 * lot.half_height
    center = lot.object(0, lot.shape(), size=lot.uniform(0.24, 0.3), fixed=True, position=(0.0, 0.0, height))
    radius = lot.uniform(0.62, 0.72)
    speed = 2 * np.pi * radius / lot.uniform(1.6, 2.6)
    center = replace(center, attraction=float(speed**2 * radius))
    bodies = [center]
    start = lot.uniform(-np.pi, np.pi)
    for i in range(1, lot.num_objects):
        # One circle, evenly shared, so that they never meet.
        angle = start + 2 * np.pi * (i - 1) / max(1, lot.num_objects - 1)
        place = (float(radius * np.cos(angle)), float(radius * np.sin(angle)), height)
        along = (float(-sign * speed * np.sin(angle)), float(sign * speed * np.cos(angle)), 0.0)
        bodies.append(lot.object(i, lot.shape(), size=lot.uniform(0.15, 0.19), position=place, velocity=along))
    turn = "counterclockwise" if sign > 0 else "clockwise"
    facts = {"speed": round(float(speed), 3), "turn": turn}
    return Plan(tuple(bodies), facts, gravity=0.0, look_height=height, elevation=(-34.0, -22.0), zoom=1.02)


def stream(lot: Lot) -> Plan:
    """One object after another enters: they roll in from the side, or fall in from above."""
    if lot.chance(0.5) and any(shape in ROLLERS for shape in lot.shapes):
        sign, speed = lot.sign(), lot.uniform(0.75, 1.1) * lot.half_width
        bodies, place = [], lot.uniform(-0.65, -0.35) * lot.half_width
        for i in range(lot.num_objects):
            body = lot.object(i, lot.shape(ROLLERS), friction=0.8, rolling_friction=0.001)
            bodies.append(rolling(body, sign * place, 0.0, sign * speed))
            place -= 2 * body.size + lot.uniform(0.25, 0.45)
        facts = {"speed": round(speed, 3), "direction": direction(sign), "way": "roll"}
        return Plan(tuple(bodies), facts, look_height=low_view(lot))
    places = lot.rng.permutation(np.linspace(-0.6, 0.6, lot.num_objects)) * min(1.0, lot.half_width)
    bodies, top, entry = [], 2.0 * lot.half_height, lot.uniform(0.5, 2.5)
    for i in range(lot.num_objects):
        body = lot.object(i, lot.shape(), bounce=lot.uniform(0.25, 0.45), friction=0.6, rolling_friction=0.02)
        height = top + body.size if i > 0 else lot.uniform(0.65, 0.75) * top
        at = (float(places[i]), lot.uniform(-0.2, 0.2), height)
        bodies.append(replace(body, position=at, start=0.5 * i * lot.uniform(0.9, 1.1), velocity=(0.0, 0.0, -entry)))
    speed = float(np.sqrt(entry**2 + 2 * 9.81 * top))
    return Plan(tuple(bodies), {"speed": round(speed, 3), "way": "fall"})
