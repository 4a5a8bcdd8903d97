"""What is true of a simulated clip, in facts and in words?

Captions are written from what happened, as the camera saw it, and not from what was planned.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ozora.data.record import Caption, EventFacts, Facts, ObjectFacts
from ozora.world.camera import pose
from ozora.world.scene import Scene, Trajectory
from ozora.world.story import VIEWS, Actor, Deed, overlap, prop_deeds, read_story, views
from ozora.world.wording import (
    CAMERA_PHRASES,
    CAMERA_SENTENCES,
    DEED_PHRASES,
    EVENT_TAGS,
    FLOOR_NOUNS,
    FLOOR_WORDS,
    PLACES,
    PROP_NOUNS,
    SHAPE_NOUNS,
    SIZE_WORDS,
    SKY_WORDS,
    SUPPORTS,
    TIMED_DEEDS,
    WAYS,
    Pen,
    a,
    bare,
    listed,
    seconds,
    sentence,
    times,
)

# What a clip is said to show, the most telling first: an event's word and the deeds that make it true.
EVENT_DEEDS: dict[str, tuple[str, ...]] = {
    "break": ("break",),
    "vanish": ("consume",),
    "mark": ("mark",),
    "topple": ("topple",),
    "hide": ("hidden",),
    "orbit": ("orbit",),
    "ride": ("ride",),
    "descend": ("roll_down", "slide_down"),
    "hit": ("hit",),
    "swing": ("swing", "swing_once"),
    "fall": ("fall",),
    "roll": ("roll",),
    "slide": ("slide",),
    "enter": ("enter",),
}
# The event that a family is about, told first where it is true.
FAMILY_EVENTS: dict[str, str] = {
    "drop": "fall",
    "roll": "roll",
    "slide": "slide",
    "collide": "hit",
    "ramp": "descend",
    "topple": "topple",
    "swing": "swing",
    "hide": "hide",
    "pendulum": "swing",
    "conveyor": "ride",
    "orbit": "orbit",
    "stream": "enter",
    "break": "break",
    "consume": "vanish",
    "mark": "mark",
}
MAX_TIMES = 3  # told in one caption


def read_facts(scene: Scene, trajectory: Trajectory) -> Facts:
    """What the clip shows. ``event`` is a word of ``EVENT_DEEDS``, or "rest" where none of them came true."""
    actors = read_story(scene, trajectory)
    names = [actor.body.name for actor in actors]
    seen = {event for name in names for event in views(scene, name, trajectory.events)}
    told = [event for event in trajectory.events if event in seen or event.kind not in VIEWS]
    told = [event for event in told if event.subject in names and event.time <= scene.seconds]
    events = tuple(
        EventFacts(
            event.kind,
            round(float(event.time), 3),
            names.index(event.subject),
            names.index(event.object) if event.object in names else -1,
        )
        for event in told
    )
    return Facts(
        objects=tuple(ObjectFacts(actor.body.color, actor.body.shape, actor.size_word) for actor in actors),
        event=main_event(scene, trajectory, actors),
        camera=f"{scene.camera.motion} {scene.camera.direction}".strip() if scene.num_frames > 1 else "static",
        events=events if scene.num_frames > 1 else (),
    )


def main_event(scene: Scene, trajectory: Trajectory, actors: Sequence[Actor]) -> str:
    """The family's own event where it came true, else the most telling one that did, else "rest"."""
    done = {deed.kind for actor in actors for deed in actor.deeds} | {d.kind for _, d in prop_deeds(scene, trajectory)}
    own = FAMILY_EVENTS.get(scene.family, "")
    for event in (own, *EVENT_DEEDS):
        if done & set(EVENT_DEEDS.get(event, ())):
            return event
    return "rest"


