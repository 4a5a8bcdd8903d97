"""A renderer that only counts, and a server on it without HTTP: ``python counting_server.py DATA WORKER SECONDS``.

Tests import this file, and start it as a program in order to kill it.
"""

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ozora.serve import jobs as jobs_file
from ozora.serve.cost import Cost
from ozora.serve.jobs import Jobs
from ozora.serve.messages import Outcome, RenderJob, RenderProgress
from ozora.serve.service import Attempt, Service, VideoRecord
from ozora.serve.settings import ServeSettings
from ozora.serve.spec import VideoSpec
from ozora.serve.tables import Video, new_id

SPEC = VideoSpec("a red ball", (128, 64), 2.0)
FILES = {"video": "video.mp4", "thumbnail": "thumbnail.webp", "spritesheet": "spritesheet.jpg"}
NUM_STEPS = 5
PATIENCE = 60.0


class CountingRenderer:
    """A renderer whose steps are numbers in a file. Step ``hold_at`` waits until ``release``."""

    def __init__(self, log: Path, hold_at: int | None = None, step_seconds: float = 0.0) -> None:
        self.log, self.hold_at, self.step_seconds = log, hold_at, step_seconds
        self.go, self.parked = threading.Event(), threading.Event()
        self.jobs: dict[str, RenderJob] = {}
        self.steps: dict[str, int] = {}
        self.cancelled: set[str] = set()
        self.outcomes: dict[str, Outcome] = {}
        self.change = threading.Condition()

    def start(self) -> None: ...

    def release(self) -> None:
        self.go.set()
        with self.change:
            self.change.notify_all()

    def stop(self) -> None:
        self.parked.set()
        with self.change:
            self.change.notify_all()

    def submit(self, job: RenderJob) -> None:
        with self.change:
            if job.id not in self.jobs:
                self.jobs[job.id] = job
                threading.Thread(target=self._render, args=(job,)).start()

    def _render(self, job: RenderJob) -> None:
        state = job.folder / "state.json"
        step = json.loads(state.read_text()) if state.exists() else 0
        while step < NUM_STEPS:
            self.steps[job.id] = step
            with self.change:
                self.change.notify_all()
                self.change.wait_for(lambda step=step: self._may_go_on(job.id, step), PATIENCE)
            if self.parked.is_set() or job.id in self.cancelled:
                return self._end(job, Outcome("parked" if self.parked.is_set() else "cancelled"))
            self.parked.wait(self.step_seconds)
            step += 1
            partial = state.with_suffix(".partial")
            partial.write_text(json.dumps(step))
            partial.replace(state)
        if job.spec.prompt == "poison":
            return self._end(job, Outcome("failed", "render_crashed", "it died alone twice"))
        for name in FILES.values():
            (job.folder / name).write_text(f"{job.spec.prompt} {job.spec.seed}")
        with self.log.open("a") as log:
            log.write(f"{job.id}\n")
        return self._end(job, Outcome("done", "", "", (64, 32), FILES, 17, 8.0))

    def _may_go_on(self, id: str, step: int) -> bool:
        return step != self.hold_at or self.go.is_set() or self.parked.is_set() or id in self.cancelled

    def _end(self, job: RenderJob, outcome: Outcome) -> None:
        with self.change:
            self.outcomes[job.id] = outcome
            self.change.notify_all()

    def wait(self, job_id: str, timeout_s: float | None = None) -> Outcome | None:
        assert job_id in self.jobs
        with self.change:
            self.change.wait_for(lambda: job_id in self.outcomes, timeout_s)
            return self.outcomes.get(job_id)

    def cancel(self, job_id: str) -> None:
        with self.change:
            self.cancelled.add(job_id)
            self.change.notify_all()

    def forget(self, job_id: str) -> None:
        with self.change:
            for known in (self.jobs, self.outcomes, self.steps):
                known.pop(job_id, None)
            self.cancelled.discard(job_id)

    def progress(self, job_id: str) -> RenderProgress:
        return RenderProgress(self.steps[job_id], NUM_STEPS, True, 0, 3.0)

    def estimate(self, spec: VideoSpec) -> Cost:
        return Cost(1, 1, spec.seconds)

    def why_not(self, spec: VideoSpec) -> str:
        return "" if spec.render_size == self.render_size(spec) else "too large; 64x32 fits"

    def render_size(self, spec: VideoSpec) -> tuple[int, int] | None:
        return None if spec.size[0] > 1000 else (64, 32)

    def seconds_waiting(self) -> float:
        return 7.0

    def why_not_ready(self) -> str:
        return ""

    def gauges(self) -> dict[str, float]:
        return {"steps": 1.0}


def sign(path: Path, video: Video) -> None:
    text = path.read_text()
    path.write_text(text if text.endswith("signed") else text + " signed")


def submit(jobs: Service, spec: VideoSpec = SPEC, tenant: str = "ann", **attempt: Any) -> VideoRecord:
    (record,) = jobs.submit(tenant, [spec], Attempt(**{"fingerprint": new_id("evt"), **attempt}))
    return record


def ended(jobs: Jobs, *records: VideoRecord, tenant: str = "ann") -> list[VideoRecord]:
    """The records once nobody works on them any more, their folders cleared."""
    for record in records:
        eventually(lambda id=record.id: is_over(jobs._store.look_up(id)))
    return [jobs.get(tenant, record.id) for record in records]


def is_over(video: Video | None) -> bool:
    return video is None or (video.state not in ("queued", "in_progress") and video.worker is None)


def eventually(is_so: Callable[[], bool]) -> None:
    """Ask until it is so; the limit is for a test that fails."""
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.02)):
        if is_so():
            return
        pause.wait(0.02)
    raise AssertionError(f"still not so after {PATIENCE} s")


def settings(data: Path, worker: str) -> ServeSettings:
    """Those of one of several workers, on one SQLite file."""
    return ServeSettings(data=data, database=f"sqlite:///{data / 'ozora.db'}", worker=worker)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    jobs_file.BEAT_SECONDS = 0.2
    renderer = CountingRenderer(folder / "log", step_seconds=float(sys.argv[3]))
    server = Jobs(settings(folder, sys.argv[2]), renderer, sign)
    server.start()
    threading.Event().wait(PATIENCE)
    os._exit(1)
