"""How does the server survive its renderer? It runs in a child process, which is watched, buried and started again.

When the child dies, its jobs go on in the next one from where they were saved. What it was working on then is suspect
(see ``suspects.py``). A child that is silent for far longer than its work should take is ended.
"""

import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from ozora.serve.cost import Budget, Cost, CostModel, seconds_left
from ozora.serve.messages import Outcome, Renderer, RenderJob, RenderProgress
from ozora.serve.settings import MEBI, ServeSettings
from ozora.serve.spec import VideoSpec
from ozora.serve.suspects import Deaths, read_deaths, write_deaths

__all__ = ["ChildRenderer", "Outcome", "RenderJob", "RenderProgress", "Renderer"]

PROGRAM = (sys.executable, "-m", "ozora.serve.renderer")
MAX_STARTS = 3
"""Where the first children die so often before they are ready, the start has failed."""
FIRST_DELAY, MAX_DELAY = 0.25, 30.0
"""Seconds between two starts where a child does not come up, twice as many each time."""
SECONDS_OF_SILENCE, STEPS_OF_SILENCE = 300.0, 20
"""A report is overdue so long after the one before it, and so many times what the work should take."""


@dataclass
class Held:
    """A job of this renderer. ``point`` is the last report: stage, step, frames written, steps of the stage."""

    job: RenderJob
    cost: Cost
    deaths: Deaths
    point: tuple[int, int, int, int] = (0, 0, 0, 0)
    started: bool = False
    is_cancelled: bool = False
    outcome: Outcome | None = None

    @property
    def seconds_left(self) -> float:
        """What it still needs, alone, by its cost."""
        stage, step, num_written, num_steps = self.point
        walked = (stage + step / max(num_steps, 1)) / (2 if self.job.spec.loop else 1)
        written = min(1.0, num_written / self.cost.num_frames)
        writing = self.cost.writing_seconds
        return (self.cost.seconds - writing) * (1 - walked) + writing * (1 - written)


