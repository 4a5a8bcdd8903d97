"""Teach ``mini`` to make a clip in four steps instead of 32; its weights, and so the slow path, stay as they are.

    ozora train recipes/few_steps.py --out RUNS      (RUNS/data holds the clips that ``mini`` learned from)

The teacher is the model that ships. Its walks are recorded first (a third of the time), then learned from. Hardware:
one core. Time: about 15 minutes of it. Expected: the loss of the leaps falls from 1.1 to some hundredths (0.06 after
300 steps; the shipped leaps had 700 more on the fifth and 700 on the sixth mini's walks, and ended at 0.02), and clips
are nearer to those of all steps than to those of four plain ones.
"""

from ozora.train.config import LeapsFit, RunConfig, TrainConfig, WorldConfig
from ozora.train.optimizer import OptimizerConfig
from ozora.world.mix import WorldMix


def recipe() -> TrainConfig:
    fit = LeapsFit(
        run=RunConfig(num_steps=700, log_steps=10),
        num_walks=320,
        optimizer=OptimizerConfig(learning_rate=1e-3, weight_decay=0.0, warm_up_steps=20, decay_fraction=0.7),
    )
    return TrainConfig("few-steps", (fit,), world=WorldConfig(5120, WorldMix.mini(), seed=1))
