"""What can be asked for from a shell? Six verbs, each a function whose signature is its command line.

A verb checks what is cheap to check, imports what it needs, does its work, and prints one line on
standard output. All else (progress, warnings, the one line of an error) goes to standard error.
"""

import contextlib
import functools
import io
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg
from tyro.extras import subcommand_cli_from_dict

from ozora.media.place import check_place, free_name, slug
from ozora.terminal import fail, progress_bar, report, warnings_in_one_line

if TYPE_CHECKING:
    from ozora.clip import Clip

NUMBER = (int, float)
RECORDED: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("prompt", "negative", "size", "sampler", "model", "dtype"), (str,)),
    **dict.fromkeys(("seed", "steps"), (int,)),
    **dict.fromkeys(("seconds", "fps", "guidance"), NUMBER),
}
"""The settings that make a clip, which a file carries, and the types that they may have there."""


def _option(default: str, metavar: str) -> Any:
    """An option that is None unless it is given; the help says in words what None stands for."""
    return arg(metavar=metavar, help_behavior_hint=f"(default: {default})")


Prompt = Positional[Annotated[str, arg(metavar="PROMPT", help_behavior_hint="")]]
Device = Annotated[str | None, _option("the best there is", "NAME")]
Threads = Annotated[int | None, _option("torch's choice", "INT")]


@dataclass(frozen=True)
class Drawing:
    """What can be said about a clip and about a picture alike."""

    size: Annotated[str | None, _option("the model's, 64x64", "WxH")] = None
    """Width and height in pixels."""
    seed: Annotated[int | None, _option("0", "INT")] = None
    """Chooses the noise."""
    steps: Annotated[int | None, _option("the model's", "INT")] = None
    """Steps from noise to clip."""
    guidance: Annotated[float | None, _option("the model's", "FLOAT")] = None
    """How strongly to follow the prompt; 1 is without guidance."""
    negative: Annotated[str | None, _option("nothing", "TEXT")] = None
    """What the clip should not show."""
    variations: Annotated[int, arg(metavar="INT")] = 1
    """How many to make; variation i of seed s is seed s + i."""
    model: Annotated[str | None, _option("mini", "NAME")] = None
    """A shipped name, a model folder, or a Hugging Face id in the local cache."""
    device: Device = None
    """Where to compute: cpu, cuda or mps."""
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None, _option("the device's", "{float32,bfloat16,float16}")
    ] = None
    """Numbers to compute with."""
    threads: Threads = None
    """Threads of the processor."""
    out: Annotated[Path | None, _option("named after prompt and seed", "FILE")] = None
    """File to write: .mp4 .webm .gif or .png (the .png of a clip is a contact sheet)."""
    like: Annotated[Path | None, _option("none", "FILE")] = None
    """A file made by Ozora, to be made again. Options beside it replace what the file says."""


Drawn = Annotated[Drawing, arg(name="")]


def generate(
    prompt: Prompt = "",
    seconds: Annotated[float | None, _option("2", "FLOAT")] = None,
    fps: Annotated[float | None, _option("the model's", "FLOAT")] = None,
    drawing: Drawn = Drawing(),
) -> None:
    """Turn a sentence into a clip.

    Args:
        prompt: What the clip should show.
        seconds: How long the clip plays.
        fps: Frames per second.
    """
    _draw(prompt, drawing, ".mp4", seconds=seconds, fps=fps)


def picture(prompt: Prompt = "", drawing: Drawn = Drawing()) -> None:
    """Turn a sentence into a picture: a clip of one frame.

    Args:
        prompt: What the picture should show.
    """
    _draw(prompt, drawing, ".png", one_frame=True)


def reconstruct(
    clip: Positional[Path],
    out: Annotated[Path, arg(metavar="FILE")],
    model: Annotated[str, arg(metavar="NAME")] = "mini",
    size: Annotated[str | None, _option("the clip's", "WxH")] = None,
    threads: Threads = None,
) -> None:
    """Send a clip through the compression network and back; say what was lost as PSNR and SSIM.

    Args:
        clip: Video or picture to read.
        out: File to write: .mp4 .webm .gif or .png.
        model: A shipped name or a model folder.
        size: Crop and resize to this width and height first.
        threads: Threads of the processor.
    """
    started = time.perf_counter()
    target = None if size is None else parse_size(size)
    check_place(out)
    if not clip.is_file():
        raise ValueError(f"{clip}: no such file; give a video or a picture")
    _use_threads(threads)
    import numpy as np

    from ozora.clip import Clip
    from ozora.evaluate.distortion import psnr, ssim
    from ozora.generate.folder import find_model, load_folder, read_config
    from ozora.media.read import read_clip, read_fitted
    from ozora.media.write import check_format, write_clip

    folder = find_model(model)
    geometry = read_config(folder).geometry
    if target is not None:
        geometry.check_size(*target)
    original = read_clip(clip) if target is None else read_fitted(clip, target)[0]
    geometry.check_size(*original.size)
    check_format(out, original.size, original.num_frames, original.fps)
    loaded = load_folder(folder)
    num_surplus = geometry.rendered_frames(original.num_frames) - original.num_frames
    held = np.repeat(original.frames[-1:], num_surplus, axis=0)
    latents = loaded.encode(Clip(np.concatenate([original.frames, held]), original.fps))
    restored = loaded.decode(latents, original.fps).slice(0, original.num_frames)
    write_clip(restored, out, {"reconstructed": clip.name, "model": model, "model_hash": loaded.hash})
    quality = f"PSNR {psnr(restored, original):.2f} dB, SSIM {ssim(restored, original):.4f}"
    report(out, f"{_dimensions(restored)}, {quality}", started)


