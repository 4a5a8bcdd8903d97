"""How is the transformer fitted? One loop over packed rows of latents, read from top to bottom.

The row of a step depends on the seed and the steps before it, its noise on the seed and the step alone; both
are restored, so a run that was killed goes on with the loss that it would have had.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from ozora.data.batch import Row, RowPacker
from ozora.data.dataset import Dataset
from ozora.data.latents import encode_captions, encode_clips
from ozora.data.shards import ShardReader
from ozora.flow.objective import FlowLoss, flow_loss
from ozora.flow.path import STRAIGHT, mix
from ozora.flow.schedule import draw_chain_sigmas, draw_sigmas
from ozora.generate.folder import Model, ModelConfig, TrainedRange, find_model, load_folder, save_folder
from ozora.generate.generator import Generator
from ozora.generate.request import Request
from ozora.generate.tasks import random_canvas_mask
from ozora.language.encoder import TextEncoder, load_text_encoder
from ozora.model.transformer import Transformer
from ozora.train.alignment import AlignedLatents, Alignment, make_truth
from ozora.train.checkpoint import Interruption, latest_checkpoint, load_checkpoint, save_checkpoint
from ozora.train.config import TransformerFit
from ozora.train.metrics import LossMeter, Metrics, sample_strip
from ozora.train.optimizer import Ema, apply_gradients, decay_starts, make_optimizers
from ozora.train.timer import Every


def draw_noise_levels(row: Row, generator: torch.Generator, fit: TransformerFit) -> Float[Tensor, " n"]:
    """Each token's own noise level: one draw for a segment, shifted by its size, times what is not known."""
    num_segments = len(row.segment_tokens)
    if fit.path == STRAIGHT:
        shift = (row.segment_tokens / fit.reference_tokens).sqrt()
        sigma = draw_sigmas(num_segments, generator, fit.sigma_mean, fit.sigma_std, shift)
    else:
        sigma = draw_chain_sigmas(num_segments, generator)
    return sigma[row.segment_of_token] * (1 - row.known)


def training_step(
    network: Transformer,
    row: Row,
    generator: torch.Generator,
    fit: TransformerFit,
    alignment: Alignment | None = None,
) -> FlowLoss:
    """Add noise to a row, predict, measure; the gradient is left in the network. Draws are made on the CPU."""
    device = next(network.parameters()).device
    sigma = draw_noise_levels(row, generator, fit).to(device)
    clean, maps = row.clean.to(device).tensor_split([network.config.patch_width], dim=1)
    noise = torch.randn(clean.shape, generator=generator).to(device)
    noisy = mix(clean, noise, sigma[:, None], fit.path)
    with torch.autocast(device.type, torch.bfloat16, enabled=fit.run.autocast):
        prediction = network(noisy, sigma, row.layout.to(device))
    loss = flow_loss(prediction, clean, noise, sigma, network.config.prediction)
    (loss.mean if alignment is None else loss.mean + alignment.loss(maps)).backward()
    return loss


