"""What the tests run in limited children; a child can import this file, but not a test."""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path


def add(left, right):
    return {"sum": left + right}


def refuse(words):
    raise ValueError(words)


def break_down():
    sys.stderr = None  # the traceback is the child's own affair
    raise KeyError("x")


def kill_itself(number):
    os.kill(os.getpid(), number)


def eat(num_bytes):
    return len(bytearray(num_bytes))


def write(path, num_bytes):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        Path(path).write_bytes(bytes(num_bytes))
    except OSError as error:
        raise ValueError(error.strerror) from error


def spin():
    while True:
        pass


def wait_for_ever():
    signal.pause()


def look_around():
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the listing's own
            found.append(str(link.readlink()))
    return {"files": found}
