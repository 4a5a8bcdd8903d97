"""Ozora: a text-to-video world simulator to read, train, run and own."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ozora.canvas import Canvas
    from ozora.clip import Clip
    from ozora.generate.generator import Generator
    from ozora.geometry import Geometry

    __version__: str

__all__ = ["Canvas", "Clip", "Generator", "Geometry", "__version__"]


def __getattr__(name: str) -> Any:
    """Import a name when it is asked for, so that ``import ozora`` and ``ozora --help`` do not wait for torch."""
    from importlib import import_module, metadata

    homes = {"Canvas": "canvas", "Clip": "clip", "Generator": "generate.generator", "Geometry": "geometry"}
    if name == "__version__":
        value = metadata.version("ozora")
    elif name in homes:
        value = getattr(import_module(f"ozora.{homes[name]}"), name)
    else:
        raise AttributeError(f"module 'ozora' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
