"""How does a folder of anyone's clips carry words? By ``metadata.jsonl``, one line a file, as Hugging Face datasets
reads it.

``file_name`` and ``text`` are the convention's. Recaptioning keeps both captions beside ``text``, which is the
written one for 19 files in 20 and the original for the rest (Betker et al. 2023, DALL-E 3, section 3: 95 %
synthetic), by the file's name alone. It is a journal first and takes its final name when all is done, so it can be
stopped at any time.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ozora.clip import Clip
from ozora.language.captioner import Captioner, Style

NAME = "metadata.jsonl"
BEFORE = "metadata.before.jsonl"
JOURNAL = ".metadata.jsonl.part"
SUFFIXES = frozenset({".mp4", ".webm", ".mov", ".mkv", ".avi", ".gif", ".png", ".jpg", ".jpeg", ".webp"})
WRITTEN_SHARE = 0.95
BATCH = 8

Read = Callable[[Path], Clip]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Recaptioned:
    """What became of a folder: files captioned now, those that were already, and for each that failed why."""

    num_written: int = 0
    num_before: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)


def media_files(folder: Path) -> list[str]:
    """Names of the media files in the folder and below, relative to it, sorted; hidden ones are passed over."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; give a folder of videos or pictures")
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(
        path.as_posix()
        for path in found
        if path.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in path.parts)
    )


def read_metadata_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a metadata.jsonl, in order; none where there is no file.

    Raises ``ValueError`` that names the line for one that is no object with a ``file_name``.
    """
    if not path.is_file():
        return []
    lines = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}: no JSON ({error})") from error
        if not isinstance(line, dict) or not isinstance(line.get("file_name"), str):
            raise ValueError(f"{path}, line {number}: no object with a file_name; {text[:60]!r}")
        lines.append(line)
    return lines


def recaption(
    folder: Path,
    captioner: Captioner,
    read: Read,
    style: Style = "dense",
    workers: int = 2,
    progress: Progress | None = None,
) -> Recaptioned:
    """Caption every clip of the folder and write its ``metadata.jsonl`` anew; nothing else in the folder changes.

    A line gains ``written`` (the new caption), ``original`` (the text that was there, where there was one) and
    ``captioner``; all other fields stay. The file as it was is kept as metadata.before.jsonl, once. What this captioner
    has written before is not done again. Clips are read by ``workers`` threads. A file that cannot be read or gets no
    caption is reported by name in ``failed``, keeps its line, and the rest is done; a captioner that does not answer
    stops the work (``ConnectionError``) and what is done stays in the journal. Raises ``ValueError`` for a folder
    without clips.
    """
    files = media_files(folder)
    if not files:
        raise ValueError(f"{folder} holds no clips; videos and pictures end in {', '.join(sorted(SUFFIXES))}")
    before = read_metadata_lines(folder / NAME)
    lines = {line["file_name"]: line for line in before}
    mine = f"{captioner.id} {style}"
    journal = folder / JOURNAL
    done = {line["file_name"]: line for line in _journal_lines(journal) if line.get("captioner") == mine}
    done |= {name: line for name, line in lines.items() if line.get("captioner") == mine}
    todo = [name for name in files if name not in done]
    failed = {name: "in metadata.jsonl, but no such file" for name in lines if not (folder / name).is_file()}
    num_before = len(files) - len(todo)
    with journal.open("a", encoding="utf-8") as file:
        for results in _captions(folder, todo, captioner, read, style, workers, failed):
            for name, text in results.items():
                done[name] = _line(lines.get(name, {"file_name": name}), text, mine)
                file.write(json.dumps(done[name], ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
            if progress is not None:
                progress(len(done) - num_before + len(failed), len(todo))
    if len(done) > num_before or not (folder / NAME).is_file():
        kept = [done.get(line["file_name"], line) for line in before]
        _replace(folder, [*kept, *(done[name] for name in files if name in done and name not in lines)])
    journal.unlink(missing_ok=True)
    return Recaptioned(len(done) - num_before, num_before, failed)


def chosen_text(file_name: str, written: str, original: str | None) -> str:
    """The caption to train on: the written one for 95 % of names, else the original where there is one."""
    return written if original is None or share_of(file_name) < WRITTEN_SHARE else original


def share_of(name: str) -> float:
    """A number in [0, 1) that the name alone decides, all alike: what lot a clip draws."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


def _line(line: Mapping[str, Any], written: str, captioner: str) -> dict[str, Any]:
    original = line.get("original", line.get("text"))
    fields = {**line, "text": chosen_text(line["file_name"], written, original), "written": written}
    if original is not None:
        fields["original"] = original
    return {**fields, "captioner": captioner}


def _captions(
    folder: Path,
    names: Sequence[str],
    captioner: Captioner,
    read: Read,
    style: Style,
    workers: int,
    failed: dict[str, str],
) -> Iterator[dict[str, str]]:
    """Captions of a few files at a time; clips are read ahead while the captioner writes."""
    batches = [names[start : start + BATCH] for start in range(0, len(names), BATCH)]
    with ThreadPoolExecutor(max(1, workers)) as pool:
        ahead: list[list[tuple[str, Future[Clip]]]] = []

        def start(batch: Sequence[str]) -> None:
            ahead.append([(name, pool.submit(read, folder / name)) for name in batch])

        for batch in batches[:1]:
            start(batch)
        for i in range(len(batches)):
            if i + 1 < len(batches):
                start(batches[i + 1])
            clips: dict[str, Clip] = {}
            for name, future in ahead.pop(0):
                try:
                    clips[name] = future.result()
                except (ValueError, OSError, MemoryError) as error:
                    failed[name] = str(error) or type(error).__name__
            yield caption_each(clips, captioner, style, failed)


def caption_each(
    clips: Mapping[str, Clip], captioner: Captioner, style: Style, failed: dict[str, str]
) -> dict[str, str]:
    """Captions by name; where one answer of the batch is none, each clip is asked about alone.

    Why a clip has no caption is put into ``failed``. A captioner that does not answer at all is the caller's to tell
    of: ``ConnectionError``.
    """
    if not clips:
        return {}
    try:
        return dict(zip(clips, captioner.caption(list(clips.values()), style), strict=True))
    except (RuntimeError, ValueError):
        texts = {}
        for name, clip in clips.items():
            try:
                (texts[name],) = captioner.caption([clip], style)
            except (RuntimeError, ValueError) as error:
                failed[name] = str(error)
        return texts


def _journal_lines(journal: Path) -> list[dict[str, Any]]:
    """What a stopped run had done; a last line that was cut off is left out."""
    lines = []
    for text in journal.read_text(encoding="utf-8").splitlines() if journal.is_file() else ():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if isinstance(line, dict) and isinstance(line.get("file_name"), str):
            lines.append(line)
    return lines


def _replace(folder: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    part = folder / f".{NAME}.new"
    with part.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())
    if (folder / NAME).is_file() and not (folder / BEFORE).exists():
        os.link(folder / NAME, folder / BEFORE)
    part.replace(folder / NAME)
