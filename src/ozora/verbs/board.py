"""How does a storyboard become a clip, from a shell?"""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from ozora.verbs.making import make, take_order
from ozora.verbs.options import AS_IT_SUITS, USUAL, Drawn, Fitted, parse_size, place
from ozora.verbs.sources import find_file, read_config_of, read_source, record


def storyboard(
    file: Positional[Annotated[Path | None, place("FILE")]] = None,
    drawing: Drawn = USUAL,
    fitting: Fitted = AS_IT_SUITS,
) -> None:
    """Turn a storyboard, shots on a timeline, into one clip (docs/prompting.md shows one).

    Args:
        file: The storyboard: a small TOML file of shots, each with its prompt and perhaps a picture or a clip.
    """
    from dataclasses import replace

    from ozora.generate import ask
    from ozora.generate.storyboard import read_storyboard

    if file is None and drawing.like is None:
        raise ValueError("no file is named; ozora storyboard FILE")
    order = take_order("storyboard", "", drawing, ".mp4", fitting, stem=file.stem if file else "storyboard")
    path = find_file(order, "storyboard", file, "ozora storyboard FILE")
    board = read_storyboard(path)
    config = read_config_of(order)
    sizes = {"size": board.size} if board.size is not None else {}
    order = replace(order, settings=sizes | order.settings)
    fps = order.settings.get("fps", board.fps or config.default_fps)
    files, given, first = {"storyboard": path}, [], None
    for number, shot in enumerate(board.shots, 1):
        if shot.pixels is None:
            given.append(None)
            continue
        try:
            files[f"shot {number}"] = find_file(order, f"shot {number}", shot.pixels, "")
            part = read_source(order, shot.pixels, config, first, fps, shot.seconds)
        except ValueError as error:
            raise ValueError(f"{path}, shot {number}: {error}") from error
        first = first or part
        given.append(part)
    size = parse_size(order.settings["size"]) if "size" in order.settings else None
    said = "".join(f", {part.said}" for part in given if part is not None)
    make(
        order,
        lambda model: ask.storyboard(
            model, board.shots, [part and part.clip for part in given], size, fps, **order.options
        ),
        lambda rendering: f", {len(board.shots)} shots{said}",
        verb="storyboard",
        sources=record(files),
        fit=order.settings.get("fit", "crop"),
    )
