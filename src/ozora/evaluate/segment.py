"""Which pixels belong to coloured objects, and in what blobs? Hue alone decides, no network.

Floors, skies and props of the worlds are of low saturation, objects of high saturation with hues
far apart, so shading changes the brightness of an object but hardly its hue.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int, UInt8

# The middle of each colour's hue in degrees as it appears under the worlds' light (shading moves it by 5 at most).
HUES = {
    "red": 0.0,
    "orange": 29.0,
    "yellow": 55.0,
    "green": 125.0,
    "cyan": 183.0,
    "blue": 231.0,
    "purple": 273.0,
    "pink": 328.0,
}
COLORS = tuple(HUES)

# A pixel is coloured if its chroma (largest less smallest channel, of 255) and its saturation (chroma by
# largest channel) both reach these. Floors, props and skies come nearest in the hues of orange, yellow (at most 0.23)
# and blue (0.31); pink objects are the palest.
MIN_CHROMA = 40
MIN_SATURATION = {
    "red": 0.36,
    "orange": 0.46,
    "yellow": 0.42,
    "green": 0.34,
    "cyan": 0.36,
    "blue": 0.42,
    "purple": 0.36,
    "pink": 0.32,
}
# A blob smaller than this part of the frame is a speck.
MIN_AREA = 0.0025


@dataclass(frozen=True)
class Blob:
    """A connected patch of one colour in one frame, in pixels.

    ``inner`` counts pixels whose four neighbours are of the same colour: a fringe has few. ``box`` is top, left,
    bottom, right (exclusive).
    """

    frame: int
    color: str
    area: int
    inner: int
    center: tuple[float, float]
    box: tuple[int, int, int, int]
    label: int


def hue_chroma_saturation(
    frames: UInt8[np.ndarray, "t h w 3"],
) -> tuple[Float[np.ndarray, "t h w"], Float[np.ndarray, "t h w"], Float[np.ndarray, "t h w"]]:
    """Hue in degrees [0, 360), chroma in [0, 255] and saturation in [0, 1], as in HSV."""
    red, green, blue = np.moveaxis(frames.astype(np.float32), -1, 0)
    high = np.maximum(np.maximum(red, green), blue)
    chroma = high - np.minimum(np.minimum(red, green), blue)
    safe = np.maximum(chroma, 1)
    sector = np.where(
        high == red,
        (green - blue) / safe % 6,
        np.where(high == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    return sector * 60 % 360, chroma, chroma / np.maximum(high, 1)


def color_index(frames: UInt8[np.ndarray, "t h w 3"]) -> Int[np.ndarray, "t h w"]:
    """For every pixel the index of its colour in ``COLORS``, or -1 where it has none."""
    hue, chroma, saturation = hue_chroma_saturation(frames)
    nearest = _NEAREST[np.minimum(hue, 359.99).astype(np.int32)]
    enough = np.array([MIN_SATURATION[color] for color in COLORS], np.float32)[nearest]
    return np.where((chroma >= MIN_CHROMA) & (saturation >= enough), nearest, -1)


def blobs(index: Int[np.ndarray, "t h w"]) -> tuple[list[Blob], Int[np.ndarray, "t h w"]]:
    """Connected patches (four neighbours) of one colour, specks left out, largest first within a frame.

    Returns them with a map of labels: a blob's pixels hold its ``label``, all others hold -1. Runs of
    one colour in a row are the nodes of a union-find, touching runs of neighbouring rows its edges.
    """
    _, height, width = index.shape
    rows, starts, stops, colors = _runs(index.reshape(-1, width))
    root = _joined(rows, starts, stops, colors, height)
    labels = np.full(index.shape, -1, np.int32)
    flat = labels.reshape(-1, width)
    found: list[Blob] = []
    lengths = stops - starts
    total = np.bincount(root, lengths, minlength=len(root)) if len(root) else np.zeros(0)
    large = np.flatnonzero(total >= MIN_AREA * height * width)
    for group in sorted(large, key=lambda node: (rows[node] // height, -total[node])):
        member = np.flatnonzero(root == group)
        row, start, stop, length = rows[member], starts[member], stops[member], lengths[member]
        for line, left, right in zip(row, start, stop):
            flat[line, left:right] = len(found)
        frame, row = int(row[0] // height), row % height
        area = int(length.sum())
        center = float((row * length).sum() / area), float(((start + stop - 1) / 2 * length).sum() / area)
        box = int(row.min()), int(start.min()), int(row.max()) + 1, int(stop.max())
        found.append(Blob(frame, COLORS[colors[group]], area, 0, center, box, len(found)))
    inner = np.zeros(labels.shape, bool)
    middle = labels[:, 1:-1, 1:-1]
    around = (labels[:, :-2, 1:-1], labels[:, 2:, 1:-1], labels[:, 1:-1, :-2], labels[:, 1:-1, 2:])
    inner[:, 1:-1, 1:-1] = np.logical_and.reduce([near == middle for near in around]) & (middle >= 0)
    counts = np.bincount(labels[inner], minlength=len(found))
    return [replace(blob, inner=int(counts[blob.label])) for blob in found], labels


def _runs(lines: Int[np.ndarray, "rows w"]) -> tuple[Int[np.ndarray, " n"], ...]:
    """Row, start, stop and value of every run of one value that is not -1, in reading order."""
    num_rows, width = lines.shape
    change = np.ones((num_rows, width), bool)
    change[:, 1:] = lines[:, 1:] != lines[:, :-1]
    at = np.flatnonzero(change)
    stop_at = np.append(at[1:], lines.size)
    colored = lines.ravel()[at] >= 0
    at, stop_at = at[colored], stop_at[colored]
    return at // width, at % width, (stop_at - 1) % width + 1, lines.ravel()[at]


def _joined(rows, starts, stops, colors, height: int) -> Int[np.ndarray, " n"]:
    """For every run the first run of its patch; runs of different frames (of ``height`` rows) never join."""
    row, start, stop, color = (values.tolist() for values in (rows, starts, stops, colors))
    parent = list(range(len(row)))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    above = 0
    for node in range(len(row)):
        if row[node] % height == 0:
            continue
        while row[above] < row[node] - 1 or (row[above] == row[node] - 1 and stop[above] <= start[node]):
            above += 1
        other = above
        while row[other] == row[node] - 1 and start[other] < stop[node]:
            if color[other] == color[node] and stop[other] > start[node]:
                first, second = sorted((root(other), root(node)))
                parent[second] = first
            other += 1
    return np.array([root(node) for node in range(len(row))], dtype=np.int64)


def _nearest_hues() -> Int[np.ndarray, " 360"]:
    distance = np.abs(np.arange(360)[:, None] + 0.5 - np.array(list(HUES.values()))[None])
    return np.minimum(distance, 360 - distance).argmin(axis=1)


_NEAREST = _nearest_hues()
