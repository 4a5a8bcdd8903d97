"""How do few steps learn to draw what many draw, rather than to walk where they walked? By matching distributions.

A leap that learns from walks (``fit_leaps``) can only tell their mean, so what many steps decide by chance comes out
undecided. Here the leaps are run from noise to clips, and these are moved to where the teacher's guided answers find
clips likelier than a second network does that learns, beside them, what the leaps make: the gradient of distribution
matching distillation (DMD, Yin et al. 2024a, eq. 7 and 8; without its regression and with several steps of the second
network for one of the leaps, as in DMD2, Yin et al. 2024b, sec. 4.2). No clip is compared with another.

The teacher is no judge of what it draws wrong itself. So the model's captioner may have a word: clips are moved, too,
to where it finds their own prompt likelier, through what they show (a reward's gradient, as in ReFL, Xu et al. 2023,
and DRaFT, Clark et al. 2024; what keeps them from what only the captioner likes is the distribution).

What a step sees depends on the seed and the step alone, so a run that was killed goes on as it would have.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Generator as Chance
from torch import Tensor
from torch.nn.utils import parametrize

from ozora.data.latents import encode_clips
from ozora.data.shards import ShardReader
from ozora.data.writing import watched
from ozora.flow.guidance import guide
from ozora.flow.objective import FlowLoss, flow_loss
from ozora.flow.path import Path as FlowPath
from ozora.flow.path import from_straight, mix, to_velocity
from ozora.flow.schedule import draw_sigmas, shift_for
from ozora.generate.folder import SamplingConfig, find_model, load_folder
from ozora.generate.generator import Generator
from ozora.generate.leaps import changeable, changes_of, read_changes
from ozora.generate.request import Request
from ozora.generate.watch import load_captioner
from ozora.geometry import Geometry
from ozora.language.encoder import load_text_encoder
from ozora.language.likelihood import log_likelihood
from ozora.language.stored import StoredWriter
from ozora.language.writer import Prefix
from ozora.model.patches import unpatchify
from ozora.model.transformer import Transformer
from ozora.nn.rows import Layout, pack
from ozora.train.checkpoint import Interruption, latest_checkpoint, load_checkpoint, save_checkpoint
from ozora.train.config import MatchFit
from ozora.train.fit_leaps import export, take_changes
from ozora.train.metrics import Metrics
from ozora.train.optimizer import Ema, apply_gradients, make_optimizers
from ozora.train.timer import Every
from ozora.train.walks import Wishes

WATCHED_NOISE = 0.1
"""Deviation of the noise on what a captioner is shown, who has learned from latents with up to 0.2."""
LEAST_NOISE = 0.02
"""Neither less noise than this nor more than one less this is added to what the leaps made."""


@dataclass(frozen=True, eq=False)
class Draft:
    """Requests at their start, in one row: ``x`` is their noise (and what is known), ``levels`` those of their leaps.

    ``layout`` holds them with their prompts, ``both`` these and then again without. ``clip`` numbers each token's
    request, ``moves`` is 0 where a token is known, ``shift`` is each request's (``flow.schedule.shift_for``), ``grids``
    their latent grids.
    """

    requests: tuple[Request, ...]
    grids: tuple[tuple[int, int, int], ...]
    layout: Layout
    both: Layout
    x: Float[Tensor, "n p"]
    levels: Float[Tensor, "k n"]
    clip: Int[Tensor, " n"]
    moves: Float[Tensor, " n"]
    shift: Float[Tensor, " clips"]

    def by_clip(self, values: Float[Tensor, " n"]) -> Float[Tensor, " clips"]:
        """The mean of each clip's tokens that move."""
        empty = self.shift.new_zeros(len(self.shift))
        count = empty.index_add(0, self.clip, self.moves)
        return empty.index_add(0, self.clip, values * self.moves) / count.clamp(min=1)


def draw_draft(generator: Generator, wishes: Wishes, num_clips: int, num_steps: int, chance: Chance) -> Draft:
    """What so many leaping requests begin from. Requests that know everything are drawn again."""
    renderings = []
    while len(renderings) < num_clips:
        request = replace(wishes.draw(generator, chance), steps=num_steps, sampler="leap")
        rendering = generator.begin(request)
        if not rendering.is_done:
            renderings.append(rendering)
    device, prompted = generator.device, [rendering.prompted for rendering in renderings]
    counts = [len(rendering.point.x) for rendering in renderings]
    levels = [
        torch.cat([one.levels[min(step, len(one.levels) - 1)].squeeze(1) for one in renderings])
        for step in range(num_steps + 1)
    ]
    return Draft(
        tuple(rendering.request for rendering in renderings),
        tuple(rendering.task.canvas.grid for rendering in renderings),
        pack(prompted).to(device),
        pack([*prompted, *(rendering.negated for rendering in renderings)]).to(device),
        torch.cat([rendering.point.x for rendering in renderings]),
        torch.stack(levels),
        torch.arange(num_clips, device=device).repeat_interleave(torch.tensor(counts, device=device)),
        (levels[0] > 0).float(),
        torch.tensor([shift_for(count, generator.config.reference_tokens) for count in counts], device=device),
    )


