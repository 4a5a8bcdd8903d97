"""The model that ships with Ozora: 64x64-class clips of two seconds, one or two objects, from nothing, on a CPU.

    ozora train recipes/mini.py

Two thirds of what it learns from are pictures: one is a fifth of a clip's tokens, and colours, shapes and places are
learned from it as well. One clip in six shows a scene that turns into another. Hardware: two cores with AVX-512, 8 GB
of memory, about eight hours. The weights that ship were trained in seven sittings, which together are about this but
for the noise: the first six, 20 270 rows, drew it with mean 0.2 and deviation 1, the last, 1750 rows, as it stands here
(``docs/decisions/0016``). Their card and ``docs/log.md`` have the losses.
"""

from dataclasses import replace

from ozora.data.dataset import MixtureConfig
from ozora.generate.folder import SamplingConfig
from ozora.model.autoencoder import AutoencoderConfig
from ozora.model.transformer import TransformerConfig
from ozora.train.config import AutoencoderFit, RunConfig, TrainConfig, TransformerFit, WorldConfig
from ozora.train.optimizer import OptimizerConfig
from ozora.world.mix import WorldMix


def recipe() -> TrainConfig:
    autoencoder = AutoencoderFit(
        run=RunConfig(num_steps=4700, log_steps=20),
        network=AutoencoderConfig(),
        optimizer=OptimizerConfig(learning_rate=8e-4, weight_decay=1e-4, warm_up_steps=100, decay_fraction=0.5),
        mse_weight=2.0,
        pyramid_weight=0.1,
        chroma_weight=4.0,
        kl_weight=1e-4,
    )
    transformer = TransformerFit(
        name="mini",
        run=RunConfig(num_steps=22020, log_steps=20),
        network=TransformerConfig(width=256, num_blocks=8, num_heads=4),
        optimizer=OptimizerConfig(learning_rate=8e-4, warm_up_steps=100, decay_fraction=0.5, ema_decay=0.998),
        mixture=MixtureConfig(
            styles={"dense": 0.40, "medium": 0.30, "short": 0.25, "tags": 0.05}, pictures=0.05, mid_clip=0.12, masks=0.5
        ),
        sigma_mean=0.8,
        sigma_std=1.6,
        reference_tokens=40,
        row_tokens=1600,
        sampling=SamplingConfig("ancestral", steps=32, guidance=2.0, guidance_interval=(0.15, 1.0)),
    )
    mix = replace(WorldMix.mini(), num_frames=((17, 0.34), (1, 0.66)))
    return TrainConfig("mini", (autoencoder, transformer), world=WorldConfig(27648, mix, seed=1, transitions=0.17))
