"""What does it gain a server that many videos share one row, and what does it cost the short ones?

    python benchmarks/serve_throughput.py
    python benchmarks/serve_throughput.py --clock cpu --threads 1

The same workload (sizes, lengths, steps and guidance mixed, arriving at random) goes through ``ozora.serve.engine``
twice in one process, in turns: packed as the server does it, and one video at a time in the order of arrival. Prints
the seconds until all are done, and how long a short video took from its arrival to its file. The clock "cpu" counts the
seconds that this process computed, so that on one thread it does not matter what else the machine does.
"""

import math
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro

from ozora.generate.generator import Generator
from ozora.serve.cost import Budget, CostModel
from ozora.serve.engine import Engine
from ozora.serve.measure import measure, plan_budget
from ozora.serve.messages import RenderJob
from ozora.serve.spec import VideoSpec

PROMPTS = (
    "a red ball falls and bounces on a grey floor",
    "a blue cube slides to the left",
    "a green cone and a yellow ball on a pale floor",
)
SIZES = ((64, 64), (48, 80), (80, 48), (48, 48))
SHORT_SECONDS = 1.0


class Clock:
    """Seconds of the wall, or of this process's work; waiting takes none of the latter, so it is added."""

    def __init__(self, kind: Literal["wall", "cpu"]) -> None:
        self.read = time.perf_counter if kind == "wall" else time.process_time
        self.kind, self.skipped = kind, 0.0

    def __call__(self) -> float:
        return self.read() + self.skipped

    def wait(self, seconds: float) -> None:
        if self.kind == "wall":
            time.sleep(seconds)
        else:
            self.skipped += seconds


@dataclass(frozen=True)
class Arrival:
    """A video, and the seconds after the beginning at which it is asked for."""

    seconds: float
    tenant: str
    spec: VideoSpec

    @property
    def is_short(self) -> bool:
        return self.spec.seconds <= SHORT_SECONDS


def make_workload(num_videos: int, rate: float, seed: int) -> list[Arrival]:
    """Two of three are short; the others are up to eight times as long. ``rate`` arrivals a second (Poisson)."""
    draw = random.Random(seed)
    arrivals, clock = [], 0.0
    for i in range(num_videos):
        clock += draw.expovariate(rate)
        size = draw.choice(SIZES)
        seconds = SHORT_SECONDS if draw.random() < 2 / 3 else draw.choice((2.0, 4.0, 8.0))
        steps, guidance = draw.choice((10, 20, 20, 30)), draw.choice((1.0, 3.0, 3.0))
        spec = VideoSpec(draw.choice(PROMPTS), size, seconds, seed=i, steps=steps, guidance=guidance, render_size=size)
        arrivals.append(Arrival(clock, draw.choice("abc"), spec))
    return arrivals


def run(
    arrivals: Sequence[Arrival], generator: Generator, costs: CostModel, budget: Budget, packed: bool, clock: Clock
) -> tuple[float, list[float], float]:
    """Seconds in all, seconds of each video from its arrival to its file, and the mean number of videos in a row."""
    ended: dict[str, float] = {}
    rows: list[int] = []

    def hear(report) -> None:
        if report["is"] == "over":
            if report["outcome"]["kind"] != "done":
                raise RuntimeError(report["outcome"]["message"])
            ended[report["id"]] = clock()
        elif report["seconds"] > 0:
            rows.append(len(report["on"]))

    with tempfile.TemporaryDirectory() as data:
        engine = Engine(generator, costs, budget, Path(data), hear, clock=clock)
        waiting = list(enumerate(arrivals))
        began = clock()
        while waiting or engine.works:
            now = clock() - began
            while waiting and waiting[0][1].seconds <= now and (packed or not engine.works):
                number, arrival = waiting.pop(0)
                folder = Path(data) / str(number)
                folder.mkdir()
                engine.submit(RenderJob(str(number), arrival.tenant, arrival.spec, folder))
            if not engine.work() and waiting:
                clock.wait(max(0.0, waiting[0][1].seconds - now))
        took = [ended[str(i)] - began - arrival.seconds for i, arrival in enumerate(arrivals)]
        return max(ended.values()) - began, took, statistics.mean(rows)


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, math.ceil(share * len(values)) - 1)]


def main(
    model: str = "mini",
    videos: int = 24,
    rate: float = 8.0,
    repeat: int = 3,
    seed: int = 0,
    threads: int | None = None,
    clock: Literal["wall", "cpu"] = "wall",
) -> None:
    """Print a Markdown table; see benchmarks/RESULTS.md."""
    if threads is not None:
        torch.set_num_threads(threads)
    ticks = Clock(clock)
    generator = Generator.load(model)
    costs = measure(generator, ticks)
    budget = plan_budget(costs, generator.device, None, None, math.inf)
    arrivals = make_workload(videos, rate, seed)
    run(arrivals[:2], generator, costs, budget, packed=True, clock=ticks)
    results = {"packed": [], "one at a time": []}
    for _ in range(repeat):
        for name, taken in results.items():
            taken.append(run(arrivals, generator, costs, budget, packed=name == "packed", clock=ticks))
    place = f"{generator.device}, {torch.get_num_threads()} threads, seconds of {clock}"
    print(f"{place}; {videos} videos, {rate:g} arrivals a second")
    print(f"{costs.speed}\n")
    print("| | all done after | a short one, median | 95 % | a long one, median | videos in a row |")
    print("|---|---|---|---|---|---|")
    for name, taken in results.items():
        short = [s for _, times, _ in taken for s, arrival in zip(times, arrivals) if arrival.is_short]
        long = [s for _, times, _ in taken for s, arrival in zip(times, arrivals) if not arrival.is_short]
        whole = statistics.median(total for total, _, _ in taken)
        print(
            f"| {name} | {whole:.1f} s | {statistics.median(short):.1f} s | {quantile(short, 0.95):.1f} s "
            f"| {statistics.median(long):.1f} s | {statistics.mean(row for _, _, row in taken):.1f} |"
        )
    pairs = [one / packed for (packed, _, _), (one, _, _) in zip(results["packed"], results["one at a time"])]
    print(f"\npacked is {statistics.median(pairs):.2f} times as fast ({min(pairs):.2f} to {max(pairs):.2f})")


if __name__ == "__main__":
    tyro.cli(main)
