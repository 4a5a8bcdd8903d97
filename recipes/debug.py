"""Everything in miniature: clips are simulated, both networks fitted, the transformer with all four conditionings.

    ozora train recipes/debug.py

Hardware: two cores. Time: under two minutes, tests and continuous integration run it. Expected: every loss falls,
nothing is recognisable, and each folder under ``runs/debug`` loads.
"""

from dataclasses import replace
from typing import get_args

from ozora.model.autoencoder import AutoencoderConfig
from ozora.model.blocks import Conditioning
from ozora.model.transformer import TransformerConfig
from ozora.train.config import AutoencoderFit, RunConfig, TrainConfig, TransformerFit, WorldConfig
from ozora.train.optimizer import OptimizerConfig
from ozora.world.mix import WorldMix

RUN = RunConfig(num_steps=12, log_steps=4, print_seconds=1.0)


def recipe() -> TrainConfig:
    mix = WorldMix(
        families=(("drop", 1.0), ("roll", 1.0)),
        num_objects=((1, 1.0),),
        sizes=(((32, 32), 0.7), ((48, 32), 0.3)),
        num_frames=((9, 0.8), (1, 0.2)),
        fps=((8.0, 1.0),),
    )
    autoencoder = AutoencoderFit(
        run=replace(RUN, num_steps=30),
        network=AutoencoderConfig(fine_width=16, coarse_width=32, num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1)),
        num_frames=9,
    )
    transformer = TransformerFit(
        run=RUN, optimizer=OptimizerConfig(warm_up_steps=4), row_tokens=256, reference_tokens=12
    )
    transformers = tuple(
        replace(
            transformer,
            name=f"transformer-{conditioning}",
            network=TransformerConfig(width=64, num_blocks=2, num_heads=2, conditioning=conditioning),
        )
        for conditioning in get_args(Conditioning)
    )
    return TrainConfig("debug", (autoencoder, *transformers), world=WorldConfig(24, mix))
