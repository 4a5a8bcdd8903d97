"""How are models studied and made, from a shell: reconstruct, train, evaluate, build worlds?"""

import sys
import time
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from ozora.media.place import check_place
from ozora.terminal import report
from ozora.verbs.making import dimensions, use_threads
from ozora.verbs.options import Threads, option, parse_size


def reconstruct(
    clip: Positional[Path],
    out: Annotated[Path, arg(metavar="FILE")],
    model: Annotated[str, arg(metavar="NAME")] = "mini",
    size: Annotated[str | None, option("the clip's", "WxH")] = None,
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
    use_threads(threads)
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
    report(out, f"{dimensions(restored.size, restored.num_frames, restored.fps)}, {quality}", started)


def train(
    recipe: Positional[str],
    resume: bool = False,
    out: Annotated[Path | None, option("runs/RECIPE", "DIR")] = None,
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
    clips: Annotated[int | None, option("as many as each part needs", "INT")] = None,
    steps: Annotated[int | None, option("the model's", "INT")] = None,
    guidance: Annotated[float | None, option("the model's", "FLOAT")] = None,
    out: Annotated[Path, arg(metavar="DIR")] = Path("report"),
) -> None:
    """Judge a model's clips by what they show: tables with confidence intervals.

    Args:
        model: A shipped name or a model folder.
        suite: "all" for one report, or a part of it: new, pairs, prompts, sizes, directions, world, pixels,
            distribution, autoencoder, captions, expansion.
        clips: How many clips for each part.
        steps: Steps from noise to clip.
        guidance: How strongly to follow the prompt.
        out: Folder for the tables.
    """
    started = time.perf_counter()
    from ozora.evaluate.suite import evaluate

    evaluate(model, suite, out, clips, steps=steps, guidance=guidance)
    report(out / "report.html" if suite == "all" else out, f"{model} judged", started)


def build_world(
    out: Annotated[Path, arg(metavar="DIR")],
    clips: int = 1000,
    seed: int = 0,
    mix: Literal["mini", "full"] = "full",
    split: Annotated[str, arg(metavar="NAME")] = "train",
    workers: Annotated[int | None, option("one per core", "INT")] = None,
    transitions: Annotated[float, arg(metavar="SHARE")] = 0.0,
) -> None:
    """Simulate, render and describe clips with MuJoCo (extra "world"); a stopped build goes on.

    Args:
        out: Folder of shards.
        clips: How many clips the folder should hold.
        seed: Chooses the scenes.
        mix: What to draw from: what the model mini has seen, or everything there is.
        split: The split to make, or "all".
        workers: Processes.
        transitions: Share of the clips, 0 to 1, in which one scene turns into another.
    """
    started = time.perf_counter()
    from ozora.world.build import build
    from ozora.world.mix import WorldMix

    num_made = build(
        out,
        clips,
        seed,
        WorldMix.preset(mix),
        split,
        workers,
        show_progress=sys.stderr.isatty(),
        transitions=transitions,
    )
    report(out, f"{clips} clips, {num_made} of them new, seed {seed}", started)