def train(
    recipe: Positional[str],
    resume: bool = False,
    out: Annotated[Path | None, _option("runs/RECIPE", "DIR")] = None,
) -> None:
    """Train as a recipe says.

    Args:
        recipe: A file of recipes such as recipes/debug.py, or its name.
        resume: Go on from the newest checkpoint in the folder.
        out: Folder for checkpoints, logs and the model.
    """
    started = time.perf_counter()
    from ozora.train.run import train

    report(train(recipe, resume, out), f"trained by {recipe}", started)


def evaluate(
    model: Positional[str] = "mini",
    suite: Annotated[str, arg(metavar="NAME")] = "all",
    clips: int = 200,
    steps: Annotated[int | None, _option("the model's", "INT")] = None,
    guidance: Annotated[float | None, _option("the model's", "FLOAT")] = None,
    out: Annotated[Path, arg(metavar="DIR")] = Path("report"),
) -> None:
    """Judge a model's clips by what they show: tables with confidence intervals.

    Args:
        model: A shipped name or a model folder.
        suite: One table, or "all".
        clips: How many clips for each table.
        steps: Steps from noise to clip.
        guidance: How strongly to follow the prompt.
        out: Folder for the tables.
    """
    started = time.perf_counter()
    from ozora.evaluate.suite import evaluate

    evaluate(model, suite, out, clips, steps=steps, guidance=guidance)
    report(out, f"{model} judged", started)


def build_world(
    out: Annotated[Path, arg(metavar="DIR")],
    clips: int = 1000,
    seed: int = 0,
    mix: Literal["mini", "full"] = "full",
    split: Annotated[str, arg(metavar="NAME")] = "train",
    workers: Annotated[int | None, _option("one per core", "INT")] = None,
) -> None:
    """Simulate, render and describe clips with MuJoCo (extra "world"); a stopped build goes on.

    Args:
        out: Folder of shards.
        clips: How many clips the folder should hold.
        seed: Chooses the scenes.
        mix: What to draw from: what the model mini has seen, or everything there is.
        split: The split to make, or "all".
        workers: Processes.
    """
    started = time.perf_counter()
    from ozora.world.build import build
    from ozora.world.mix import WorldMix

    num_made = build(out, clips, seed, WorldMix.preset(mix), split, workers, show_progress=sys.stderr.isatty())
    report(out, f"{clips} clips, {num_made} of them new, seed {seed}", started)


VERBS: dict[str, Callable[..., None]] = {
    "generate": generate,
    "picture": picture,
    "reconstruct": reconstruct,
    "train": train,
    "evaluate": evaluate,
    "world build": build_world,
}
HELP = "Sora, open: generate clips from text, train the models that do it, judge what they make (or --version)."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns 0, 1 where the work failed, 2 where it was refused, 130 where it was stopped."""
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        with warnings_in_one_line():
            if words == ["--version"]:
                from ozora import __version__

                print(f"ozora {__version__}")
            else:
                parse(words)()
            sys.stdout.flush()
        return 0
    except BrokenPipeError:  # whoever read our standard output has gone, so nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Exception, KeyboardInterrupt) as error:
        return fail(error)


def parse(words: Sequence[str]) -> Callable[[], None]:
    """The verb that the words ask for, with its arguments bound; ``ValueError`` where they ask for none."""
    words = list(words)
    if words[:1] == ["world"]:  # the one verb of two words
        words[:2] = ["world build"] if words[1:2] == ["build"] else ["world build", *words[1:2]]

    def bind(verb: Callable[..., None]) -> Callable[..., Any]:
        return functools.wraps(verb)(lambda *args, **kwargs: functools.partial(verb, *args, **kwargs))

    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return subcommand_cli_from_dict(
                {name: bind(verb) for name, verb in VERBS.items()},
                prog="ozora",
                description=HELP,
                args=words,
            )
    except SystemExit as end:
        if not end.code:
            raise
        raise ValueError(f"{_first_words(complaint.getvalue())} (see ozora --help)") from None


def _first_words(box: str) -> str:
    """What Tyro's box of a complaint says between its title and its hints, in one line."""
    lines = [line.strip("│ ") for line in re.sub(r"\x1b\[[0-9;]*m", "", box).splitlines()]
    rules = [i for i, line in enumerate(lines) if line.startswith(("╭", "─", "----", "╰"))] + [len(lines)] * 2
    message = " ".join(lines[rules[0] + 1 : rules[1]]).strip() or " ".join(lines)
    return message.replace("{None}|", "").replace("'None', ", "").partition(" Got errors:")[0]


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) from "64x48", with any of x, X and ×; which sizes are legal is the geometry's to say."""
    match = re.fullmatch(r"\s*([0-9]{1,6})\s*[xX\u00d7]\s*([0-9]{1,6})\s*", text)
    if not match:
        raise ValueError(f"size is {text!r}; write width x height in pixels, 64x64 for instance")
    return int(match[1]), int(match[2])


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


