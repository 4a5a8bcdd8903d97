"""The captioner of ``mini``: watches the latents of its autoencoder and says in a short, medium or dense caption
what it saw.

    ozora train recipes/captioner.py --out RUNS      (RUNS/data holds the clips)

More than half of what it sees are pictures: one costs a fifth of a clip, and shapes, which take longest, are learned
from it as well. Hardware: one core with AVX-512. Time: an hour (1.35 steps a second) once the latents and the maps of
what they show are cached; the maps of motion take 5 minutes. Expected loss: 0.28 nats a token, captions of all styles
together, and 0.06 for the maps. The captioner that ships had 1900 steps with fewer pictures (one in five) and a
weight of 1 for the maps, then 3000 steps as it stands here, with a learning rate of 2.5e-3, on other clips (seed 901).
Then copy RUNS/captioner to ``src/ozora/models/mini/captioner``.
"""

from dataclasses import replace

from ozora.language.writer import WriterConfig
from ozora.train.alignment import AlignmentConfig
from ozora.train.config import RunConfig, TrainConfig, WorldConfig, WriterFit
from ozora.train.optimizer import OptimizerConfig
from ozora.world.mix import WorldMix

CARD = """# captioner

Reads the latents of mini's autoencoder and writes what a clip shows, in the captions' dialect of Ozora's worlds:
objects, colours, shapes, what happens and when, and how the camera moves. Trained on simulated clips of 64x64-class
pixels and two seconds; it knows nothing else, and sees simple solids in whatever it is shown.
"""


def recipe() -> TrainConfig:
    fit = WriterFit(
        run=RunConfig(num_steps=4900, num_threads=1, log_steps=20),
        role="captioner",
        name="captioner",
        autoencoder="mini",
        network=WriterConfig(width=192, num_blocks=5, num_heads=4, max_tokens=192),
        optimizer=OptimizerConfig(
            "muon", learning_rate=4e-3, weight_decay=0.05, warm_up_steps=40, decay_fraction=0.5, ema_decay=0.99
        ),
        batch_size=32,
        alignment=AlignmentConfig(weight=2.0, block=3),
        styles={"dense": 0.10, "medium": 0.08, "short": 0.12, "tags": 0.15, "still": 0.55},
        card=CARD,
    )
    mix = replace(WorldMix.mini(), num_frames=((17, 0.29), (1, 0.71)))
    return TrainConfig("captioner", (fit,), world=WorldConfig(26112, mix, seed=1))


def debug() -> TrainConfig:
    """In miniature, on the clips and the autoencoder of ``recipes/debug.py``: `--out runs/debug`, after that recipe."""
    whole = recipe()
    fit = replace(
        whole.fits[0],
        run=RunConfig(num_steps=8, log_steps=4, print_seconds=1.0),
        autoencoder="autoencoder",
        network=WriterConfig(width=32, num_blocks=1, num_heads=2, max_tokens=192),
        alignment=AlignmentConfig(weight=1.0, block=1),
        batch_size=4,
        num_pieces=300,
    )
    return TrainConfig("captioner-debug", (fit,))
