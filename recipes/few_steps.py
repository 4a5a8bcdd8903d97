"""Teach ``mini`` to make a clip in four steps instead of 32; its weights, and so the slow path, stay as they are.

    ozora train recipes/few_steps.py --out RUNS      (RUNS/data holds the clips that ``mini`` learned from)

First its leaps learn from recorded walks of the model that ships, then they are moved to what its many steps draw, and
at last to where its captioner reads the prompts in it, too. The shipped ones went through all three with the sixth mini
(the last with a weight of 5 in the first 300 steps, and less noise), then through 400 steps of the last as it stands
here with the seventh. Hardware: one core. Time: 15 minutes (a third of it to record the walks), then 33 (0.37 steps a
second), then 40. Expected: the loss of the leaps falls from 1.1 to some hundredths (0.06 after 300 steps; the shipped
leaps had 700 more on the fifth and 700 on the sixth mini's walks, and ended at 0.02). The numbers of the matching say
little: they are the noise that it looks through. What it does is in tables: events, cameras and counts come up to those
of all steps, then shapes.
"""

from ozora.train.config import LeapsFit, MatchFit, RunConfig, TrainConfig, WorldConfig
from ozora.train.optimizer import OptimizerConfig
from ozora.world.mix import WorldMix


def recipe() -> TrainConfig:
    leaps = LeapsFit(
        run=RunConfig(num_steps=700, log_steps=10),
        name="leaps",
        num_walks=320,
        optimizer=OptimizerConfig(learning_rate=1e-3, weight_decay=0.0, warm_up_steps=20, decay_fraction=0.7),
    )
    matched = MatchFit(run=RunConfig(num_steps=720, log_steps=10, seed=1), name="matched", model="leaps")
    last = RunConfig(num_steps=700, log_steps=10, seed=1)
    read = MatchFit(run=last, name="few-steps", model="matched", reading=20.0, sigma_mean=1.2)
    return TrainConfig("few-steps", (leaps, matched, read), world=WorldConfig(5120, WorldMix.mini(), seed=1))