def leap(network: Transformer, draft: Draft, path: FlowPath) -> Float[Tensor, "n p"]:
    """Where the network's leaps lead from the draft's noise."""
    x = draft.x
    with parametrize.cached():
        for sigma, following in zip(draft.levels[:-1, :, None], draft.levels[1:, :, None]):
            x = x - (sigma - following) * _velocity(network, x, sigma, draft.layout, path)
    return x


def disturb(x: Tensor, draft: Draft, mean: float, chance: Chance) -> tuple[Tensor, Tensor, Tensor]:
    """Fresh noise on what was made: (sigma "n 1", noise, the noisy row). Each clip has a level of its own; ``mean`` as
    in ``flow.schedule.draw_sigmas``."""
    levels = draw_sigmas(len(draft.shift), chance, mean, shift=draft.shift.cpu()).to(x.device)
    sigma = (levels.clamp(LEAST_NOISE, 1 - LEAST_NOISE)[draft.clip] * draft.moves)[:, None]
    noise = torch.randn(x.shape, generator=chance).to(x.device)
    return sigma, noise, mix(x, noise, sigma)


@torch.no_grad()
def direction(
    x: Float[Tensor, "n p"],
    draft: Draft,
    teacher: Transformer,
    fake: Transformer,
    sampling: SamplingConfig,
    path: FlowPath,
    mean: float,
    chance: Chance,
) -> Float[Tensor, "n p"]:
    """Which way what was made is less likely, to the teacher than to ``fake``: the gradient of the clips' divergence.

    The clean clip that ``fake`` sees in the clip under fresh noise, less the one that the guided teacher sees, by how
    far the latter is from the clip (DMD, eq. 8). 0 for tokens that are known.
    """
    sigma, _, noisy = disturb(x, draft, mean, chance)
    asked = _velocity(teacher, torch.cat([noisy, noisy]), torch.cat([sigma, sigma]), draft.both, path)
    parts, num_clips = draft.both.split(asked), len(draft.shift)
    guided = [
        guide(one, base, level, sampling.guidance, sampling.guidance_interval, sampling.fitted_guidance)
        for one, base, level in zip(parts, parts[num_clips:], draft.layout.split(sigma))
    ]
    real = noisy - sigma * torch.cat(guided)
    with parametrize.cached():
        seen = noisy - sigma * _velocity(fake, noisy, sigma, draft.layout, path)
    distance = draft.by_clip((x - real).abs().mean(1)).clamp(min=1e-3)
    return (seen - real) * draft.moves[:, None] / distance[draft.clip][:, None]


def unread(
    x: Float[Tensor, "n p"], draft: Draft, captioner: StoredWriter, geometry: Geometry, chance: Chance
) -> Float[Tensor, " clips"]:
    """How unlikely its own prompt is to a captioner who watches each clip, in nats; 0 where there is no prompt.

    Watched under a little noise, as the captioner learned, so that nothing too fine to be seen can please it.
    """
    noisy = x + WATCHED_NOISE * torch.randn(x.shape, generator=chance).to(x.device)
    told = [i for i, request in enumerate(draft.requests) if request.prompt]
    parts, width, shown = draft.layout.split(noisy), captioner.config.writer.prefix_width, []
    for i in told:
        fps = draft.requests[i].fps
        assert fps
        vectors, place = watched(unpatchify(parts[i], draft.grids[i], geometry.patch), fps, geometry)
        shown.append((vectors[:, :width], place))
    found = x.new_zeros(len(draft.requests))
    if not told:
        return found
    prompts, are_pictures = [draft.requests[i].prompt for i in told], [draft.grids[i][0] == 1 for i in told]
    likely = log_likelihood(captioner, Prefix.stack(shown).to(x.device), prompts, are_pictures)
    return found.index_add(0, torch.tensor(told, device=x.device), -likely)


def fake_loss(fake: Transformer, x: Tensor, draft: Draft, path: FlowPath, mean: float, chance: Chance) -> FlowLoss:
    """The flow's loss of a network that is to know what the leaps make."""
    sigma, noise, noisy = disturb(x, draft, mean, chance)
    with parametrize.cached():
        said = fake(from_straight(noisy, sigma, path), sigma.squeeze(1), draft.layout)
    return flow_loss(said, x, noise, sigma.squeeze(1), fake.config.prediction, draft.moves)


