"""How do clips become words and short prompts full ones, from a shell: caption, recaption, expand?"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from ozora.terminal import one_line, progress_bar, report, say
from ozora.verbs.options import Prompt, option

if TYPE_CHECKING:
    import numpy as np

    from ozora.clip import Clip
    from ozora.data.metadata import Read
    from ozora.language.captioner import Captioner
    from ozora.language.expander import Expander, Expansion

STRANGER_SIDE = 512
STRANGER_FPS = 4.0
WATCHED_AT_ONCE = 8


@dataclass(frozen=True)
class Writing:
    """Who writes."""

    model: Annotated[str, arg(metavar="NAME")] = "mini"
    """A shipped name or a model folder; its own captioner or expander writes."""
    by: Annotated[str | None, option("the model's own", "URL|ID")] = None
    """Somebody else: an OpenAI-compatible endpoint such as http://localhost:8080/v1, or a transformers model by id."""
    endpoint_model: Annotated[str | None, option("the first it offers", "NAME")] = None
    """Which model of the endpoint."""
    key_file: Annotated[Path | None, option("no key", "FILE")] = None
    """A file that holds the endpoint's key."""
    timeout: Annotated[float, arg(metavar="FLOAT")] = 120.0
    """Seconds to wait for one answer of the endpoint."""


Written = Annotated[Writing, arg(name="")]


def caption(
    clip: Positional[Annotated[Path, arg(metavar="CLIP|FOLDER")]],
    style: Literal["short", "medium", "dense"] = "dense",
    beams: Annotated[int, arg(metavar="INT")] = 1,
    writing: Written = Writing(),
) -> None:
    """Say what a clip shows, or each clip of a folder.

    Args:
        clip: Video, picture, or a folder of them.
        style: How much to say.
        beams: Search among so many texts at a time for the likeliest one.
    """
    from ozora.data.metadata import caption_each, media_files

    if not clip.exists():
        raise ValueError(f"{clip}: no such file or folder; give a video, a picture, or a folder of them")
    if not 1 <= beams <= 32:
        raise ValueError(f"beams is {beams}; it must be from 1 to 32")
    names = media_files(clip) if clip.is_dir() else [str(clip)]
    if not names:
        raise ValueError(f"{clip} holds no videos or pictures")
    captioner, read = open_captioner(writing, beams)
    if not clip.is_dir():
        print(one_line(captioner.caption([read(clip)], style)[0]))
        return
    num_failed = 0
    for start in range(0, len(names), WATCHED_AT_ONCE):
        failed: dict[str, str] = {}
        clips = _read_all(clip, names[start : start + WATCHED_AT_ONCE], read, failed)
        for name, text in caption_each(clips, captioner, style, failed).items():
            print(one_line(f"{name}: {text}"), flush=True)
        for name, reason in failed.items():
            say("warning", f"{name}: {reason}")
        num_failed += len(failed)
    if num_failed:
        raise RuntimeError(f"{num_failed} of {len(names)} files of {clip} have no caption; each is named above")


def recaption(
    folder: Positional[Annotated[Path, arg(metavar="FOLDER")]],
    style: Literal["short", "medium", "dense"] = "dense",
    workers: Annotated[int, arg(metavar="INT")] = 2,
    writing: Written = Writing(),
) -> None:
    """Caption a folder of anyone's clips in its metadata.jsonl; a stopped run goes on, original captions are kept.

    Args:
        folder: Videos and pictures, with a metadata.jsonl or without.
        style: How much to say.
        workers: Threads that read clips.
    """
    started = time.perf_counter()
    from ozora.data.metadata import NAME
    from ozora.data.metadata import recaption as recaption_folder

    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; give a folder of videos or pictures")
    if not 1 <= workers <= 64:
        raise ValueError(f"workers is {workers}; it must be from 1 to 64")
    captioner, read = open_captioner(writing)
    with progress_bar() as progress:
        done = recaption_folder(folder, captioner, read, style, workers, progress)
    for name, reason in done.failed.items():
        say("warning", f"{name}: {reason}")
    before = f", {done.num_before} had one" if done.num_before else ""
    failed = f", {len(done.failed)} failed" if done.failed else ""
    report(folder / NAME, f"{done.num_written} clips captioned by {captioner.id}{before}{failed}", started)
    if done.failed:
        raise RuntimeError(f"{len(done.failed)} files of {folder} have no new caption; each is named above")