def fit_transformer(fit: TransformerFit, data: Path, out: Path, resume: bool = False) -> Path:
    """Fit, and write the model folder ``out/fit.name``; returns it. Checkpoints and logs lie in ``out/fit.name-run``.

    With ``resume`` the newest checkpoint is gone on from; ``run.num_steps`` may have been changed since.
    """
    # config and devices
    run, optimization = fit.run, fit.optimizer
    folder, work = out / fit.name, out / f"{fit.name}-run"
    device = torch.device(run.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if run.num_threads:
        torch.set_num_threads(run.num_threads)
    torch.manual_seed(run.seed)

    # data
    parts = load_folder(out / fit.autoencoder if (out / fit.autoencoder).is_dir() else find_model(fit.autoencoder))
    encoder = load_text_encoder(fit.text_encoder, device)
    reader = ShardReader(data)
    dataset = open_dataset(fit, reader, parts, encoder, out, device)
    packer = RowPacker(dataset, fit.row_tokens)

    # model
    widths = {"patch_width": parts.geometry.patch_width, "text_width": encoder.width}
    network = Transformer(replace(fit.network, **widths))
    if fit.init_from:
        network = _initial(fit.init_from, network)
    network.to(device).train()
    alignment = None
    if fit.alignment:
        map_width = dataset.example(0, dataset.indices[0]).clean.shape[1] - network.config.patch_width
        alignment = Alignment(network, fit.alignment, map_width).to(device)
    optimizers = make_optimizers(network, optimization, alignment)
    ema = Ema(network, optimization.ema_decay)
    config = model_config(fit, reader, dataset, parts, encoder, network)

    # resume
    step = 0
    checkpoint = latest_checkpoint(work) if resume else None
    if checkpoint is not None:
        state = load_checkpoint(checkpoint)
        step = state["step"]
        network.load_state_dict(state["network"])
        ema.load_state_dict(state["ema"])
        packer.load_state_dict(state["rows"])
        if alignment:
            alignment.load_state_dict(state["alignment"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
    if run.compile:
        for block in network.blocks:
            block.compile()

    def save(stable: bool = False) -> None:
        states = [optimizer.state_dict() for optimizer in optimizers]
        state = {"network": network.state_dict(), "ema": ema.state_dict(), "optimizers": states}
        if alignment:
            state["alignment"] = alignment.state_dict()
        save_checkpoint(work, step, {**state, "rows": packer.state_dict()}, run.num_kept, stable)

    # loop
    time_to_save, time_to_show = Every(run.save_seconds), Every(run.sample_seconds)
    meter = LossMeter()
    with Metrics(work, fit.name, run.num_steps, step, run.print_seconds) as metrics, Interruption() as interruption:
        metrics.say(f"{fit.name}: {sum(p.numel() for p in network.parameters()) / 1e6:.1f} M parameters on {device}")
        while step < run.num_steps and not interruption.asked:
            if step == decay_starts(run.num_steps, optimization.decay_fraction):
                save(stable=True)
            loss = training_step(network, packer.next_row(), _noise(run.seed, step), fit, alignment)
            norm = apply_gradients(network, optimizers, optimization, step, run.num_steps)
            ema.update(network)
            step += 1
            meter.add(loss)
            if step % run.log_steps == 0 or step == run.num_steps:
                rows = {"rows/padding": packer.padding, "rows/epoch": packer.epoch}
                metrics.log(step, meter.take() | {"norm": norm.item()} | rows)
            if time_to_save():
                save()
            if time_to_show():
                with ema.applied_to(network):
                    show_samples(metrics, step, Model(config, parts.autoencoder, network, ""), encoder, fit)
                network.train()
        save()
        metrics.say(packer.report())
        if interruption.asked:
            raise KeyboardInterrupt(f"stopped after step {step} of {run.num_steps}; --resume goes on from there")

    # export
    network.load_state_dict(ema.weights)
    card = fit.card or f"# {config.name}\n\nFitted by Ozora in {step} steps on {len(dataset)} clips.\n"
    return save_folder(folder, config, parts.autoencoder, network, card)


def open_dataset(
    fit: TransformerFit, reader: ShardReader, parts: Model, encoder: TextEncoder, out: Path, device: torch.device
) -> Dataset:
    """Encode what is not encoded yet, into ``out/cache``, and open it all."""
    config = parts.config
    with Progress(console=Console(stderr=True), transient=True) as bar:
        tasks = {name: bar.add_task(name, total=None) for name in ("latents", "captions")}
        latents = encode_clips(
            reader,
            out / "cache",
            parts.autoencoder,
            config.latent_mean,
            config.latent_std,
            split=fit.split,
            device=device,
            autocast=fit.run.autocast,
            progress=lambda done, total: bar.update(tasks["latents"], completed=done, total=total),
        )
        captions = encode_captions(
            reader,
            out / "cache",
            encoder,
            split=fit.split,
            progress=lambda done, total: bar.update(tasks["captions"], completed=done, total=total),
        )
    shown = latents
    if fit.alignment:
        shown = AlignedLatents(latents, make_truth(reader, out / "cache", parts.geometry, fit.split))
    return Dataset(
        shown, captions, parts.geometry, random_canvas_mask, fit.mixture, fit.run.seed, max_tokens=fit.row_tokens
    )


def model_config(
    fit: TransformerFit, reader: ShardReader, dataset: Dataset, parts: Model, encoder: TextEncoder, network: Transformer
) -> ModelConfig:
    """What the model folder will say: the autoencoder's config, this network's, and what it was shown."""
    shown = [reader.record(index) for index in dataset.indices]
    sizes = Counter((record.width, record.height) for record in shown)
    lengths = Counter(record.num_frames for record in shown)
    rates = Counter(record.fps for record in shown)
    return replace(
        parts.config,
        name=fit.name,
        transformer=network.config,
        path=fit.path,
        reference_tokens=fit.reference_tokens,
        text_encoder=encoder.id,
        text_encoder_hash=encoder.hash,
        trained=TrainedRange(tuple(sorted(sizes)), tuple(sorted({1, *lengths})), tuple(sorted(rates))),
        sampling=fit.sampling,
        default_size=sizes.most_common(1)[0][0],
        default_fps=rates.most_common(1)[0][0],
    )


def show_samples(metrics: Metrics, step: int, model: Model, encoder: TextEncoder, fit: TransformerFit) -> None:
    """Write what the averaged weights make of the sample prompts now, with the seeds 0, 1, 2 and on."""
    seconds = max(model.config.trained.num_frames) / model.config.default_fps
    requests = [
        Request(text, seconds=seconds, seed=i, steps=fit.sample_steps) for i, text in enumerate(fit.sample_prompts)
    ]
    dtype = torch.bfloat16 if fit.run.autocast else torch.float32
    clips = Generator(model, encoder, dtype).render(requests)
    metrics.image(step, "samples", sample_strip(clips))


def _initial(name: str, network: Transformer) -> Transformer:
    start = load_folder(find_model(name)).transformer
    if start is None or start.config != network.config:
        raise ValueError(f"init_from {name}: its transformer is {start and start.config}; it must be {network.config}")
    return start.requires_grad_(True)


def _noise(seed: int, step: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1_000_003 + step)
