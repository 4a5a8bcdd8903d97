"""How is a model asked with pixels, from a shell: animate, extend, loop, connect, edit, fill?

Every verb does the same three things: it takes an order, reads what it starts from, and asks the function of its own
name in ``generate/ask.py`` with what was read, the prompt and its own few settings.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from ozora.verbs.making import Order, make, take_order
from ozora.verbs.options import AS_IT_SUITS, USUAL, Drawing, Drawn, Fitted, Fitting, Prompt, option, parse_box, place
from ozora.verbs.sources import Source, find_file, read_config_of, read_source, record

Seconds = Annotated[float | None, option("2", "FLOAT")]
Bridge = Annotated[float | None, option("1", "FLOAT")]
USAGE = {
    "animate": "ozora animate PICTURE PROMPT",
    "extend": "ozora extend CLIP PROMPT",
    "loop": "ozora loop CLIP",
    "connect": "ozora connect FIRST SECOND",
    "edit": "ozora edit CLIP PROMPT",
    "fill": "ozora fill CLIP PROMPT --box X,Y,W,H",
}
"""Those without PROMPT work without one."""


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
    order, own = _take("animate", picture, prompt, drawing, fitting, seconds=(seconds, 2.0))
    config = read_config_of(order)
    fps = order.settings.get("fps", config.default_fps)
    config.geometry.delivered_frames(own["seconds"], fps)  # refuses what neither can be
    given = _read(order, "picture", picture, fps=fps, seconds=1 / fps)
    _make(order, own, {"picture": replace(given, clip=given.clip.slice(0, 1))}, **own, fps=fps)


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
    asked = {"seconds": (seconds, 2.0), "direction": (direction, "forward")}
    order, own = _take("extend", clip, prompt, drawing, fitting, **asked)
    _make(order, own, {"clip": _read(order, "clip", clip)}, **own)


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
    order, own = _take("loop", clip, prompt, drawing, fitting, seconds=(seconds, 1.0))
    _make(order, own, {"clip": _read(order, "clip", clip)}, **own)


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
    order, own = _take("connect", first, prompt, drawing, fitting, seconds=(seconds, 1.0))
    start = _read(order, "first", first)
    end = _read(order, "second", second, like=start)
    if start.size != end.size and "size" not in order.settings:
        suits = f"{start.clip.width}x{start.clip.height}"
        raise ValueError(f"{_sides(start)} and {_sides(end)} differ in size; --size {suits} fits both to one")
    is_unlike = abs(start.fps - end.fps) > 1e-3 * start.fps and min(start.clip.num_frames, end.clip.num_frames) > 1
    if is_unlike and "fps" not in order.settings:
        rates = f"{start.path.name} at {start.fps:.4g} fps and {end.path.name} at {end.fps:.4g}"
        raise ValueError(f"{rates} differ in rate; --fps {start.clip.fps:g} fits both to one")
    _make(order, own, {"first": start, "second": end}, **own)


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
    order, own = _take("edit", clip, prompt, drawing, fitting, strength=(strength, 0.6))
    if not 0 <= own["strength"] <= 1:
        raise ValueError(
            f"strength is {own['strength']}; it must be from 0 (as it is) to 1 (all new), 0.6 for instance"
        )
    _make(order, own, {"clip": _read(order, "clip", clip)}, **own)


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
    asked = {"box": (box, None), "start": (start, None), "stop": (stop, None)}
    order, own = _take("fill", clip, prompt, drawing, fitting, **asked)
    if mask is not None and box is not None:
        raise ValueError("a mask and a box are given; give one of them")
    is_masked = mask is not None or (box is None and "mask" in order.settings.get("sources", {}))
    if is_masked:
        own["box"] = None
    elif set(own.values()) == {None}:
        raise ValueError("nothing says what to remake; give --mask FILE, --box X,Y,W,H, or --from and --to seconds")
    import numpy as np

    from ozora.generate.ask import box_mask, span_mask
    from ozora.generate.fitting import fit_mask, read_mask

    given = _read(order, "clip", clip)
    whole = 0, 0, *given.size
    files, region = {}, box_mask(given.size, whole if own["box"] is None else parse_box(own["box"]))[None]
    if is_masked:
        files["mask"] = find_file(order, "mask", mask, USAGE["fill"])
        region = read_mask(files["mask"], given.size, given.clip.num_frames, given.clip.fps)
    region = fit_mask(region, given.clip.size, order.settings.get("fit", "crop"))
    remade = np.where(span_mask(given.clip, own["start"], own["stop"])[:, None, None], region, False)
    if not remade.any():
        raise ValueError("what is to be remade lies outside what is kept of the clip; --fit letterbox keeps all of it")
    _make(order, own, {"clip": given}, files, remade=remade)


def _take(
    verb: str,
    file: Path | None,
    prompt: str,
    drawing: Drawing,
    fitting: Fitting,
    **asked: tuple[Any, Any],
) -> tuple[Order, dict[str, Any]]:
    """The order for a verb that starts from files, and the verb's own settings.

    ``asked``: what was asked for each of these (None: nothing), and what holds where the file to be like says nothing.
    """
    if file is None and drawing.like is None:
        raise ValueError(f"no file is named; {USAGE[verb]}")
    stem = f"{file.stem if file else 'clip'} {verb}"
    told = {name: value for name, (value, _) in asked.items()}
    order = take_order(verb, prompt, drawing, ".mp4", fitting, stem, **told)
    if "PROMPT" in USAGE[verb] and not order.settings.get("prompt", "").strip():
        raise ValueError(f"the prompt is empty; describe what should be seen: {USAGE[verb]}")
    return order, {name: order.settings.get(name, usual) for name, (_, usual) in asked.items()}


def _read(order: Order, name: str, path: Path | None, **how: Any) -> Source:
    return read_source(order, find_file(order, name, path, USAGE[order.verb]), read_config_of(order), **how)


def _make(
    order: Order,
    own: dict[str, Any],
    sources: dict[str, Source],
    files: dict[str, Path] | None = None,
    **arguments: Any,
) -> None:
    """Ask with the sources' clips and ``arguments``; the file made carries ``own`` and what it was made from."""
    from ozora.generate import ask

    function = getattr(ask, order.verb)
    clips, prompt = [given.clip for given in sources.values()], order.settings.get("prompt", "")
    paths = {name: given.path for name, given in sources.items()} | (files or {})
    said = "".join(f", {given.said}" for given in sources.values())
    make(
        order,
        lambda model: function(model, *clips, prompt=prompt, **arguments, **order.options),
        lambda rendering: said,
        **{name: value for name, value in own.items() if value is not None},
        verb=order.verb,
        sources=record(paths),
        fit=order.settings.get("fit", "crop"),
    )


def _sides(given: Source) -> str:
    return f"{given.path.name} ({given.size[0]}x{given.size[1]})"
