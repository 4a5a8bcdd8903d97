"""What a lent hour of one GPU can train: clips of 128x128-class and four seconds, up to four objects, start to end.

    python recipes/gpu.py --out RUNS                    (again, until it says that all is done)
    python recipes/gpu.py --out RUNS --miniature        (the same in a minute on a CPU, with networks of no use)

A call measures the machine's speed, makes a plan that fits ``transformer_minutes``, simulates the clips on all cores,
fits the autoencoder from the shipped one, fits the transformer, scores it, and exports weights in files below 16 MiB
(``cat transformer.tar.* | tar x``). It stops itself after ``minutes``, whatever it is at, exports what there is, and
the next call goes on; status 3 says that there is more to do. Where only the export outlives the machine, ``--init``
starts the transformer from it.

Hardware: one H100 and 16 cores. Time: half an hour in calls of 8 minutes. Expected, not yet seen: 10 rows of 16384
tokens a second, 6000 rows, 16 times the compute of ``mini``. Needs ozora[world] installed.
"""

import io
import json
import os
import shutil
import signal
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import tyro

from ozora.data.batch import Row
from ozora.evaluate.suite import evaluate
from ozora.generate.folder import SamplingConfig, TrainedRange, find_model, load_folder, save_folder
from ozora.language.encoder import load_text_encoder
from ozora.model.autoencoder import Autoencoder, AutoencoderConfig
from ozora.model.transformer import Transformer, TransformerConfig
from ozora.train.checkpoint import latest_checkpoint, load_checkpoint
from ozora.train.compute import autoencoder_training_flops, even_row, training_flops
from ozora.train.config import AutoencoderFit, RunConfig, TrainConfig, TransformerFit, WorldConfig
from ozora.train.fit_autoencoder import autoencoder_loss
from ozora.train.fit_transformer import training_step
from ozora.train.optimizer import OptimizerConfig, apply_gradients, make_optimizers
from ozora.train.run import build_world, load_recipe, train
from ozora.world.mix import WorldMix

NAME = "gpu"
MORE = 3  # exit status: call again
PIECE_BYTES = 15 * 2**20
SHARE = 0.6  # of the measured speed that a plan counts on: rows are made between steps
MEASURED_STEPS = 8
CARD = """# gpu

Clips of 128x128-class, 64x64 to 176x96 and 96x176, of up to 33 frames at 8 frames a second, with one to four objects,
from Ozora's simulated worlds: see recipes/gpu.py. It knows nothing else.
"""


@dataclass(frozen=True)
class Scale:
    """All that the miniature has less of. ``clip`` is frames, height and width of what an autoencoder's step sees."""

    mix: WorldMix
    num_clips: int
    autoencoder: AutoencoderConfig
    network: TransformerConfig
    row_tokens: int
    batch_size: int
    clip: tuple[int, int, int]
    num_evaluated: int


@dataclass(frozen=True)
class Plan:
    """How long to train, from what was measured: seconds a step and the share of useful operations a second."""

    autoencoder_steps: int
    transformer_steps: int
    autoencoder_seconds: float
    transformer_seconds: float
    transformer_teraflops: float
    device: str


