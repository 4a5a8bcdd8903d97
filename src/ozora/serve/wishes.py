"""Which job does a request mean? From what was asked, what was given and what the operator allows to ``VideoSpec``.

Everything that can be refused without looking at the model is refused here; what it costs is the service's to say.
"""

import re
from dataclasses import replace
from pathlib import Path

from ozora.serve.errors import invalid
from ozora.serve.schema import (
    MAX_SIDE,
    MIN_SIDE,
    CreateVideo,
    EditVideo,
    ExtendVideo,
    RemixVideo,
    parse_size,
    show_number,
    show_size,
)
from ozora.serve.settings import ServeSettings
from ozora.serve.spec import Media, VideoSpec

ALIASES = ("sora-2", "sora-2-pro")
"""Names that mean the configured model, also with a date behind them."""


def model_names(settings: ServeSettings) -> tuple[str, ...]:
    """The names that a request may use: the closed service's, and the model's own."""
    return (*ALIASES, Path(settings.model).name)


def check_model(name: str, settings: ServeSettings) -> str:
    names = model_names(settings)
    if name not in names and not re.fullmatch(r"sora-2(-pro)?-\d{4}-\d{2}-\d{2}", name):
        raise invalid(
            f"model {name[:80]!r} is not served here; it must be one of {', '.join(names)}", "model", "model_not_found"
        )
    return name


def creation(
    wish: CreateVideo, picture: Media | None, character: Media | None, settings: ServeSettings
) -> tuple[VideoSpec, ...]:
    """A new video, from its prompt alone, from a ``picture`` as first frame, or from a ``character``'s."""
    size = parse_size(wish.size)
    _check_seconds(wish.seconds, settings)
    starts = [shot.start for shot in wish.storyboard]
    if starts != sorted(set(starts)) or (starts and starts[-1] >= wish.seconds):
        raise invalid(
            f"the storyboard's shots start at {', '.join(map(show_number, starts))} s; starts must rise and stay below "
            f"the video's end at {show_number(wish.seconds)} s",
            "storyboard",
        )
    if picture is not None and character is not None:
        raise invalid(
            "input_reference and characters both give the first frame; send one of them", "characters", "invalid_value"
        )
    if picture is not None:
        if picture.num_frames != 1:
            raise invalid("input_reference is a video; it must be a picture: jpg, png or webp", "input_reference")
        if picture.size != size:
            raise invalid(
                f"the picture is {show_size(picture.size)} and size is {show_size(size)}; they must be the same",
                "input_reference",
            )
    source = picture or character
    spec = VideoSpec(
        prompt=wish.prompt,
        size=size,
        seconds=wish.seconds,
        task="text" if source is None else "animate",
        model=check_model(wish.model, settings),
        fps=wish.fps,
        seed=wish.seed or 0,
        steps=wish.steps,
        guidance=wish.guidance,
        negative=wish.negative,
        loop=wish.loop,
        script=tuple((shot.start, shot.prompt) for shot in wish.storyboard),
        strict_size=wish.strict_size,
        source=source,
    )
    return _variations(spec, wish.variations, settings)


def remix(
    wish: RemixVideo, video_id: str, source: Media, origin: VideoSpec, settings: ServeSettings
) -> tuple[VideoSpec, ...]:
    """A finished video again, by another prompt. What is not asked for stays as it was."""
    spec = _changed(_following(origin, source, "edit", None, settings), wish, origin)
    spec = replace(spec, remixed_from=video_id, strength=wish.strength)
    return _variations(spec, wish.variations, settings)


def edit(wish: EditVideo, source: Media, origin: VideoSpec | None, settings: ServeSettings) -> tuple[VideoSpec, ...]:
    """A clip turned into what the prompt describes; ``origin`` is what it was made from, if here."""
    spec = _changed(_following(origin, source, "edit", wish.model, settings), wish, origin)
    return _variations(replace(spec, strength=wish.strength), wish.variations, settings)


def extension(
    wish: ExtendVideo, source: Media, origin: VideoSpec | None, settings: ServeSettings
) -> tuple[VideoSpec, ...]:
    """A clip that goes on for ``seconds`` more."""
    spec = _following(origin, source, "extend", wish.model, settings)
    spec = replace(_changed(spec, wish, origin), seconds=wish.seconds)
    _check_seconds(spec.delivered_seconds, settings, "with what it extends ")
    return _variations(spec, wish.variations, settings)


def _following(
    origin: VideoSpec | None, source: Media, task: str, model: str | None, settings: ServeSettings
) -> VideoSpec:
    """What a video made from ``source`` has before anything is asked of it."""
    if source.num_frames < 2:
        raise invalid("video is a picture; it must be a clip of at least two frames", "video")
    _check_seconds(source.seconds, settings, param="video")
    name = check_model(model or (origin.model if origin else "sora-2"), settings)
    width, height = (min(max(side // 2 * 2, MIN_SIDE), MAX_SIDE) for side in source.size)
    return VideoSpec(
        prompt="",
        size=origin.size if origin else (width, height),
        seconds=origin.delivered_seconds if origin else source.seconds,
        task="extend" if task == "extend" else "edit",
        model=name,
        fps=origin.fps if origin else None,
        source=source,
    )


def _changed(spec: VideoSpec, wish: RemixVideo | EditVideo | ExtendVideo, origin: VideoSpec | None) -> VideoSpec:
    return replace(
        spec,
        prompt=wish.prompt,
        seed=wish.seed if wish.seed is not None else origin.seed if origin else 0,
        steps=wish.steps if wish.steps is not None else origin.steps if origin else None,
        guidance=wish.guidance if wish.guidance is not None else origin.guidance if origin else None,
        negative=wish.negative or (origin.negative if origin else ""),
        strict_size=wish.strict_size,
    )


def _variations(spec: VideoSpec, number: int, settings: ServeSettings) -> tuple[VideoSpec, ...]:
    if number > settings.max_variations:
        raise invalid(f"variations is {number}; at most {settings.max_variations} can be made here", "variations")
    return tuple(replace(spec, seed=spec.seed + i) for i in range(number))


def _check_seconds(seconds: float, settings: ServeSettings, what: str = "", param: str = "seconds") -> None:
    if seconds > settings.max_seconds:
        raise invalid(
            f"{what}{show_number(seconds)} seconds are asked for; at most {show_number(settings.max_seconds)} can be",
            param,
        )
