"""What does it look like when one scene turns into another? Crisp frames between two simulated scenes, and their words.

Nothing is faded in pixels. The first scene plays; from a frame on the second one plays too, from its own beginning, and
floor, sky, lamp and camera go over from one to the other while both are drawn into the same frames. An object of the
first scene becomes the object of the second one of the same number; what has no partner shrinks away, or grows. Then
the second scene is alone.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np

from ozora.clip import Clip
from ozora.data.record import Caption, Record
from ozora.world.camera import between
from ozora.world.describe import is_shown, read_facts, write_captions
from ozora.world.render import Drawn, Picture, Rod, pictures, render_pictures
from ozora.world.scene import Color, Scene, Trajectory
from ozora.world.split import split_of
from ozora.world.wording import (
    SHAPE_NOUNS,
    TURN_BEGINNINGS,
    TURN_CLAUSES,
    TURN_SENTENCES,
    TURN_TAGS,
    TURN_TIMED,
    Pen,
    a,
    listed,
    seconds,
)

SHORTEST = 5  # frames of a clip in which one scene can turn into another


@dataclass(frozen=True)
class Turn:
    """``one`` plays alone up to frame ``start``, has become ``two`` ``frames`` frames later, and ``two`` goes on.

    Frame 0 of ``two`` falls on frame ``start``. Raises ``ValueError`` where the two differ in size, length or rate,
    and where the turn does not fit into the clip.
    """

    one: Scene
    two: Scene
    start: int
    frames: int

    def __post_init__(self) -> None:
        shapes = [(scene.width, scene.height, scene.num_frames, scene.fps) for scene in (self.one, self.two)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"the scenes' width, height, frames and fps are {shapes[0]} and {shapes[1]}; make them equal"
            )
        last = self.one.num_frames - 1
        if self.start < 0 or self.frames < 1 or self.start + self.frames > last:
            raise ValueError(
                f"a turn of {self.frames} frames from frame {self.start} on; "
                f"it must begin at 0 or later, last 1 or more, and end by frame {last}"
            )

    def share(self, i: int) -> float:
        """How much of frame ``i`` is of ``two``: 0 up to ``start``, 1 from the turn's end on, a smoothstep between."""
        passed = min(max((i - self.start) / self.frames, 0.0), 1.0)
        return passed * passed * (3 - 2 * passed)


