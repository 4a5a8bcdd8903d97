"""How does a program speak to whoever called it? Results in one line, warnings and errors in one line each.

Results go to standard output. Progress, warnings and errors go to standard error.
"""

import contextlib
import itertools
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

_SERVED = ("fastapi", "uvicorn", "python_multipart", "sqlalchemy", "dbos", "httpx2", "prometheus_client", "c2pa")
EXTRA_OF_MODULE = {"mujoco": "world", "tensorboard": "train", "openai": "words", **dict.fromkeys(_SERVED, "serve")}


@contextlib.contextmanager
def progress_bar() -> Iterator[Callable[[int, int], None] | None]:
    """A bar on standard error where that is a terminal, and nothing where it is not. It goes away when it is done.

    Gives the function to call with (steps done, steps in all); until the first call it shows that something loads.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("loading", total=None)
        yield lambda step, num_steps: bar.update(task, description="drawing", completed=step, total=num_steps)


@contextlib.contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Show what Ozora warns of, once each; what its libraries tell programmers is no use to who reads a terminal."""
    shown = set()

    def show(message: Warning | str, category: type[Warning], *_: object) -> None:
        if issubclass(category, UserWarning) and _warned_by().startswith("ozora.") and str(message) not in shown:
            shown.add(str(message))
            say("warning", str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show  # pyright: ignore[reportAttributeAccessIssue]
        yield


def report(made: Path, what: str, started: float) -> None:
    """The one line of a verb that did its work: the file or folder, what is in it, and the seconds it took."""
    print(one_line(f"{made}: {what}, {time.perf_counter() - started:.1f} s"), flush=True)


def fail(error: BaseException) -> int:
    """Say in one line what went wrong; returns the exit status: 1 it failed, 2 it was refused, 130 it was stopped.

    An exception that only a bug can raise is raised again, with its traceback.
    """
    match error:
        case KeyboardInterrupt():
            message, status = "stopped; files that were finished stay", 130
        case ModuleNotFoundError() if (module := str(error.name).partition(".")[0]) in EXTRA_OF_MODULE:
            message, status = f"{module} is not installed; pip install 'ozora[{EXTRA_OF_MODULE[module]}]'", 1
        case ValueError():
            message, status = str(error), 2
        case OSError():
            refused = isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError)
            named = error.filename and error.strerror
            message, status = f"{error.filename}: {error.strerror}" if named else str(error), 2 if refused else 1
        case MemoryError():
            message, status = "out of memory; ask for a smaller size or fewer seconds", 1
        case RuntimeError():
            message, status = str(error), 1
        case _:
            raise error
    say("error", message)
    return status


def say(kind: str, message: str) -> None:
    print(one_line(f"ozora: {kind}: {message}"), file=sys.stderr, flush=True)


def one_line(text: str) -> str:
    """Without line breaks, and without characters that would steer a terminal."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def _warned_by() -> str:
    """The module whose code called ``warnings.warn``, whatever place the warning points at."""
    modules = (str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_stack(None))
    outward = itertools.dropwhile(lambda module: module != "warnings", modules)
    return next(itertools.dropwhile(lambda module: module == "warnings", outward), "")