def is_shown(scene: Scene, trajectory: Trajectory) -> bool:
    """Whether every object can be seen: in frame in a quarter of the frames and not behind another in most of them."""
    actors = read_story(scene, trajectory)
    least = max(1, scene.num_frames // 4)
    if any(actor.in_frame.sum() < least for actor in actors):
        return False
    pairs = [(one, two) for i, one in enumerate(actors) for two in actors[:i]]
    return all(overlap(scene, one, two).mean() < 0.5 for one, two in pairs)


def write_captions(scene: Scene, trajectory: Trajectory, begins: float = 0.0) -> tuple[Caption, ...]:
    """One caption of each style (of a picture "still" alone). The same scene always gets the same words.

    ``begins`` is when in the clip the scene begins, in seconds; times are told by the clip's clock.
    """
    actors = read_story(scene, trajectory)
    writers = {"dense": _dense, "medium": _medium, "short": _short, "tags": _tags, "still": _still}
    captions = []
    for i, (style, write) in enumerate(writers.items()):
        if scene.num_frames == 1 and style != "still":
            continue
        cast = _Cast(scene, trajectory, actors, Pen(np.random.default_rng([scene.seed, i])), begins)
        captions.append(Caption(style, write(cast)))
    return tuple(captions)


@dataclass
class _Cast:
    """The actors while a caption is written: who was named already, by which noun."""

    scene: Scene
    trajectory: Trajectory
    actors: tuple[Actor, ...]
    pen: Pen
    begins: float = 0.0
    nouns: dict[str, str] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    told_times: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        for actor in self.actors:
            body = actor.body
            self.nouns[body.name] = f"{body.color} {self.pen.pick(SHAPE_NOUNS[body.shape])}"
        for body in self.scene.bodies:
            if body.role == "prop":
                self.nouns[body.name] = PROP_NOUNS[body.shape]

    def name(self, body: str, sized: bool = False) -> str:
        """ "a red ball" when it is named first, "the red ball" from then on; "the floor"."""
        if body == "floor":
            return "the floor"
        noun = self.nouns[body]
        if body in self.named:
            return f"the {noun}"
        self.named.add(body)
        if sized:
            actor = next(actor for actor in self.actors if actor.body.name == body)
            noun = f"{self.pen.pick(SIZE_WORDS[actor.size_word])} {noun}".strip()
        prop = next((b for b in self.scene.bodies if b.name == body and b.role == "prop"), None)
        return a(f"{prop.color} {noun}" if prop and self.pen.chance(0.5) else noun)

    def tell(self, deed: Deed, timed: bool = False) -> str:
        """The deed as a phrase, with the time where it may be told and matters."""
        way = self.pen.pick(WAYS[deed.way])
        phrase = self.pen.pick(DEED_PHRASES[deed.kind])
        other = ""
        if "{other}" in phrase:
            other = self.name(deed.other)
        phrase = phrase.format(other=other, way=way, times=times(deed.count) if deed.count else "", color=deed.other)
        phrase = " ".join(phrase.split())
        new = all(abs(deed.time - time) > 0.1 for time in self.told_times) and len(self.told_times) < MAX_TIMES
        if timed and new and deed.kind in TIMED_DEEDS and deed.time >= 0.15:
            self.told_times.append(deed.time)
            phrase += f" {self.pen.pick(('after', 'after', 'at'))} {seconds(self.begins + deed.time)}"
        return phrase

    def floor(self) -> str:
        """ "a grey floor"."""
        return a(f"{self.pen.pick(FLOOR_WORDS[self.scene.floor])} {self.pen.pick(FLOOR_NOUNS)}")

    def sky(self) -> str:
        """ "a pale sky", or "" where the horizon is above the frame."""
        view = pose(self.scene.camera, 0.0, self.scene.width, self.scene.height)
        horizon = np.tan(np.radians(-view.elevation)) / view.tangent_y
        return self.pen.pick(SKY_WORDS[self.scene.sky]) if horizon < 0.85 else ""


def _dense(cast: _Cast) -> str:
    opening = _opening(cast)
    seen = [actor for actor in cast.actors if actor.seen_first]
    doings = []
    for actor in sorted(cast.actors, key=_first_deed):
        if actor.deeds:
            near = len(cast.actors) == 1 and seen and len(opening) == 1
            subject = "it" if near and cast.pen.chance(0.5) else cast.name(actor.body.name)
            phrases = [cast.tell(deed, timed=True) for deed in actor.deeds[:5]]
            doings.append(sentence(f"{subject} {listed(phrases)}"))
    for body, deed in prop_deeds(cast.scene, cast.trajectory):
        doings.append(sentence(f"{cast.name(body.name)} {cast.tell(deed, timed=True)}"))
    idle = [actor for actor in cast.actors if not actor.deeds and actor.seen_first]
    if len(idle) == len(cast.actors):
        doings.append(cast.pen.pick(("Nothing moves.", "Nothing happens.", "Everything is still.")))
    elif idle:
        rest = cast.pen.pick(DEED_PHRASES["rest"])
        names = [cast.name(actor.body.name) for actor in idle]
        doings.append(sentence(f"{listed(names)} {rest if len(idle) == 1 else bare(rest)}"))
    late = [actor for actor in cast.actors if not actor.deeds and not actor.seen_first]
    doings += [sentence(f"{cast.name(actor.body.name)} {cast.pen.pick(DEED_PHRASES['enter'])}") for actor in late]
    camera = sentence(cast.pen.pick(CAMERA_SENTENCES[cast.scene.camera.motion, cast.scene.camera.direction]))
    parts = [camera, *opening, *doings] if cast.pen.chance(0.2) else [*opening, *doings, camera]
    return " ".join(parts)


def _medium(cast: _Cast) -> str:
    floor = f"on {cast.floor()}, " if cast.pen.chance(0.5) else ""
    text = floor + _happening(cast, least=1)
    camera = cast.pen.pick(CAMERA_PHRASES[cast.scene.camera.motion, cast.scene.camera.direction])
    return sentence(f"{text}, {camera}" if "," in text or cast.scene.camera.motion == "static" else f"{text} {camera}")


def _short(cast: _Cast) -> str:
    return _happening(cast, least=2)


def _tags(cast: _Cast) -> str:
    tags = [f"{actor.body.color} {actor.body.shape}" for actor in cast.actors]
    tags.append(cast.pen.pick(EVENT_TAGS[main_event(cast.scene, cast.trajectory, cast.actors)]))
    tags.append(f"{cast.scene.floor} floor")
    camera = cast.scene.camera
    tags.append("static camera" if camera.motion == "static" else f"camera {camera.motion} {camera.direction}")
    return ", ".join(tags)


def _still(cast: _Cast) -> str:
    return " ".join(_opening(cast, still=True))


def _opening(cast: _Cast, still: bool = False) -> list[str]:
    """Setting and objects at frame 0, in one or two sentences."""
    floor, sky = cast.floor(), cast.sky()
    setting = f"on {floor}" + (f" under {sky}" if sky else "")
    seen = [actor for actor in cast.actors if actor.seen_first]
    if not seen:
        return [sentence(f"{floor}{f' under {sky}' if sky else ''}, with nothing on it yet")]
    clauses, before = [], None
    for actor in seen:
        clauses.append(f"{cast.name(actor.body.name, sized=True)} {_standing(cast, actor, before)}")
        before = actor
    for body in cast.scene.bodies:
        told = body.role == "prop" and body.shape in ("wall", "patch", "ramp", "table") and cast.pen.chance(0.8)
        if told and body.name not in cast.named:
            clauses.append(f"there is {cast.name(body.name)}")
    if cast.pen.chance(0.5):
        return [sentence(f"{setting}, {listed(clauses)}")]
    ground = cast.pen.pick(("the scene is set on", "this is")) if still else "the scene is set on"
    return [sentence(listed(clauses)), sentence(f"{ground} {floor}" + (f" under {sky}" if sky else ""))]


def _standing(cast: _Cast, actor: Actor, before: Actor | None) -> str:
    """ "is in the air on the left", "stands to the right of the red ball"."""
    support = actor.support
    prop = next((body for body in cast.scene.bodies if body.name == support and body.role == "prop"), None)
    if prop is not None and prop.shape in SUPPORTS:
        support = prop.shape
        cast.named.add(prop.name)
    elif support not in SUPPORTS:
        support = "floor"
    if support == "floor" and not actor.upright:
        support = "floor, lying"
    verb = cast.pen.pick(SUPPORTS[support])
    if support.startswith("floor") and actor.deeds and actor.deeds[0].time < 0.2:
        verb = "is"
    same_place = before is not None and before.place == actor.place
    if before is not None and (relation := _relation(actor, before)) and (same_place or cast.pen.chance(0.6)):
        return f"{verb} {relation} {cast.name(before.body.name)}"
    return f"{verb} {cast.pen.pick(PLACES[actor.place])}"


def _relation(one: Actor, two: Actor) -> str:
    """Where ``one`` is from ``two`` at frame 0, as the camera sees it; "" where it is hard to say."""
    x, y, depth = one.screen[0] - two.screen[0]
    if abs(x) > 0.3:
        return "to the right of" if x > 0 else "to the left of"
    if abs(y) > 0.45 and "air" in (one.support, two.support):
        return "above" if y > 0 else "below"
    if abs(depth) > 0.3:
        return "behind" if depth > 0 else "in front of"
    return ""


def _happening(cast: _Cast, least: int) -> str:
    """What happens in one clause: movers with their deeds, those alike together, and the rest beside them."""
    movers = [actor for actor in cast.actors if _told(actor, least)]
    movers.sort(key=_first_deed)
    idle = [actor for actor in cast.actors if actor not in movers]
    groups: list[list[Actor]] = []
    for actor in movers:
        alike = next((group for group in groups if _alike(group[0], actor, least)), None)
        if alike is None:
            groups.append([actor])
        else:
            alike.append(actor)
    text, last = "", ""
    for group in groups:
        names = [actor.body.name for actor in group]
        which = len(group) == 1 and names[0] == last
        subject = "which" if which else listed([cast.name(name) for name in names])
        deeds = _told(group[0], least)
        phrases = [cast.tell(deed if len(group) == 1 else _uncounted(deed)) for deed in deeds]
        text += f"{', ' if which else ', and ' if text else ''}{subject} "
        text += listed(phrases if len(group) == 1 else [bare(phrase) for phrase in phrases])
        last = deeds[-1].other if len(group) == 1 else ""
    for body, deed in prop_deeds(cast.scene, cast.trajectory):
        text += f", which {cast.tell(deed)}" if body.name == last else f", and {cast.name(body.name)} {cast.tell(deed)}"
        last = ""
    idle = [actor for actor in idle if actor.body.name not in cast.named]
    names = listed([cast.name(actor.body.name) for actor in idle]) if idle else ""
    if not text:
        verb = cast.pen.pick(("stays still", "rests", "is at rest"))
        return f"{names} {verb if len(idle) == 1 else bare(verb)}"
    return f"{text} {cast.pen.pick(('next to', 'near', 'beside'))} {names}" if idle else text


def _told(actor: Actor, least: int) -> list[Deed]:
    return [deed for deed in actor.deeds if deed.weight >= least][: 2 if least == 2 else 3]


def _alike(one: Actor, two: Actor, least: int) -> bool:
    keys = [[(deed.kind, deed.way, deed.other) for deed in _told(actor, least)] for actor in (one, two)]
    return keys[0] == keys[1]


def _uncounted(deed: Deed) -> Deed:
    return Deed(deed.kind, deed.time, deed.weight, deed.other, deed.way)


def _first_deed(actor: Actor) -> float:
    return actor.deeds[0].time if actor.deeds else np.inf
