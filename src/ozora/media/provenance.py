"""How was this file made? Settings as JSON, carried inside the file and read back from it.

mp4 and webm carry them as the comment tag, GIF as a comment extension, PNG as a text chunk (``iTXt``). The JSON is
plain ASCII, so any language survives every container; other tools show it as a comment.
"""

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path

import av
from av.error import FFmpegError

from ozora.media.container import DEMUXERS, GIF_COMMENT, gif_blocks, gif_first_block, identify, open_media, png_chunks

# The one key of the outer object: what tells our comment from anybody's.
KEY = "ozora"
PNG_TEXT = KEY.encode() + b"\0\0\0\0\0"  # keyword; not compressed; no language, no translated keyword


def to_text(settings: Mapping[str, object]) -> str:
    """The settings as ASCII JSON; nothing for no settings. ``ValueError`` names a setting that JSON cannot hold."""
    for name, value in settings.items():
        try:
            json.dumps({name: value}, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"setting {name!r} is {value!r}, which JSON cannot hold; give text, numbers or lists"
            ) from error
    return json.dumps({KEY: dict(settings)}, allow_nan=False) if settings else ""


def add_to_png(data: bytes, text: str) -> bytes:
    """The PNG with the text as a chunk after its header."""
    header_end = 33  # signature and IHDR
    payload = b"iTXt" + PNG_TEXT + text.encode("ascii")
    chunk = (len(payload) - 4).to_bytes(4, "big") + payload + zlib.crc32(payload).to_bytes(4, "big")
    return data[:header_end] + chunk + data[header_end:]


def add_to_gif(data: bytes, text: str) -> bytes:
    """The GIF with the text as a comment before its first block, in sub-blocks of at most 255 bytes."""
    raw = text.encode("ascii")
    parts = [raw[i : i + 255] for i in range(0, len(raw), 255)]
    comment = bytes([0x21, GIF_COMMENT]) + b"".join(bytes([len(part)]) + part for part in parts) + b"\0"
    start = gif_first_block(data)
    return data[:start] + comment + data[start:]


def read_settings(path: str | os.PathLike[str]) -> dict[str, object]:
    """The settings that ``write_clip`` put into the file; ``ValueError`` if it carries none or is no media file.

    They are what JSON makes of them: a tuple comes back as a list.
    """
    path = Path(path)
    with open_media(path) as file:
        kind = identify(file, path)
        if kind == "png":
            found = [data.removeprefix(PNG_TEXT) for name, data in png_chunks(file.read()) if name == b"iTXt"]
        elif kind == "gif":
            found = [payload for label, payload in gif_blocks(file.read()) if label == GIF_COMMENT]
        else:
            try:
                with av.open(file, "r", format=DEMUXERS[kind], metadata_errors="replace") as container:
                    found = [text for name, text in container.metadata.items() if name.lower() == "comment"]
            except FFmpegError as error:
                raise ValueError(f"{path} is damaged or no {kind} file: {error.strerror}") from error
    for text in found:
        try:
            outer = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(outer, dict) and isinstance(outer.get(KEY), dict):
            return outer[KEY]
    raise ValueError(f"{path} carries no settings: it was not made by Ozora, or another program rewrote it")
