"""What does a training run consist of? Frozen values: a recipe is a function that returns a ``TrainConfig``."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ozora.data.dataset import MixtureConfig
from ozora.flow.path import STRAIGHT, Path
from ozora.generate.folder import SamplingConfig
from ozora.language.stored import Role
from ozora.language.writer import WriterConfig
from ozora.model.autoencoder import AutoencoderConfig
from ozora.model.transformer import TransformerConfig
from ozora.train.alignment import AlignmentConfig
from ozora.train.optimizer import OptimizerConfig
from ozora.world.mix import WorldMix


@dataclass(frozen=True)
class RunConfig:
    """How a fit lives: its length, where it runs, and when it speaks, saves and shows samples.

    ``num_threads`` and ``device`` None leave the choice to torch and to what the machine has. Seconds of 0
    mean never. Numbers are logged every ``log_steps`` steps. ``autocast`` computes in bfloat16: faster on GPUs and on
    CPUs that multiply it (AMX; AVX512-BF16: 0.65 against 0.48 rows of ``mini`` a second), but slower on others (83
    against 150 GFLOP/s a core with AVX-512 alone).
    """

    num_steps: int
    seed: int = 0
    device: str | None = None
    num_threads: int | None = None
    autocast: bool = False
    compile: bool = False
    save_seconds: float = 300.0
    num_kept: int = 2
    log_steps: int = 10
    print_seconds: float = 20.0
    sample_seconds: float = 600.0


@dataclass(frozen=True)
class AutoencoderFit:
    """Fit an autoencoder on frames. The result is the model folder ``OUT/name`` without a transformer.

    A step sees ``batch_size`` windows of ``num_frames`` frames. The loss is L1 + ``mse_weight`` MSE +
    ``pyramid_weight`` L1 of a Laplacian pyramid + ``kl_weight`` KL; in a share ``equivariance`` of the steps
    halved latents must also decode to halved frames. A pixel of the purest colour counts 1 + ``chroma_weight``
    times as much as a grey one: what moves and is named is mostly small and vivid, what lies behind it large and pale.
    ``init_from`` is a model folder to go on from; with ``decoder_only`` its latents stay what they are, so that a
    transformer trained on them goes with the new decoder. Raises ``ValueError`` for that without an ``init_from``.
    """

    run: RunConfig
    name: str = "autoencoder"
    network: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(learning_rate=1e-3, weight_decay=1e-4))
    batch_size: int = 4
    num_frames: int = 17
    mse_weight: float = 0.5
    pyramid_weight: float = 0.5
    chroma_weight: float = 0.0
    kl_weight: float = 1e-6
    equivariance: float = 0.25
    split: str = "train"
    init_from: str | None = None
    decoder_only: bool = False

    def __post_init__(self) -> None:
        if self.decoder_only and not self.init_from:
            raise ValueError("decoder_only is True without init_from; name the model folder whose latents stay")


@dataclass(frozen=True)
class TransformerFit:
    """Fit a transformer on latents and captions. The result is the model folder ``OUT/name``.

    ``autoencoder`` names an earlier fit of the same recipe, or a model folder or shipped model. A step sees one
    row of ``row_tokens`` tokens. ``sigma_mean`` and ``sigma_std`` are those of the logit-normal draws, which are
    then shifted by the square root of a segment's tokens over ``reference_tokens``. ``network`` gets its patch
    and text widths from the autoencoder and the text encoder. ``init_from`` is a model folder to go on from; its
    network must be of the same configuration. ``alignment`` (simulated clips only) has the network's middle say what
    the simulator knows. ``sampling`` and ``card`` (the README) go into the model folder.
    """

    run: RunConfig
    name: str = "transformer"
    autoencoder: str = "autoencoder"
    network: TransformerConfig = field(default_factory=TransformerConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    row_tokens: int = 2560
    text_encoder: str = "minilm"
    path: Path = STRAIGHT
    alignment: AlignmentConfig | None = None
    sigma_mean: float = 0.0
    sigma_std: float = 1.0
    reference_tokens: int = 80
    split: str = "train"
    init_from: str | None = None
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    card: str = ""
    sample_steps: int = 16
    sample_prompts: tuple[str, ...] = (
        "a red ball falls and bounces on a grey floor",
        "a blue cube slides to the right",
        "a green sphere hits a yellow cube",
        "a purple cylinder rests on the floor while the camera orbits to the left",
    )


@dataclass(frozen=True)
class WriterFit:
    """Fit a writer on captions. The result is the writer's folder ``OUT/name``.

    A ``captioner`` learns from the latents that ``autoencoder`` (an earlier fit of the recipe, a model folder or a
    shipped model) makes of the clips; ``styles`` are the weights of the captions it writes, and ``noise`` is the most
    that its latents are disturbed by, so that it also reads what a network made; ``alignment`` (simulated clips only)
    has it learn beside the words what the simulator knows of each patch that it reads, and of how it moves. An
    ``expander`` learns to go on from a short description of a clip (states of ``text_encoder``) to its dense caption.
    ``network`` gets its vocabulary and prefix width from the data; ``num_pieces`` byte pairs are learned. ``init_from``
    is a model folder or a shipped model whose writer of this role to go on from, with its vocabulary; its network must
    be of the same configuration. ``card`` is the README.
    """

    run: RunConfig
    role: Role
    name: str
    autoencoder: str = "autoencoder"
    text_encoder: str = "minilm"
    network: WriterConfig = field(default_factory=WriterConfig)
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(learning_rate=2e-3, weight_decay=0.05, ema_decay=0.99)
    )
    num_pieces: int = 768
    batch_size: int = 48
    styles: Mapping[str, float] = field(
        default_factory=lambda: {"dense": 0.5, "medium": 0.2, "short": 0.15, "tags": 0.05, "still": 0.1}
    )
    noise: float = 0.2
    alignment: AlignmentConfig | None = None
    split: str = "train"
    init_from: str | None = None
    card: str = ""


@dataclass(frozen=True)
class LeapsFit:
    """Teach a model to make clips in few steps. The result is the model folder ``OUT/name``, its weights as they were.

    ``model`` is an earlier fit of the same recipe, a model folder or a shipped model: the teacher, sampled as its
    config says but always without fresh noise, whose steps ``num_steps`` must divide. It renders ``num_walks``
    requests, once, with captions by the weights of ``styles``. A step sees ``batch_size`` of these walks, a share
    ``own`` from where the network's own leaps led. ``rank`` is that of the matrices' changes; ``init_from`` is a folder
    with leaps to start from.
    """

    run: RunConfig
    name: str = "few-steps"
    model: str = "mini"
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    styles: Mapping[str, float] = field(
        default_factory=lambda: {"dense": 0.4, "medium": 0.3, "short": 0.25, "tags": 0.05}
    )
    num_steps: int = 4
    num_walks: int = 640
    batch_size: int = 20
    own: float = 0.5
    rank: int = 32
    init_from: str | None = None
    split: str = "train"


@dataclass(frozen=True)
class MatchFit:
    """Let a model's leaps learn what its many steps draw, by distribution matching. The result is the folder
    ``OUT/name``: the model's, with better leaps.

    ``model`` has learned to leap: an earlier fit of the same recipe, a model folder or a shipped model. A step leaps
    ``batch_size`` clips from noise, with captions by the weights of ``styles``; ``fake``, changes of rank
    ``fake_rank`` of the model's weights, learns ``fake_steps`` times from them what leaps make, in the first
    ``fake_first`` steps alone. ``sigma_mean`` says how noisy clips are looked at. ``reading`` is what a nat of the
    captioner's counts beside the teacher: how much likelier it finds the prompts; 0 is without one.
    """

    run: RunConfig
    name: str = "matched"
    model: str = "few-steps"
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(
            learning_rate=2e-4,
            betas=(0.8, 0.95),
            weight_decay=0.0,
            warm_up_steps=20,
            decay_fraction=0.4,
            ema_decay=0.97,
        )
    )
    fake_optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(
            learning_rate=6e-4, betas=(0.8, 0.95), weight_decay=0.0, warm_up_steps=20, decay_fraction=0.2
        )
    )
    styles: Mapping[str, float] = field(
        default_factory=lambda: {"dense": 0.4, "medium": 0.3, "short": 0.25, "tags": 0.05}
    )
    batch_size: int = 12
    fake_rank: int = 64
    fake_steps: int = 2
    fake_first: int = 60
    sigma_mean: float = 0.8
    reading: float = 0.0
    split: str = "train"


@dataclass(frozen=True)
class WorldConfig:
    """The clips that a recipe simulates before it trains, where they are not there yet (``ozora world build``)."""

    num_clips: int
    mix: WorldMix = field(default_factory=WorldMix.mini)
    seed: int = 0
    workers: int | None = None
    transitions: float = 0.0


@dataclass(frozen=True)
class TrainConfig:
    """A recipe: the clips, then the fits on them, in order.

    ``data`` is the folder of shards, ``world`` what to build there if it has none (``data`` None: ``OUT/data``).
    """

    name: str
    fits: tuple[AutoencoderFit | TransformerFit | WriterFit | LeapsFit | MatchFit, ...]
    data: str | None = None
    world: WorldConfig | None = None
