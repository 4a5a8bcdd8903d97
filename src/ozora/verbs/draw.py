"""How does a sentence become a clip or a picture, from a shell?"""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import UseAppendAction, arg

from ozora.terminal import one_line
from ozora.verbs.making import choosing, make, take_order
from ozora.verbs.options import USUAL, Drawing, Drawn, Prompt, option, parse_size

if TYPE_CHECKING:
    from ozora.generate.rendering import Rendering

USUAL_CHOICE = 3
"""How many are drawn of a clip like those of training, where no seed is named and the model can see which is best."""


def generate(
    prompt: Prompt = "",
    seconds: Annotated[float | None, option("2", "FLOAT")] = None,
    fps: Annotated[float | None, option("the model's", "FLOAT")] = None,
    then: Annotated[
        UseAppendAction[tuple[tuple[float, str], ...]],
        arg(metavar="SECOND PROMPT", help_behavior_hint="(default: nothing, may be repeated)"),
    ] = (),
    expand: bool = False,
    as_written: bool = False,
    drawing: Drawn = USUAL,
) -> None:
    """Turn a sentence into a clip: the best of three, unless a seed is named.

    Args:
        prompt: What the clip should show.
        seconds: How long the clip plays.
        fps: Frames per second.
        then: From this second on, what it should show instead.
        expand: Let the model's expander write the prompt out as its captions would, even one in their own words.
        as_written: Draw the prompt as it is, even one in words that the captions never use.
    """
    if expand and as_written:
        raise ValueError("expand and as_written are both asked for; give one of them")
    script = [list(line) for line in then] or None
    writing = "always" if expand else "never" if as_written else "where it helps"
    _draw(prompt, drawing, ".mp4", expand=writing, seconds=seconds, fps=fps, script=script)


def picture(prompt: Prompt = "", drawing: Drawn = USUAL) -> None:
    """Turn a sentence into a picture, a clip of one frame: the best of three, unless a seed is named.

    Args:
        prompt: What the picture should show.
    """
    _draw(prompt, drawing, ".png", one_frame=True)


def trimmed(rendering: "Rendering") -> str:
    """What an output line says of frames that were rendered and not delivered."""
    num_given = sum(len(part) for part in (rendering.task.before, rendering.task.after) if part is not None)
    num_surplus = rendering.num_rendered - (rendering.num_frames - num_given)
    return f" ({rendering.num_rendered} rendered, {num_surplus} trimmed)" if num_surplus else ""


def _draw(
    prompt: str,
    drawing: Drawing,
    suffix: str,
    one_frame: bool = False,
    expand: Literal["always", "where it helps", "never"] = "never",
    **asked: Any,
) -> None:
    order = take_order("picture" if one_frame else "generate", prompt, drawing, suffix, **asked)
    text = order.settings.get("prompt", "")
    if not text.strip():
        raise ValueError("the prompt is empty; describe what should be seen, 'a red ball falls' for instance")
    from ozora.generate.folder import find_model, read_config
    from ozora.generate.generator import DEFAULT_SECONDS, Request
    from ozora.media.write import check_format

    folder, settings = find_model(order.model), order.settings
    config = read_config(folder)
    fps = config.default_fps if one_frame else settings.get("fps", config.default_fps)
    seconds = 1 / fps if one_frame else settings.get("seconds", DEFAULT_SECONDS)
    size = parse_size(settings["size"]) if "size" in settings else config.default_size
    told = {"fps": fps, "seconds": seconds, "size": f"{size[0]}x{size[1]}"}
    request = Request.from_settings(settings | told)
    config.geometry.check_size(*size)
    num_frames = config.geometry.delivered_frames(seconds, fps)
    for place in order.places.values():
        check_format(place, size, num_frames, fps)
    is_usual = num_frames <= max(config.trained.num_frames) and size in config.trained.sizes
    if is_usual and (folder / "captioner").is_dir():
        order = choosing(order, USUAL_CHOICE)
    own_words = {} if prompt or "asked" not in order.recorded else {"asked": order.recorded["asked"]}
    is_asked = expand == "always" or (expand == "where it helps" and "script" not in settings)
    if prompt and is_asked:  # what a file records is written out already
        from ozora.verbs.words import expanded

        longer = expanded(text, order.model, request.seed, always=expand == "always")
        if longer != text:
            print(one_line(f"the prompt in full: {longer}"), flush=True)
            request, own_words = replace(request, prompt=longer), {"asked": text}
    make(order, lambda model: request, trimmed, **own_words)
