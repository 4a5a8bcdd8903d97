"""The model that ships with Ozora: 64x64-class clips of two seconds, one or two objects, from nothing, on a CPU.

    ozora train recipes/mini.py

Hardware: two cores with AVX-512, 8 GB. Hours: clips 0.5, autoencoder 0.75, latents and captions 0.2, transformer 1.25.
Expected: autoencoder 30 dB on held-out clips; transformer loss 0.6 before the decay and a little less after it.
"""

from ozora.model.autoencoder import AutoencoderConfig
from ozora.model.transformer import TransformerConfig
from ozora.train.config import AutoencoderFit, RunConfig, TrainConfig, TransformerFit, WorldConfig
from ozora.train.optimizer import OptimizerConfig
from ozora.world.mix import WorldMix


def recipe() -> TrainConfig:
    autoencoder = AutoencoderFit(
        run=RunConfig(num_steps=4000, log_steps=20),
        network=AutoencoderConfig(),
        optimizer=OptimizerConfig(learning_rate=1e-3, weight_decay=1e-4, warm_up_steps=100),
    )
    transformer = TransformerFit(
        name="mini",
        run=RunConfig(num_steps=4000, log_steps=20),
        network=TransformerConfig(width=256, num_blocks=8, num_heads=4),
        optimizer=OptimizerConfig(learning_rate=8e-4, warm_up_steps=150),
        row_tokens=2560,
    )
    return TrainConfig("mini", (autoencoder, transformer), world=WorldConfig(12000, WorldMix.mini(), seed=1))
