"""How is a model asked with pixels, from a shell: animate, extend, loop, connect, edit, fill?"""

from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from ozora.verbs.making import Order, make, take_order
from ozora.verbs.options import AS_IT_SUITS, USUAL, Drawing, Drawn, Fitted, Fitting, Prompt, option, parse_box, place
from ozora.verbs.sources import Source, find_file, read_config_of, read_source, record

Seconds = Annotated[float | None, option("2", "FLOAT")]
Bridge = Annotated[float | None, option("1", "FLOAT")]


def animate(
    picture: Positional[Annotated[Path | None, place("PICTURE")]] = None,
    prompt: Prompt = "",
    seconds: Seconds = None,
    drawing: Drawn = USUAL,
    fitting: Fitted = AS_IT_SUITS,
) -> None:
    """Let a picture move: a clip that begins with it.

    Args:
        picture: The picture, or a clip whose first frame is taken.
        prompt: What the clip should show.
        seconds: How long the clip plays.
    """
    from ozora.generate import ask

    usage = "ozora animate PICTURE PROMPT"
    order = _take("animate", prompt, drawing, fitting, picture, usage, seconds=seconds)
    config = read_config_of(order)
    length, fps = order.settings.get("seconds", 2.0), order.settings.get("fps", config.default_fps)
    config.geometry.delivered_frames(length, fps)  # refuses what neither can be
    still = read_source(order, find_file(order, "picture", picture, usage), config, fps=fps, seconds=1 / fps)
    _make(
        order,
        {"picture": still},
        lambda model: ask.animate(
            model, still.clip.slice(0, 1), order.settings["prompt"], length, fps, **order.options
        ),
        seconds=length,
    )


def extend(
    clip: Positional[Annotated[Path | None, place("CLIP")]] = None,
    prompt: Prompt = "",
    seconds: Seconds = None,
    direction: Annotated[Literal["forward", "backward"] | None, option("forward", "{forward,backward}")] = None,
    drawing: Drawn = USUAL,
    fitting: Fitted = AS_IT_SUITS,
) -> None:
    """Go on from a clip's end, or lead up to its beginning; the clip itself stays.

    Args:
        clip: The clip.
        prompt: What the clip should show.
        seconds: How much is added.
        direction: Forward after the end, backward before the beginning.
    """
    from ozora.generate import ask

    usage = "ozora extend CLIP PROMPT"
    order = _take("extend", prompt, drawing, fitting, clip, usage, seconds=seconds, direction=direction)
    given = read_source(order, find_file(order, "clip", clip, usage), read_config_of(order))
    length, way = order.settings.get("seconds", 2.0), order.settings.get("direction", "forward")
    _make(
        order,
        {"clip": given},
        lambda model: ask.extend(model, given.clip, order.settings["prompt"], length, way, **order.options),
        seconds=length,
        direction=way,
    )


def loop(
    clip: Positional[Annotated[Path | None, place("CLIP")]] = None,
    prompt: Prompt = "",
    seconds: Bridge = None,
    drawing: Drawn = USUAL,
    fitting: Fitted = AS_IT_SUITS,
) -> None:
    """Lead a clip's end back to its beginning, so that it can play over and over.

    Args:
        clip: The clip.
        prompt: What the clip should show; it may be left out.
        seconds: How much is added.
    """
    from ozora.generate import ask

    usage = "ozora loop CLIP"
    order = _take("loop", prompt, drawing, fitting, clip, seconds=seconds)
    given = read_source(order, find_file(order, "clip", clip, usage), read_config_of(order))
    length = order.settings.get("seconds", 1.0)
    _make(
        order,
        {"clip": given},
        lambda model: ask.loop(model, given.clip, order.settings.get("prompt", ""), length, **order.options),
        seconds=length,
    )


def connect(
    first: Positional[Annotated[Path | None, place("FIRST")]] = None,
    second: Positional[Annotated[Path | None, place("SECOND")]] = None,
    prompt: Prompt = "",
    seconds: Bridge = None,
    drawing: Drawn = USUAL,
    fitting: Fitted = AS_IT_SUITS,
) -> None:
    """Find a way from the end of one clip to the beginning of another; both stay.

    Args:
        first: The clip to start from.
        second: The clip to arrive at.
        prompt: What the clip should show; it may be left out.
        seconds: How much is added between them.
    """
    from ozora.generate import ask

    usage = "ozora connect FIRST SECOND"
    order = _take("connect", prompt, drawing, fitting, first, seconds=seconds)
    config = read_config_of(order)
    start = read_source(order, find_file(order, "first", first, usage), config)
    end = read_source(order, find_file(order, "second", second, usage), config, like=start)
    if start.size != end.size and "size" not in order.settings:
        suits = f"{start.clip.width}x{start.clip.height}"
        raise ValueError(f"{_sides(start)} and {_sides(end)} differ in size; --size {suits} fits both to one")
    is_unlike = abs(start.fps - end.fps) > 1e-3 * start.fps and min(start.clip.num_frames, end.clip.num_frames) > 1
    if is_unlike and "fps" not in order.settings:
        rates = f"{start.path.name} at {start.fps:.4g} fps and {end.path.name} at {end.fps:.4g}"
        raise ValueError(f"{rates} differ in rate; --fps {start.clip.fps:g} fits both to one")
    length = order.settings.get("seconds", 1.0)
    text = order.settings.get("prompt", "")
    _make(
        order,
        {"first": start, "second": end},
        lambda model: ask.connect(model, start.clip, end.clip, text, length, **order.options),
        seconds=length,
    )


