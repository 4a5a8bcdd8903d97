"""Which words mean the same? The captions' own words, and what people write for them in English, German and Spanish.

Each table goes from a meaning to its words; the first is the captions' own. What no table lists is not understood, and
is kept as it was written.
"""


def _german(stem: str) -> tuple[str, ...]:
    """An adjective with its endings."""
    return tuple(stem + ending for ending in ("", "e", "er", "es", "en", "em"))


def _spanish(stem: str, ending: str = "o") -> tuple[str, ...]:
    """An adjective in both genders and numbers, or a word with its plural where ``ending`` is none."""
    return tuple(stem + end for end in (("o", "a", "os", "as") if ending == "o" else ("", "s", "es")))


COLORS: dict[str, tuple[str, ...]] = {
    "red": ("red", "crimson", "scarlet", "ruby", "cherry", "reddish", *_german("rot"), *_spanish("roj")),
    "orange": (
        "orange",
        "amber",
        "tangerine",
        *_german("orangefarben"),
        *_spanish("anaranjad"),
        *_spanish("naranja", ""),
    ),
    "yellow": ("yellow", "golden", "gold", "lemon", *_german("gelb"), *_spanish("amarill")),
    "green": ("green", "emerald", "lime", "jade", *_german("grün"), *_spanish("verde", "")),
    "cyan": (
        "cyan",
        "turquoise",
        "teal",
        "aqua",
        *_german("türkis"),
        *_german("cyanfarben"),
        *_spanish("cian", ""),
        "turquesa",
    ),
    "blue": ("blue", "azure", "navy", "cobalt", "sapphire", *_german("blau"), *_spanish("azul", "")),
    "purple": (
        "purple",
        "violet",
        "lilac",
        "lavender",
        *_german("lila"),
        *_german("violett"),
        *_spanish("morad"),
        "violeta",
    ),
    "pink": (
        "pink",
        "magenta",
        "fuchsia",
        "rose",
        *_german("pinkfarben"),
        *_german("rosafarben"),
        *_spanish("rosa", ""),
        "rosado",
        "rosada",
    ),
}
SHAPES: dict[str, tuple[str, ...]] = {
    "sphere": ("ball", "sphere", "orb", "globe", "marble", "kugel", "kugeln", "bälle", "pelota", "bola", "esfera"),
    "cube": ("cube", "box", "block", "dice", "brick", "crate", "würfel", "kasten", "kiste", "cubo", "caja", "bloque"),
    "cylinder": ("cylinder", "barrel", "drum", "can", "tin", "zylinder", "dose", "fass", "cilindro", "barril", "lata"),
    "cone": ("cone", "pyramid", "kegel", "pyramide", "cono", "pirámide"),
    "capsule": ("capsule", "pill", "kapsel", "pille", "cápsula", "píldora"),
    "ellipsoid": ("ellipsoid", "egg", "ei", "elipsoide", "huevo"),
}
# What things do. A word that needs another one beside it is not here but in ``slots.PHRASES``.
ACTIONS: dict[str, tuple[str, ...]] = {
    "fall": (
        *("falls", "fall", "falling", "fell", "drops", "drop", "dropped", "dropping", "plunges", "plunge", "plummets"),
        *("plummet", "plummeting", "tumbles", "tumble", "tumbling", "fällt", "fallen", "fallende", "fallender"),
        *("stürzt", "cae", "caen", "cayendo", "caer"),
    ),
    "bounce": (
        *("bounces", "bounce", "bouncing", "hops", "hop", "hopping", "leaps", "leap", "leaping", "rebounds"),
        *("hüpft", "springt", "abprallt", "prallt", "rebota", "rebotan", "bota", "salta"),
    ),
    "roll": (
        "rolls",
        "roll",
        "rolling",
        "trundles",
        "trundle",
        "trundling",
        "rollt",
        "rollen",
        "kullert",
        "rueda",
        "ruedan",
    ),
    "slide": (
        *("slides", "slide", "sliding", "glides", "glide", "gliding", "skids", "skid", "skidding", "slips", "slip"),
        *("rutscht", "gleitet", "schlittert", "desliza", "deslizan", "resbala"),
    ),
    "swing": (
        *("swings", "swing", "swinging", "sways", "sway", "swaying", "dangles", "dangle", "dangling", "pendulum"),
        *("schwingt", "pendelt", "baumelt", "oscila", "balancea", "columpia"),
    ),
    "hit": (
        *("hits", "hit", "hitting", "strikes", "strike", "striking", "bumps", "bump", "bumping", "collides", "collide"),
        *("collision", "colliding", "crashes", "crash", "crashing", "knocks", "touches", "reaches", "impact"),
        *("trifft", "stößt", "rammt", "kollidiert", "choca", "chocan", "golpea"),
    ),
    "topple": (
        *("topples", "topple", "toppling", "tips", "tip", "tipping", "collapses", "collapse", "collapsing", "keels"),
        *("kippt", "umkippt", "vuelca", "tumba"),
    ),
    "break": (
        *("breaks", "break", "breaking", "shatters", "shatter", "shattering", "bursts", "burst", "smashes", "smash"),
        *("zerbricht", "zerspringt", "zersplittert", "rompe", "quiebra"),
    ),
    "vanish": (
        *("vanishes", "vanish", "vanishing", "disappears", "disappear", "dissolves", "dissolve", "shrinks", "shrink"),
        *("verschwindet", "desaparece"),
    ),
    "push": ("pushed", "pushes", "push", "knocked", "shoved", "shoves", "geschoben", "empuja"),
    "hide": ("hides", "hide", "hiding", "hidden", "versteckt", "esconde"),
    "ride": ("rides", "ride", "riding", "conveyed", "fährt", "viaja"),
    "orbit": ("orbits", "orbit", "orbiting", "circles", "circle", "circling", "revolves", "umkreist", "orbita"),
    "stop": ("stops", "stop", "stopped", "halts", "halt", "stoppt", "hält", "para", "detiene"),
    "leave": ("leaves", "leave", "leaving", "exits", "verlässt", "sale"),
    "enter": ("enters", "enter", "entering", "appears", "appear", "arrives", "erscheint", "entra", "aparece"),
    "rest": (
        *("rests", "rest", "still", "motionless", "stationary", "unmoving", "resting", "stays", "idle", "quietly"),
        *("ruht", "still", "reposa", "quieto", "quieta", "inmóvil"),
    ),
}
PROPS: dict[str, tuple[str, ...]] = {
    "wall": ("wall", "wand", "mauer", "pared", "muro"),
    "ramp": ("ramp", "slope", "incline", "rampe", "rampa"),
    "table": ("table", "tisch", "mesa"),
    "belt": ("belt", "conveyor", "fließband", "förderband", "cinta"),
    "rod": ("rod", "string", "cord", "thread", "rope", "faden", "seil", "schnur", "stange", "cuerda", "hilo"),
    "patch": ("patch", "fleck", "mancha"),
    "beam": ("beam", "balken", "viga"),
}
SIZES: dict[str, tuple[str, ...]] = {
    "small": ("small", "little", "tiny", "mini", *_german("klein"), *_spanish("pequeñ")),
    "large": (
        "large",
        "big",
        "huge",
        "giant",
        "enormous",
        *_german("groß"),
        *_german("riesig"),
        *_spanish("grande", ""),
    ),
    "medium": ("medium-sized", "medium"),
}
# What a floor or a sky can be. "light" is here only beside a floor or a sky.
FLOOR_LOOKS: dict[str, tuple[str, ...]] = {
    "grey": ("grey", "gray", *_german("grau"), *_spanish("gris", "")),
    "beige": ("beige", "sand-coloured", "sandy", "sand-colored"),
    "dark": ("dark", "darkened", *_german("dunkl"), "dunkel", *_spanish("oscur")),
    "pale": ("pale", "light", "bright", *_german("hell"), *_spanish("clar")),
    "checkered": ("checkered", "chequered", "checkerboard", *_german("kariert"), "ajedrezado"),
}
SKY_LOOKS: dict[str, tuple[str, ...]] = {
    "pale": ("pale", "light"),
    "blue": ("clear", "daytime", "blue"),
    "grey": ("grey", "gray", "overcast", "cloudy"),
    "warm": ("warm", "evening", "sunset"),
    "dark": ("dark", "night", "black"),
}
FLOOR_NOUNS = ("floor", "surface", "ground", "boden", "fußboden", "suelo", "piso")
SKY_NOUNS = ("sky", "himmel", "cielo")
COUNTS: dict[str, int] = {
    **dict(zip(("two", "three", "four", "five"), range(2, 6))),
    **dict(zip(("zwei", "drei", "vier", "fünf"), range(2, 6))),
    **dict(zip(("dos", "tres", "cuatro", "cinco"), range(2, 6))),
}
DIRECTIONS: dict[str, tuple[str, ...]] = {
    "left": ("left", "leftward", "leftwards", "links", "izquierda"),
    "right": ("right", "rightward", "rightwards", "rechts", "derecha"),
}
# Words with a meaning of their own that carries no slot, from their own language to the captions'.
FUNCTION_WORDS: dict[str, str] = {
    **dict.fromkeys(("ein", "eine", "einen", "einer", "einem", "un", "una"), "a"),
    **dict.fromkeys(("der", "die", "das", "den", "dem", "el", "la", "los", "las"), "the"),
    **dict.fromkeys(("und", "y"), "and"),
    **dict.fromkeys(("auf", "am", "en", "sobre", "im"), "on"),
    **dict.fromkeys(("nach", "zur", "zum", "al", "hacia"), "to"),
    **dict.fromkeys(("mit", "con"), "with"),
    **dict.fromkeys(("gegen", "contra"), "into"),
    **dict.fromkeys(("über",), "over"),
    **dict.fromkeys(("sich", "se", "ist", "está", "ab", "um", "herunter", "hinunter"), ""),
}
_STOP_WORDS = """
a an the and or of on in at to into onto with while as is are was it its itself this that these there then from by for
up down over off again away out near next beside past along across around under towards toward through after before
when which who whose has have had be been being does do not no nothing only just very some any other another each both
all one back forth side view frame frames picture scene set video clip film shot shows showing show seen watch see
look camera comes come goes go gets get moves move moving moved motion happens happen against bottom top there's it's
i we you he she they his her their my your let someone something somebody make makes made put puts stands stand
standing sits sit sitting lies lie lying hangs hang filmed using fro pan pans panning dolly zoom zooms hanging place
placed like about so but if too also runs run passes pass turns turn becomes become rests
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
