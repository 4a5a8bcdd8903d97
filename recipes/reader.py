"""Train the evaluator's reader on simulator renders: `python recipes/reader.py --data DIR [--autoencoder MODEL]`.

DIR holds shards of `ozora world build` (3 000 clips are plenty); only their training split is used. Every clip is
seen as it is, damaged as an autoencoder or a generator damages clips (blurred, coarse, noisy, faded, smeared in time),
and, where a model is given, as its autoencoder reconstructs it. One CPU core: three minutes to prepare, four to train.
Expected on clips held back: shapes 99 %, events 99 %, camera 95 %.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from einops import rearrange
from safetensors.torch import save_file
from torch import Tensor

from ozora.clip import Clip
from ozora.data.shards import ShardReader
from ozora.evaluate.alignment import EVENTS, UNCLEAR, event_class
from ozora.evaluate.reader import (
    CAMERAS,
    SHAPES,
    TRACK_WIDTH,
    WEIGHTS,
    Reader,
    moments,
    scene_pixels,
    shape_crops,
    track_values,
)
from ozora.evaluate.track import find_tracks
from ozora.generate.folder import Model, find_model, load_folder

_MIRROR = {"left": "right", "right": "left"}
MIRRORED = torch.tensor(
    [CAMERAS.index(" ".join(_MIRROR.get(word, word) for word in camera.split())) for camera in CAMERAS]
)


@dataclass(frozen=True)
class ReaderFit:
    """How long and how fast to train."""

    shape_steps: int = 1500
    motion_steps: int = 4000
    max_clips: int = 4000
    learning_rate: float = 2e-3
    batch: int = 32
    seed: int = 0


@dataclass(frozen=True)
class Example:
    """What the networks see of one clip, and the truth about it. ``shapes`` pairs crops with a shape's index."""

    clip: str
    scene: Tensor
    tracks: Tensor
    event: int
    camera: int
    shapes: tuple[tuple[Tensor, int], ...]


def damage(clip: Clip, rng: np.random.Generator) -> Clip:
    """Coarser (down to a third), smeared over neighbouring frames, faded, tinted and noisy, each by a random amount."""
    frames = torch.from_numpy(clip.frames.astype(np.float32)).permute(0, 3, 1, 2)
    height, width = frames.shape[2:]
    share = rng.uniform(0.34, 1.0)
    size = max(round(height * share), 8), max(round(width * share), 8)
    small = F.interpolate(frames, size, mode="bilinear", antialias=True, align_corners=False)
    frames = F.interpolate(small, (height, width), mode="bicubic", align_corners=False)
    if len(frames) > 2:
        smear = rng.uniform(0, 0.25)
        around = (frames[[0, *range(len(frames) - 1)]] + frames[[*range(1, len(frames)), -1]]) / 2
        frames = (1 - smear) * frames + smear * around
    grey = frames.mean(dim=1, keepdim=True)
    frames = grey + (frames - grey) * rng.uniform(0.8, 1.05)
    frames = frames * torch.from_numpy(rng.uniform(0.93, 1.07, (1, 3, 1, 1)).astype(np.float32))
    frames = frames + torch.from_numpy(rng.normal(0, rng.uniform(0, 6), frames.shape).astype(np.float32))
    return Clip(np.ascontiguousarray(frames.clamp(0, 255).round().byte().permute(0, 2, 3, 1).numpy()), clip.fps)


