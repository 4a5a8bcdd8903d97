"""What are expanders asked, and what must come back? Three hundred prompts whose truth is known, as they were made
from it.

Whether an expansion keeps it is judged by these needs alone: each is a list of wordings of which one must be found.
So the check that an expansion passed on its way (``language/slots.py``) is judged too, and not trusted.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ozora.world.scene import COLORS
from ozora.world.wording import CAMERA_SENTENCES, SHAPE_NOUNS

SEED = 20261123
KINDS = ("captions' words", "synonyms", "typos", "German", "Spanish", "other things")
PER_KIND = 50
# Every action: how captions say it, how people do, and how it is said in German and in Spanish.
SAID = {
    "fall": ("falls", "drops", "plunges"),
    "roll": ("rolls",),
    "slide": ("slides", "glides"),
    "swing": ("swings",),
    "break": ("breaks", "shatters"),
    "vanish": ("vanishes", "disappears"),
}
SYNONYMS = {
    "fall": ("plummets", "tumbles down", "descends quickly"),
    "roll": ("trundles along", "is rolling"),
    "slide": ("skids", "slips sideways", "is gliding"),
    "swing": ("sways", "dangles", "is swinging"),
    "break": ("bursts to bits", "smashes"),
    "vanish": ("dissolves", "fades away"),
}
GERMAN = {
    "fall": "fällt",
    "roll": "rollt",
    "slide": "rutscht",
    "swing": "schwingt",
    "break": "zerbricht",
    "vanish": "verschwindet",
}
SPANISH = {
    "fall": "cae",
    "roll": "rueda",
    "slide": "se desliza",
    "swing": "oscila",
    "break": "se rompe",
    "vanish": "desaparece",
}
COLOR_WORDS = {
    "red": ("crimson", "scarlet", "ruby", "maroon"),
    "orange": ("amber", "tangerine", "apricot"),
    "yellow": ("golden", "lemon", "mustard"),
    "green": ("emerald", "lime", "olive"),
    "cyan": ("turquoise", "teal", "aqua"),
    "blue": ("azure", "navy", "cobalt", "indigo"),
    "purple": ("violet", "lilac", "plum"),
    "pink": ("magenta", "fuchsia", "salmon"),
}
SHAPE_WORDS = {
    "sphere": ("orb", "globe", "marble", "bead"),
    "cube": ("crate", "brick", "dice"),
    "cylinder": ("barrel", "drum", "tin"),
    "cone": ("pyramid", "funnel"),
}
GERMAN_COLORS = {"red": "rot", "yellow": "gelb", "green": "grün", "blue": "blau", "purple": "lila"}
GERMAN_SHAPES = {
    "sphere": ("die", "Kugel"),
    "cube": ("der", "Würfel"),
    "cylinder": ("der", "Zylinder"),
    "cone": ("der", "Kegel"),
}
SPANISH_COLORS = {"red": "rojo", "yellow": "amarillo", "green": "verde", "blue": "azul", "purple": "morado"}
SPANISH_SHAPES = {
    "sphere": ("una", "esfera"),
    "cube": ("un", "cubo"),
    "cylinder": ("un", "cilindro"),
    "cone": ("un", "cono"),
}
STRANGE = (
    ("a giraffe rides a skateboard", ("giraffe", "skateboard")),
    ("a red dragon breathes fire over a village", ("dragon", "fire", "village")),
    ("two dogs chase a yellow ball on the beach", ("dogs", "chase", "yellow ball", "beach")),
    ("an old man reads a newspaper in the rain", ("man", "newspaper", "rain")),
    ("a spaceship lands beside a blue cube", ("spaceship", "blue cube")),
    ("waves break on a rocky shore at sunset", ("waves", "rocky", "shore", "sunset")),
    ("a cat knocks a green cylinder off a shelf", ("cat", "green cylinder", "shelf")),
    ("snow falls on a quiet street", ("snow", "street")),
    ("a wooden floor with a purple cone on it", ("wooden", "purple cone")),
    ("three red spheres roll to the left", ("three", "red spheres|red balls")),
)
CAMERAS = (("", ""), ("", ""), ("the camera pans left", "pan left"), ("the camera moves closer", "dolly in"))


@dataclass(frozen=True)
class Asked:
    """A prompt and what must be found in its expansion: of each need one of the wordings, case aside."""

    kind: str
    prompt: str
    needs: tuple[tuple[str, ...], ...]

    def lost(self, expansion: str) -> list[str]:
        """The needs that are not met, by their first wording."""
        text = " ".join(re.sub(r"[^\w\s-]", " ", expansion.lower()).split())
        return [need[0] for need in self.needs if not any(re.search(rf"\b{word.lower()}\b", text) for word in need)]


def asked_prompts(per_kind: int = PER_KIND) -> list[Asked]:
    """``per_kind`` prompts of each of ``KINDS``; always the same."""
    makers = (_known, _synonyms, _typos, _german, _spanish, _strange)
    prompts = []
    for kind, make in zip(KINDS, makers, strict=True):
        chance = random.Random(f"{SEED} {kind}")
        prompts += [Asked(kind, *make(chance, i)) for i in range(per_kind)]
    return prompts


Made = tuple[str, tuple[tuple[str, ...], ...]]


def _known(chance: random.Random, _: int) -> Made:
    color, shape, action = _draw(chance)
    noun, verb = chance.choice(SHAPE_NOUNS[shape]), chance.choice(SAID[action])
    prompt, needs = f"{_a(color)} {noun} {verb}", [_object(color, shape), SAID[action]]
    if chance.random() < 0.4:
        other, second = chance.choice([name for name in COLORS if name != color]), chance.choice(list(SHAPE_WORDS))
        prompt += f" next to {_a(other)} {chance.choice(SHAPE_NOUNS[second])}"
        needs.append(_object(other, second))
    sentence, camera = chance.choice(CAMERAS)
    return (f"{prompt}, {sentence}" if sentence else prompt), (*needs, *_camera(camera))


def _synonyms(chance: random.Random, _: int) -> Made:
    color, shape, action = _draw(chance)
    tint, noun, verb = (chance.choice(words) for words in (COLOR_WORDS[color], SHAPE_WORDS[shape], SYNONYMS[action]))
    place = chance.choice(("", " on the ground", " all by itself", " before our eyes"))
    return f"{_a(tint)} {noun} {verb}{place}", (_object(color, shape, tint, noun), (*SAID[action], verb))


def _typos(chance: random.Random, i: int) -> Made:
    color, shape, action = _draw(chance)
    words = ["a", color, SHAPE_NOUNS[shape][0], SAID[action][0]]
    long = [place for place, word in enumerate(words) if len(word) >= 4]
    place = chance.choice(long)
    damaged = _mistyped(words[place], chance)
    written = [*words[:place], damaged, *words[place + 1 :]]
    return " ".join(written), (_object(color, shape, written[1], written[2]), (*SAID[action], written[3]))


def _german(chance: random.Random, _: int) -> Made:
    color, shape, action = (
        chance.choice(list(GERMAN_COLORS)),
        chance.choice(list(GERMAN_SHAPES)),
        chance.choice(list(SAID)),
    )
    article, noun = GERMAN_SHAPES[shape]
    tint = GERMAN_COLORS[color] + ("" if color == "purple" else "e" if article == "die" else "er")
    text = f"{'eine' if article == 'die' else 'ein'} {tint} {noun} {GERMAN[action]}"
    text += chance.choice(("", " auf den Boden", " langsam"))
    return text, (_object(color, shape, tint, noun), (*SAID[action], GERMAN[action]))


def _spanish(chance: random.Random, _: int) -> Made:
    color, shape, action = (
        chance.choice(list(SPANISH_COLORS)),
        chance.choice(list(SPANISH_SHAPES)),
        chance.choice(list(SAID)),
    )
    article, noun = SPANISH_SHAPES[shape]
    tint = SPANISH_COLORS[color]
    tint = f"{tint[:-1]}a" if article == "una" and tint.endswith("o") else tint
    text = f"{article} {noun} {tint} {SPANISH[action]}"
    text += chance.choice(("", " al suelo", " lentamente"))
    verb = SPANISH[action].split()[-1]
    return text, ((*_object(color, shape), f"{noun} {tint}"), (*SAID[action], verb))


def _strange(chance: random.Random, i: int) -> Made:
    text, needs = STRANGE[i % len(STRANGE)]
    sentence, camera = CAMERAS[i // len(STRANGE) % len(CAMERAS)] if i >= len(STRANGE) else ("", "")
    made = tuple(tuple(need.split("|")) for need in needs)
    return (f"{text}, {sentence}" if sentence else text), (*made, *_camera(camera))


def _draw(chance: random.Random) -> tuple[str, str, str]:
    return chance.choice(list(COLORS)), chance.choice(list(SHAPE_WORDS)), chance.choice(list(SAID))


def _object(color: str, shape: str, *written: str) -> tuple[str, ...]:
    """The colour beside the noun, in the captions' words or as it was written."""
    colors, nouns = [color, *written[:1]], [*dict.fromkeys(SHAPE_NOUNS[shape]), *written[1:]]
    return tuple(f"{tint} {noun}" for tint in colors for noun in nouns)


def _camera(camera: str) -> tuple[tuple[str, ...], ...]:
    if not camera:
        return ()
    motion, _, direction = camera.partition(" ")
    return (CAMERA_SENTENCES[motion, direction],)


def _mistyped(word: str, chance: random.Random) -> str:
    """One letter left out, doubled, exchanged with its neighbour, or another one."""
    i = chance.randrange(1, len(word) - 1)
    match chance.randrange(4):
        case 0:
            return word[:i] + word[i + 1 :]
        case 1:
            return word[:i] + word[i] + word[i:]
        case 2:
            return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
        case _:
            return word[:i] + chance.choice("aeiounrst") + word[i + 1 :]


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def by_kind(prompts: Sequence[Asked]) -> Iterator[tuple[str, list[Asked]]]:
    """Each kind with its prompts, in the order of ``KINDS``; "all" comes last."""
    for kind in KINDS:
        if chosen := [prompt for prompt in prompts if prompt.kind == kind]:
            yield kind, chosen
    yield "all", list(prompts)
