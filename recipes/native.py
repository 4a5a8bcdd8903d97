"""Native sizes or square crops: is the subject whole and in frame more often? Two runs, alike but for the crop.

    python recipes/native.py RUNS data          (wide and tall clips, and the same clips cropped to their middle square)
    python recipes/native.py RUNS native        (train on the clips as they are)
    python recipes/native.py RUNS cropped       (train on the squares, as many rows)
    python recipes/native.py RUNS report        (RUNS/README.md, native.json and strip.png)

Sora's report shows that a model trained on squares cuts its subjects off. Here both models are asked for scenes
whose objects stay in frame in the simulator's own clip, at its size and as a square. A clip counts as *whole* if its
objects are seen and none ever touches the border. The network is small (128 wide, 6 blocks), and three in four
examples are one frame of a clip: framing is learned from these as well, at a fifth of the cost. Hardware: one core.
Time: 4 minutes to simulate, 6 a run of 600 rows, 2 for the report; called again, each step goes on. Expected: the
simulator's clips cropped are whole half as often, and a network of squares hardly ever at another size.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from tyro.conf import Positional

from ozora.clip import Clip
from ozora.data.record import Record
from ozora.data.shards import ShardReader, whole_shards, write_shard
from ozora.evaluate.tables import Share, bootstrap, markdown_table
from ozora.evaluate.track import find_tracks
from ozora.generate.generator import Generator
from ozora.generate.request import Request
from ozora.train.config import TrainConfig, TransformerFit, WorldConfig
from ozora.train.held_out import build_held_out
from ozora.train.metrics import sample_strip
from ozora.train.run import build_world, load_recipe, train
from ozora.world.mix import WorldMix

SIZES = (((96, 64), 0.25), ((64, 96), 0.25), ((80, 48), 0.25), ((48, 80), 0.25))
SHARD = 128
BATCH = 10


@dataclass(frozen=True)
class Framing:
    """``seen``: objects found; ``clear``: the share of their appearances, frame by frame, that touch no border."""

    seen: int
    clear: float

    @property
    def whole(self) -> bool:
        return self.seen > 0 and self.clear == 1


def framing(clip: Clip) -> Framing:
    """How a clip frames its objects, as blobs of colour show them."""
    tracks, _ = find_tracks(clip.frames)
    boxes = [track.box(frame) for track in tracks for frame in track.frames]
    clear = [top > 0 and left > 0 and bottom < clip.height and right < clip.width for top, left, bottom, right in boxes]
    return Framing(len(tracks), sum(clear) / len(clear) if clear else 0.0)


def middle_square(clip: Clip) -> Clip:
    """The square in the middle of every frame."""
    side = min(clip.height, clip.width)
    top, left = (clip.height - side) // 2, (clip.width - side) // 2
    return Clip(np.ascontiguousarray(clip.frames[:, top : top + side, left : left + side]), clip.fps)


def world() -> WorldConfig:
    """The world of recipes/mini.py in wide and tall clips alone."""
    config = load_recipe(str(Path(__file__).with_name("mini.py"))).world
    assert config is not None
    mix = replace(config.mix, sizes=SIZES)
    return replace(config, num_clips=config.num_clips // 8, mix=mix, seed=2, transitions=0.0)


def crop_shards(source: Path, target: Path) -> int:
    """Write every clip of a folder as its middle square, with the same captions; returns how many were written.

    What the simulator knows of the scene no longer fits the picture, so it is left out of the records.
    """
    reader = ShardReader(source)
    there, written = whole_shards(target), 0
    for index, start in enumerate(range(0, len(reader), SHARD)):
        if index in there:
            continue
        part = range(start, min(start + SHARD, len(reader)))
        clips = [middle_square(reader.clip(i)) for i in part]
        records = [_cropped(reader.record(i), clip) for i, clip in zip(part, clips)]
        write_shard(target, index, clips, records)
        written += len(clips)
    return written


def _cropped(record: Record, clip: Clip) -> Record:
    source = {"cropped from": [record.width, record.height]}
    return replace(record, width=clip.width, height=clip.height, source=source)


def fit(name: str, rows: int, threads: int | None = None) -> TransformerFit:
    """The shipped recipe's transformer, smaller and from nothing, on whatever data it is given; no part is known."""
    whole = load_recipe(str(Path(__file__).with_name("mini.py"))).fits[-1]
    assert isinstance(whole, TransformerFit)
    run = replace(whole.run, num_steps=rows, num_threads=threads, sample_seconds=0.0)
    card = f"# {name}\n\n{rows} rows: see recipes/native.py. Not a model to use.\n"
    return replace(
        whole,
        name=name,
        autoencoder="mini",
        run=run,
        network=replace(whole.network, width=128, num_blocks=6, num_heads=4),
        optimizer=replace(whole.optimizer, learning_rate=1.5e-3, ema_decay=0.99),
        mixture=replace(whole.mixture, pictures=0.75, mid_clip=0.0, masks=0.0),
        alignment=None,
        init_from=None,
        card=card,
    )


