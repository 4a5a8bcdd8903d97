"""How do things move once? Drop, roll, slide, collide, ramp, topple, swing, hide, rest.

Each family is one function: a lot in, a plan out. Lengths in metres, speeds in m/s; +x is to the right.
"""

from dataclasses import replace

import numpy as np

from ozora.world.placing import (
    LYING,
    ROLLERS,
    STANDERS,
    beam,
    bystander,
    direction,
    hanging,
    leaning,
    low_view,
    on_floor,
    rolling,
    row,
)
from ozora.world.sampling import Lot, Plan
from ozora.world.scene import Body


def drop(lot: Lot) -> Plan:
    """Objects fall from 1 to 1.6 m and bounce; a second one may lie on the floor already."""
    bodies, fastest = [], 0.0
    num_falling = lot.num_objects if lot.chance(0.6) else 1
    places = row(lot, lot.num_objects)
    for i in range(lot.num_objects):
        body = lot.object(i, lot.shape(), bounce=lot.uniform(0.45, 0.75), friction=0.5, rolling_friction=0.01)
        if i < num_falling:
            top = 1.62 * lot.half_height - body.size
            height = lot.uniform(0.72 * top, top)
            tilt = leaning(lot, 0.3)
            if body.shape != "sphere":
                body = replace(body, bounce=0.7 * body.bounce)
            body = replace(body, position=(places[i], lot.uniform(-0.15, 0.15), height), quaternion=tilt)
            fastest = max(fastest, float(np.sqrt(2 * 9.81 * max(0.0, height - body.size))))
        else:
            body = replace(body, position=on_floor(body, places[i], lot.uniform(-0.1, 0.4)), quaternion=lot.yaw())
        bodies.append(body)
    return Plan(tuple(bodies), {"speed": round(fastest, 3), "num_falling": num_falling})


def roll(lot: Lot) -> Plan:
    """A ball, a drum or a capsule rolls across the floor."""
    bodies, sign = [], lot.sign()
    speed = lot.uniform(0.5, 0.85) * lot.half_width * 2 / lot.seconds
    together = lot.chance(0.4)
    for i in range(lot.num_objects):
        rolls = i == 0 or (together and any(shape in ROLLERS for shape in lot.shapes))
        if not rolls:
            bodies.append(bystander(lot, i, 0.6))
            continue
        pace = speed if i == 0 else speed * lot.uniform(0.7, 1.0)
        body = lot.object(i, lot.shape(ROLLERS), friction=0.8, rolling_friction=0.002)
        depth = -0.1 + 0.62 * i
        start = -sign * pace * lot.seconds / 2 * lot.uniform(0.9, 1.1)
        bodies.append(rolling(body, start, depth, sign * pace))
    return Plan(tuple(bodies), {"speed": round(speed, 3), "direction": direction(sign)}, look_height=low_view(lot))


def slide(lot: Lot) -> Plan:
    """A block slides over a slippery floor, slows down and stops."""
    sign, way, seconds = lot.sign(), lot.uniform(0.9, 1.4) * lot.half_width, lot.uniform(0.9, 1.5)
    speed = 2 * way / seconds
    body = lot.object(0, lot.shape(STANDERS), friction=speed / seconds / 9.81)
    start = -sign * way / 2 * lot.uniform(0.85, 1.15)
    turn = lot.yaw(0.5)
    body = replace(body, position=on_floor(body, start, -0.1), velocity=(sign * speed, 0.0, 0.0), quaternion=turn)
    others = [bystander(lot, i, 0.6) for i in range(1, lot.num_objects)]
    return Plan((body, *others), {"speed": round(speed, 3), "direction": direction(sign)}, look_height=low_view(lot))


def collide(lot: Lot) -> Plan:
    """One object runs into another, which moves away; a third one is only looking on."""
    sign, speed = lot.sign(), lot.uniform(1.2, 1.8)
    striker = lot.object(0, lot.shape(), friction=0.06, rolling_friction=0.01, bounce=0.75)
    target = lot.object(1, lot.shape(), friction=0.12, rolling_friction=0.02, bounce=0.75)
    gap = min(lot.uniform(0.3, 0.5) * speed, 1.0 * lot.half_width - 2 * striker.size - target.size + 0.15)
    place = sign * lot.uniform(-0.12, 0.12)
    reach = striker.half_extents[0] + target.half_extents[0]
    lies = target.shape in ROLLERS and target.shape != "sphere" and lot.chance(0.5)
    target = replace(
        target, position=on_floor(target, place, 0.0, lies), quaternion=LYING if lies else (1.0, 0.0, 0.0, 0.0)
    )
    start = place - sign * (reach + gap)
    if striker.shape in ROLLERS and (striker.shape != "cylinder" or lot.chance(0.5)):
        striker = rolling(replace(striker, friction=0.6), start, 0.0, sign * speed)
    else:
        striker = replace(striker, position=on_floor(striker, start, 0.0), velocity=(sign * speed, 0.0, 0.0))
    others = [bystander(lot, i, 0.65) for i in range(2, lot.num_objects)]
    facts = {"speed": round(speed, 3), "direction": direction(sign)}
    return Plan((striker, target, *others), facts, look_height=low_view(lot))


