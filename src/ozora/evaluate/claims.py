"""What do the metrics of prompts, pixels and words claim? Which way is good, and which controls must come out worse.

Every claim is checked where it is reported (``verdicts.py``); a column that is not named here is shown for context.
Parts with files of their own (``worlds.py``, ``distribution.py``) say what they claim themselves.
"""

from collections.abc import Mapping
from dataclasses import replace

from ozora.evaluate.verdicts import Metric

Claims = Mapping[str, Mapping[str, Metric]]
"""Table title -> column -> metric."""

SHUFFLED = ("simulator, shuffled prompts",)
PROMPT_COLUMNS: Mapping[str, Metric] = {
    "count %": Metric(worse=SHUFFLED, aim=0.95, about="as many objects as asked for"),
    "colors %": Metric(worse=SHUFFLED, aim=0.95, about="all colors, whichever object has which"),
    "shapes %": Metric(worse=SHUFFLED, aim=0.90, about="all shapes, whichever object has which"),
    "binding %": Metric(worse=SHUFFLED, aim=0.90, about="every shape in its own color"),
    "event %": Metric(worse=SHUFFLED, aim=0.85, about="what happens"),
    "camera %": Metric(worse=SHUFFLED, about="how the camera moves"),
    "all %": Metric(worse=SHUFFLED, about="everything at once"),
}
# The aims are for all clips together. Between clips of equally many objects a shuffle cannot change how many: there the
# count is not put to the test.
SUBSET_COLUMNS: Mapping[str, Metric] = {
    **{column: replace(metric, aim=None) for column, metric in PROMPT_COLUMNS.items()},
    "count %": Metric(about="as many objects as asked for; put to the test with all clips together"),
}

_TEXT = ("text to video",)
_TRIVIAL = ("frozen clip", "repeated clip", "text to video")
_EXTEND: Mapping[str, Metric] = {
    "step 0.5 to 1.5 %": Metric(
        worse=_TRIVIAL, about="where things move, the join changes about as much as its neighbors"
    ),
    "step / ordinary": Metric(1.0, worse=_TRIVIAL, about="change over the join by change beside it"),
    "velocity goes on %": Metric(worse=_TRIVIAL, about="every moving object keeps its velocity over the join"),
    "static step / reconstruction error": Metric(
        "low", worse=("repeated clip", "text to video"), about="the join where nothing moves; a frozen clip has none"
    ),
}
_BACK_AND_FORTH = "back and forth"
_AS_READ = "simulator as it is read"

