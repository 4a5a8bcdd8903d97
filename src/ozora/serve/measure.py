"""How fast is this model on this machine, and how much memory has it to work in? Timed at the start, in a few rows."""

import ctypes
import math
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from ozora.generate.generator import MAX_TOKENS, Generator
from ozora.generate.rendering import window_lengths
from ozora.generate.request import Request
from ozora.serve.cost import Budget, CostModel, Speed
from ozora.serve.deliver import deliver

PROMPT = "a red ball falls and bounces on a grey floor"
ROW_CLIPS = 8  # clips in the probing row of many
WIDE = 3  # sides of the probing clip of many tokens, in sides of the usual one
DELIVERED_SIZE = (256, 256)
STEP_SECONDS = 0.5  # a row is so short that its step takes about this: who joins or cancels waits as long
ROW_SHARE = 0.1
MEMORY_SHARE = 0.75


def measure(generator: Generator, clock: Callable[[], float] = time.perf_counter) -> CostModel:
    """Render one clip of the usual size and a few steps of other rows, and see what each took."""
    config, geometry = generator.config, generator.geometry
    usual = Request(PROMPT, seconds=max(config.trained.num_frames) / config.default_fps)
    width, height = config.default_size
    rendering = generator.begin(usual)
    size, num_tokens = len(rendering.point.x), []
    while not rendering.is_done:
        num_tokens.append(rendering.num_tokens)
        generator.advance([rendering])
    started = clock()
    frames = list(generator.stream(rendering))
    decode_seconds = clock() - started
    started = clock()
    with TemporaryDirectory() as folder:
        for _ in deliver(Path(folder), frames, DELIVERED_SIZE, rendering.num_frames, config.default_fps, {}):
            pass
    write_seconds = clock() - started

    def time_row(requests: list[Request]) -> tuple[list[int], float]:
        """The numbers of tokens of the row's parts, and the seconds of a step: the better of two."""
        renderings = [generator.begin(replace(request, guidance=1.0, steps=4)) for request in requests]
        best = math.inf
        for _ in range(2):
            started = clock()
            generator.advance(renderings)
            best = min(best, clock() - started)
        return [len(rendering.point.x) for rendering in renderings], best

    short = time_row([replace(usual, seconds=1 / config.default_fps)])
    many = time_row([replace(usual, seed=seed) for seed in range(ROW_CLIPS)])
    peak = peak_bytes(lambda: time_row([replace(usual, seed=seed) for seed in range(ROW_CLIPS)]), generator.device)
    long = time_row([replace(usual, size=(WIDE * width, WIDE * height))])
    row, token, pair = fit_speed([short, many, long])
    decoder_peak = peak_bytes(lambda: list(generator.stream(rendering)), generator.device)
    drawn, delivered = rendering.num_frames * width * height, math.prod(DELIVERED_SIZE)
    lengths = window_lengths(config)
    return CostModel(
        side=geometry.side_multiple,
        stride=geometry.time_stride,
        token_width=geometry.patch_width,
        first=lengths.first,
        later=lengths.later,
        context=lengths.context,
        fps=config.default_fps,
        steps=config.sampling.steps,
        guidance=config.sampling.guidance,
        trained_pixels=max(w * h for w, h in config.trained.sizes),
        speed=Speed(
            row_seconds=row,
            token_seconds=token,
            pair_seconds=pair,
            drawn_seconds=decode_seconds / drawn,
            delivered_seconds=write_seconds / (rendering.num_frames * delivered),
            token_bytes=peak / sum(many[0]),
            drawn_bytes=decoder_peak / (width * height),
            guided_share=sum(num_tokens) / (size * len(num_tokens)) - 1 if num_tokens else 0.0,
        ),
    )


def fit_speed(rows: list[tuple[list[int], float]]) -> tuple[float, float, float]:
    """Seconds per row, per token and per pair, none below 0, from rows' parts and how long a step over them took."""
    design = np.array([[1.0, sum(lengths), sum(length**2 for length in lengths)] for lengths, _ in rows])
    seconds = np.array([time for _, time in rows])
    columns = [0, 1, 2]
    while columns:
        solution = np.linalg.lstsq(design[:, columns], seconds, rcond=None)[0]
        if (solution >= 0).all():
            break
        del columns[int(solution.argmin())]
    found = dict(zip(columns, solution.tolist() if columns else []))
    return found.get(0, 0.0), found.get(1, 0.0), found.get(2, 0.0)


def plan_budget(
    model: CostModel, device: torch.device, max_tokens: int | None, max_bytes: int | None, max_seconds: float
) -> Budget:
    """What a job may take on this machine: what the operator says, and no more than memory holds."""
    num_bytes = int(MEMORY_SHARE * free_bytes(device)) if max_bytes is None else max_bytes
    fitting = max(1, int(num_bytes / max(model.speed.token_bytes, 1.0)))
    row_tokens = min(MAX_TOKENS if max_tokens is None else max_tokens, fitting)
    return Budget(row_tokens, num_bytes, max_seconds, model.trained_pixels)


def company_tokens(model: CostModel, budget: Budget, pace: float = 1.0) -> int:
    """Up to how many tokens jobs share a row; one job alone may have more.

    As many as a step of ``STEP_SECONDS`` moves where steps take ``pace`` times what was measured, and in any case so
    many that what every row takes is a small part of it (``ROW_SHARE``): there is little to gain beyond.
    """
    speed = model.speed
    if speed.token_seconds <= 0:
        return budget.row_tokens
    quick = STEP_SECONDS / (speed.token_seconds * max(pace, 1e-3))
    full = speed.row_seconds / (speed.token_seconds * ROW_SHARE)
    return max(1, min(budget.row_tokens, int(max(quick, full))))


def free_bytes(device: torch.device) -> int:
    """Memory that can still be had: of the device, or of the machine and of the control group we live in."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    meminfo, group = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
    if meminfo.is_file():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        free = 1024 * int(lines["MemAvailable"].split()[0])
    limit, used = group / "memory.max", group / "memory.current"
    if limit.is_file() and (text := limit.read_text().strip()).isdecimal():
        free = min(free, max(0, int(text) - int(used.read_text())))
    return free


def peak_bytes(work: Callable[[], object], device: torch.device) -> int:
    """How much memory the work takes at its peak beyond what was taken before it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        return torch.cuda.max_memory_allocated(device) - before
    release_memory()
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if status.is_file() and os.access(reset, os.W_OK):
        reset.write_text("5")  # the peak starts again from what is resident now (Linux, proc(5))
        before = _resident(status, "VmRSS")
        work()
        return max(0, _resident(status, "VmHWM") - before)
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work()
    return unit * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


def release_memory() -> None:
    """Give back what the C library keeps of freed memory, so that it is not counted as taken (glibc)."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _resident(status: Path, name: str) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])