def ramp(lot: Lot) -> Plan:
    """An object rolls or slides down a ramp and on; a second one may stand in its way."""
    sign, angle = lot.sign(), np.radians(lot.uniform(15.0, 22.0))
    length = lot.uniform(1.15, 1.3) * min(1.3, lot.half_width)
    height, left = length * float(np.tan(angle)), -1.05 * lot.half_width
    middle = sign * (left + length / 2)
    slope = Body(
        "ramp",
        "ramp",
        lot.prop_color(),
        1.0,
        (middle, 0.0, height / 2),
        "prop",
        (length / 2, 0.42, height / 2),
        fixed=True,
    )
    if sign < 0:
        slope = replace(slope, quaternion=(0.0, 0.0, 0.0, 1.0))
    body = lot.object(0, lot.shape(("sphere", "cube", "cylinder")), friction=0.05, bounce=0.2)
    lies = body.shape == "cylinder" and lot.chance(0.6)
    if body.shape == "sphere" or lies:
        body = replace(body, friction=0.8, rolling_friction=0.02)
    above = body.half_extents[0] if lies else body.half_extents[2]
    along = lot.uniform(0.24, 0.3) * length  # from the high end, on the level
    x = left + along + above * np.sin(angle)
    z = (length - along) * np.tan(angle) + above * np.cos(angle)
    lean = (float(np.cos(angle / 2)), 0.0, float(sign * np.sin(angle / 2)), 0.0)
    body = replace(body, position=(float(sign * x), 0.0, float(z) + 0.003), quaternion=LYING if lies else lean)
    others = [bystander(lot, i, 0.75) for i in range(1, lot.num_objects)]
    if others and lot.chance(0.7):
        place = sign * (left + length + body.size + lot.uniform(0.15, 0.3))
        others[0] = replace(others[0], position=on_floor(others[0], place, 0.0), friction=0.2, bounce=0.5)
    share = 5 / 7 if body.shape == "sphere" else 2 / 3 if lies else 1 - 0.05 / np.tan(angle)
    speed = float(np.sqrt(2 * 9.81 * share * (length - along) * np.tan(angle)))
    facts = {"speed": round(speed, 3), "direction": direction(sign), "angle": round(float(np.degrees(angle)), 2)}
    return Plan((body, *others, slope), facts, look_height=low_view(lot), zoom=0.88)


def topple(lot: Lot) -> Plan:
    """Something strikes a tall drum, or a small tower, and it tips over."""
    sign, speed = lot.sign(), lot.uniform(2.1, 2.9)
    place, bodies, top = sign * lot.uniform(-0.2, 0.05) * lot.half_width, [], 0.0
    for i in range(1, lot.num_objects):
        last = i == lot.num_objects - 1
        if lot.num_objects == 2:
            body = lot.object(i, "cylinder" if "cylinder" in lot.shapes else lot.shape(STANDERS), friction=0.9)
            body = replace(body, stretch=(0.72, 0.72, 1.35), size=min(body.size, 0.27), density=160.0, bounce=0.2)
        else:
            shape = lot.shape(STANDERS if last else ("cube", "cylinder"))
            body = lot.object(i, shape, friction=0.6, density=160.0, bounce=0.15)
        half = body.half_extents[2]
        shift = lot.uniform(-0.04, 0.04) if top > 0 else 0.0
        bodies.append(replace(body, position=(place + shift, 0.0, top + half)))
        top += 2 * half
    striker = lot.object(
        0,
        lot.shape(("sphere", "cube", "cylinder", "ellipsoid")),
        size=lot.uniform(0.25, 0.3),
        friction=0.05,
        bounce=0.4,
        density=900.0,
    )
    gap = min(lot.uniform(0.25, 0.45) * speed, 0.8 * lot.half_width - 0.45)
    start = place - sign * (striker.half_extents[0] + bodies[0].half_extents[0] + gap)
    if striker.shape == "sphere":
        striker = rolling(replace(striker, friction=0.6, rolling_friction=0.05), start, 0.0, sign * speed)
    else:
        striker = replace(striker, position=on_floor(striker, start, 0.0), velocity=(sign * speed, 0.0, 0.0))
        striker = replace(striker, friction=0.14)
    facts = {"speed": round(speed, 3), "direction": direction(sign)}
    return Plan((striker, *bodies), facts, look_height=0.6 * lot.half_height)


