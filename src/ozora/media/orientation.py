"""Which way up is a frame? Cameras store what the sensor saw, and a note on how to turn it.

The note is the linear part ``(a, b, c, d)`` of a display matrix, each -1, 0 or 1: a stored pixel at (x, y), y
downwards, is shown at (a x + c y, b x + d y), shifted back into view. Video carries the matrix itself, pictures an Exif
orientation from 1 to 8.
"""

import av
import numpy as np
from jaxtyping import UInt8

from ozora.media.container import jpeg_segments, png_chunks

Turn = tuple[int, int, int, int]
UPRIGHT: Turn = (1, 0, 0, 1)

# Exif 2.32, 4.6.4, tag 274: what the first row and the first column of the stored picture are.
EXIF_TURNS: dict[int, Turn] = {
    1: UPRIGHT,
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}
# Counter-clockwise degrees, for a video whose matrix cannot be seen whole.
ROTATIONS: dict[int, Turn] = {0: EXIF_TURNS[1], 90: EXIF_TURNS[8], 180: EXIF_TURNS[3], 270: EXIF_TURNS[6]}


def picture_turn(data: bytes, kind: str) -> Turn:
    """The turn that the Exif block of a whole PNG, JPEG or WebP file asks for; upright where it has none."""
    if kind == "jpeg":
        blocks = (payload[6:] for marker, payload in jpeg_segments(data) if marker == 0xE1 and payload[:4] == b"Exif")
    elif kind == "png":
        blocks = (payload for name, payload in png_chunks(data) if name == b"eXIf")
    elif kind == "webp" and data[12:16] == b"VP8X" and b"EXIF" in data:
        block = data[data.rindex(b"EXIF") + 8 :]
        blocks = iter([block.removeprefix(b"Exif\0\0")])
    else:
        blocks = iter(())
    return EXIF_TURNS.get(_exif_orientation(next(blocks, b"")), UPRIGHT)


def _exif_orientation(tiff: bytes) -> int:
    """Tag 274 of the first directory of a TIFF block, or 1."""
    if tiff[:2] not in (b"II", b"MM"):
        return 1
    order = "little" if tiff[:2] == b"II" else "big"

    def number(start: int, size: int) -> int:
        return int.from_bytes(tiff[start : start + size], order)

    directory = number(4, 4)
    for i in range(min(number(directory, 2), 256)):
        entry = directory + 2 + 12 * i
        if number(entry, 2) == 274:
            return number(entry + 8, 2)
    return 1


def video_turn(frame: av.VideoFrame) -> Turn:
    """The turn that a decoded frame's display matrix asks for, snapped to quarter turns and mirrors."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # A frame with side data that PyAV has no name for tells its rotation, though not a mirror.
        return ROTATIONS.get(round(frame.rotation / 90) * 90 % 360, UPRIGHT)
    if matrix is None:
        return UPRIGHT
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(matrix), dtype=np.int32)[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (1 if a >= 0 else -1, 0, 0, 1 if d >= 0 else -1)
    return (0, 1 if b >= 0 else -1, 1 if c >= 0 else -1, 0)


def turn(frame: UInt8[np.ndarray, "h w c"], how: Turn) -> UInt8[np.ndarray, "h2 w2 c"]:
    """The frame as it is to be shown; a view, sides swapped by a quarter turn."""
    a, b, c, d = how
    if a == 0:
        frame = frame.transpose(1, 0, 2)
        a, d = c, b
    return frame[:: d or 1, :: a or 1]