def fit_match(fit: MatchFit, data: Path, out: Path, resume: bool = False) -> Path:
    """Fit, and write ``out/fit.name``: the model's folder with better leaps in it; returns it.

    Checkpoints lie in ``out/fit.name-run``; with ``resume`` the newest is gone on from. Raises ``ValueError`` for a
    model that has learned no leaps.
    """
    # config and devices
    run, folder, work = fit.run, out / fit.name, out / f"{fit.name}-run"
    device = torch.device(run.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if run.num_threads:
        torch.set_num_threads(run.num_threads)
    torch.manual_seed(run.seed)

    # teacher, its leaps, and the network that learns what they make
    source = out / fit.model if (out / fit.model).is_dir() else find_model(fit.model)
    parts, found = load_folder(source), read_changes(source)
    if parts.transformer is None or parts.leaps is None or found is None:
        raise ValueError(f"{source} has learned no leaps; fit them first (recipes/few_steps.py)")
    teacher, path = parts.transformer.to(device).requires_grad_(False), parts.config.path
    parts.autoencoder.to(device)
    sampling = replace(parts.config.sampling, guidance=parts.leaps.guidance)
    rank = next(part.shape[1] for name, part in found[1].items() if name.endswith(".up"))
    network, fake = changeable(teacher, rank).train(), changeable(teacher, fit.fake_rank).train()
    take_changes(network, found[1])
    captioner = load_captioner(source, parts).stored if fit.reading else None
    ema = Ema(network, fit.optimizer.ema_decay)
    optimizers, fake_optimizers = make_optimizers(network, fit.optimizer), make_optimizers(fake, fit.fake_optimizer)

    # data: what is asked for
    reader = ShardReader(data)
    mean, std = parts.config.latent_mean, parts.config.latent_std
    latents = encode_clips(reader, out / "cache", parts.autoencoder, mean, std, split=fit.split, device=device)
    generator = Generator(parts, load_text_encoder(parts.config.text_encoder, device))
    wishes = Wishes(reader, latents, fit.styles)

    # resume
    step = 0
    checkpoint = latest_checkpoint(work) if resume else None
    if checkpoint is not None:
        state = load_checkpoint(checkpoint)
        step = state["step"]
        take_changes(network, state["changes"])
        take_changes(fake, state["fake"])
        ema.load_state_dict(state["ema"])
        for optimizer, saved in zip([*optimizers, *fake_optimizers], state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)

    def save() -> None:
        states = [optimizer.state_dict() for optimizer in (*optimizers, *fake_optimizers)]
        changes, of_fake = ({name: part.detach() for name, part in changes_of(one).items()} for one in (network, fake))
        state = {"changes": changes, "fake": of_fake, "ema": ema.state_dict(), "optimizers": states}
        save_checkpoint(work, step, state, run.num_kept)

    # loop
    time_to_save, seen = Every(run.save_seconds), torch.zeros(3)
    with Metrics(work, fit.name, run.num_steps, step, run.print_seconds) as metrics, Interruption() as interruption:
        metrics.say(f"{fit.name}: the leaps of {source} learn what its {sampling.steps} steps draw, on {device}")
        while step < run.num_steps and not interruption.asked:
            chance = Chance().manual_seed(run.seed * 1_000_003 + step)
            draft = draw_draft(generator, wishes, fit.batch_size, parts.leaps.num_steps, chance)
            if step < fit.fake_first:
                with torch.no_grad():
                    made = leap(network, draft, path)
            else:
                made = leap(network, draft, path)
                towards = direction(made.detach(), draft, teacher, fake, sampling, path, fit.sigma_mean, chance)
                slope = (towards * made).sum()
                if captioner is not None:
                    nats = unread(made, draft, captioner, parts.geometry, chance)
                    slope = slope + fit.reading * nats.sum()
                    seen[2] += nats.mean().item()
                (slope / (draft.moves.sum() * made.shape[1])).backward()
                apply_gradients(network, optimizers, fit.optimizer, step, run.num_steps)
                ema.update(network)
                seen[0] += draft.by_clip(towards.abs().mean(1)).mean().item()
            for _ in range(fit.fake_steps):
                loss = fake_loss(fake, made.detach(), draft, path, fit.sigma_mean, chance)
                loss.mean.backward()
                apply_gradients(fake, fake_optimizers, fit.fake_optimizer, step, run.num_steps)
                seen[1] += loss.mean.item() / fit.fake_steps
            step += 1
            if step % run.log_steps == 0 or step == run.num_steps:
                gap, of_fake, nats = (seen / (step % run.log_steps or run.log_steps)).tolist()
                metrics.log(step, {"gap": gap, "fake": of_fake} | ({"unread": nats} if captioner else {}))
                seen.zero_()
            if time_to_save():
                save()
        save()
        if interruption.asked:
            raise KeyboardInterrupt(f"stopped after step {step} of {run.num_steps}; --resume goes on from there")

    # export
    with ema.applied_to(network):
        return export(source, folder, parts.leaps.num_steps, parts.leaps.guidance, network)


def _velocity(network: Transformer, x: Tensor, sigma: Tensor, layout: Layout, path: FlowPath) -> Tensor:
    said = network(from_straight(x, sigma, path), sigma.squeeze(1), layout)
    return to_velocity(said.float(), network.config.prediction, x, sigma)