def asked(out: Path, mix: WorldMix, num_clips: int) -> list[tuple[Record, Clip]]:
    """Scenes that no run saw, of which the simulator's own clip is whole, with that clip."""
    reader = build_held_out(out / "held-out", replace(mix, num_frames=((17, 1.0),)), 3 * num_clips, workers=1)
    found = ((reader.record(i), reader.clip(i)) for i in range(len(reader)))
    return [pair for pair in found if framing(pair[1]).whole][:num_clips]


def rendered(generator: Generator, records: Sequence[Record], square: bool, folder: Path) -> list[Clip]:
    """A model's clips of the records' dense captions, kept in ``folder``, a shard a batch."""
    for index, start in enumerate(range(0, len(records), BATCH)):
        if index in whole_shards(folder):
            continue
        chosen = records[start : start + BATCH]
        requests = []
        for place, record in enumerate(chosen, start=start):
            side = min(record.width, record.height)
            size = (side, side) if square else (record.width, record.height)
            text = record.text("dense") or ""
            requests.append(Request(text, size, record.num_frames / record.fps, record.fps, seed=place))
        clips = generator.render(requests)
        sized = [replace(r, width=c.width, height=c.height, source={}) for r, c in zip(chosen, clips, strict=True)]
        write_shard(folder, index, clips, sized)
    reader = ShardReader(folder)
    return [reader.clip(i) for i in range(len(records))]


def shares(clips: Sequence[Clip], records: Sequence[Record]) -> dict[str, Share | None]:
    """Over clips: whole; the mean share of clear appearances; and as many objects seen as asked for."""
    found = [framing(clip) for clip in clips]
    counts = [len(record.facts.objects) if record.facts else 0 for record in records]
    return {
        "whole": bootstrap(np.array([float(one.whole) for one in found])),
        "clear of the border": bootstrap(np.array([one.clear for one in found])),
        "count": bootstrap(np.array([float(one.seen == count) for one, count in zip(found, counts, strict=True)])),
    }


def report(out: Path, num_clips: int) -> str:
    """Score both models at both sizes beside the simulator and its crop; writes the page, its numbers and a strip."""
    scenes = asked(out, world().mix, num_clips)
    records = [record for record, _ in scenes]
    clips = {"simulator": [clip for _, clip in scenes], "simulator, cropped": [middle_square(c) for _, c in scenes]}
    for name in ("native", "cropped"):
        generator = Generator.load(out / name / name)
        for size, square in (("native size", False), ("square", True)):
            folder = out / f"clips-{name}-{size.split()[0]}-{generator.hash[:12]}-{len(records)}"
            clips[f"{name} model, {size}"] = rendered(generator, records, square, folder)
    rows = {label: shares(found, records) for label, found in clips.items()}
    columns = [sample_strip(clips[f"{name} model, native size"][:8], 4) for name in ("native", "cropped")]
    Clip(np.concatenate(columns, axis=1)[None], 1.0).save(out / "strip.png")
    plain = {label: {part: asdict(share) for part, share in row.items() if share} for label, row in rows.items()}
    (out / "native.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    own, other = (rows[f"{name} model, native size"]["whole"] for name in ("native", "cropped"))
    square = rows["cropped model, square"]["whole"]
    assert own and other and square
    apart = own.low > other.high or other.low > own.high
    text = "\n".join(
        [
            "# Native sizes or square crops",
            "",
            f"At the scenes' own sizes the model trained on native sizes keeps its objects whole in {own} % of the",
            f"clips, the one trained on squares in {other} %: {'apart' if apart else 'inside the noise'}. At the size",
            f"that it was trained on, a square, the latter keeps them whole in {square} %.",
            "",
            markdown_table(f"Framing, {len(records)} scenes in which the simulator's objects stay in frame", rows),
            "Left: trained on native sizes. Right: trained on the middle squares of the same clips.",
            "",
            "![native and cropped](strip.png)",
            "",
        ]
    )
    (out / "README.md").write_text(text, encoding="utf-8")
    return text


def main(
    out: Positional[Path],
    do: Positional[Literal["data", "native", "cropped", "report"]],
    rows: int = 600,
    num_clips: int = 80,
    threads: int | None = None,
) -> None:
    """One step of the experiment in folder ``out``."""
    native, cropped = out / "native", out / "cropped"
    if do == "data":
        build_world(world(), native / "data")
        print(f"{crop_shards(native / 'data', cropped / 'data')} clips cropped")
    elif do == "report":
        print(report(out, num_clips))
    else:
        train(TrainConfig(do, (fit(do, rows, threads),)), resume=True, out=out / do)


if __name__ == "__main__":
    tyro.cli(main)
