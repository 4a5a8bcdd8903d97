"""Is a file that a caller sends a picture or a clip, and what is in it? Its bytes decide, read in a limited child.

Names and types that came with it are never looked at. Budgets on pixels, frames and seconds are checked from what the
file declares before it is decoded, and again while it is; beyond them stand the limits of the child process.
"""

import hashlib
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ozora.media.container import PICTURES
from ozora.serve.confine import Limits, run_confined
from ozora.serve.errors import ApiError
from ozora.serve.settings import ServeSettings
from ozora.serve.spec import Media

if TYPE_CHECKING:  # what decodes is imported where it decodes, so that the server itself need not load it
    from ozora.clip import Clip

SUFFIXES = {"jpeg": ".jpg", "apng": ".png"}
# A thumbnail's side: what a check scales frames to, so that it holds next to nothing.
CHECKED_SIDE = 16
LIMITS = Limits()


def check_upload(path: Path, folder: Path, settings: ServeSettings) -> Media:
    """Look through the file at ``path``, of whatever name, and move it into ``folder`` under one of our own.

    ``Media.file`` starts with the folder's name. ``ApiError`` 400 ``invalid_image`` or ``invalid_video`` where it is
    not all there, of no kind that is read, or over a budget of ``settings``; ``path`` is gone then.
    """
    try:
        found = run_confined(
            survey,
            {
                "path": str(path),
                "max_pixels": settings.max_upload_pixels,
                "max_frames": settings.max_upload_frames,
                "max_seconds": settings.max_upload_seconds,
            },
            LIMITS,
        )
        name = secrets.token_hex(16) + SUFFIXES.get(found["kind"], f".{found['kind']}")
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        path.rename(folder / name)
    except (ValueError, RuntimeError) as error:
        kind = "image" if _looks_like_picture(path) else "video"
        path.unlink(missing_ok=True)
        raise ApiError(400, f"invalid_{kind}", _words(error, path)) from error
    sizes = {name: found[name] for name in ("width", "height", "num_frames", "fps")}
    return Media(f"{folder.name}/{name}", sha256, **sizes)


def read_upload(
    path: Path,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    fit: Literal["crop", "letterbox", "stretch"] = "crop",
    *,
    start: float = 0.0,
    seconds: float | None = None,
    max_frames: int | None = None,
    max_bytes: int | None = None,
) -> "Clip":
    """What ``read_clip`` (``size`` None) or ``read_fitted`` makes of the file, to the pixel, in a limited child.

    Their own budgets hold unless ``max_frames`` and ``max_bytes`` (of pixels) are given. Raises ``ValueError`` as they
    do, and where the child dies of the file.
    """
    import numpy as np

    from ozora.clip import Clip

    pixels = path.with_name(f".{secrets.token_hex(16)}.npy")
    budget = {"max_frames": max_frames, "max_bytes": max_bytes}
    kept = {"start": start, "seconds": seconds} | {name: value for name, value in budget.items() if value is not None}
    arguments = {"path": str(path), "out": str(pixels), "size": size, "fps": fps, "fit": fit, "kept": kept}
    try:
        rate = run_confined(decode, arguments, LIMITS)
        return Clip(np.load(pixels, allow_pickle=False), float(rate))
    except (ValueError, RuntimeError) as error:
        raise ValueError(_words(error, path)) from error
    finally:
        pixels.unlink(missing_ok=True)


def survey(path: str, max_pixels: int, max_frames: int, max_seconds: float) -> dict[str, Any]:
    """In the child: kind, width, height, num_frames and fps of a file that was decoded from end to end."""
    from ozora.media.read import read_fitted, read_metadata

    _use_one_thread()
    found = read_metadata(path, max_pixels=max_pixels)
    if found.num_frames > max_frames:
        raise ValueError(f"{path} has {found.num_frames} frames; at most {max_frames} are taken, so cut it")
    if found.seconds > max_seconds:
        raise ValueError(f"{path} plays for {found.seconds:.4g} s; at most {max_seconds:g} s are taken, so cut it")
    is_picture = found.kind in PICTURES
    if not is_picture:
        # All of it is decoded, a frame a second is kept.
        rate = max(1.0, 1 / found.seconds)
        read_fitted(path, (CHECKED_SIDE, CHECKED_SIDE), "stretch", fps=rate, max_pixels=max_pixels)
    return {
        "kind": found.kind,
        "width": found.width,
        "height": found.height,
        "num_frames": found.num_frames,
        "fps": 1.0 if is_picture else found.fps,
    }


def decode(path: str, out: str, size: list[int] | None, fps: float | None, fit: Any, kept: dict[str, Any]) -> float:
    """In the child: write the frames to ``out`` and answer with their rate."""
    import numpy as np

    from ozora.media.read import read_clip, read_fitted

    _use_one_thread()
    if size is None:
        clip = read_clip(path, fps=fps, **kept)
    else:
        clip, _ = read_fitted(path, (size[0], size[1]), fit, fps=fps, **kept)
    np.save(out, clip.frames, allow_pickle=False)
    return clip.fps


def _use_one_thread() -> None:
    """Each thread of torch's would count against the child's memory."""
    import torch

    torch.set_num_threads(1)


def _words(error: Exception, path: Path) -> str:
    """What is wrong with the file, without where it lies."""
    if isinstance(error, RuntimeError):
        return f"the file cannot be read: {error}"
    return str(error).replace(str(path), "the file")


def _looks_like_picture(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(12)
    return head.startswith((b"\x89PNG", b"\xff\xd8\xff")) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")