PIXEL_CLAIMS: Claims = {
    "Animate: the first frame is given": {
        "first frame exact %": Metric(worse=_TEXT),
        "moves %": Metric(worse=("frozen clip",), about="some object travels its own radius"),
        "colors kept %": Metric(worse=_TEXT, about="in the last half second; a frozen clip keeps them, too"),
        "number kept %": Metric(worse=_TEXT, about="in the last half second"),
        "change / simulator's": Metric(1.0, worse=("frozen clip",), about="from frame to frame"),
        "first step / later ones": Metric(1.0, worse=_TEXT, about="a jump after the given frame is above 1"),
    },
    "Extend forward: nine frames are given": _EXTEND,
    "Extend backward: eight frames are given": _EXTEND,
    "Loop: the bridge from end to beginning": {
        "step 0.5 to 1.5 %": Metric(truth=_BACK_AND_FORTH, worse=_TRIVIAL, about="playing back and forth passes this"),
        "travels its width %": Metric(truth=_BACK_AND_FORTH, worse=("frozen clip", "repeated clip")),
    },
    "Connect: from one clip to another": {
        "no jump above 3 %": Metric(truth="cross-fade", worse=_TRIVIAL, about="a cross-fade passes this"),
        "largest step / ordinary": Metric("low", "cross-fade", _TRIVIAL),
        "sharpness in the middle / ends": Metric(1.0, "frozen clip", ("cross-fade",)),
    },
    "Against what physics did, the first frame given": {
        "distance (% of side)": Metric("low", _AS_READ, ("text to video", "nothing moves")),
        "in the last half second": Metric("low", _AS_READ, ("text to video", "nothing moves")),
    },
    "Against what physics did, the first five frames given": {
        "distance (% of side)": Metric("low", _AS_READ, ("text to video", "nothing moves", "constant velocity")),
        "in the last half second": Metric("low", _AS_READ, ("text to video", "nothing moves", "constant velocity")),
    },
    "Edit: one object gets another color": {
        "recolored %": Metric(truth="simulator, recolored", worse=("source as it is",)),
        "on its path %": Metric(truth="simulator, recolored", worse=_TEXT),
        "recolored on its path %": Metric(truth="simulator, recolored", worse=("source as it is", "text to video")),
    },
    "Fill: an object is masked and made again": {
        "step over the mask's edge": Metric("low", worse=("frozen clip", "painted out", "text to video")),
        "object is back %": Metric(worse=("painted out",)),
        "on its path %": Metric(worse=("frozen clip", "painted out", "text to video")),
    },
    "Storyboard: each shot shows its own color": {
        "first shot's color %": Metric(truth="simulator, cut", worse=("model, shots exchanged",)),
        "second shot's color %": Metric(
            truth="simulator, cut", worse=("first prompt throughout", "model, shots exchanged", "repeated clip")
        ),
        "both in their spans %": Metric(
            truth="simulator, cut", worse=("first prompt throughout", "model, shots exchanged", "repeated clip")
        ),
    },
    "A minute: until it breaks": {
        "seconds before it breaks": Metric(worse=("frozen clip",)),
        "whole for 2 s %": Metric(worse=("frozen clip",)),
        "whole for 10 s %": Metric(worse=("frozen clip",)),
        "whole for 60 s %": Metric(worse=("frozen clip",)),
        "seconds that move %": Metric(worse=("frozen clip",)),
    },
}
PIXEL_ASKS = {
    "animate": "The first frame is given. Is it there, does something move, are the objects the same at the end?",
    "extend forward": "Nine frames are given, eight are made. Does what was made go on from what was given?",
    "extend backward": "Eight frames are given, nine are made before them: three beginnings for one ending.",
    "loop": "Eight frames lead from a clip's end to its beginning. Playing back and forth is smooth, and no answer: "
    "velocity does not go on.",
    "connect": "Eight frames lead from one clip to another. The simulator turns one scene into the other, objects into "
    "objects; a cross-fade has no jump, and half the sharpness.",
    "physics": "Where would physics have taken the objects, and where did the model? Two guesses that know no physics "
    "stand beside it.",
    "edit": "The prompt says another color for one object. Is it that color, and is everything where it was?",
    "fill": "An object is masked and made again from the prompt. Is it back, and where it was?",
    "storyboard": "Two shots of two seconds, in the second another color. Does each show its own?",
    "company": "Unlike requests, each drawn alone and all in one row. Company must not change a clip.",
    "minute": "How long does a minute stay what it was? Sora's own report names incoherence that grows in long "
    "samples. A clip that stops has stopped drifting, too: a second counts only while the clip moves.",
}

CAPTION_COLUMNS: Mapping[str, Metric] = {
    part: Metric(worse=("simulator, other clips",), about=about)
    for part, about in {
        "objects %": "F1 of colors with their shapes",
        "colors %": "F1 of colors",
        "shapes %": "F1 of shapes",
        "event %": "the main event is told",
        "camera %": "the camera is told",
        "order %": "what is told comes in its order",
        "seconds %": "the times that are told are right within 0.2 s",
    }.items()
}
EXPANSION_CLAIM = (
    "The same short prompts, as they are, in full by the model's expander, and by rules alone; scored against the same "
    "facts with the same seeds. The captions never use the words of those written by hand; short captions of held-out "
    "scenes are in the model's own."
)