def edit(
    clip: Positional[Annotated[Path | None, place("CLIP")]] = None,
    prompt: Prompt = "",
    strength: Annotated[float | None, option("0.6", "0..1")] = None,
    drawing: Drawn = USUAL,
    fitting: Fitted = AS_IT_SUITS,
) -> None:
    """Make a clip look as the prompt says, and else stay what it was.

    Args:
        clip: The clip.
        prompt: What the result should show.
        strength: How much may change: 0 leaves it as it is, 1 makes it anew.
    """
    usage = "ozora edit CLIP PROMPT"
    order = _take("edit", prompt, drawing, fitting, clip, usage, strength=strength)
    degree = order.settings.get("strength", 0.6)
    if not 0 <= degree <= 1:
        raise ValueError(f"strength is {degree}; it must be from 0 (as it is) to 1 (all new), 0.6 for instance")
    from ozora.generate import ask

    given = read_source(order, find_file(order, "clip", clip, usage), read_config_of(order))
    _make(
        order,
        {"clip": given},
        lambda model: ask.edit(model, given.clip, order.settings["prompt"], degree, **order.options),
        strength=degree,
    )


def fill(
    clip: Positional[Annotated[Path | None, place("CLIP")]] = None,
    prompt: Prompt = "",
    mask: Annotated[Path | None, option("none", "FILE")] = None,
    box: Annotated[str | None, option("the whole frame", "X,Y,W,H")] = None,
    start: Annotated[float | None, arg(name="from", metavar="SECOND", help_behavior_hint="(default: 0)")] = None,
    stop: Annotated[float | None, arg(name="to", metavar="SECOND", help_behavior_hint="(default: the end)")] = None,
    drawing: Drawn = USUAL,
    fitting: Fitted = AS_IT_SUITS,
) -> None:
    """Make a region or a span of a clip anew; the rest stays.

    Args:
        clip: The clip.
        prompt: What the result should show.
        mask: A picture or clip of the clip's size, white where it is to be remade.
        box: Left, top, width and height of what is to be remade, in pixels of the file.
        start: The second from which it is remade.
        stop: The second until which it is remade.
    """
    usage = "ozora fill CLIP PROMPT --box X,Y,W,H"
    order = _take("fill", prompt, drawing, fitting, clip, usage, box=box, start=start, stop=stop)
    if mask is not None and box is not None:
        raise ValueError("a mask and a box are given; give one of them")
    is_masked = mask is not None or (box is None and "mask" in order.settings.get("sources", {}))
    area = None if is_masked else order.settings.get("box")
    span = order.settings.get("start"), order.settings.get("stop")
    if not is_masked and area is None and span == (None, None):
        raise ValueError("nothing says what to remake; give --mask FILE, --box X,Y,W,H, or --from and --to seconds")
    import numpy as np

    from ozora.generate import ask
    from ozora.generate.fitting import fit_mask, read_mask

    given = read_source(order, find_file(order, "clip", clip, usage), read_config_of(order))
    files, region = {}, ask.box_mask(given.size, parse_box(area) if area is not None else (0, 0, *given.size))[None]
    if is_masked:
        files["mask"] = find_file(order, "mask", mask, usage)
        region = read_mask(files["mask"], given.size, given.clip.num_frames, given.clip.fps)
    region = fit_mask(region, given.clip.size, order.settings.get("fit", "crop"))
    remade = np.where(ask.span_mask(given.clip, *span)[:, None, None], region, False)
    if not remade.any():
        raise ValueError("what is to be remade lies outside what is kept of the clip; --fit letterbox keeps all of it")
    told = {"box": area, "start": span[0], "stop": span[1]}
    _make(
        order,
        {"clip": given},
        lambda model: ask.fill(model, given.clip, order.settings["prompt"], remade, **order.options),
        files,
        **{name: value for name, value in told.items() if value is not None},
    )


def _take(
    verb: str,
    prompt: str,
    drawing: Drawing,
    fitting: Fitting,
    file: Path | None,
    needs_prompt: str = "",
    **asked: Any,
) -> Order:
    """The order for a verb that starts from files; ``needs_prompt`` is its usage where it does not work without."""
    if file is None and drawing.like is None:
        raise ValueError(f"no file is named; {needs_prompt or f'ozora {verb} --help says what it needs'}")
    stem = f"{file.stem if file else 'clip'} {verb}"
    order = take_order(verb, prompt, drawing, ".mp4", fitting, stem, **asked)
    if needs_prompt and not order.settings.get("prompt", "").strip():
        raise ValueError(f"the prompt is empty; describe what should be seen: {needs_prompt}")
    return order


def _make(
    order: Order, sources: dict[str, Source], ask: Any, files: dict[str, Path] | None = None, **told: Any
) -> None:
    paths = {name: given.path for name, given in sources.items()} | (files or {})
    told |= {"verb": order.verb, "sources": record(paths), "fit": order.settings.get("fit", "crop")}
    said = "".join(f", {given.said}" for given in sources.values())
    make(order, ask, lambda rendering: said, **told)


def _sides(given: Source) -> str:
    return f"{given.path.name} ({given.size[0]}x{given.size[1]})"