def _draw(prompt: str, drawing: Drawing, suffix: str, one_frame: bool = False, **asked: Any) -> None:
    """Make the clips that ``generate`` and ``picture`` are asked for, one file after the other.

    Each is drawn alone, not in company, so that ``--like`` makes exactly the same file again.
    """
    started = time.perf_counter()
    recorded: Mapping[str, Any] = {}
    if drawing.like is not None:
        from ozora.media.provenance import read_settings

        recorded, suffix = read_settings(drawing.like), drawing.like.suffix.lower()
    asked |= {name: getattr(drawing, name) for name in RECORDED if hasattr(drawing, name)} | {"prompt": prompt or None}
    settings = merge_settings(asked, recorded, drawing.like)
    places = _places(settings, drawing, suffix)
    _use_threads(drawing.threads)
    from ozora.generate.folder import find_model, read_config
    from ozora.generate.generator import DEFAULT_SECONDS, Generator, Request
    from ozora.media.write import check_format, write_clip

    model = settings.get("model", "mini")
    config = read_config(find_model(model))
    fps = config.default_fps if one_frame else settings.get("fps", config.default_fps)
    seconds = 1 / fps if one_frame else settings.get("seconds", DEFAULT_SECONDS)
    size = parse_size(settings["size"]) if "size" in settings else config.default_size
    request = Request.from_settings(settings | {"fps": fps, "seconds": seconds, "size": f"{size[0]}x{size[1]}"})
    config.geometry.check_size(*size)
    num_frames = config.geometry.delivered_frames(seconds, fps)
    num_surplus = config.geometry.rendered_frames(num_frames) - num_frames
    trimmed = f" ({num_frames + num_surplus} rendered, {num_surplus} trimmed)" if num_surplus else ""
    for place in places:
        check_format(place, size, num_frames, fps)
    with progress_bar():
        generator = Generator.load(model, drawing.device, settings.get("dtype"))
    if recorded.get("model_hash", generator.hash) != generator.hash:
        warnings.warn(f"{drawing.like} was made by other weights, so this clip will differ from it", stacklevel=1)
    for i, place in enumerate(places):
        variation = replace(request, seed=request.seed + i)
        with progress_bar() as progress:
            (clip,) = generator.render([variation], progress)
        write_clip(clip, place, generator.settings(variation))
        report(place, f"{_dimensions(clip)}{trimmed}, seed {variation.seed}", started)
        started = time.perf_counter()


def _use_threads(threads: int | None) -> None:
    if threads is None:
        return
    if not 1 <= threads <= 1024:
        raise ValueError(f"threads is {threads}; it must be from 1 to 1024")
    import torch

    torch.set_num_threads(threads)


def _dimensions(clip: "Clip") -> str:
    frames = "1 frame" if clip.num_frames == 1 else f"{clip.num_frames} frames at {clip.fps:g} fps"
    return f"{clip.width}x{clip.height}, {frames}"


def _places(settings: Mapping[str, Any], drawing: Drawing, suffix: str) -> list[Path]:
    """The file of every variation, after all checks that need no import."""
    prompt, seed, num = settings.get("prompt", ""), settings.get("seed", 0), drawing.variations
    if not prompt.strip():
        raise ValueError("the prompt is empty; describe what should be seen, 'a red ball falls' for instance")
    if num < 1:
        raise ValueError(f"variations is {num}; it must be 1 or more")
    if not 0 <= seed <= 2**63 - num:
        raise ValueError(f"seed is {seed}; it must be from 0 to {2**63 - num}")
    if drawing.out is None:
        places = [free_name(f"{slug(prompt)}-{seed + i}", suffix) for i in range(num)]
    elif num == 1:
        places = [drawing.out]
    else:
        places = [drawing.out.with_stem(f"{drawing.out.stem}-{i}") for i in range(num)]
    for place in places:
        check_place(place)
    return places
