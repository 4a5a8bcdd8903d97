"""How does a video become latents, and latents a video? A causal autoencoder, 4x in time and 8x8 in space.

The first frame is a latent frame of its own, so a picture is a clip of one frame; every further
latent frame holds four. Time is mixed by convolutions that look one latent frame back, so latents
never depend on the future, depend on a bounded past, and can be decoded as a stream.

Both networks correct a linear transform of 8x8-pixel patches, fixed before training at the patches'
principal components: training begins where the best linear code ends.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ozora.geometry import Geometry

State = list[Tensor]  # what every temporal convolution saw last: one "b c h w" each


@dataclass(frozen=True)
class AutoencoderConfig:
    """Sizes of the two networks; ``geometry`` follows from them."""

    latent_channels: int = 16
    fine_width: int = 96  # channels at a quarter of the pixels' resolution
    coarse_width: int = 192  # channels at an eighth
    num_encoder_blocks: tuple[int, int] = (2, 3)  # fine, coarse
    num_decoder_blocks: tuple[int, int] = (4, 3)  # fine, coarse


FOLD = 4  # pixels a side that become channels, and frames that share a latent frame
STRIDE = 8  # pixels a side of a latent cell
FIRST_LOG_VARIANCE = -6.0  # training starts with little noise on the latents


class PixelNorm(nn.Module):
    """RMS norm over channels, cell by cell: a cell's output knows nothing of the clip's size or length."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return F.rms_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight.to(x.dtype), 1e-6).permute(0, 3, 1, 2)


class SpatialBlock(nn.Module):
    """Pre-norm residual block of two 3x3 convolutions within each latent frame."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = PixelNorm(width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return x + self.second(F.silu(self.first(self.norm(x))))


class TemporalBlock(nn.Module):
    """A spatial block, then a residual convolution over this latent frame and the one before it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spatial = SpatialBlock(width)
        self.norm = PixelNorm(width)
        self.mix = nn.Conv2d(2 * width, width, 1)
        nn.init.zeros_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)  # pyright: ignore[reportArgumentType]

    def forward(
        self, x: Float[Tensor, "n c h w"], num_frames: int, past: Float[Tensor, "b c h w"] | None
    ) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "b c h w"]]:
        x = self.spatial(x)
        now = rearrange(F.silu(self.norm(x)), "(b t) c h w -> b t c h w", t=num_frames)
        first = torch.zeros_like(now[:, :1]) if past is None else past[:, None]
        before = torch.cat([first, now[:, :-1]], dim=1)
        both = rearrange(torch.cat([before, now], dim=2), "b t c h w -> (b t) c h w")
        return x + self.mix(both.contiguous(memory_format=torch.channels_last)), now[:, -1]


def run_temporal(blocks: Iterable[nn.Module], x: Tensor, num_frames: int, state: State | None) -> tuple[Tensor, State]:
    """Pass ``x`` through temporal blocks, reading and returning what each saw last."""
    seen: State = []
    for index, block in enumerate(blocks):
        x, last = block(x, num_frames, None if state is None else state[index])
        seen.append(last)
    return x, seen