class ChildRenderer:
    """A ``Renderer`` in a process of its own, by ``settings``. ``program`` is what runs there (see ``renderer.py``)."""

    def __init__(self, settings: ServeSettings, program: tuple[str, ...] = PROGRAM) -> None:
        self.settings, self.program = settings, program
        self._changed = threading.Condition()
        self._held: dict[str, Held] = {}
        self._working_on: dict[str, tuple[int, int, int, int]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: threading.Thread | None = None
        self._costs: CostModel | None = None
        self._budget: Budget | None = None
        self._is_up = self._is_broken = self._is_stopping = False
        self._complaint = "the renderer has not been started"
        self._due = 0.0
        self._pace = 1.0
        self._num_starts = self._num_deaths = self._num_rows = self._num_parts = 0

    def start(self) -> None:
        """Return when the model is loaded and timed. ``RuntimeError`` where it cannot be."""
        with self._changed:
            if self._keeper is not None:
                return
            self._complaint = "the model is being loaded"
            self._keeper = threading.Thread(target=self._keep, name="renderer", daemon=True)
            self._keeper.start()
            self._changed.wait_for(lambda: self._is_up or self._is_stopping)
            if not self._is_up:
                raise RuntimeError(self._complaint)

    def stop(self) -> None:
        with self._changed:
            keeper, self._is_stopping = self._keeper, True
            if self._process is not None and not self._is_up:  # it is still loading: there is nothing to save
                self._process.kill()
            self._order({"do": "park"})
            self._changed.notify_all()
        if keeper is not None:
            keeper.join()
        with self._changed:
            for held in self._held.values():
                held.outcome = held.outcome or Outcome("parked")
            self._complaint = "the renderer was stopped"
            self._changed.notify_all()

    def submit(self, job: RenderJob) -> None:
        with self._changed:
            if job.id in self._held:
                return
            held = Held(job, self._needed_costs().estimate(job.spec), read_deaths(job.folder))
            held.outcome = Outcome("parked") if self._is_stopping else None
            self._held[job.id] = held
            self._judge(held)
            if held.outcome is None:
                self._order_submission(held)

    def wait(self, job_id: str, timeout_s: float | None = None) -> Outcome | None:
        with self._changed:
            held = self._find(job_id)
            self._changed.wait_for(lambda: held.outcome is not None, timeout_s)
            return held.outcome

    def cancel(self, job_id: str) -> None:
        with self._changed:
            held = self._held.get(job_id)
            if held is not None and held.outcome is None:
                held.is_cancelled = True
                held.outcome = None if self._is_up else Outcome("cancelled")
                self._order({"do": "cancel", "id": job_id})
                self._changed.notify_all()

    def forget(self, job_id: str) -> None:
        with self._changed:
            held = self._held.get(job_id)
            if held is not None and held.outcome is not None:
                del self._held[job_id]

    def progress(self, job_id: str) -> RenderProgress:
        with self._changed:
            held = self._find(job_id)
            _, step, _, num_steps = held.point
            before = takewhile(lambda other: other is not held, self._held.values())
            num_before = sum(not other.started and other.outcome is None for other in before)
            left = self._seconds_left().get(job_id, 0.0)
            return RenderProgress(step, num_steps, held.started, 0 if held.started else num_before, left)

    def estimate(self, spec: VideoSpec) -> Cost:
        return self._needed_costs().estimate(spec)

    def why_not(self, spec: VideoSpec) -> str:
        return self._needed_costs().why_not(spec, self._needed_budget())

    def render_size(self, spec: VideoSpec) -> tuple[int, int] | None:
        return self._needed_costs().render_size(spec, self._needed_budget())

    def seconds_waiting(self) -> float:
        with self._changed:
            return max(self._seconds_left().values(), default=0.0)

    def why_not_ready(self) -> str:
        with self._changed:
            return "" if self._is_up else self._complaint

    def gauges(self) -> Mapping[str, float]:
        with self._changed:
            open_jobs = [held for held in self._held.values() if held.outcome is None]
            return {
                "renderer_up": float(self._is_up),
                "renderer_starts_total": float(self._num_starts),
                "renderer_deaths_total": float(self._num_deaths),
                "renderer_rows_total": float(self._num_rows),
                "renderer_row_parts_total": float(self._num_parts),
                "renderer_jobs": float(len(open_jobs)),
                "renderer_jobs_started": float(sum(held.started for held in open_jobs)),
                "renderer_suspects": float(sum(held.deaths.suspect for held in open_jobs)),
                "renderer_pace": self._pace,
                "renderer_seconds_waiting": max(self._seconds_left().values(), default=0.0),
            }

    def _find(self, job_id: str) -> Held:
        if job_id not in self._held:
            raise KeyError(f"no job {job_id!r} was submitted here")
        return self._held[job_id]

    def _needed_costs(self) -> CostModel:
        if self._costs is None:
            raise RuntimeError(f"nothing is known of the cost of a video: {self._complaint}")
        return self._costs

    def _needed_budget(self) -> Budget:
        self._needed_costs()
        assert self._budget is not None
        return self._budget

    def _seconds_left(self) -> dict[str, float]:
        """Of every job that is not over, by the cost model and by how much slower the machine has been than that."""
        open_jobs = {job_id: held for job_id, held in self._held.items() if held.outcome is None}
        if not open_jobs or self._costs is None or self._budget is None:
            return {}
        remaining = {job_id: held.seconds_left for job_id, held in open_jobs.items()}
        gain = self._costs.packing([held.cost.num_tokens for held in open_jobs.values()], self._budget.row_tokens)
        shared = seconds_left(remaining)
        return {job_id: self._pace * max(remaining[job_id], gain * shared[job_id]) for job_id in open_jobs}

    def _keep(self) -> None:
        """In a thread: a child after the other, until we stop or the first one cannot start."""
        num_failed = 0
        while True:
            with self._changed:
                delay = min(FIRST_DELAY * (2.0**num_failed - 1), MAX_DELAY)
                if self._changed.wait_for(lambda: self._is_stopping, delay):
                    return
                process = self._process = self._spawn()
            for report in self._reports(process):
                with self._changed:
                    self._hear(report)
                    self._changed.notify_all()
            code = process.wait()
            with self._changed:
                num_failed = 0 if self._is_up else num_failed + 1
                self._bury(code)
                if self._costs is None and (self._is_broken or num_failed >= MAX_STARTS):
                    self._is_stopping = True
                self._changed.notify_all()

    def _spawn(self) -> "subprocess.Popen[bytes]":
        settings = self.settings
        asked = {
            "data": str(settings.data),
            "model": settings.model,
            "device": settings.device,
            "dtype": settings.dtype,
            "threads": settings.threads,
            "max_row_tokens": settings.max_row_tokens,
            "max_bytes": None if settings.max_memory_mb is None else settings.max_memory_mb * MEBI,
            "max_seconds": settings.max_render_seconds,
            "save_steps": settings.save_steps,
            "costs": self._costs and self._costs.to_json(),
        }
        self._num_starts += 1
        return subprocess.Popen(
            [*self.program, json.dumps(asked)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
        )

    def _reports(self, process: "subprocess.Popen[bytes]") -> Iterator[dict[str, Any]]:
        """What the child reports until it ends; one that has been silent for too long is ended."""
        assert process.stdout is not None
        unfinished = b""
        with process.stdout as pipe, selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while True:
                if not selector.select(timeout=1.0):
                    with self._changed:
                        if self._is_overdue():
                            process.kill()
                    continue
                data = os.read(pipe.fileno(), 2**16)
                if not data:
                    return
                *lines, unfinished = (unfinished + data).split(b"\n")
                yield from (json.loads(line) for line in lines)

    def _is_overdue(self) -> bool:
        has_work = self._is_stopping or any(held.outcome is None for held in self._held.values())
        return self._is_up and has_work and time.monotonic() > self._due

    def _hear(self, report: Mapping[str, Any]) -> None:
        if report["is"] == "ready":
            self._costs, self._budget = CostModel.from_json(report["costs"]), Budget(**report["budget"])
            self._is_up, self._complaint = True, ""
            self._expect(0.0)
            for held in self._held.values():
                if held.outcome is None:
                    self._order_submission(held)
        elif report["is"] == "broken":
            self._is_broken, self._complaint = True, report["message"]
        elif report["is"] == "working":
            self._working_on = {job_id: tuple(point) for job_id, point in report["on"].items()}
            self._pace = report["pace"]
            self._expect(report["seconds"])
            if len(self._working_on) and report["seconds"] > 0:
                self._num_rows, self._num_parts = self._num_rows + 1, self._num_parts + len(self._working_on)
            for job_id, point in self._working_on.items():
                held = self._held.get(job_id)
                if held is not None:
                    held.point, held.started = point, held.started or point[3] > 0
        elif report["is"] == "over":
            self._working_on.pop(report["id"], None)
            held, outcome = self._held.get(report["id"]), Outcome.from_json(report["outcome"])
            # One that parks without our word was told to end by someone else: its jobs go on in the next one.
            if held is not None and held.outcome is None and (outcome.kind != "parked" or self._is_stopping):
                held.outcome = outcome

    def _bury(self, code: int) -> None:
        """The child has ended: what it was working on may be why, unless it ended in order."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
        working_on, self._working_on = self._working_on, {}
        self._is_up = False
        if not self._is_broken:
            self._complaint = f"the renderer ended with {code} (its words are in the log) and is started again"
        for held in self._held.values():
            if held.is_cancelled:
                held.outcome = held.outcome or Outcome("cancelled")
        if code == 0:
            return
        self._num_deaths += 1
        for job_id, point in working_on.items():
            held = self._held.get(job_id)
            if held is not None and held.outcome is None:
                held.deaths = held.deaths.after(point[:3], len(working_on))
                with suppress(FileNotFoundError):  # its folder may have been deleted
                    write_deaths(held.job.folder, held.deaths)
                self._judge(held)

    def _judge(self, held: Held) -> None:
        if held.deaths.is_guilty and held.outcome is None:
            times = f"{len(held.deaths.alone)} times"
            held.outcome = Outcome("failed", "render_crashed", f"the renderer ended {times} while it made this video")

    def _expect(self, seconds: float) -> None:
        """The next report comes after about so many seconds."""
        self._due = time.monotonic() + SECONDS_OF_SILENCE + STEPS_OF_SILENCE * seconds

    def _order_submission(self, held: Held) -> None:
        if self._is_up:
            if not self._working_on:
                self._expect(0.0)
            self._order({"do": "submit", "job": held.job.to_json(), "alone": held.deaths.suspect})

    def _order(self, order: Mapping[str, Any]) -> None:
        """Tell the child, if it is there. One that is dying does not hear, and the next one is told everything."""
        process = self._process
        if process is None or process.stdin is None:
            return
        with suppress(OSError):
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
