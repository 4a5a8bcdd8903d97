"""How is the autoencoder fitted? One loop over windows of clips, read from top to bottom.

The batch of a step is a function of the seed and the step alone, so a run that was killed goes on
with the batches that it would have seen.
"""

from collections import defaultdict
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ozora.clip import Clip
from ozora.data.shards import ShardReader
from ozora.generate.folder import ModelConfig, find_model, load_folder, save_folder
from ozora.model.autoencoder import Autoencoder
from ozora.train.checkpoint import Interruption, latest_checkpoint, load_checkpoint, save_checkpoint
from ozora.train.config import AutoencoderFit
from ozora.train.metrics import Metrics, sample_strip
from ozora.train.optimizer import Ema, apply_gradients, make_optimizers
from ozora.train.timer import Every

NUM_CLIPS_FOR_STATISTICS = 512
NUM_CLIPS_FOR_COMPONENTS = 128


class Windows:
    """Windows of frames by seed and step: clips of one size and length, at random starts, half of them mirrored."""

    def __init__(self, reader: ShardReader, fit: AutoencoderFit) -> None:
        self.reader, self.fit = reader, fit
        self.groups: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        for index in reader.indices(fit.split):
            record = reader.record(index)
            num_frames = 1 + (min(record.num_frames, fit.num_frames) - 1) // 4 * 4
            self.groups[record.width, record.height, num_frames].append(index)
        if not self.groups:
            raise ValueError(f"{reader.folder} has no clips of split {fit.split!r}; `ozora world build` makes some")
        self.shapes = sorted(self.groups)
        self.weights = torch.tensor([float(len(self.groups[shape])) for shape in self.shapes])

    def batch(self, step: int) -> Float[Tensor, "b 3 t h w"]:
        """The signal of step ``step``, in [-1, 1]."""
        generator = torch.Generator().manual_seed(self.fit.run.seed * 1_000_003 + step)
        shape = self.shapes[int(torch.multinomial(self.weights, 1, generator=generator))]
        members, num_frames = self.groups[shape], shape[2]
        signals = []
        for _ in range(self.fit.batch_size):
            pick, start, mirror = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
            clip = self.reader.clip(members[int(pick * len(members))])
            first = int(start * (clip.num_frames - num_frames + 1))
            signal = clip.slice(first, first + num_frames).to_signal()
            signals.append(signal.flip(-1) if mirror < 0.5 else signal)
        return torch.stack(signals)

    def examples(self, num_clips: int) -> Float[Tensor, "b 3 t h w"]:
        """Clips of the most frequent size and length; pictures, which say nothing of change, only if there are none."""
        shape = max(self.groups, key=lambda shape: (shape[2] > 1, len(self.groups[shape])))
        members = self.groups[shape][:: max(1, len(self.groups[shape]) // num_clips)][:num_clips]
        return torch.stack([self.reader.clip(index).slice(0, shape[2]).to_signal() for index in members])


def pyramid_loss(difference: Float[Tensor, "b 3 t h w"], num_levels: int = 3) -> Float[Tensor, ""]:
    """L1 of the Laplacian pyramid of a difference: every scale counts alike (Bojanowski et al. 2018, eq. 4)."""
    x, total = difference.flatten(1, 2), difference.new_zeros(())
    for _ in range(num_levels):
        coarse = F.avg_pool2d(x, 2)
        total = total + (x - F.interpolate(coarse, size=x.shape[2:], mode="nearest")).abs().mean()
        x = coarse
    return total + x.abs().mean()


def pixel_weight(signal: Float[Tensor, "b 3 t h w"], chroma_weight: float) -> Float[Tensor, "b 1 t h w"]:
    """How much each pixel counts, 1 on average: a pixel of the purest colour 1 + ``chroma_weight`` times a grey one."""
    chroma = (signal.amax(1, keepdim=True) - signal.amin(1, keepdim=True)) / 2
    weight = 1 + chroma_weight * chroma
    return weight / weight.mean()


def autoencoder_loss(
    network: Autoencoder, signal: Float[Tensor, "b 3 t h w"], fit: AutoencoderFit, step: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of one batch and its parts.

    In a quarter of the steps (``equivariance``) a second term asks that the latents, halved in size,
    decode to the halved frames: a latent space that respects scale is easier to learn a diffusion
    model on (Skorokhodov et al. 2025, "Improving the diffusability of autoencoders").
    """
    generator = torch.Generator().manual_seed(fit.run.seed * 1_000_003 + step + 2**40)
    mean, log_variance = network.posterior(signal)
    noise = torch.randn(mean.shape, generator=generator).to(mean.device)
    latents = mean + noise * (0.5 * log_variance).exp()
    decoded, _ = network.run_decoder(latents)
    difference = decoded.float() - signal
    weight = pixel_weight(signal, fit.chroma_weight)
    l1, mse = (weight * difference.abs()).mean(), (weight * difference.square()).mean()
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    loss = l1 + fit.mse_weight * mse + fit.pyramid_weight * pyramid_loss(weight * difference) + fit.kl_weight * kl
    if torch.rand((), generator=generator) < fit.equivariance:
        half, _ = network.run_decoder(F.avg_pool3d(latents, (1, 2, 2)))
        loss = loss + (half.float() - F.avg_pool3d(signal, (1, 2, 2))).abs().mean()
    return loss, {"l1": l1.detach(), "mse": difference.detach().square().mean(), "kl": kl.detach()}


@torch.no_grad()
def latent_statistics(network: Autoencoder, reader: ShardReader, split: str) -> tuple[list[float], list[float]]:
    """What to take from each latent channel and what to divide it by, over whole clips spread evenly through a split.

    Not the bare standard deviation: a channel's variance is to be proportional to how far it moves pixels, and 1
    on average, so that what matters most is noised last and weighs most in the transformer's loss.
    """
    indices = reader.indices(split)
    total, square, count = torch.zeros(0), torch.zeros(0), 0
    for index in indices[:: max(1, len(indices) // NUM_CLIPS_FOR_STATISTICS)]:
        clip = reader.clip(index)
        signal = clip.slice(0, 1 + (clip.num_frames - 1) // 4 * 4).to_signal()
        latents = network.encode(signal).flatten(1).double()
        sums = latents.sum(1), latents.square().sum(1)
        total, square = (sums[0], sums[1]) if count == 0 else (total + sums[0], square + sums[1])
        count += latents.shape[1]
    mean = total / count
    std = (square / count - mean.square()).clamp(min=1e-8).sqrt()
    amplitude = (network.channel_weight / network.channel_weight.mean()).sqrt()
    return mean.tolist(), (std / amplitude).tolist()


def fit_autoencoder(fit: AutoencoderFit, data: Path, out: Path, resume: bool = False) -> Path:
    """Fit, and write the model folder ``out/fit.name``; returns it. Checkpoints lie in ``out/fit.name-run``."""
    # config and device
    run = fit.run
    folder, work = out / fit.name, out / f"{fit.name}-run"
    device = torch.device(run.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if run.num_threads:
        torch.set_num_threads(run.num_threads)
    torch.manual_seed(run.seed)

    # data and model
    windows = Windows(ShardReader(data), fit)
    network = Autoencoder(fit.network)
    start = load_folder(find_model(fit.init_from)) if fit.init_from else None
    if start is not None:
        network.load_state_dict(start.autoencoder.state_dict())
    else:
        network.start_at_principal_components(windows.examples(NUM_CLIPS_FOR_COMPONENTS))
    network = network.to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if fit.decoder_only:
        network.requires_grad_(False).decoder.requires_grad_(True)
    optimizers = make_optimizers(network, fit.optimizer)
    ema = Ema(network, fit.optimizer.ema_decay)

    # resume
    first_step = 0
    checkpoint = latest_checkpoint(work) if resume else None
    if checkpoint is not None:
        state = load_checkpoint(checkpoint)
        first_step = state["step"]
        network.load_state_dict(state["network"])
        ema.load_state_dict(state["ema"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)

    def save(step: int) -> None:
        optimizer_states = [optimizer.state_dict() for optimizer in optimizers]
        state = {"network": network.state_dict(), "ema": ema.state_dict(), "optimizers": optimizer_states}
        save_checkpoint(work, step, state, run.num_kept)

    # loop
    time_to_save, time_to_show = Every(run.save_seconds), Every(run.sample_seconds)
    step = first_step
    with Metrics(work, fit.name, run.num_steps, step, run.print_seconds) as metrics, Interruption() as interruption:
        while step < run.num_steps and not interruption.asked:
            signal = windows.batch(step).to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=run.autocast):
                loss, parts = autoencoder_loss(network, signal, fit, step)
            loss.backward()
            norm = apply_gradients(network, optimizers, fit.optimizer, step, run.num_steps)
            ema.update(network)
            step += 1
            if step % run.log_steps == 0 or step == run.num_steps:
                values = {"loss": loss.item(), "psnr": float(10 * torch.log10(4 / parts["mse"])), "norm": norm.item()}
                metrics.log(step, values | {f"part/{key}": value.item() for key, value in parts.items()})
            if time_to_save():
                save(step)
            if time_to_show():
                with ema.applied_to(network), torch.no_grad():
                    clips = [Clip.from_signal(s, 8) for s in (signal[0], network.decode(network.encode(signal[:1]))[0])]
                metrics.image(step, "reconstruction", sample_strip(clips))
        save(step)
        if interruption.asked:
            raise KeyboardInterrupt(f"stopped after step {step} of {run.num_steps}; --resume goes on from there")

    # export
    network.load_state_dict(ema.weights)
    network = network.to("cpu").eval()
    if start is not None and fit.decoder_only:
        mean, std = start.config.latent_mean, start.config.latent_std
    else:
        examples = windows.examples(NUM_CLIPS_FOR_COMPONENTS)
        if examples.shape[2] > 1:
            network.align_first_frame(examples)
        mean, std = latent_statistics(network, windows.reader, fit.split)
    config = ModelConfig(
        name=fit.name,
        geometry=network.geometry,
        autoencoder=network.config,
        transformer=None,
        latent_mean=tuple(mean),
        latent_std=tuple(std),
    )
    save_folder(folder, config, network, None, f"# {fit.name}\n\nAn autoencoder without a transformer.\n")
    return folder