class PatchTransform(nn.Module):
    """A linear map from each patch of ``num_frames`` frames and 8x8 pixels to a latent cell, and a map back.

    Gradients do not move it: with hundreds of correlated inputs a step of the size that suits convolutions
    shifts a latent by most of its deviation.
    """

    def __init__(self, num_frames: int, latent_channels: int) -> None:
        super().__init__()
        self.num_frames = num_frames
        width = 3 * num_frames * STRIDE**2
        self.analysis = nn.Linear(width, latent_channels)
        self.synthesis = nn.Linear(latent_channels, width)
        self.requires_grad_(False)

    def patches(self, signal: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b lt lh lw p"]:
        pattern = "b c (t f) (h y) (w x) -> b t h w (f c y x)"
        return rearrange(signal, pattern, f=self.num_frames, y=STRIDE, x=STRIDE)

    def encode(self, signal: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c lt lh lw"]:
        return rearrange(self.analysis(self.patches(signal)), "b t h w c -> b c t h w")

    def decode(self, latents: Float[Tensor, "b c lt lh lw"]) -> Float[Tensor, "b 3 t h w"]:
        patches = self.synthesis(rearrange(latents, "b c t h w -> b t h w c"))
        pattern = "b t h w (f c y x) -> b c (t f) (h y) (w x)"
        return rearrange(patches, pattern, f=self.num_frames, c=3, y=STRIDE, x=STRIDE)

    @torch.no_grad()
    def start_at_principal_components(self, signal: Float[Tensor, "b 3 t h w"]) -> None:
        """Set both maps to the principal components of the signal's patches, each latent of deviation 1."""
        patches = self.patches(signal).flatten(0, 3).double()
        mean = patches.mean(0)
        variance, vectors = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
        num_latents = self.analysis.out_features
        deviation = variance[-num_latents:].flip(0).clamp(min=1e-6).sqrt()
        basis = vectors[:, -num_latents:].flip(1)
        self.analysis.weight.copy_((basis / deviation).T)
        self.analysis.bias.copy_(-(basis / deviation).T @ mean)
        self.synthesis.weight.copy_(basis * deviation)
        self.synthesis.bias.copy_(mean)


class Encoder(nn.Module):
    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        fine, coarse = config.fine_width, config.coarse_width
        self.first_frame = nn.Conv2d(3 * FOLD**2, fine, 1)
        self.four_frames = nn.Conv2d(3 * FOLD**3, fine, 1)
        self.fine = nn.Sequential(*(SpatialBlock(fine) for _ in range(config.num_encoder_blocks[0])))
        self.down = nn.Conv2d(fine, coarse, 2, stride=2)
        self.coarse = nn.ModuleList(TemporalBlock(coarse) for _ in range(config.num_encoder_blocks[1]))
        self.norm = PixelNorm(coarse)
        self.out = nn.Conv2d(coarse, 2 * config.latent_channels, 1)
        nn.init.zeros_(self.out.weight)
        zero = torch.zeros(config.latent_channels)
        self.out.bias = nn.Parameter(torch.cat([zero, zero + FIRST_LOG_VARIANCE]))

    def forward(self, signal: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c2 lt lh lw"]:
        first = rearrange(signal[:, :, :1], "b c t (h y) (w x) -> b t (c y x) h w", y=FOLD, x=FOLD)
        rest = rearrange(signal[:, :, 1:], "b c (t f) (h y) (w x) -> b t (f c y x) h w", f=FOLD, y=FOLD, x=FOLD)
        num_frames = 1 + rest.shape[1]
        parts = [each_frame(self.first_frame, first), each_frame(self.four_frames, rest)]
        x = rearrange(torch.cat(parts, dim=1), "b t c h w -> (b t) c h w")
        x = self.down(self.fine(x.contiguous(memory_format=torch.channels_last)))
        x, _ = run_temporal(self.coarse, x, num_frames, None)
        return rearrange(self.out(self.norm(x)), "(b t) c h w -> b c t h w", t=num_frames)


class Decoder(nn.Module):
    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        fine, coarse = config.fine_width, config.coarse_width
        self.inward = nn.Conv2d(config.latent_channels, coarse, 3, padding=1)
        self.coarse = nn.ModuleList(TemporalBlock(coarse) for _ in range(config.num_decoder_blocks[1]))
        self.up = nn.Conv2d(coarse, 4 * fine, 1)
        self.fine = nn.ModuleList(TemporalBlock(fine) for _ in range(config.num_decoder_blocks[0]))
        self.norm = PixelNorm(fine)
        self.first_frame = nn.Conv2d(fine, 3 * FOLD**2, 3, padding=1)
        self.four_frames = nn.Conv2d(fine, 3 * FOLD**3, 3, padding=1)
        for weight in (*self.first_frame.parameters(), *self.four_frames.parameters()):
            nn.init.zeros_(weight)

    def forward(
        self, latents: Float[Tensor, "b c lt lh lw"], state: State | None, starts_clip: bool
    ) -> tuple[Float[Tensor, "b 3 t h w"], State]:
        num_frames, num_coarse = latents.shape[2], len(self.coarse)
        x = rearrange(latents, "b c t h w -> (b t) c h w").contiguous(memory_format=torch.channels_last)
        x, seen = run_temporal(self.coarse, self.inward(x), num_frames, state and state[:num_coarse])
        x = F.pixel_shuffle(self.up(x), 2).contiguous(memory_format=torch.channels_last)
        x, seen_fine = run_temporal(self.fine, x, num_frames, state and state[num_coarse:])
        x = rearrange(F.silu(self.norm(x)), "(b t) c h w -> b t c h w", t=num_frames)
        first, rest = (x[:, :1], x[:, 1:]) if starts_clip else (x[:, :0], x)
        still = each_frame(self.first_frame, first)
        moving = each_frame(self.four_frames, rest)
        still = rearrange(still, "b t (c y x) h w -> b c t (h y) (w x)", y=FOLD, x=FOLD)
        moving = rearrange(moving, "b t (f c y x) h w -> b c (t f) (h y) (w x)", f=FOLD, y=FOLD, x=FOLD)
        return torch.cat([still, moving], dim=2), seen + seen_fine


def each_frame(layer: nn.Conv2d, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b t d h w"]:
    """Apply a convolution to every latent frame; there may be none."""
    flat = rearrange(x, "b t c h w -> (b t) c h w").contiguous(memory_format=torch.channels_last)
    return rearrange(layer(flat), "(b t) d h w -> b t d h w", b=x.shape[0], t=x.shape[1])


def with_first_frame(
    latents: Float[Tensor, "b c lt lh lw"], matrix: Float[Tensor, "d c"]
) -> Float[Tensor, "b c lt lh lw"]:
    """The latents with the channels of the first latent frame mapped by ``matrix``."""
    first = torch.einsum("dc,bcthw->bdthw", matrix, latents[:, :, :1])
    return torch.cat([first, latents[:, :, 1:]], dim=2)


class Autoencoder(nn.Module):
    """Signal in [-1, 1] to latents and back. Latents here are raw; a model folder normalises them."""

    def __init__(self, config: AutoencoderConfig | None = None) -> None:
        super().__init__()
        self.config = config or AutoencoderConfig()
        self.encoder = Encoder(self.config)
        self.decoder = Decoder(self.config)
        self.first_frame = PatchTransform(1, self.config.latent_channels)
        self.four_frames = PatchTransform(FOLD, self.config.latent_channels)
        self.alignment: Tensor
        self.register_buffer("alignment", torch.eye(self.config.latent_channels))
        self.geometry = Geometry(
            latent_channels=self.config.latent_channels, warm_up=self.config.num_encoder_blocks[1] + 1
        )

    def start_at_principal_components(self, signal: Float[Tensor, "b 3 t h w"]) -> None:
        """Before training: make the linear path the best linear code of these clips or pictures."""
        self.first_frame.start_at_principal_components(signal[:, :, :1])
        if signal.shape[2] > 1:
            self.four_frames.start_at_principal_components(signal[:, :, 1:])

    @torch.no_grad()
    def align_first_frame(self, signal: Float[Tensor, "b 3 t h w"]) -> None:
        """After training: let the channels of one-frame latents mean what they mean in the latents that follow.

        The two kinds of latents have patch transforms of their own, so their channels differ in order and sign,
        which a transformer would have to translate. ``alignment`` is the signed permutation, found greedily, under
        which a one-frame latent correlates most with the next one; channels that move pixels more count more.
        """
        latents, _ = self.posterior(signal)
        first, second = (rearrange(latents[:, :, i], "b c h w -> c (b h w)") for i in (0, 1))
        channels = len(first)
        correlation = torch.corrcoef(torch.cat([second, first]))[:channels, channels:].nan_to_num()
        score = correlation.abs() * self.channel_weight[:, None]
        self.alignment.zero_()
        for _ in range(channels):
            row, column = divmod(int(score.argmax()), channels)
            self.alignment[row, column] = 1.0 if correlation[row, column] >= 0 else -1.0
            score[row], score[:, column] = -1.0, -1.0

    @property
    def channel_weight(self) -> Float[Tensor, " c"]:
        """How far each latent channel moves pixels: the length of the patch that a latent of 1 stands for."""
        return self.four_frames.synthesis.weight.norm(dim=0)

    def posterior(
        self, signal: Float[Tensor, "b 3 t h w"]
    ) -> tuple[Float[Tensor, "b c lt lh lw"], Float[Tensor, "b c lt lh lw"]]:
        """Mean and log-variance of the latents (Kingma and Welling 2013); for training."""
        self.geometry.latent_grid(signal.shape[2], signal.shape[3], signal.shape[4])
        correction, log_variance = self.encoder(signal).float().chunk(2, dim=1)
        linear = [self.first_frame.encode(signal[:, :, :1]), self.four_frames.encode(signal[:, :, 1:])]
        return torch.cat(linear, dim=2).float() + correction, log_variance.clamp(-12, 4)

    def run_decoder(
        self, latents: Float[Tensor, "b c lt lh lw"], state: State | None = None, starts_clip: bool = True
    ) -> tuple[Float[Tensor, "b 3 t h w"], State]:
        """Decode a chunk; the state returned goes into the call that decodes the chunk after it."""
        correction, seen = self.decoder(latents, state, starts_clip)
        first, rest = latents.tensor_split([1 if starts_clip else 0], dim=2)
        linear = [self.first_frame.decode(first), self.four_frames.decode(rest)]
        return torch.cat(linear, dim=2).float() + correction.float(), seen

    def encode(self, signal: Float[Tensor, "*b 3 t h w"]) -> Float[Tensor, "*b c lt lh lw"]:
        """Latents (the posterior's mean) of 1 + 4k frames whose sides are multiples of 16.

        The latents of a suffix that starts at frame 4j of a clip equal the clip's latents from j on,
        after the first ``geometry.warm_up`` of them. Raises ``ValueError`` for an illegal size or length.
        """
        batched = signal if signal.dim() == 5 else signal[None]
        mean, _ = self.posterior(batched)
        latents = with_first_frame(mean, self.alignment)
        return latents if signal.dim() == 5 else latents[0]

    def decode(self, latents: Float[Tensor, "*b c lt lh lw"]) -> Float[Tensor, "*b 3 t h w"]:
        """The whole clip of 1 + 4 (lt - 1) frames; values may leave [-1, 1] a little."""
        signal, _ = self.decode_next(latents if latents.dim() == 5 else latents[None])
        return signal if latents.dim() == 5 else signal[0]

    def decode_next(
        self, latents: Float[Tensor, "b c lt lh lw"], past: State | None = None
    ) -> tuple[Float[Tensor, "b 3 t h w"], State]:
        """The frames of the latents that come next, and what the call after it must be told as ``past``.

        Without ``past`` they begin a clip. Joined in time the outputs equal ``decode`` of the joined latents, in memory
        that does not grow with the clip.
        """
        raw = with_first_frame(latents, self.alignment.T) if past is None else latents
        return self.run_decoder(raw, past, past is None)
