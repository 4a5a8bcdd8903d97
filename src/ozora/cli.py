"""Which verb do the words of a command line ask for? Parsed here, carried out in ``ozora.verbs``.

A verb checks what is cheap to check, imports what it needs, does its work, and prints one line on
standard output. All else (progress, warnings, the one line of an error) goes to standard error.
"""

import contextlib
import functools
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from tyro.extras import subcommand_cli_from_dict

from ozora.terminal import fail, warnings_in_one_line
from ozora.verbs.board import storyboard
from ozora.verbs.draw import generate, picture
from ozora.verbs.pixels import animate, connect, edit, extend, fill, loop
from ozora.verbs.serving import create_key, list_keys, revoke_key, serve, verify
from ozora.verbs.study import build_world, evaluate, reconstruct, train
from ozora.verbs.words import caption, expand, recaption

VERBS: dict[str, Callable[..., None]] = {
    "generate": generate,
    "picture": picture,
    "animate": animate,
    "extend": extend,
    "loop": loop,
    "connect": connect,
    "edit": edit,
    "fill": fill,
    "storyboard": storyboard,
    "caption": caption,
    "recaption": recaption,
    "expand": expand,
    "reconstruct": reconstruct,
    "train": train,
    "evaluate": evaluate,
    "serve": serve,
    "verify": verify,
    "keys create": create_key,
    "keys list": list_keys,
    "keys revoke": revoke_key,
    "world build": build_world,
}
HELP = "Sora, open: generate clips from text, train the models that do it, judge what they make (or --version)."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns 0, 1 where the work failed, 2 where it was refused, 130 where it was stopped."""
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        with warnings_in_one_line():
            if words == ["--version"]:
                from ozora import __version__

                print(f"ozora {__version__}")
            else:
                parse(words)()
            sys.stdout.flush()
        return 0
    except BrokenPipeError:  # whoever read our standard output has gone, so nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Exception, KeyboardInterrupt) as error:
        return fail(error)


def parse(words: Sequence[str]) -> Callable[[], None]:
    """The verb that the words ask for, with its arguments bound; ``ValueError`` where they ask for none."""
    words = list(words)
    pairs = [name for name in VERBS if words and name.startswith(f"{words[0]} ")]  # verbs of two words
    if " ".join(words[:2]) in pairs:
        words[:2] = [" ".join(words[:2])]
    elif len(pairs) == 1:
        words[:1] = pairs
    elif pairs:
        raise ValueError(f"ozora {words[0]} lacks a word; write {' or '.join(pairs)} (see ozora --help)")

    def bind(verb: Callable[..., None]) -> Callable[..., Any]:
        return functools.wraps(verb)(lambda *args, **kwargs: functools.partial(verb, *args, **kwargs))

    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return subcommand_cli_from_dict(
                {name: bind(verb) for name, verb in VERBS.items()},
                prog="ozora",
                description=HELP,
                args=words,
            )
    except SystemExit as end:
        if not end.code:
            raise
        raise ValueError(f"{_first_words(complaint.getvalue())} (see ozora --help)") from None


def _first_words(box: str) -> str:
    """What Tyro's box of a complaint says between its title and its hints, in one line."""
    lines = [line.strip("│ ") for line in re.sub(r"\x1b\[[0-9;]*m", "", box).splitlines()]
    rules = [i for i, line in enumerate(lines) if line.startswith(("╭", "─", "----", "╰"))] + [len(lines)] * 2
    message = " ".join(lines[rules[0] + 1 : rules[1]]).strip() or " ".join(lines)
    return message.replace("{None}|", "").replace("'None', ", "").partition(" Got errors:")[0]
