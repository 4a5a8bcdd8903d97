"""How does what was asked for become files? Checked before any work, made in one row, written, said in a line each."""

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ozora.media.place import check_place, free_name, slug
from ozora.terminal import progress_bar, report
from ozora.verbs.options import RECORDED, Drawing, Fitting, merge_settings

if TYPE_CHECKING:
    from ozora.generate.folder import Model
    from ozora.generate.generator import Generator
    from ozora.generate.rendering import Rendering
    from ozora.generate.request import Request


@dataclass(frozen=True, eq=False)
class Order:
    """What a verb is to make: its settings, and a file for each seed that is wanted.

    ``seeds`` are those of the row, in which a file's frames are drawn: one that is made again is drawn beside the same
    others, so that it is the same to the last bit. Of a choice one file alone is written, the best one's. ``recorded``
    is what the file says that it is to be like.
    """

    verb: str
    settings: dict[str, Any]
    drawing: Drawing
    seeds: tuple[int, ...]
    places: Mapping[int, Path]
    recorded: Mapping[str, Any]
    started: float = field(default_factory=time.perf_counter)

    @property
    def model(self) -> str:
        return self.settings.get("model", "mini")

    @property
    def is_choice(self) -> bool:
        """Whether all are drawn for the best of them."""
        return "best_of" in self.settings and "variation" not in self.settings

    @property
    def options(self) -> dict[str, Any]:
        """What every ``Request`` may be told, whatever the verb; the seed comes later."""
        return {
            name: self.settings[name] for name in ("steps", "guidance", "negative", "sampler") if name in self.settings
        }


def take_order(
    verb: str, prompt: str, drawing: Drawing, suffix: str, fitting: Fitting | None = None, stem: str = "", **asked: Any
) -> Order:
    """Settings, seeds and files, after all checks that need no import of the model.

    ``asked`` are the verb's own options, None where not given. A file is named after the prompt, or ``stem``.
    """
    recorded: Mapping[str, Any] = {}
    if drawing.like is not None:
        from ozora.media.provenance import read_settings

        recorded, suffix = read_settings(drawing.like), drawing.like.suffix.lower()
        made_by = recorded.get("verb", "generate" if "prompt" in recorded else verb)
        if made_by != ("generate" if verb == "picture" else verb):
            raise ValueError(f"{drawing.like} was made by ozora {made_by}; ozora {made_by} --like makes it again")
    check_best_of(drawing.best_of, drawing.variations)
    told = [drawing] if fitting is None else [drawing, fitting]
    asked |= {name: getattr(part, name) for part in told for name in RECORDED if hasattr(part, name)}
    settings = merge_settings(asked | {"prompt": prompt or None}, recorded, drawing.like)
    if drawing.variations is not None:
        settings.pop("best_of", None)
    if settings.get("best_of", 1) == 1:
        settings.pop("best_of", None)
    if any(value is not None for value in (drawing.seed, drawing.variations, drawing.best_of)):
        settings.pop("variation", None)
        settings["variations"] = settings.get("best_of", 1 if drawing.variations is None else drawing.variations)
    seed, num, number = settings.get("seed", 0), settings.get("variations", 1), settings.get("variation")
    check_variations(seed, num)
    if number is None:
        seeds = tuple(range(seed, seed + num))
        wanted = seeds
    else:
        seeds, wanted = tuple(range(seed - number, seed - number + num)), (seed,)
        if not (0 <= number < num and seeds[0] >= 0):
            raise ValueError(f"{drawing.like}: variation is {number} of {num}, seed {seed}; the file was altered")
    is_choice = "best_of" in settings and number is None
    places = _places(settings.get("prompt", "") or stem, wanted, drawing.out, suffix, is_choice)
    for place in set(places.values()):
        check_place(place)
    return Order(verb, settings, drawing, seeds, places, recorded)


def choosing(order: Order, num: int) -> Order:
    """The order as the best of ``num``, where nothing says how many: no seed, no variations, no file to be like."""
    drawing = order.drawing
    if any(value is not None for value in (drawing.seed, drawing.variations, drawing.best_of, drawing.like)):
        return order
    seeds, (first,) = tuple(range(num)), order.places.values()
    places = _places(order.settings.get("prompt", ""), seeds, drawing.out, first.suffix, is_choice=True)
    return replace(order, settings=order.settings | {"best_of": num}, seeds=seeds, places=places)


