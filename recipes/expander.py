"""The expander of ``mini``: writes a short prompt in full, in the dialect of the dense captions it was trained on.

    ozora train recipes/expander.py --out RUNS       (RUNS/data holds the clips whose captions are learned from)

Hardware: one core with AVX-512. Time: 15 minutes on a core of its own, 40 on one shared with other work. Expected
loss: 0.39 nats a token, most of it what a prompt leaves open. Then copy RUNS/expander to
``src/ozora/models/mini/expander``.
"""

from dataclasses import replace

from ozora.language.writer import WriterConfig
from ozora.train.config import RunConfig, TrainConfig, WorldConfig, WriterFit
from ozora.train.optimizer import OptimizerConfig
from ozora.world.mix import WorldMix

CARD = """# expander

Reads a short prompt and writes a dense caption that says all of it and what it left open: where things stand, floor and
sky, how the motion goes on, what the camera does. Trained on the captions of Ozora's worlds; what it writes is checked
against the prompt, and where it does not hold the prompt itself is kept.
"""


def recipe() -> TrainConfig:
    fit = WriterFit(
        run=RunConfig(num_steps=600, num_threads=1, log_steps=20),
        role="expander",
        name="expander",
        network=WriterConfig(width=160, num_blocks=4, num_heads=4, max_tokens=256),
        optimizer=OptimizerConfig(
            "muon", learning_rate=4e-3, weight_decay=0.05, warm_up_steps=40, decay_fraction=0.5, ema_decay=0.99
        ),
        batch_size=32,
        card=CARD,
    )
    mix = replace(WorldMix.mini(), num_frames=((17, 0.34), (1, 0.66)))
    return TrainConfig("expander", (fit,), world=WorldConfig(26112, mix, seed=1))


def debug() -> TrainConfig:
    """In miniature, on the clips of ``recipes/debug.py``: `--out runs/debug`, after that recipe."""
    whole = recipe()
    fit = replace(
        whole.fits[0],
        run=RunConfig(num_steps=8, log_steps=4, print_seconds=1.0),
        network=WriterConfig(width=32, num_blocks=1, num_heads=2, max_tokens=256),
        batch_size=4,
        num_pieces=300,
    )
    return TrainConfig("expander-debug", (fit,))
