"""How are a stranger's bytes handled without trusting the code that reads them? In a process of its own, on a budget.

Decoders are large programs in C. Each call here runs one function in a fresh child with limits on memory, processor
time, wall time and file size; if it dies, only it dies. The child is forked from a small server process
(``multiprocessing``'s "forkserver") that holds none of our sockets, database handles or keys. Answers come back as
JSON, never as pickles, so what a child says cannot run anything here.
"""

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

# Imported once by the process that children are forked from, so that a child starts in milliseconds.
PRELOADED = ["c2pa", "ozora.media.read", "ozora.serve.confine"]
MAX_REPLY_BYTES = 2**24


@dataclass(frozen=True)
class Limits:
    """What one call may use: wall and processor time in seconds, memory beyond what a fresh child holds, and the size
    of any one file that it writes, in bytes."""

    seconds: float = 60.0
    cpu_seconds: int = 60
    memory_bytes: int = 2**31
    file_bytes: int = 2**31


def run_confined(task: Callable[..., Any], arguments: Mapping[str, Any], limits: Limits = Limits()) -> Any:
    """``task(**arguments)`` in a limited child; ``task`` is a module's function, both ways what JSON can hold.

    A ``ValueError`` of the task is raised here with the same words. ``RuntimeError`` says in half a sentence
    why the child gave no answer: "it took more than 60 s", "it took more memory than allowed", "it crashed (SIGSEGV)".
    Blocks; call it from a thread where others wait.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(sender, task, json.dumps(dict(arguments)), limits), daemon=True)
    child.start()
    sender.close()
    is_late = threading.Event()

    def stop() -> None:
        is_late.set()
        child.kill()

    alarm = threading.Timer(limits.seconds, stop)
    alarm.daemon = True
    alarm.start()
    reply = None
    try:
        reply = json.loads(receiver.recv_bytes(MAX_REPLY_BYTES))
    except (EOFError, OSError, ValueError):
        pass
    finally:
        alarm.cancel()
        alarm.join()
        receiver.close()
        if not reply:
            child.join(1.0)  # let a dying child end, so that its exit code says of what
        child.kill()
        child.join()
        exit_code = child.exitcode or 0
        child.close()
    if isinstance(reply, dict) and "result" in reply:
        return reply["result"]
    if isinstance(reply, dict) and "refused" in reply:
        raise ValueError(reply["refused"])
    raise RuntimeError(_cause(reply, exit_code, is_late.is_set(), limits))


def warm_up() -> None:
    """Start the process that children are forked from, so that the first call need not wait for its imports."""
    from multiprocessing import forkserver

    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()


def _cause(reply: object, exit_code: int, is_late: bool, limits: Limits) -> str:
    if is_late:
        return f"it took more than {limits.seconds:g} s"
    if isinstance(reply, dict) and "memory" in reply:
        return "it took more memory than allowed"
    if -exit_code == signal.SIGXCPU:
        return f"it took more than {limits.cpu_seconds} s of processor time"
    return f"it crashed ({signal.Signals(-exit_code).name if exit_code < 0 else 'an unexpected error'})"


def _answer(sender: Connection, task: Callable[..., Any], arguments: str, limits: Limits) -> None:
    """The child: bind itself, work, answer."""
    limit_this_process(limits)
    try:
        reply = {"result": task(**json.loads(arguments))}
    except ValueError as error:
        reply = {"refused": str(error)}
    except MemoryError:
        reply = {"memory": True}
    sender.send_bytes(json.dumps(reply).encode())


def limit_this_process(limits: Limits) -> None:
    """Bind the calling process for the rest of its life. POSIX has these limits; Linux alone enforces memory."""
    import resource

    os.setsid()  # a Ctrl-C at the server's terminal is the server's to handle
    statm = Path("/proc/self/statm")
    if statm.exists():  # what is mapped already does not count
        mapped = int(statm.read_text().split()[0]) * resource.getpagesize()
        _lower(resource.RLIMIT_AS, mapped + limits.memory_bytes)
    _lower(resource.RLIMIT_CPU, limits.cpu_seconds, spare=5)  # SIGXCPU first, which tells the cause
    _lower(resource.RLIMIT_FSIZE, limits.file_bytes)
    _lower(resource.RLIMIT_NOFILE, 64)
    _lower(resource.RLIMIT_CORE, 0)


def _lower(which: int, value: int, spare: int = 0) -> None:
    """The soft limit, and the hard one ``spare`` above it, never above what is in force."""
    import resource

    hard = resource.getrlimit(which)[1]
    most = value + spare if hard == resource.RLIM_INFINITY else min(value + spare, hard)
    resource.setrlimit(which, (min(value, most), most))