def make(
    order: Order,
    ask: Callable[["Model"], "Request"],
    note: Callable[["Rendering"], str] = lambda rendering: "",
    **told: Any,
) -> None:
    """Load the model, ask it, draw all seeds in as few rows as hold them, and write each wanted clip as it is decoded.

    ``note`` says what else the line should say; ``told`` are settings that a file carries beside the request's own.
    """
    from ozora.generate.choose import best, check_choice
    from ozora.generate.generator import Generator, share_rows
    from ozora.media.write import check_format

    use_threads(order.drawing.threads)
    with progress_bar():
        generator = Generator.load(order.model, order.drawing.device, order.settings.get("dtype"))
    if order.recorded.get("model_hash", generator.hash) != generator.hash:
        warnings.warn(f"{order.drawing.like} was made by other weights, so this clip will differ from it", stacklevel=1)
    request = ask(generator.model)
    for doubt in generator.doubts(request):
        warnings.warn(doubt, stacklevel=1)
    if order.is_choice:
        check_choice(len(order.seeds), request.texts)
        captioner = generator.captioner
    renderings = [generator.begin(replace(request, seed=seed)) for seed in order.seeds]
    for place in order.places.values():
        check_format(place, *dimensions_of(renderings[0]))
    for row in share_rows([rendering.max_tokens for rendering in renderings]):
        company = [renderings[i] for i in row]
        wanted = [rendering for rendering in company if rendering.request.seed in order.places]
        started = time.perf_counter() if row[0] else order.started
        with progress_bar() as progress:
            while wanted and (moving := [rendering for rendering in company if not rendering.is_done]):
                generator.advance(moving)
                if progress is not None:
                    progress(sum(r.step for r in company), sum(r.num_steps for r in company))
        for rendering in wanted if not order.is_choice else ():
            _write(order, generator, rendering, note(rendering), started, told)
            started = time.perf_counter()
    if order.is_choice:
        clips = [generator.finish(rendering) for rendering in renderings]
        chosen = renderings[best(captioner, clips, request, generator.geometry)]
        said = f"{note(chosen)}, the best of {len(renderings)}"
        _write(order, generator, chosen, said, order.started, told)


def _write(
    order: Order,
    generator: "Generator",
    rendering: "Rendering",
    note: str,
    started: float,
    told: Mapping[str, Any],
) -> None:
    """Write a clip as it is decoded, whole or not at all, and say so in a line."""
    from ozora.media.write import open_clip_writer

    seed = rendering.request.seed
    number = {"variations": len(order.seeds), "variation": order.seeds.index(seed)}
    settings = generator.settings(rendering.request) | dict(told) | (number if len(order.seeds) > 1 else {})
    settings |= {"best_of": len(order.seeds)} if "best_of" in order.settings else {}
    size, num_frames, fps = dimensions_of(rendering)
    place = order.places[seed]
    with open_clip_writer(place, size, fps, settings) as writer:
        for frames in generator.stream(rendering):
            writer.write(frames)
    report(place, f"{dimensions(size, num_frames, fps)}{note}, seed {seed}", started)


def check_best_of(num: int | None, variations: int | None) -> None:
    """Raise ``ValueError`` unless the best of ``num`` can be asked for; None where it is not."""
    if num is None:
        return
    if num < 1:
        raise ValueError(f"best_of is {num}; it must be 1 or more, 8 for instance")
    if variations is not None:
        raise ValueError(f"best_of is {num} beside variations {variations}; ask for all of them or for the best one")


def check_variations(seed: int, num: int) -> None:
    """Raise ``ValueError`` unless there are seeds for as many variations."""
    if num < 1:
        raise ValueError(f"variations is {num}; it must be 1 or more")
    if num > 1:
        from ozora.generate.generator import MAX_VARIATIONS

        if num > MAX_VARIATIONS:
            raise ValueError(f"variations is {num}; it must be from 1 to {MAX_VARIATIONS}")
    if not 0 <= seed <= 2**63 - num:
        raise ValueError(f"seed is {seed}; it must be from 0 to {2**63 - num}")


def use_threads(threads: int | None) -> None:
    if threads is None:
        return
    if not 1 <= threads <= 1024:
        raise ValueError(f"threads is {threads}; it must be from 1 to 1024")
    import torch

    torch.set_num_threads(threads)


def dimensions_of(rendering: "Rendering") -> tuple[tuple[int, int], int, float]:
    """(width, height), frames and rate of the clip that is delivered."""
    assert rendering.request.size and rendering.request.fps
    return rendering.request.size, rendering.num_frames, rendering.request.fps


def dimensions(size: tuple[int, int], num_frames: int, fps: float) -> str:
    """These in the words of an output line."""
    frames = "1 frame" if num_frames == 1 else f"{num_frames} frames at {fps:g} fps"
    return f"{size[0]}x{size[1]}, {frames}"


def _places(stem: str, seeds: tuple[int, ...], out: Path | None, suffix: str, is_choice: bool) -> dict[int, Path]:
    """The file of every seed that is wanted; those of a choice are one, if it is named."""
    if out is None:
        return {seed: free_name(f"{slug(stem)}-{seed}", suffix) for seed in seeds}
    if is_choice or len(seeds) == 1:
        return dict.fromkeys(seeds, out)
    return {seed: out.with_stem(f"{out.stem}-{i}") for i, seed in enumerate(seeds)}
