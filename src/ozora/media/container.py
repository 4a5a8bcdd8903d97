"""What kind of media file is this, and is all of it there?

The first bytes decide, never the suffix, and only the demuxer of that kind is ever used: a playlist
or a script that calls itself ``.mp4`` opens nothing. Decoders conceal a missing end (half a JPEG is
grey below, a GIF is shorter), so whether a file is whole is settled here from its own declared sizes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# FFmpeg's demuxer for every kind that is read.
DEMUXERS = {
    "mp4": "mov",
    "webm": "matroska",
    "avi": "avi",
    "gif": "gif",
    "png": "png_pipe",
    "apng": "apng",
    "jpeg": "jpeg_pipe",
    "webp": "webp_pipe",
}
PICTURES = ("png", "jpeg", "webp")
ANIMATIONS = ("gif", "apng")
READABLE = "mp4, mov, webm, mkv, avi, gif, png, jpg or webp"
# Pictures and GIFs are looked through in memory.
MAX_PICTURE_BYTES = 256 * 2**20

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
GIF_TRAILER = 0x3B
GIF_COMMENT = 0xFE


def open_media(path: Path) -> BinaryIO:
    """Open a regular file for reading; anything else is a ``ValueError`` that names the path and the reason."""
    try:
        if path.exists() and not path.is_file():
            raise ValueError(f"{path} is not a file")
        return path.open("rb")
    except OSError as error:
        raise ValueError(f"{path} cannot be opened: {error.strerror}") from error


def identify(file: BinaryIO, path: Path) -> str:
    """The kind of a whole media file, a key of ``DEMUXERS``; leaves ``file`` at its start.

    Raises ``ValueError`` naming ``path`` for an empty file, for one that is no media or of a kind that is not
    read, and for one that ends before the size it declares.
    """
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(64)
    file.seek(0)
    if not head:
        raise ValueError(f"{path} is empty")
    kind = _kind(head)
    if kind is None:
        raise ValueError(f"{path} is not a media file that can be read: it must be {READABLE}")
    if kind in ("heic", "animated webp"):
        raise ValueError(f"{path} is a {kind} file, which is not read; convert it to one of {READABLE}")
    if kind in ("png", "jpeg", "gif"):
        if size > MAX_PICTURE_BYTES:
            raise ValueError(f"{path} has {size} bytes; a {kind} file of at most {MAX_PICTURE_BYTES} bytes is read")
        data = file.read()
        file.seek(0)
        whole = {"png": _whole_png, "jpeg": _whole_jpeg, "gif": _whole_gif}[kind](data)
        if kind == "png" and any(name == b"acTL" for name, _ in png_chunks(data)):
            kind = "apng"
    elif kind in ("avi", "webp"):
        whole = size >= 8 + int.from_bytes(head[4:8], "little")
    elif kind == "mp4":
        whole = _whole_mp4(file, size)
    else:
        whole = _whole_webm(file, size)
    file.seek(0)
    if not whole:
        raise ValueError(f"{path} is damaged: this {kind} file ends before it should, at {size} bytes")
    return kind


def _kind(head: bytes) -> str | None:
    if head.startswith(PNG_SIGNATURE):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "webm"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "avi"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        is_animated = head[12:16] == b"VP8X" and len(head) > 20 and head[20] & 2
        return "animated webp" if is_animated else "webp"
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis"):
        return "heic"
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
        return "mp4"
    return None


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, payload) of every complete chunk of a PNG, the last one ``IEND``."""
    position = len(PNG_SIGNATURE)
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        end = position + 12 + length
        if end > len(data):
            return
        name = data[position + 4 : position + 8]
        yield name, data[position + 8 : end - 4]
        if name == b"IEND":
            return
        position = end


def gif_blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(label, payload) of every complete block of a GIF: extensions by their label, pictures as 0x2C, the trailer as
    ``GIF_TRAILER``. The payload of an extension is its sub-blocks joined; that of a picture is left empty."""
    position = gif_first_block(data)
    while position < len(data):
        introducer = data[position]
        if introducer == GIF_TRAILER:
            yield GIF_TRAILER, b""
            return
        if introducer == 0x21 and position + 2 <= len(data):
            label, position = data[position + 1 : position + 2], position + 2
        elif introducer == 0x2C and position + 11 <= len(data):
            label, position = b"\x2c", position + 11 + _color_table_bytes(data[position + 9])
        else:
            return
        parts = []
        while position < len(data) and data[position]:
            parts.append(data[position + 1 : position + 1 + data[position]])
            position += 1 + data[position]
        if position >= len(data):
            return
        yield label[0], b"" if label == b"\x2c" else b"".join(parts)
        position += 1


def gif_first_block(data: bytes) -> int:
    """Where the blocks of a GIF begin: after the header, the screen descriptor and the global colour table."""
    return 13 + (_color_table_bytes(data[10]) if len(data) > 10 else 0)


def _color_table_bytes(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, payload) of the segments of a JPEG up to the first scan (0xDA), whose payload is all that follows."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == 0xDA:
            yield marker, data[end:]
            return
        yield marker, data[position + 4 : end]
        position = end


def _whole_png(data: bytes) -> bool:
    return any(name == b"IEND" for name, _ in png_chunks(data))


def _whole_jpeg(data: bytes) -> bool:
    # In scan data 0xFF is followed by 0 or a restart marker, so the end marker cannot occur by chance.
    return any(marker == 0xDA and b"\xff\xd9" in payload for marker, payload in jpeg_segments(data))


def _whole_gif(data: bytes) -> bool:
    return any(label == GIF_TRAILER for label, _ in gif_blocks(data))


def _whole_mp4(file: BinaryIO, size: int) -> bool:
    """Every box ends within the file, and there is an index (``moov``)."""
    position, names = 0, []
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        elif length == 0:  # to the end of the file
            length = size - position
        if length < 8:
            # Some cameras leave zeros after the last box.
            return b"moov" in names
        names.append(header[4:8])
        position += length
    return position <= size and b"moov" in names


def _whole_webm(file: BinaryIO, size: int) -> bool:
    """The segment, the one large element after the header, ends within the file; a live recording declares no size."""
    file.seek(4)
    length, width = _ebml_number(file.read(8))
    segment = 4 + width + length
    file.seek(segment)
    head = file.read(12)
    if head[:4] != b"\x18\x53\x80\x67":
        return False
    length, width = _ebml_number(head[4:])
    is_unknown = length == 2 ** (7 * width) - 1
    return is_unknown or segment + 4 + width + length <= size


def _ebml_number(data: bytes) -> tuple[int, int]:
    """An EBML variable-length number and its width in bytes (RFC 8794, section 4)."""
    if not data or not data[0]:
        return 0, 1
    width = 9 - data[0].bit_length()
    return int.from_bytes(data[:width], "big") & (2 ** (7 * width) - 1), width
