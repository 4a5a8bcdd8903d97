"""What can be said to several verbs alike? Their options, and what of them a file records."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

NUMBER = (int, float)
RECORDED: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("prompt", "negative", "size", "sampler", "model", "dtype", "fit", "direction", "box"), (str,)),
    **dict.fromkeys(("seed", "steps", "variations", "variation", "best_of"), (int,)),
    **dict.fromkeys(("seconds", "fps", "guidance", "strength", "start", "stop"), NUMBER),
    **dict.fromkeys(("script",), (list,)),
    **dict.fromkeys(("sources",), (dict,)),
}
"""The settings that make a clip, which a file carries, and the types that they may have there."""


def option(default: str, metavar: str) -> Any:
    """An option that is None unless it is given; the help says in words what None stands for."""
    return arg(metavar=metavar, help_behavior_hint=f"(default: {default})")


Device = Annotated[str | None, option("the best there is", "NAME")]
Threads = Annotated[int | None, option("torch's choice", "INT")]


def place(metavar: str) -> Any:
    """The name of a positional argument that a verb can only do without beside ``--like``."""
    return arg(metavar=metavar, help_behavior_hint="")


Prompt = Positional[Annotated[str, place("PROMPT")]]


@dataclass(frozen=True)
class Drawing:
    """What can be said about a clip and about a picture alike."""

    size: Annotated[str | None, option("the model's, or what suits a given file", "WxH")] = None
    """Width and height in pixels."""
    seed: Annotated[int | None, option("0", "INT")] = None
    """Chooses the noise; of several, the first one's."""
    steps: Annotated[int | None, option("the model's", "INT")] = None
    """Steps from noise to clip."""
    guidance: Annotated[float | None, option("the model's", "FLOAT")] = None
    """How strongly to follow the prompt; 1 is without guidance."""
    negative: Annotated[str | None, option("nothing", "TEXT")] = None
    """What the clip should not show."""
    variations: Annotated[int | None, option("1", "INT")] = None
    """How many to make, all in one go; variation i of seed s is seed s + i."""
    best_of: Annotated[int | None, option("4 from a prompt alone without a seed, else 1", "INT")] = None
    """How many to draw, all in one go, of which the model's captioner keeps the one nearest to the prompt."""
    model: Annotated[str | None, option("mini", "NAME")] = None
    """A shipped name, a model folder, or a Hugging Face id in the local cache."""
    device: Device = None
    """Where to compute: cpu, cuda or mps."""
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None, option("the device's", "{float32,bfloat16,float16}")
    ] = None
    """Numbers to compute with."""
    threads: Threads = None
    """Threads of the processor."""
    out: Annotated[Path | None, option("named after prompt and seed", "FILE")] = None
    """File to write: .mp4 .webm .gif or .png (the .png of a clip is a contact sheet)."""
    like: Annotated[Path | None, option("none", "FILE")] = None
    """A file made by Ozora, to be made again. Options beside it replace what the file says."""


@dataclass(frozen=True)
class Fitting:
    """How a file that somebody has becomes a clip that the model can work on."""

    fit: Annotated[Literal["crop", "letterbox", "stretch"] | None, option("crop", "{crop,letterbox,stretch}")] = None
    """What to do with another shape: keep its middle, add bars, or change it."""
    fps: Annotated[float | None, option("what suits the file", "FLOAT")] = None
    """Frames per second."""


Drawn = Annotated[Drawing, arg(name="")]
Fitted = Annotated[Fitting, arg(name="")]
USUAL = Drawing()
AS_IT_SUITS = Fitting()


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) from "64x48", with any of x, X and ×; which sizes are legal is the geometry's to say."""
    match = re.fullmatch(r"\s*([0-9]{1,6})\s*[xX\u00d7]\s*([0-9]{1,6})\s*", text)
    if not match:
        raise ValueError(f"size is {text!r}; write width x height in pixels, 64x64 for instance")
    return int(match[1]), int(match[2])


def parse_box(text: str) -> tuple[int, int, int, int]:
    """(x, y, width, height) from "16,0,32,48"; whether it lies within a frame is for that frame to say."""
    match = re.fullmatch(r"\s*([0-9]{1,6})\s*,\s*([0-9]{1,6})\s*,\s*([0-9]{1,6})\s*,\s*([0-9]{1,6})\s*", text)
    if not match:
        raise ValueError(f"box is {text!r}; write x,y,width,height in pixels of the file, 16,0,32,48 for instance")
    x, y, width, height = (int(part) for part in match.groups())
    return x, y, width, height


def merge_settings(asked: Mapping[str, Any], recorded: Mapping[str, Any], source: Path | None) -> dict[str, Any]:
    """What is asked for, and else what the file ``source`` records; what neither says is left out."""
    if source is not None and "prompt" not in recorded:
        raise ValueError(f"{source}: this file does not say how it was made; give one that ozora generate wrote")
    for name, types in RECORDED.items():
        value = recorded.get(name)
        if value is not None and type(value) not in types:
            raise ValueError(f"{source}: {name} is {value!r}, which is no {types[-1].__name__}; the file was altered")
    settings = {name: recorded.get(name) if asked.get(name) is None else asked[name] for name in RECORDED}
    return {name: value for name, value in settings.items() if value is not None}