def full(width: int, blocks: int) -> Scale:
    """The real thing; a head is 64 wide."""
    mix = replace(
        WorldMix.mini(),
        num_objects=((1, 0.35), (2, 0.30), (3, 0.20), (4, 0.15)),
        sizes=(((128, 128), 0.4), ((176, 96), 0.15), ((96, 176), 0.15), ((64, 64), 0.3)),
        num_frames=((33, 0.25), (17, 0.15), (1, 0.60)),
    )
    network = TransformerConfig(width=width, num_blocks=blocks, num_heads=max(1, width // 64))
    return Scale(mix, 30000, AutoencoderConfig(), network, 16384, 16, (17, 128, 128), 100)


def tiny() -> Scale:
    """The same steps with next to nothing in them."""
    mix = replace(
        WorldMix.mini(),
        families=(("drop", 1.0), ("roll", 1.0)),
        num_objects=((1, 0.5), (2, 0.5)),
        sizes=(((32, 32), 0.7), ((48, 32), 0.3)),
        num_frames=((9, 0.5), (1, 0.5)),
    )
    autoencoder = AutoencoderConfig(fine_width=8, coarse_width=16, num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1))
    network = TransformerConfig(width=32, num_blocks=1, num_heads=2)
    return Scale(mix, 24, autoencoder, network, 128, 2, (9, 32, 32), 2)


def fits(scale: Scale, plan: Plan | None = None, init: str | None = None) -> tuple[AutoencoderFit, TransformerFit]:
    """Both fits, of as many steps as the plan says (1 without one), as ``recipes/mini.py`` sets them where it can."""
    first, second = load_recipe(str(Path(__file__).with_name("mini.py"))).fits
    assert isinstance(first, AutoencoderFit) and isinstance(second, TransformerFit)
    on_gpu = torch.cuda.is_available()
    steps = (plan.autoencoder_steps, plan.transformer_steps) if plan else (1, 1)
    run = RunConfig(num_steps=1, autocast=on_gpu, compile=on_gpu, save_seconds=90.0, sample_seconds=0.0, log_steps=20)
    shipped = scale.autoencoder == AutoencoderConfig()
    autoencoder = replace(
        first,
        run=replace(run, num_steps=steps[0], compile=False),
        name="autoencoder",
        network=scale.autoencoder,
        optimizer=replace(first.optimizer, learning_rate=4e-4, decay_fraction=0.6),
        batch_size=scale.batch_size,
        num_frames=scale.clip[0],
        init_from=str(find_model("mini")) if shipped else None,
    )
    transformer = replace(
        second,
        run=replace(run, num_steps=steps[1]),
        name=NAME,
        autoencoder="autoencoder",
        network=scale.network,
        optimizer=OptimizerConfig(learning_rate=8e-4, warm_up_steps=min(300, 1 + steps[1] // 10), decay_fraction=0.5),
        row_tokens=scale.row_tokens,
        reference_tokens=80,
        init_from=init,
        sampling=SamplingConfig(steps=30, guidance_interval=(0.15, 1.0)),
        card=CARD,
    )
    return autoencoder, transformer


def make_plan(scale: Scale, autoencoder_minutes: float, transformer_minutes: float) -> Plan:
    """Time some steps of both fits on random data, and say how many fit into the minutes."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    slow, fast = autoencoder_step_seconds(scale, device), transformer_step_seconds(scale, device)
    clip_flops = autoencoder_training_flops(scale.autoencoder, *scale.clip)
    flops = training_flops(scale.network, layout_of(scale))
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{os.cpu_count()} cores"
    print(f"{name}: a step of the autoencoder {slow:.3f} s, {scale.batch_size * clip_flops / slow / 1e12:.2f} TFLOP/s")
    print(f"{name}: a row of {scale.row_tokens} tokens {fast:.3f} s, {flops / fast / 1e12:.2f} TFLOP/s", flush=True)
    return Plan(
        autoencoder_steps=max(2, int(60 * autoencoder_minutes * SHARE / slow)),
        transformer_steps=max(2, int(60 * transformer_minutes * SHARE / fast)),
        autoencoder_seconds=slow,
        transformer_seconds=fast,
        transformer_teraflops=flops / fast / 1e12,
        device=name,
    )


def layout_of(scale: Scale):
    """A row of pictures and clips in one, as long as their mean."""
    return even_row(scale.row_tokens, min(128, scale.row_tokens), 40, scale.network.text_width)


def transformer_step_seconds(scale: Scale, device: torch.device) -> float:
    """The median of some steps, rows made anew."""
    _, fit = fits(scale)
    network = Transformer(scale.network).to(device).train()
    optimizers = make_optimizers(network, fit.optimizer)
    if fit.run.compile:
        for block in network.blocks:
            block.compile()

    def step(index: int) -> None:
        layout = layout_of(scale)
        lengths = torch.tensor(layout.segment_offsets).diff()
        clean = torch.randn(scale.row_tokens, scale.network.patch_width)
        numbers = torch.arange(len(lengths)).repeat_interleave(lengths)
        row = Row(layout, clean, torch.zeros(scale.row_tokens), lengths, numbers)
        training_step(network, row, torch.Generator().manual_seed(index), fit)
        apply_gradients(network, optimizers, fit.optimizer, index, MEASURED_STEPS)

    return _median_seconds(step, device)


def autoencoder_step_seconds(scale: Scale, device: torch.device) -> float:
    """The median of some steps."""
    fit, _ = fits(scale)
    network = Autoencoder(scale.autoencoder).to(device)
    optimizers = make_optimizers(network, fit.optimizer)
    signal = torch.rand(scale.batch_size, 3, *scale.clip, device=device) * 2 - 1

    def step(index: int) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=fit.run.autocast):
            loss, _ = autoencoder_loss(network, signal, fit, index)
        loss.backward()
        apply_gradients(network, optimizers, fit.optimizer, index, MEASURED_STEPS)

    return _median_seconds(step, device)


def _median_seconds(step, device: torch.device) -> float:
    seconds = []
    for index in range(2 * MEASURED_STEPS):
        start = time.perf_counter()
        step(index)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return sorted(seconds[MEASURED_STEPS:])[MEASURED_STEPS // 2]


@contextmanager
def time_limit(minutes: float) -> Iterator[None]:
    """Press Ctrl-C when the time is up: fits save a checkpoint, builds leave whole shards, scores keep their clips.

    What a shell started in the background ignores Ctrl-C; within the limit it does not.
    """
    previous = {signal.SIGALRM: signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))}
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        previous[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 60 * minutes)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)


def so_far(out: Path, fit: TransformerFit, scale: Scale) -> Path | None:
    """The newest checkpoint's moving average as a model folder, or None where training has not begun."""
    checkpoint = latest_checkpoint(out / f"{fit.name}-run")
    if checkpoint is None:
        return None
    parts, encoder = load_folder(out / fit.autoencoder), load_text_encoder(fit.text_encoder)
    widths = {"patch_width": parts.geometry.patch_width, "text_width": encoder.width}
    network = Transformer(replace(fit.network, **widths))
    state = load_checkpoint(checkpoint)
    network.load_state_dict(state["ema"]["weights"])
    mix = scale.mix
    shown = TrainedRange(
        sizes=tuple(sorted({size for size, _ in mix.sizes})),
        num_frames=tuple(sorted({number for number, _ in mix.num_frames})),
        fps=tuple(sorted({rate for rate, _ in mix.fps})),
    )
    config = replace(
        parts.config,
        name=f"{fit.name}-so-far",
        transformer=network.config,
        path=fit.path,
        reference_tokens=fit.reference_tokens,
        text_encoder=encoder.id,
        text_encoder_hash=encoder.hash,
        trained=shown,
        sampling=fit.sampling,
        default_size=mix.sizes[0][0],
        default_fps=mix.fps[0][0],
    )
    card = f"# {config.name}\n\nAfter {state['step']} steps, not decayed: see recipes/gpu.py.\n"
    return save_folder(out / config.name, config, parts.autoencoder, network, card)


def export(out: Path, folder: Path, target: Path) -> list[Path]:
    """Write a model folder as pieces below 16 MiB, each network's apart, with the plan, logs and scores."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    words = [out / "plan.json", out / "report" / "report.json", *out.glob("*-run/log.jsonl")]
    weights = sorted(folder.glob("autoencoder*"))
    rest = [path for path in sorted(folder.iterdir()) if path not in weights]
    pieces = []
    for name, files in (("transformer", rest), ("autoencoder", weights)):
        whole = io.BytesIO()
        with tarfile.open(fileobj=whole, mode="w") as archive:
            for path in files:
                archive.add(path, f"{folder.name}/{path.name}")
            for path in words if name == "transformer" else ():
                if path.is_file():
                    archive.add(path, str(path.relative_to(out)))
        data = whole.getvalue()
        for number, start in enumerate(range(0, len(data), PIECE_BYTES)):
            pieces.append(target / f"{name}.tar.{number:03d}")
            pieces[-1].write_bytes(data[start : start + PIECE_BYTES])
    return pieces


def carry_out(
    out: Path, data: Path, scale: Scale, minutes: tuple[float, float], workers: int | None, init: str | None
) -> None:
    """All steps in order; those that are done are passed over."""
    stated = out / "plan.json"
    if not stated.is_file():
        out.mkdir(parents=True, exist_ok=True)
        stated.write_text(json.dumps(asdict(make_plan(scale, *minutes)), indent=1) + "\n", encoding="utf-8")
    plan = Plan(**json.loads(stated.read_text(encoding="utf-8")))
    print(f"plan: {plan.autoencoder_steps} steps, then {plan.transformer_steps} rows of {scale.row_tokens}", flush=True)
    if data == out / "data":
        build_world(WorldConfig(scale.num_clips, scale.mix, seed=3, workers=workers), data)
    folder = train(TrainConfig(NAME, fits(scale, plan, init), str(data)), resume=True, out=out)
    evaluate(str(folder), "new", out / "report", scale.num_evaluated)


def main(
    out: Path,
    minutes: float = 8.0,
    data: Path | None = None,
    autoencoder_minutes: float = 5.0,
    transformer_minutes: float = 11.0,
    width: int = 384,
    blocks: int = 10,
    workers: int | None = None,
    init: str | None = None,
    miniature: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> None:
    """One call. ``data`` takes clips that are there instead of simulating them."""
    scale = tiny() if miniature else full(width, blocks)
    budget = (0.05, 0.05) if miniature else (autoencoder_minutes, transformer_minutes)
    _, fit = fits(scale)
    done = False
    try:
        with time_limit(minutes):
            carry_out(out, data or out / "data", scale, budget, workers, init)
        done = True
    except KeyboardInterrupt as stop:
        print(f"time is up: {stop}", flush=True)
    folder = out / NAME if (out / NAME / "config.json").is_file() else so_far(out, fit, scale)
    for piece in export(out, folder, out / "export") if folder else ():
        print(f"{piece}: {piece.stat().st_size / 2**20:.1f} MiB")
    print("all is done" if done else "call again")
    sys.exit(0 if done else MORE)


if __name__ == "__main__":
    tyro.cli(main)