def examples(reader: ShardReader, fit: ReaderFit, model: Model | None = None) -> Iterator[Example]:
    """Every clip of the training split as it is, damaged, and reconstructed by ``model``."""
    rng = np.random.default_rng(fit.seed)
    for i in reader.indices("train")[: fit.max_clips]:
        facts = reader.record(i).facts
        if facts is None:
            continue
        colors = [item.color for item in facts.objects]
        shape_of = {item.color: item.shape for item in facts.objects if colors.count(item.color) == 1}
        original = reader.clip(i)
        variants = [original, damage(original, rng)]
        if model is not None:
            variants.append(model.decode(model.encode(original), original.fps))
        for clip in variants:
            tracks, labels = find_tracks(clip.frames)
            shapes = tuple(
                (shape_crops(clip.frames, labels, track).half(), SHAPES.index(shape_of[track.color]))
                for track in tracks
                if track.color in shape_of and sum(other.color == track.color for other in tracks) == 1
            )
            yield Example(
                clip=f"{reader.folder}/{reader.record(i).id}",
                scene=scene_pixels(clip.frames, labels).half(),
                tracks=track_values(tracks, clip.num_frames, clip.height, clip.width),
                event=EVENTS.index(event_class(facts.event)),
                camera=CAMERAS.index(facts.camera),
                shapes=shapes,
            )