def expand(
    prompt: Prompt,
    seed: Annotated[int, arg(metavar="INT")] = 0,
    writing: Written = Writing(),
) -> None:
    """Write a short prompt in full, in the words of the captions that the model learned from.

    Args:
        prompt: What the clip should show.
        seed: Chooses what is added.
    """
    expansion = _expansion(prompt, seed, writing)
    for reason in dict.fromkeys(expansion.refused) if writing.by else ():
        say("warning", f"not taken: {reason}")
    print(one_line(expansion.text))


def expanded(prompt: str, model: str = "mini", seed: int = 0, always: bool = True) -> str:
    """The prompt in full, for a verb that draws.

    Not ``always``: only one in other words than the captions', and only where the model has an expander of its own.
    Raises ``ValueError`` where there is no expander at all.
    """
    from ozora.generate.folder import find_model
    from ozora.language.slots import is_plain

    if not always and (is_plain(prompt) or not (find_model(model) / "expander").is_dir()):
        return prompt
    return _expansion(prompt, seed, Writing(model)).text


def _expansion(prompt: str, seed: int, writing: Writing) -> "Expansion":
    from ozora.language.encoder import check_text
    from ozora.language.expander import expand

    check_text(prompt)
    if seed < 0:
        raise ValueError(f"seed is {seed}; it must be 0 or more")
    return expand(prompt, open_expanders(writing), seed)


def open_expanders(writing: Writing) -> "list[Expander]":
    """Somebody else first where one is named, then the model's own, who takes over where the answer does not hold."""
    from ozora.generate.folder import find_model
    from ozora.generate.watch import load_expander

    own = load_expander(find_model(writing.model))
    if writing.by is None:
        return [own]
    if writing.by.startswith(("http://", "https://")):
        from ozora.language.endpoint import Endpoint, EndpointExpander

        return [EndpointExpander(Endpoint(writing.by, writing.endpoint_model, _key(writing), writing.timeout)), own]
    from ozora.language.local import LocalExpander

    return [LocalExpander(writing.by), own]


def open_captioner(writing: Writing, beams: int = 1) -> "tuple[Captioner, Read]":
    """Who describes, and how files are read for them: in the size and at the rate that they can watch."""
    if writing.by is None:
        from ozora.generate.folder import find_model, load_folder
        from ozora.generate.watch import load_captioner, watched_size
        from ozora.media.read import read_fitted, read_metadata

        folder = find_model(writing.model)
        model = load_folder(folder)
        captioner = load_captioner(folder, model, num_beams=beams)
        seen = captioner.stored.config

        def read(path: Path) -> "Clip":
            what = read_metadata(path)
            return read_fitted(
                path, watched_size(what.width, what.height, seen.max_area, model.geometry), fps=seen.fps
            )[0]

        return captioner, read
    if writing.by.startswith(("http://", "https://")):
        from ozora.language.endpoint import Endpoint, EndpointCaptioner

        endpoint = Endpoint(writing.by, writing.endpoint_model, _key(writing), writing.timeout)
        return EndpointCaptioner(endpoint, _png), _read_small
    from ozora.language.local import LocalCaptioner

    return LocalCaptioner(writing.by), _read_small


def _read_small(path: Path) -> "Clip":
    """At most ``STRANGER_SIDE`` pixels a side, a few frames a second: what large models are shown."""
    from ozora.media.read import read_fitted, read_metadata

    what = read_metadata(path)
    scale = min(1.0, STRANGER_SIDE / max(what.width, what.height))
    size = max(1, math.floor(what.width * scale)), max(1, math.floor(what.height * scale))
    return read_fitted(path, size, fps=min(what.fps, STRANGER_FPS))[0]


def _read_all(folder: Path, names: Sequence[str], read: "Read", failed: dict[str, str]) -> "dict[str, Clip]":
    """The clips that can be read; why another one cannot is put into ``failed``."""
    clips = {}
    for name in names:
        try:
            clips[name] = read(folder / name)
        except (ValueError, OSError) as error:
            failed[name] = str(error)
    return clips


def _png(pixels: "np.ndarray") -> bytes:
    from tempfile import TemporaryDirectory

    from ozora.clip import Clip
    from ozora.media.write import write_clip

    with TemporaryDirectory() as folder:
        return write_clip(Clip(pixels[None], 1.0), Path(folder) / "frame.png", {}).read_bytes()


def _key(writing: Writing) -> str:
    if writing.key_file is None:
        return ""
    key = writing.key_file.read_text(encoding="utf-8").strip()
    if not key or not key.isprintable():
        raise ValueError(f"{writing.key_file} holds no key: one line of printable characters")
    return key