def sample_turn(one: Scene, two: Scene, generator: np.random.Generator) -> Turn:
    """When the turn begins and how long it lasts, from a quarter to three quarters of the clip, by lot."""
    last = one.num_frames - 1
    frames = int(generator.integers(max(1, last // 4), max(2, 3 * last // 4 + 1)))
    return Turn(one, two, int(generator.integers(0, last - frames + 1)), frames)


def turn_is_shown(turn: Turn, one: Trajectory, two: Trajectory) -> bool:
    """Whether every object of both scenes can be seen in the part of the clip that its scene has."""
    return is_shown(turn.one, _first_part(turn, one)) and is_shown(turn.two, _second_part(turn, two))


def render_turn(turn: Turn, one: Trajectory, two: Trajectory) -> Clip:
    """The frames: exactly those of ``render`` for each scene where it is alone."""
    ones, twos = pictures(turn.one, one), pictures(turn.two, two)
    pairs = _pairs(turn, one, two)
    shown = []
    for i in range(turn.one.num_frames):
        share = turn.share(i)
        if share == 0:
            shown.append(ones[i])
        elif share == 1:
            shown.append(twos[i - turn.start])
        else:
            shown.append(_blend(ones[i], twos[i - turn.start], share, pairs))
    return render_pictures(shown, turn.one.width, turn.one.height, turn.one.fps)


def render_between(one: Scene, first: Trajectory, two: Scene, second: Trajectory, num_frames: int) -> Clip:
    """``num_frames`` from the last frame of one scene to frame 0 of another, neither included, in equal steps.

    Both scenes stand still meanwhile. Raises ``ValueError`` where they differ in size, length or rate.
    """
    pairs = _pairs(Turn(one, two, one.num_frames - 2, 1), first, _until(second, 0))
    ends = pictures(one, first)[-1], pictures(two, second)[0]
    shown = [_blend(*ends, (i + 1) / (num_frames + 1), pairs) for i in range(num_frames)]
    return render_pictures(shown, one.width, one.height, one.fps)


def make_turn_record(id: str, turn: Turn, one: Trajectory, two: Trajectory) -> Record:
    """The record of a turn: words for both scenes and what is between, and all that is needed to make it again.

    It has no facts, as no one set of objects, event and camera is true of the whole clip. Its split is that of
    ``split_of_turn``.
    """
    return Record(
        id=id,
        width=turn.one.width,
        height=turn.one.height,
        num_frames=turn.one.num_frames,
        fps=turn.one.fps,
        captions=write_turn(turn, one, two),
        split=split_of_turn(turn),
        source={
            "turn": {"start": turn.start, "frames": turn.frames},
            "scenes": [json.loads(scene.to_json()) for scene in (turn.one, turn.two)],
            "mujoco": version("mujoco"),
        },
    )


def stored_turn(record: Record) -> Turn:
    """The inverse: simulating and rendering it gives the clip again. Raises ``ValueError`` for any other record."""
    if "turn" not in record.source:
        raise ValueError(
            f"{record.id} is no turn of one scene into another; `ozora world build --transitions 1` makes some"
        )
    one, two = (Scene.from_json(json.dumps(scene)) for scene in record.source["scenes"])
    return Turn(one, two, **record.source["turn"])


def split_of_turn(turn: Turn) -> str:
    """ "train" if both scenes are of it, else the split of the first scene that is not."""
    held = [split for split in (split_of(turn.one), split_of(turn.two)) if split != "train"]
    return held[0] if held else "train"


def write_turn(turn: Turn, one: Trajectory, two: Trajectory) -> tuple[Caption, ...]:
    """One caption of each style, from those of the two scenes as far as each is seen; "still" tells of frame 0."""
    first, second = _first_part(turn, one), _second_part(turn, two)
    begins, ends = turn.start / turn.one.fps, (turn.start + turn.frames) / turn.one.fps
    told = {caption.style: caption.text for caption in write_captions(turn.one, first)}
    then = {caption.style: caption.text for caption in write_captions(turn.two, second, begins)}
    pen = Pen(np.random.default_rng([turn.one.seed, turn.two.seed, turn.start]))
    opening = pen.pick(TURN_BEGINNINGS)
    medium = f"{_begun(opening, told['medium'])} {pen.pick(TURN_SENTENCES)} {then['medium']}"
    change = pen.pick(TURN_TIMED).format(begins=seconds(begins), ends=seconds(ends), lasts=seconds(ends - begins))
    dense = f"{told['dense']} {change if begins > 0 else pen.pick(TURN_SENTENCES)} {then['dense']}"
    if pen.chance(0.3):
        names = [_names(scene, trajectory, pen) for scene, trajectory in ((turn.one, first), (turn.two, second))]
        verb = pen.pick(("turn into", "become") if len(turn.one.objects) > 1 else ("turns into", "becomes"))
        short = f"{names[0]} {verb} {names[1]}"
    else:
        short = pen.pick(TURN_CLAUSES).format(one=told["short"], two=then["short"])
    return (
        Caption("dense", dense),
        Caption("medium", medium),
        Caption("short", short),
        Caption("tags", f"{told['tags']}, {pen.pick(TURN_TAGS)}, {then['tags']}"),
        Caption("still", told["still"]),
    )


def _begun(opening: str, sentence: str) -> str:
    return f"{opening} {sentence[0].lower()}{sentence[1:]}" if opening else sentence


def _names(scene: Scene, trajectory: Trajectory, pen: Pen) -> str:
    """ "a red ball and a blue cube"."""
    return listed([a(f"{o.color} {pen.pick(SHAPE_NOUNS[o.shape])}") for o in read_facts(scene, trajectory).objects])


def _first_part(turn: Turn, trajectory: Trajectory) -> Trajectory:
    """The first scene as far as it is told of: up to the middle of the turn."""
    return _until(trajectory, turn.start + turn.frames // 2)


def _second_part(turn: Turn, trajectory: Trajectory) -> Trajectory:
    """The second scene as far as the clip lets it play."""
    return _until(trajectory, turn.one.num_frames - 1 - turn.start)


def _until(trajectory: Trajectory, last: int) -> Trajectory:
    """The same up to frame ``last``, and everything standing still from there on."""
    frames = np.minimum(np.arange(len(trajectory.times)), last)
    end = trajectory.times[last]
    held = {
        name: getattr(trajectory, name)[frames]
        for name in ("position", "quaternion", "velocity", "spin", "visible", "scale", "color")
    }
    contacts = tuple(contact for contact in trajectory.contacts if contact.time <= end)
    return replace(trajectory, **held, contacts=contacts, events=tuple(e for e in trajectory.events if e.time <= end))


def _pairs(turn: Turn, one: Trajectory, two: Trajectory) -> dict[int, int]:
    """Which body of ``one`` becomes which of ``two``: objects in order, if both are there as long as the turn lasts."""
    numbers = [[k for k, b in enumerate(s.bodies) if b.role == "object"] for s in (turn.one, turn.two)]
    there, there_too = one.visible[turn.start : turn.start + turn.frames + 1], two.visible[: turn.frames + 1]
    return {k: m for k, m in zip(*numbers) if there[:, k].all() and there_too[:, m].all()}


def _blend(one: Picture, two: Picture, share: float, pairs: Mapping[int, int]) -> Picture:
    """What is between two pictures, at a ``share`` above 0 and below 1 of the second one."""
    partners = {drawn.number: drawn for drawn in two.bodies}
    bodies: list[Drawn] = []
    places: tuple[dict[int, np.ndarray], ...] = ({}, {})
    for drawn in one.bodies:
        if drawn.number in pairs:
            parts = _become(drawn, partners[pairs[drawn.number]], share)
            places[0][drawn.number] = places[1][pairs[drawn.number]] = parts[0].position
            bodies += parts
    rods: list[Rod] = []
    for picture, size, placed in zip((one, two), (1 - share, share), places):
        alone = [_shrunk(drawn, size) for drawn in picture.bodies if drawn.number not in placed]
        placed |= {drawn.number: drawn.position for drawn in alone}
        bodies += alone
        rods += [replace(rod, bottom=placed[rod.number], thickness=size) for rod in picture.rods]
    light = _mean(one.light, two.light, share)
    return Picture(
        seen_from=between(one.seen_from, two.seen_from, share),
        light=light / np.linalg.norm(light),
        lit=_mean(one.lit, two.lit, share),
        floor=_tones(one.floor, two.floor, share),
        sky=_tones(one.sky, two.sky, share),
        bodies=tuple(bodies),
        rods=tuple(rods),
    )


def _become(one: Drawn, two: Drawn, share: float) -> list[Drawn]:
    """One body on its way to another; while shapes differ both are there, and first one, then the other is whole."""
    position, color = _mean(one.position, two.position, share), _mean(one.color, two.color, share)
    if one.body.shape == two.body.shape:
        turned = _mean(one.quaternion, two.quaternion * (1 if one.quaternion @ two.quaternion >= 0 else -1), share)
        extents = _mean(one.half_extents, two.half_extents, share)
        quaternion = turned / np.linalg.norm(turned)
        return [replace(one, position=position, quaternion=quaternion, half_extents=extents, color=color)]
    sizes = [max(float(np.cbrt(drawn.half_extents.prod())), 1e-6) for drawn in (one, two)]
    size = (1 - share) * sizes[0] + share * sizes[1]
    wholes = (min(1.0, 2 - 2 * share), min(1.0, 2 * share))
    return [
        replace(drawn, position=position, color=color, half_extents=drawn.half_extents * whole * size / own)
        for drawn, whole, own in zip((one, two), wholes, sizes)
    ]


def _shrunk(drawn: Drawn, size: float) -> Drawn:
    """A body made smaller about its foot, so that what stood on the floor goes on standing there."""
    if drawn.body.shape == "patch":  # paint on the floor gets no thinner, or it would flicker
        return replace(drawn, half_extents=drawn.half_extents * np.array([size, size, 1.0]))
    below = min(drawn.position[2], drawn.half_extents[2])
    position = drawn.position - np.array([0.0, 0.0, (1 - size) * below])
    return replace(drawn, position=position, half_extents=drawn.half_extents * size)


def _mean(one: np.ndarray, two: np.ndarray, share: float) -> np.ndarray:
    return (1 - share) * one + share * two


def _tones(one: tuple[Color, Color], two: tuple[Color, Color], share: float) -> tuple[Color, Color]:
    (r, g, b), (x, y, z) = _mean(np.array(one), np.array(two), share).tolist()
    return (r, g, b), (x, y, z)