def mirrored(scene: Tensor, tracks: Tensor, camera: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Left and right exchanged in pixels, tracks and camera."""
    values = rearrange(tracks, "b t (n k) -> b t n k", k=TRACK_WIDTH).flip(2).clone()
    both = (values[..., 0].amax(dim=1) > 0).all(dim=1)
    values = torch.where(both[:, None, None, None], values, values.flip(2))
    values[..., 3] = -values[..., 3]
    return scene.flip(4), rearrange(values, "b t n k -> b t (n k)"), MIRRORED[camera]


def disturbed(scene: Tensor, tracks: Tensor, event: Tensor, camera: Tensor, generator: torch.Generator) -> None:
    """In place: some clips stand still (nothing happens, the camera neither), some have their frames in disorder."""
    num_frames = tracks.shape[1]
    seen = torch.from_numpy(moments(num_frames))
    for i, chance in enumerate(torch.rand(len(scene), generator=generator).tolist()):
        if chance < 0.06:
            moment = int(torch.randint(len(seen), (1,), generator=generator))
            scene[i], tracks[i] = scene[i, moment].clone(), tracks[i, seen[moment]].clone()
            event[i], camera[i] = EVENTS.index("rest"), CAMERAS.index("static")
        elif chance < 0.12:
            order = torch.randperm(num_frames, generator=generator)
            scene[i] = scene[i][torch.randperm(len(seen), generator=generator)]
            tracks[i] = tracks[i][order]
            event[i], camera[i] = EVENTS.index(UNCLEAR), -1


def learning_rate(step: int, num_steps: int, fit: ReaderFit) -> float:
    """Up over fifty steps, then down along a power of what is left."""
    return fit.learning_rate * min(1.0, (step + 1) / 50) * (1 - step / num_steps) ** 0.7


def fit_motion(network: torch.nn.Module, items: list[Example], fit: ReaderFit) -> None:
    """Batches of clips of one length."""
    generator = torch.Generator().manual_seed(fit.seed)
    lengths: dict[int, list[Example]] = {}
    for item in items:
        lengths.setdefault(item.tracks.shape[0], []).append(item)
    lengths.pop(1, None)
    groups = list(lengths.values())
    weights = torch.tensor([float(len(group)) for group in groups])
    optimizer = torch.optim.AdamW(network.parameters(), lr=fit.learning_rate, weight_decay=0.02)
    for step in range(fit.motion_steps):
        optimizer.param_groups[0]["lr"] = learning_rate(step, fit.motion_steps, fit)
        group = groups[int(torch.multinomial(weights, 1, generator=generator))]
        batch = [group[i] for i in torch.randint(len(group), (fit.batch,), generator=generator).tolist()]
        scene, tracks = (
            torch.stack([item.scene for item in batch]).float(),
            torch.stack([item.tracks for item in batch]),
        )
        event, camera = torch.tensor([item.event for item in batch]), torch.tensor([item.camera for item in batch])
        if torch.rand(1, generator=generator) < 0.5:
            scene, tracks, camera = mirrored(scene, tracks, camera)
        disturbed(scene, tracks, event, camera, generator)
        scene[:, :, :3] += torch.rand(fit.batch, 1, 3, 1, 1, generator=generator) * 0.3 - 0.15
        event_logits, camera_logits = network(scene.flatten(1, 2), tracks)
        loss = F.cross_entropy(event_logits, event, label_smoothing=0.02)
        loss = loss + F.cross_entropy(camera_logits, camera, ignore_index=-1, label_smoothing=0.02)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 99:
            print(f"motion step {step + 1} of {fit.motion_steps}, loss {loss.item():.3f}", flush=True)


def fit_shapes(network: torch.nn.Module, items: list[Example], fit: ReaderFit) -> None:
    """Batches of objects, each with one to four of its crops."""
    generator = torch.Generator().manual_seed(fit.seed)
    objects = [pair for item in items for pair in item.shapes]
    crops, truth = torch.stack([crop for crop, _ in objects]), torch.tensor([shape for _, shape in objects])
    optimizer = torch.optim.AdamW(network.parameters(), lr=fit.learning_rate, weight_decay=0.02)
    for step in range(fit.shape_steps):
        optimizer.param_groups[0]["lr"] = learning_rate(step, fit.shape_steps, fit)
        pick = torch.randint(len(objects), (fit.batch,), generator=generator)
        some = torch.randperm(crops.shape[1], generator=generator)[
            : int(torch.randint(1, 5, (1,), generator=generator))
        ]
        batch = crops[pick][:, some].float()
        batch = batch.flip(4) if torch.rand(1, generator=generator) < 0.5 else batch
        loss = F.cross_entropy(network(batch), truth[pick], label_smoothing=0.02)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 99:
            print(f"shape step {step + 1} of {fit.shape_steps}, loss {loss.item():.3f}", flush=True)


@torch.no_grad()
def report(reader: Reader, items: list[Example]) -> None:
    """Shares of right answers on examples that were held back, and the answers most often taken for others."""
    pairs: dict[str, list[tuple[str, str]]] = {"shape": [], "event": [], "camera": []}
    for item in items:
        for crops, shape in item.shapes:
            pairs["shape"].append((SHAPES[shape], SHAPES[int(reader.shape(crops[None].float()).argmax())]))
        if len(item.tracks) > 1:
            event, camera = reader.motion(item.scene.flatten(0, 1)[None].float(), item.tracks[None])
            pairs["event"].append((EVENTS[item.event], EVENTS[int(event.argmax())]))
            pairs["camera"].append((CAMERAS[item.camera], CAMERAS[int(camera.argmax())]))
    for part, answers in pairs.items():
        wrong = Counter(pair for pair in answers if pair[0] != pair[1])
        often = ", ".join(f"{truth} as {read} {count}" for (truth, read), count in wrong.most_common(6))
        print(
            f"held back: {part} right in {1 - wrong.total() / len(answers):.1%} of {len(answers)}; {often}", flush=True
        )


def main(
    data: tuple[Path, ...], out: Path = WEIGHTS, autoencoder: str | None = None, fit: ReaderFit = ReaderFit()
) -> None:
    """Make the examples, train both networks, report, write the weights in half precision."""
    torch.manual_seed(fit.seed)
    torch.set_num_threads(1)
    start = time.monotonic()
    model = None if autoencoder is None else load_folder(find_model(autoencoder))
    items = [item for folder in data for item in examples(ShardReader(folder), fit, model)]
    clips = sorted({item.clip for item in items})
    held = set(clips[:: max(len(clips) // 200, 5)])
    kept = [item for item in items if item.clip not in held]
    print(
        f"{len(items)} examples of {len(clips)} clips in {time.monotonic() - start:.0f} s, {len(held)} clips held back"
    )
    reader = Reader(len(EVENTS))
    fit_shapes(reader.shape.train(), kept, fit)
    fit_motion(reader.motion.train(), kept, fit)
    report(reader.eval(), [item for item in items if item.clip in held])
    part = out.with_name(f".{out.name}.part")
    save_file({name: value.half().contiguous() for name, value in reader.state_dict().items()}, part)
    part.replace(out)
    print(f"wrote {out}, {out.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    tyro.cli(main)
