"""How is a trained model taught to need few steps? Changes of its weights learn to leap along its own recorded walks.

A leap sets out from a stop of a recorded walk, or from where the network's own leaps led from the same noise, and is to
land on the walk's next stop: what is learned is the mean velocity between (as in shortcut models, Frans et al. 2024,
eq. 5, with a teacher's walk in place of two short steps), with guidance in it (Meng et al. 2023).

What a step sees depends on the seed and the step alone, so a run that was killed goes on with the loss that it would
have had.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Generator as Chance
from torch import Tensor

from ozora.data.latents import encode_clips
from ozora.data.shards import ShardReader
from ozora.flow.objective import FlowLoss, flow_loss
from ozora.flow.path import Path as FlowPath
from ozora.flow.path import from_straight, to_velocity
from ozora.generate.folder import Model, find_model, load_folder
from ozora.generate.generator import Generator
from ozora.generate.leaps import changeable, changes_of, read_changes, write_leaps
from ozora.language.encoder import load_text_encoder
from ozora.model.transformer import Transformer
from ozora.nn.rows import Layout, pack
from ozora.train.checkpoint import Interruption, latest_checkpoint, load_checkpoint, save_checkpoint
from ozora.train.config import LeapsFit
from ozora.train.metrics import LossMeter, Metrics
from ozora.train.optimizer import apply_gradients, make_optimizers
from ozora.train.timer import Every
from ozora.train.walks import Walk, Wishes, record_walks


@dataclass(frozen=True, eq=False)
class Lesson:
    """A row of questions and the mean velocities that answer them; tokens of ``weight`` 0 have nothing to learn."""

    layout: Layout
    x: Float[Tensor, "n p"]
    sigma: Float[Tensor, " n"]
    velocity: Float[Tensor, "n p"]
    weight: Float[Tensor, " n"]


def make_lesson(network: Transformer, walks: Sequence[Walk], own: float, path: FlowPath, chance: Chance) -> Lesson:
    """One leap of each walk; a share ``own`` of them sets out from where the network's own leaps lead."""
    device = next(network.parameters()).device
    num_steps = len(walks[0].stops) - 1
    places = (torch.randperm(len(walks), generator=chance) * num_steps // len(walks)).tolist()
    starts = [walk.stops[place].to(device) for walk, place in zip(walks, places)]
    chosen = (torch.rand(len(walks), generator=chance) < own).tolist()
    led = [i for i, place in enumerate(places) if place > 0 and chosen[i]]
    if led:
        ends = lead(network, [walks[i] for i in led], [places[i] for i in led], path)
        for i, end in zip(led, ends):
            starts[i] = end
    sigma, following, targets = (
        torch.cat(parts).to(device)
        for parts in zip(
            *((walk.levels[place], walk.levels[place + 1], walk.stops[place + 1]) for walk, place in zip(walks, places))
        )
    )
    x, stride = torch.cat(starts), sigma - following
    velocity = (x - targets) / stride.clamp(min=1e-4)[:, None]
    return Lesson(_layout(walks, device), x, sigma, velocity, (stride > 0).float())


@torch.no_grad()
def lead(network: Transformer, walks: Sequence[Walk], places: Sequence[int], path: FlowPath) -> list[Tensor]:
    """Where the network's own leaps lead from each walk's noise, after as many leaps as its place says."""
    device = next(network.parameters()).device
    layout = _layout(walks, device)
    x = torch.cat([walk.stops[0] for walk in walks]).to(device)
    for step in range(max(places)):
        sigma, following = (
            torch.cat([walk.levels[min(step + more, place)] for walk, place in zip(walks, places)]).to(device)
            for more in (0, 1)
        )
        said = network(from_straight(x, sigma[:, None], path), sigma, layout)
        velocity = to_velocity(said.float(), network.config.prediction, x, sigma[:, None])
        x = x - (sigma - following)[:, None] * velocity
    return layout.split(x)


def lesson_loss(network: Transformer, lesson: Lesson, path: FlowPath) -> FlowLoss:
    """The flow's loss (``flow.objective``) of the network's answers."""
    said = network(from_straight(lesson.x, lesson.sigma[:, None], path), lesson.sigma, lesson.layout)
    clean = lesson.x - lesson.sigma[:, None] * lesson.velocity
    noise = clean + lesson.velocity
    return flow_loss(said, clean, noise, lesson.sigma, network.config.prediction, lesson.weight)


def fit_leaps(fit: LeapsFit, data: Path, out: Path, resume: bool = False) -> Path:
    """Fit, and write ``out/fit.name``: the model's folder with ``leaps.safetensors`` in it; returns it.

    Walks and checkpoints lie in ``out/fit.name-run``; with ``resume`` the newest is gone on from. Raises ``ValueError``
    for steps that do not divide the model's, and for a model without a transformer.
    """
    # config and devices
    run, optimization = fit.run, fit.optimizer
    folder, work = out / fit.name, out / f"{fit.name}-run"
    device = torch.device(run.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if run.num_threads:
        torch.set_num_threads(run.num_threads)
    torch.manual_seed(run.seed)

    # teacher and network
    source = out / fit.model if (out / fit.model).is_dir() else find_model(fit.model)
    parts = load_folder(source)
    teacher, path = _teacher(fit, parts).to(device), parts.config.path
    parts.autoencoder.to(device)
    network = changeable(teacher, fit.rank).train()
    if fit.init_from:
        found = read_changes(find_model(fit.init_from))
        if found is None:
            raise ValueError(f"{fit.init_from} has learned no leaps; there is nothing to start from")
        take_changes(network, found[1])

    # data: clips, and the teacher's walks
    reader = ShardReader(data)
    mean, std = parts.config.latent_mean, parts.config.latent_std
    latents = encode_clips(reader, out / "cache", parts.autoencoder, mean, std, split=fit.split, device=device)
    generator = Generator(parts, load_text_encoder(parts.config.text_encoder, device))
    wishes = Wishes(reader, latents, fit.styles)
    walks = record_walks(generator, wishes, fit.num_walks, fit.num_steps, work / "walks", run.seed)
    optimizers = make_optimizers(network, optimization)

    # resume
    step = 0
    checkpoint = latest_checkpoint(work) if resume else None
    if checkpoint is not None:
        state = load_checkpoint(checkpoint)
        step = state["step"]
        take_changes(network, state["changes"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)

    def save() -> None:
        changes = {name: part.detach() for name, part in changes_of(network).items()}
        states = [optimizer.state_dict() for optimizer in optimizers]
        save_checkpoint(work, step, {"changes": changes, "optimizers": states}, run.num_kept)

    # loop
    time_to_save, meter = Every(run.save_seconds), LossMeter()
    with Metrics(work, fit.name, run.num_steps, step, run.print_seconds) as metrics, Interruption() as interruption:
        metrics.say(f"{fit.name}: learns from {len(walks)} walks of {source} on {device}")
        while step < run.num_steps and not interruption.asked:
            chance = Chance().manual_seed(run.seed * 1_000_003 + step)
            chosen = torch.randperm(len(walks), generator=chance)[: fit.batch_size].tolist()
            lesson = make_lesson(network, [walks[i] for i in chosen], fit.own, path, chance)
            loss = lesson_loss(network, lesson, path)
            loss.mean.backward()
            norm = apply_gradients(network, optimizers, optimization, step, run.num_steps)
            step += 1
            meter.add(loss)
            if step % run.log_steps == 0 or step == run.num_steps:
                metrics.log(step, meter.take() | {"norm": norm.item()})
            if time_to_save():
                save()
        save()
        if interruption.asked:
            raise KeyboardInterrupt(f"stopped after step {step} of {run.num_steps}; --resume goes on from there")

    # export
    return export(source, folder, fit.num_steps, parts.config.sampling.guidance, network)


def _teacher(fit: LeapsFit, parts: Model) -> Transformer:
    if parts.transformer is None:
        raise ValueError(f"{fit.model} is an autoencoder without a transformer; it has nothing to teach")
    steps = parts.config.sampling.steps
    if fit.num_steps < 1 or steps % fit.num_steps or steps == fit.num_steps:
        divisors = [n for n in range(1, steps) if steps % n == 0]
        raise ValueError(f"num_steps is {fit.num_steps}; it must divide the model's {steps}: one of {divisors}")
    return parts.transformer


@torch.no_grad()
def take_changes(network: Transformer, changes: Mapping[str, Tensor]) -> None:
    """Let a ``changeable`` network go on from these. Raises ``ValueError`` for those of another network or rank."""
    for name, part in changes_of(network).items():
        if name not in changes or changes[name].shape != part.shape:
            found = tuple(changes[name].shape) if name in changes else "not there"
            raise ValueError(f"{name} is {found}; it must have the shape {tuple(part.shape)} of the network's own")
        part.copy_(changes[name])


def export(source: Path, folder: Path, num_steps: int, guidance: float, network: Transformer) -> Path:
    """Write ``folder``, whole or not at all: the model of ``source`` with the changes of a ``changeable`` network."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(source, part)
    write_leaps(part, num_steps, guidance, changes_of(network))
    return part.rename(folder)


def _layout(walks: Sequence[Walk], device: torch.device) -> Layout:
    return pack([walk.segment for walk in walks]).to(device)
