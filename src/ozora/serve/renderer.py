"""What runs in the renderer's process? It loads the model, times it, and renders what it is told to until it is parked.

    python -m ozora.serve.renderer '{"model": "mini", ...}'

Orders come on standard input, reports leave on standard output, a line of JSON each:

    {"do": "submit", "job": ..., "alone": bool}     {"is": "ready", "costs": ..., "budget": ...}
    {"do": "cancel", "id": ...}                     {"is": "broken", "message": ...}
    {"do": "park"}                                  {"is": "working", ...} and {"is": "over", ...}: see engine.py

The process ends with its server: when standard input ends, so does it, at once.
"""

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ozora.generate.generator import Generator
from ozora.serve.cost import CostModel
from ozora.serve.engine import Engine, Tell
from ozora.serve.measure import measure, plan_budget
from ozora.serve.messages import RenderJob
from ozora.serve.scratch import use_scratch

LOCKED_SECONDS = 0.2
"""How long to wait where all jobs here are still held by another process."""


def main(arguments: Sequence[str], generator: Generator | None = None) -> int:
    """Run until told to park. A ``generator`` that is given is used in place of the one that the settings name."""
    tell = _own_standard_output()
    orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read_orders, args=(orders,), daemon=True).start()
    # Ctrl-C in a terminal and a service manager reach every process: the server decides what becomes of us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: orders.put({"do": "park"}))
    _die_before_the_server()
    settings = json.loads(arguments[0])
    data = Path(settings["data"])
    use_scratch(data)
    if settings["threads"] is not None:
        torch.set_num_threads(settings["threads"])
    try:
        generator = generator or Generator.load(settings["model"], settings["device"], settings["dtype"])
    except ValueError as error:
        tell({"is": "broken", "message": str(error)})
        return 1
    costs = CostModel.from_json(settings["costs"]) if settings["costs"] else measure(generator)
    limits = (settings["max_row_tokens"], settings["max_bytes"], settings["max_seconds"])
    budget = plan_budget(costs, generator.device, *limits)
    engine = Engine(generator, costs, budget, data, tell, settings["save_steps"])
    tell({"is": "ready", "costs": costs.to_json(), "budget": asdict(budget)})
    run(engine, orders)
    return 0


def run(engine: Engine, orders: "queue.SimpleQueue[dict[str, Any]]") -> None:
    """Work, and between two moments of work do what is ordered, until the order is to park."""
    is_busy = False
    while True:
        patience = 0.0 if is_busy else LOCKED_SECONDS if engine.works else None
        for order in _take(orders, patience):
            if order["do"] == "submit":
                engine.submit(RenderJob.from_json(order["job"]), order["alone"])
            elif order["do"] == "cancel":
                engine.cancel(order["id"])
            elif order["do"] == "park":
                engine.park()
                return
        is_busy = engine.work()


def _take(orders: "queue.SimpleQueue[dict[str, Any]]", patience: float | None) -> Iterator[dict[str, Any]]:
    """All orders that are there; the first is waited for as long as ``patience`` says, None for ever."""
    try:
        yield orders.get(block=patience != 0, timeout=patience)
        while True:
            yield orders.get_nowait()
    except queue.Empty:
        return


def _read_orders(orders: "queue.SimpleQueue[dict[str, Any]]") -> None:
    unfinished = b""
    while data := os.read(0, 2**16):  # not through a buffer, whose lock would stand in the way of our end
        *lines, unfinished = (unfinished + data).split(b"\n")
        for line in lines:
            orders.put(json.loads(line))
    os._exit(1)


def _own_standard_output() -> Tell:
    """Keep standard output for reports: whatever else prints there goes to standard error from now on."""
    reports = os.dup(1)
    os.dup2(2, 1)

    def tell(report: Mapping[str, Any]) -> None:
        line = memoryview(json.dumps(report).encode() + b"\n")
        while line:
            line = line[os.write(reports, line) :]

    return tell


def _die_before_the_server() -> None:
    """Where memory runs out, Linux should end this process and not the server, which survives it."""
    score = Path("/proc/self/oom_score_adj")
    if score.is_file():
        score.write_text("500")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
