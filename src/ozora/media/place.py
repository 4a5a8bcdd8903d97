"""Where does an output go? Its name, and whether it can be written there, known before the work begins."""

import itertools
import re
import tempfile
import unicodedata
from pathlib import Path

SUFFIXES = (".mp4", ".webm", ".gif", ".png")
SLUG_LENGTH = 40


def check_place(path: Path) -> None:
    """Raise ``ValueError`` unless a file of that name can be written: its suffix, its folder, and a trial."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: the suffix chooses the format; it must be one of {', '.join(SUFFIXES)}")
    try:
        if path.is_dir():
            raise ValueError(f"{path}: this is a folder; name a file")
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise ValueError(f"{path}: no file can be written there: {error.strerror}") from error


def slug(prompt: str) -> str:
    """A file name that says what is shown: at most 40 of a-z, 0-9 and hyphens, cut between words."""
    plain = unicodedata.normalize("NFKD", prompt).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if len(words) > SLUG_LENGTH:
        words = words[: SLUG_LENGTH + 1].rpartition("-")[0] or words[:SLUG_LENGTH]
    return words or "clip"


def free_name(stem: str, suffix: str) -> Path:
    """``stem`` and suffix, or stem-2, stem-3, ... where that is taken, in the current folder."""
    names = (Path(f"{stem}{number}{suffix}") for number in itertools.chain([""], (f"-{i}" for i in itertools.count(2))))
    return next(name for name in names if not name.exists())
