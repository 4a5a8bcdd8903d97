"""How is a recipe carried out? Its clips are built if they are not there, then its networks are fitted, in order."""

import importlib.util
import os
import sys
from pathlib import Path

from ozora.train.config import AutoencoderFit, LeapsFit, MatchFit, TrainConfig, TransformerFit, WorldConfig
from ozora.train.fit_autoencoder import fit_autoencoder
from ozora.train.fit_leaps import fit_leaps
from ozora.train.fit_match import fit_match
from ozora.train.fit_transformer import fit_transformer
from ozora.train.fit_writer import fit_writer


def load_recipe(recipe: str) -> TrainConfig:
    """The value of ``recipe()`` in a Python file, or of ``name()`` where ``recipe`` reads ``FILE.py:name``.

    A word alone, "debug", is the file ``recipes/debug.py``. Raises ``ValueError`` where there is no such
    file or function, or where it returns something else. The file's code is run: trust it first.
    """
    name, _, function = recipe.partition(":") if not Path(recipe).is_file() else (recipe, "", "")
    path = Path(name) if name.endswith(".py") else Path("recipes") / f"{name}.py"
    if not path.is_file():
        found = ", ".join(sorted(p.stem for p in Path("recipes").glob("*.py"))) or "no folder recipes here"
        raise ValueError(f"recipe {recipe!r}: {path} is no file; give a Python file or one of: {found}")
    spec = importlib.util.spec_from_file_location(f"ozora_recipe_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    make = getattr(module, function or "recipe", None)
    config = make() if callable(make) else None
    if not isinstance(config, TrainConfig):
        raise ValueError(
            f"recipe {recipe!r}: {path} has no function {function or 'recipe'}() that returns a TrainConfig"
        )
    return config


def train(recipe: str | TrainConfig, resume: bool = False, out: str | os.PathLike[str] | None = None) -> Path:
    """Carry out a recipe in folder ``out`` (default ``runs/NAME``); returns the last model folder.

    With ``resume``, fits whose model folder is there are done, and the one that was stopped goes on from its newest
    checkpoint. Without it, a folder that holds a run is refused, so that nothing is overwritten. Ctrl-C and
    SIGTERM save a checkpoint first, and end in ``KeyboardInterrupt``.
    """
    config = recipe if isinstance(recipe, TrainConfig) else load_recipe(recipe)
    folder = Path(out) if out is not None else Path("runs") / config.name
    names = [fit.name for fit in config.fits]
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"recipe {config.name}: its fits are named {names}; there must be some, each with its own name"
        )
    if not resume:
        for name in names:
            if (folder / name).exists() or (folder / f"{name}-run").exists():
                raise ValueError(f"{folder} holds a run of {name!r}; add --resume to go on, or choose another --out")
    data = Path(config.data) if config.data is not None else folder / "data"
    if config.world is not None:
        build_world(config.world, data)
    for fit in config.fits:
        if (folder / fit.name / "config.json").is_file():
            continue
        if isinstance(fit, AutoencoderFit):
            fit_autoencoder(fit, data, folder, resume)
        elif isinstance(fit, TransformerFit):
            fit_transformer(fit, data, folder, resume)
        elif isinstance(fit, LeapsFit):
            fit_leaps(fit, data, folder, resume)
        elif isinstance(fit, MatchFit):
            fit_match(fit, data, folder, resume)
        else:
            fit_writer(fit, data, folder, resume)
    return folder / names[-1]


def build_world(world: WorldConfig, data: Path) -> None:
    """Simulate the clips that the folder lacks; needs the extra ``world``."""
    from ozora.world.build import build

    build(data, world.num_clips, world.seed, world.mix, workers=world.workers, transitions=world.transitions)
