"""What shape is this blob, what happens in this clip, how does the camera move? Two small networks answer.

They see frames alone. ``ShapeNetwork`` looks at crops of one object and lets its frames vote;
``MotionNetwork`` looks at five moments of the clip, small, beside the tracks of its two largest objects.
``recipes/reader.py`` trains both on simulator renders of the training split, blurred and noised.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from safetensors.torch import load_file
from torch import Tensor, nn

from ozora.evaluate.segment import hue_chroma_saturation
from ozora.evaluate.track import Track

SHAPES = ("sphere", "cube", "cylinder", "cone", "capsule", "ellipsoid")
CAMERAS = ("static", "orbit left", "orbit right", "dolly in", "dolly out", "pan left", "pan right")
WEIGHTS = Path(__file__).with_name("reader.safetensors")

CROP_SIDE = 24
CROP_MARGIN = 1.3
NUM_CROPS = 8
SCENE_SIDE = 32
NUM_MOMENTS = 5
NUM_TRACKS = 2
TRACK_WIDTH = 8


class ShapeNetwork(nn.Module):
    """Crops of one object -> one set of logits: the mean over its crops, so a clear view outvotes a vague one."""

    def __init__(self, num_shapes: int = len(SHAPES), width: int = 24):
        super().__init__()
        self.layers = nn.Sequential(
            *_conv2d(3, width),
            nn.MaxPool2d(2),
            *_conv2d(width, 2 * width),
            nn.MaxPool2d(2),
            *_conv2d(2 * width, 3 * width),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(3 * width * (CROP_SIDE // 8) ** 2, num_shapes),
        )

    def forward(self, crops: Float[Tensor, "b n 3 h w"]) -> Float[Tensor, "b shapes"]:
        logits = self.layers(rearrange(crops, "b n c h w -> (b n) c h w"))
        return rearrange(logits, "(b n) s -> b n s", b=crops.shape[0]).mean(dim=1)


class MotionNetwork(nn.Module):
    """Moments of a clip side by side, and its tracks frame by frame -> logits of events and of camera motions."""

    def __init__(self, num_events: int, num_cameras: int = len(CAMERAS), width: int = 32, mixed: int = 96):
        super().__init__()
        self.scene = nn.Sequential(
            *_halve(4 * NUM_MOMENTS, width, 5),
            *_halve(width, 2 * width, 3),
            *_halve(2 * width, 2 * width, 3),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(2 * width * (SCENE_SIDE // 8) ** 2, mixed),
        )
        self.tracks = nn.Sequential(
            nn.Conv1d(NUM_TRACKS * TRACK_WIDTH, mixed, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(mixed, mixed, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(mixed, mixed, 5, padding=4, dilation=2),
            nn.GELU(),
        )
        self.join = nn.Sequential(nn.Linear(3 * mixed, 2 * mixed), nn.GELU(), nn.Dropout(0.1))
        self.event = nn.Linear(2 * mixed, num_events)
        self.camera = nn.Linear(2 * mixed, num_cameras)

    def forward(
        self, scene: Float[Tensor, "b c h w"], tracks: Float[Tensor, "b t k"]
    ) -> tuple[Float[Tensor, "b events"], Float[Tensor, "b cameras"]]:
        steps = self.tracks(rearrange(tracks, "b t k -> b k t"))
        seen = self.join(torch.cat([self.scene(scene), steps.mean(dim=2), steps.amax(dim=2)], dim=1))
        return self.event(seen), self.camera(seen)


class Reader(nn.Module):
    """Both networks; their weights are one file."""

    def __init__(self, num_events: int):
        super().__init__()
        self.shape = ShapeNetwork()
        self.motion = MotionNetwork(num_events)


@lru_cache(maxsize=2)
def load_reader(num_events: int, path: Path = WEIGHTS) -> Reader:
    """The trained reader, in evaluation mode. Raises ``ValueError`` where the file does not fit."""
    reader = Reader(num_events)
    try:
        weights = {name: value.float() for name, value in load_file(path).items()}
        reader.load_state_dict(weights)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{path} does not hold the reader's weights ({error}); recipes/reader.py makes it") from error
    return reader.eval().requires_grad_(False)


def shape_crops(
    frames: UInt8[np.ndarray, "t h w 3"], labels: Int[np.ndarray, "t h w"], track: Track
) -> Float[Tensor, "n 3 side side"]:
    """Square crops around an object in the frames that show it well: luma, chroma and the object's mask.

    Luma is relative to the object's own (its mean 0, in units of its mean); chroma is in [0, 1].
    """
    areas = np.array([track.area(frame) for frame in track.frames])
    clear = np.array(track.frames)[areas >= 0.5 * areas.max()]
    chosen = clear[np.linspace(0, len(clear) - 1, NUM_CROPS).round().astype(int)]
    height, width = frames.shape[1:3]
    planes, thetas = [], []
    for frame in chosen:
        mask = np.isin(labels[frame], [part.label for part in track.parts[frame]])
        luma = frames[frame].astype(np.float32) @ np.array((0.299, 0.587, 0.114), np.float32)
        mean = luma[mask].mean()
        _, chroma, _ = hue_chroma_saturation(frames[frame][None])
        planes.append(np.stack([(luma - mean) / (mean + 8), chroma[0] / 255, mask]))
        top, left, bottom, right = track.box(int(frame))
        half = CROP_MARGIN / 2 * max(bottom - top, right - left, 4)
        y, x = (top + bottom) / 2, (left + right) / 2
        thetas.append([[2 * half / width, 0, 2 * x / width - 1], [0, 2 * half / height, 2 * y / height - 1]])
    grid = F.affine_grid(torch.tensor(thetas), [len(chosen), 3, CROP_SIDE, CROP_SIDE], align_corners=False)
    crops = torch.from_numpy(np.stack(planes).astype(np.float32))
    return F.grid_sample(crops, grid.float(), padding_mode="border", align_corners=False)


def moments(num_frames: int) -> Int[np.ndarray, " m"]:
    """The frames that ``MotionNetwork`` sees as pixels: from first to last at equal distances."""
    return np.linspace(0, num_frames - 1, NUM_MOMENTS).round().astype(int)


def scene_pixels(frames: UInt8[np.ndarray, "t h w 3"], labels: Int[np.ndarray, "t h w"]) -> Float[Tensor, "m 4 h2 w2"]:
    """The clip's ``moments``, made square whatever their aspect: colours in [-1, 1], and where objects are."""
    chosen = moments(len(frames))
    pixels = torch.from_numpy(frames[chosen].astype(np.float32) / 127.5 - 1)
    colored = torch.from_numpy((labels[chosen] >= 0).astype(np.float32))[..., None]
    planes = rearrange(torch.cat([pixels, colored], dim=-1), "m h w c -> m c h w")
    return F.interpolate(planes, (SCENE_SIDE, SCENE_SIDE), mode="area")


