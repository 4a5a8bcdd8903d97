"""In which words do captions speak? Every slot has a few paraphrases, and some words are kept back.

``HELD_OUT_WORDS`` never occur in a caption, so that prompts written with them test what a model makes of words that
only its text encoder knows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

HELD_OUT_WORDS: tuple[str, ...] = (
    *("crimson", "scarlet", "ruby", "amber", "golden", "emerald", "turquoise", "azure", "navy", "violet", "magenta"),
    *("orb", "globe", "marble", "dice", "brick", "crate", "barrel", "drum", "can", "pyramid", "toy", "thing"),
    *("tumble", "tumbles", "plummet", "plummets", "crash", "crashes", "smash", "smashes", "skid", "skids", "dash"),
    *("hop", "hops", "leap", "leaps", "collapse", "collapses", "dangle", "dangles", "dissolve", "dissolves"),
    *("tiny", "huge", "giant", "ground", "desert", "zoom", "zooms"),
)

# Each shape's nouns, the commonest first.
SHAPE_NOUNS: dict[str, tuple[str, ...]] = {
    "sphere": ("ball", "ball", "sphere"),
    "cube": ("cube", "cube", "box", "block"),
    "cylinder": ("cylinder",),
    "cone": ("cone",),
    "capsule": ("capsule", "pill"),
    "ellipsoid": ("ellipsoid", "egg"),
}
SIZE_WORDS: dict[str, tuple[str, ...]] = {
    "small": ("small", "little"),
    "medium": ("", "medium-sized"),
    "large": ("large", "big"),
}
FLOOR_NOUNS: tuple[str, ...] = ("floor", "floor", "surface")
FLOOR_WORDS: dict[str, tuple[str, ...]] = {
    "grey": ("grey", "plain grey"),
    "beige": ("beige", "sand-coloured"),
    "dark": ("dark", "dark grey"),
    "pale": ("pale", "light"),
    "checkered grey": ("grey checkered", "checkered grey"),
    "checkered beige": ("beige checkered", "checkered beige"),
}
SKY_WORDS: dict[str, tuple[str, ...]] = {
    "pale": ("a pale sky", "a light sky"),
    "blue": ("a clear sky", "a daytime sky"),
    "grey": ("a grey sky", "an overcast sky"),
    "warm": ("a warm sky", "a warm evening sky"),
    "dark": ("a dark sky", "a night sky"),
}
CAMERA_SENTENCES: dict[tuple[str, str], tuple[str, ...]] = {
    ("static", ""): ("the camera does not move", "the camera stays still", "the camera is static"),
    ("orbit", "left"): ("the camera orbits to the left", "the camera circles left around the scene"),
    ("orbit", "right"): ("the camera orbits to the right", "the camera circles right around the scene"),
    ("dolly", "in"): ("the camera moves in", "the camera moves closer"),
    ("dolly", "out"): ("the camera moves out", "the camera pulls back"),
    ("pan", "left"): ("the camera pans left", "the camera turns to the left"),
    ("pan", "right"): ("the camera pans right", "the camera turns to the right"),
}
CAMERA_PHRASES: dict[tuple[str, str], tuple[str, ...]] = {
    ("static", ""): ("seen by a static camera", "from a still camera", "filmed without moving the camera"),
    ("orbit", "left"): ("while the camera orbits left", "as the camera circles to the left"),
    ("orbit", "right"): ("while the camera orbits right", "as the camera circles to the right"),
    ("dolly", "in"): ("while the camera moves in", "as the camera moves closer"),
    ("dolly", "out"): ("while the camera moves out", "as the camera pulls back"),
    ("pan", "left"): ("while the camera pans left", "as the camera turns to the left"),
    ("pan", "right"): ("while the camera pans right", "as the camera turns to the right"),
}
_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True)
class Pen:
    """Chooses among paraphrases; the same generator state writes the same words."""

    generator: np.random.Generator

    def pick(self, options: Sequence[str]) -> str:
        return options[int(self.generator.integers(len(options)))]

    def chance(self, share: float) -> bool:
        return bool(self.generator.random() < share)


def a(noun: str) -> str:
    """ "orange ball" -> "an orange ball"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def listed(items: Sequence[str]) -> str:
    """ "x", "x and y", "x, y and z"."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    return f"{text[0].upper()}{text[1:]}."


def number(count: int) -> str:
    """ "two", and digits above ten."""
    return _COUNTS[count] if count < len(_COUNTS) else str(count)


def times(count: int) -> str:
    """ "once", "twice", "three times"."""
    return {1: "once", 2: "twice"}.get(count, f"{number(count)} times")


def plural(noun: str) -> str:
    """ "box" -> "boxes"."""
    return f"{noun}es" if noun.endswith(("x", "s", "ch", "sh")) else f"{noun}s"


def seconds(time: float) -> str:
    """ "half a second", "one second", "1.3 seconds": to a tenth."""
    tenths = round(time * 10)
    exact = {5: "half a second", 10: "one second", 20: "two seconds", 30: "three seconds"}
    return exact.get(tenths, f"{tenths / 10:g} seconds")


# What an object does, in the third person; {other} is a name, {way} "to the left", {times} "twice", {color} a colour.
DEED_PHRASES: dict[str, tuple[str, ...]] = {
    "fall": ("falls", "drops", "falls down", "plunges"),
    "land": ("hits {other}", "lands on {other}"),
    "bounce": ("bounces {times}", "bounces {times}"),
    "roll": ("rolls {way}", "rolls {way}"),
    "slide": ("slides {way}", "glides {way}"),
    "roll_down": ("rolls down the ramp {way}", "rolls {way} down the ramp"),
    "slide_down": ("slides down the ramp {way}", "slides {way} down the ramp"),
    "ride": ("rides {way} on the belt", "moves {way} on the conveyor belt"),
    "orbit": ("circles around {other}", "orbits {other}"),
    "swing": ("swings back and forth", "swings from side to side"),
    "swing_once": ("swings {way}", "swings down {way}"),
    "hit": ("hits {other}", "strikes {other}", "bumps into {other}", "runs into {other}"),
    "touch": ("touches {other}", "reaches {other}"),
    "roll_off": ("rolls away {way}", "rolls off {way}"),
    "pushed": ("is pushed {way}", "is knocked {way}"),
    "hardly": ("hardly moves", "barely moves"),
    "turn_back": ("turns back", "goes back"),
    "topple": ("tips over", "topples over", "falls over"),
    "hidden": ("goes behind {other}", "disappears behind {other}", "passes behind {other}"),
    "reappear": ("comes out again", "comes back into view"),
    "enter": ("comes into view", "enters the frame"),
    "leave": ("leaves the frame", "goes out of view"),
    "stop": ("comes to rest", "stops", "comes to a stop"),
    "break": ("breaks apart", "shatters", "breaks into pieces"),
    "stay_whole": ("stays whole", "does not break"),
    "consume": ("vanishes", "shrinks and vanishes", "disappears"),
    "mark": ("turns {color}", "becomes {color}"),
    "rest": ("stays still", "does not move"),
}
# Deeds whose time a dense caption tells.
TIMED_DEEDS: frozenset[str] = frozenset(
    {"land", "hit", "touch", "break", "consume", "mark", "topple", "hidden", "reappear", "enter", "leave", "stop"}
)
WAYS: dict[str, tuple[str, ...]] = {
    "left": ("to the left",),
    "right": ("to the right",),
    "near": ("towards the camera",),
    "far": ("away from the camera",),
    "": ("",),
}
PLACES: dict[str, tuple[str, ...]] = {
    "left": ("on the left",),
    "middle": ("in the middle",),
    "right": ("on the right",),
}
SUPPORTS: dict[str, tuple[str, ...]] = {
    "floor": ("is", "stands", "rests"),
    "floor, lying": ("is", "lies", "rests"),
    "air": ("is in the air", "is up in the air"),
    "rod": ("hangs from a rod", "hangs on a rod"),
    "ramp": ("is on a ramp",),
    "belt": ("is on a conveyor belt", "stands on a conveyor belt"),
    "table": ("is on a table", "stands on a table"),
}
PROP_NOUNS: dict[str, str] = {
    "wall": "wall",
    "ramp": "ramp",
    "belt": "conveyor belt",
    "table": "table",
    "patch": "patch",
    "beam": "beam",
}
# The tag for what happens.
EVENT_TAGS: dict[str, tuple[str, ...]] = {
    "fall": ("falling", "drop"),
    "roll": ("rolling",),
    "slide": ("sliding",),
    "hit": ("collision", "impact"),
    "descend": ("ramp",),
    "topple": ("toppling",),
    "swing": ("swinging",),
    "hide": ("hiding",),
    "rest": ("at rest", "still"),
    "ride": ("conveyor belt",),
    "orbit": ("orbiting",),
    "enter": ("entering",),
    "break": ("breaking",),
    "vanish": ("vanishing",),
    "mark": ("colour change",),
}

# How one scene turns into another: before the first scene's sentence, between two sentences, timed, in one clause.
TURN_BEGINNINGS: tuple[str, ...] = ("", "", "First,", "At first,")
TURN_SENTENCES: tuple[str, ...] = (
    "Then the scene changes.",
    "Then it turns into another scene.",
    "Then everything turns into another scene.",
    "The scene then becomes another one.",
)
TURN_TIMED: tuple[str, ...] = (
    "After {begins} the scene begins to change, and after {ends} it has become another one.",
    "After {begins} it begins to turn into another scene, which takes {lasts}.",
    "Between {begins} and {ends} everything turns into another scene.",
)
TURN_CLAUSES: tuple[str, ...] = (
    "first {one}, then {two}",
    "{one}, then the scene changes and {two}",
    "{one}, and this turns into a scene where {two}",
    "{one}, and the scene becomes one where {two}",
)
TURN_TAGS: tuple[str, ...] = ("transition", "scene change")


def bare(phrase: str) -> str:
    """The phrase for more than one: "rolls off and stops" -> "roll off and stop"."""
    return " and ".join(_bare_verb(part) for part in phrase.split(" and "))


def _bare_verb(phrase: str) -> str:
    verb, space, rest = phrase.partition(" ")
    if verb in ("is", "does"):
        verb = {"is": "are", "does": "do"}[verb]
    elif verb == "goes" or verb.endswith(("ches", "shes", "sses")):
        verb = verb[:-2]
    elif verb.endswith("s"):
        verb = verb[:-1]
    return verb + space + rest