def hide(lot: Lot) -> Plan:
    """An object passes behind a wall and comes out on the other side."""
    sign = lot.sign()
    body = lot.object(0, lot.shape(), friction=0.0)
    body = replace(body, size=min(body.size, 0.25))
    wide, high, depth = body.size + lot.uniform(0.1, 0.2), body.size + lot.uniform(0.16, 0.26), lot.uniform(0.3, 0.45)
    place = lot.uniform(-0.12, 0.12) * lot.half_width
    wall = Body("wall", "wall", lot.prop_color(), 1.0, (place, -0.1, high), "prop", (wide, 0.05, high), fixed=True)
    speed = lot.uniform(0.72, 0.84) * 2 * lot.half_width / min(lot.seconds, 2.5)
    start = -sign * speed * min(lot.seconds, 2.5) / 2
    if body.shape == "sphere" or (body.shape in ROLLERS and lot.chance(0.5)):
        body = rolling(replace(body, friction=0.8, rolling_friction=0.001), start, depth, sign * speed)
    else:
        body = replace(body, position=on_floor(body, start, depth), velocity=(sign * speed, 0.0, 0.0))
    others = []
    for i in range(1, lot.num_objects):
        other = lot.object(i, lot.shape(), friction=0.9, rolling_friction=0.02)
        aside = place + (-1.0) ** i * sign * (wide + other.size + lot.uniform(0.1, 0.3))
        others.append(replace(other, position=on_floor(other, aside, 1.0 + 0.4 * (i // 3)), quaternion=lot.yaw()))
    facts = {"speed": round(speed, 3), "direction": direction(sign)}
    return Plan((body, *others, wall), facts, look_height=low_view(lot), elevation=(-14.0, -9.0))


def swing(lot: Lot) -> Plan:
    """An object hangs on a rod from above and swings; sometimes it strikes another that stands in its way."""
    sign, angle = lot.sign(), np.radians(lot.uniform(32.0, 58.0))
    body = lot.object(0, lot.shape(), bounce=0.7)
    top = 1.72 * lot.half_height - 0.12
    length = min(lot.uniform(0.75, 1.05), top - body.size - 0.12)
    pivot = (lot.uniform(-0.15, 0.15), 0.0, top)
    angle = min(angle, float(np.arcsin(min(1.0, (0.98 * lot.half_width - body.size) / length))))
    hung = hanging(body, pivot, length, -sign * angle)
    speed = float(np.sqrt(2 * 9.81 * length * (1 - np.cos(angle))))
    others = []
    for i in range(1, lot.num_objects):
        other = bystander(lot, i, 0.6)
        bottom = pivot[2] - length - body.size
        if i == 1 and bottom < 1.2 * other.size and lot.chance(0.6):
            reach = body.size + other.size
            other = replace(other, position=on_floor(other, pivot[0] + sign * reach, 0.0), friction=0.15)
        others.append(other)
    facts = {"speed": round(speed, 3), "direction": direction(sign), "length": round(length, 3)}
    return Plan((hung, *others, beam(pivot, lot)), facts)


def rest(lot: Lot) -> Plan:
    """Nothing moves but, perhaps, the camera."""
    places, bodies = row(lot, lot.num_objects), []
    for i, place in enumerate(places):
        body = lot.object(i, lot.shape(), size=lot.size() * 1.1, friction=0.9, rolling_friction=0.02)
        depth = lot.uniform(-0.2, 0.25)
        if lot.num_objects > 2:  # neighbours stand in front of and behind each other
            depth = (-0.3, 0.3)[sorted(places).index(place) % 2] + 0.2 * depth
        body = replace(body, position=on_floor(body, place, depth), quaternion=lot.yaw())
        bodies.append(body)
    return Plan(tuple(bodies), {"speed": 0.0}, look_height=low_view(lot))