def track_values(tracks: Sequence[Track], num_frames: int, height: int, width: int) -> Float[Tensor, "t k"]:
    """The two largest tracks, left one first: seen, number of parts, centre, root of area, height, width and bottom.

    All are relative to the frame's sides; zeros where nothing is seen.
    """
    values = np.zeros((num_frames, NUM_TRACKS, TRACK_WIDTH), np.float32)
    chosen = sorted(tracks[:NUM_TRACKS], key=lambda track: track.center(track.frames[0])[1])
    for slot, track in enumerate(chosen):
        for frame in track.frames:
            y, x = track.center(frame)
            top, left, bottom, right = track.box(frame)
            values[frame, slot] = (
                1,
                min(len(track.parts[frame]), 8) / 8,
                y / height - 0.5,
                x / width - 0.5,
                (track.area(frame) / (height * width)) ** 0.5,
                (bottom - top) / height,
                (right - left) / width,
                bottom / height - 0.5,
            )
    return torch.from_numpy(values.reshape(num_frames, -1))


def _halve(width_in: int, width_out: int, side: int) -> list[nn.Module]:
    conv = nn.Conv2d(width_in, width_out, side, stride=2, padding=side // 2)
    return [conv, nn.GroupNorm(4, width_out), nn.GELU()]


def _conv2d(width_in: int, width_out: int) -> list[nn.Module]:
    return [nn.Conv2d(width_in, width_out, 3, padding=1), nn.GroupNorm(4, width_out), nn.GELU()]
