"""How do many videos share one model? They lie in one row of tokens, and before every step it is settled who is in it.

Three things are done in turn, each for a moment: requests are begun, the row takes one step, frames of what is done are
decoded and written. So who comes joins at the next step, and who is cancelled leaves at it. A job that the process may
have died of gets rows to itself. Whatever is about to be worked on is reported first.
"""

import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Generator as Steps
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ozora.clip import Clip
from ozora.generate.generator import Generator
from ozora.generate.rendering import Rendering
from ozora.serve import saved
from ozora.serve.cost import Budget, CostModel
from ozora.serve.deliver import FILES, deliver
from ozora.serve.measure import company_tokens
from ozora.serve.messages import Outcome, RenderJob
from ozora.serve.translate import kept_frames, make_request, num_stages, told
from ozora.serve.turns import Turns, choose_row

SLICE_SECONDS = 0.1
"""Between two steps requests are begun for so long, and frames written for so long."""
MAX_WRITING = 4
"""Videos that are written at a time: each holds an encoder's memory."""
HELD_SHARE = 0.5
"""Of the memory that jobs may take, so much is for those that have begun and wait for their turn."""
PACE_WEIGHT = 0.1

Tell = Callable[[Mapping[str, Any]], None]


@dataclass(eq=False)
class Work:
    """A job in this process. It waits until it has a ``rendering``; its frames are written once it has a ``delivery``.

    ``made`` is the clip of an earlier stage.
    """

    job: RenderJob
    alone: bool
    num_bytes: int
    lock: int | None = None
    stage: int = 0
    made: Clip | None = None
    rendering: Rendering | None = None
    delivery: Steps[int, None, None] | None = None
    num_written: int = 0
    saved_step: int = 0

    @property
    def is_moving(self) -> bool:
        return self.rendering is not None and not self.rendering.is_done

    @property
    def is_done(self) -> bool:
        """All steps of all stages are taken."""
        return self.rendering is not None and self.rendering.is_done

    @property
    def point(self) -> tuple[int, int, int, int]:
        """Stage, step, frames written, and the stage's number of steps."""
        step, num_steps = (self.rendering.step, self.rendering.num_steps) if self.rendering else (0, 0)
        return self.stage, step, self.num_written, num_steps


class Engine:
    """Jobs that share a generator. ``tell`` is given what there is to report, in JSON's types:

    {"is": "working", "on": {id: point}, "seconds": expected, "pace": by how much steps are slower than expected}
    {"is": "over", "id": id, "outcome": outcome}
    """

    def __init__(
        self,
        generator: Generator,
        costs: CostModel,
        budget: Budget,
        data: Path,
        tell: Tell,
        save_steps: int = 5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.generator, self.costs, self.budget, self.data = generator, costs, budget, data
        self.tell, self.save_steps, self.clock = tell, save_steps, clock
        self.works: dict[str, Work] = {}
        self.turns = Turns()
        self.pace = 1.0

    def submit(self, job: RenderJob, alone: bool = False) -> None:
        """Take up a job, where an earlier process left it. One that is here already stays as it is."""
        if job.id in self.works:
            return
        outcome = saved.read_outcome(job.folder)
        if outcome is not None:
            self.tell({"is": "over", "id": job.id, "outcome": outcome.to_json()})
            return
        self.works[job.id] = Work(job, alone, self.costs.held_bytes(job.spec))
        self.turns.add(job.id, job.tenant)

    def cancel(self, job_id: str) -> None:
        """Drop a job and what it has saved."""
        work = self.works.get(job_id)
        if work is not None:
            saved.remove_states(work.job.folder)
            self._end(work, Outcome("cancelled"))

    def park(self) -> None:
        """Save all jobs and drop them."""
        for work in list(self.works.values()):
            if work.is_moving:
                with suppress(OSError):  # on a full disk it goes on from what was saved before
                    self._save(work)
            self._end(work, Outcome("parked"))

    def work(self) -> bool:
        """Begin some, take a step, write some. False where there was nothing to do."""
        has_worked = any([self._begin_some(), self._step(), self._write_some()])
        if has_worked:
            self._announce([], 0.0)
        return has_worked

    def _begin_some(self) -> bool:
        """Begin jobs in the order of their turns, as many as there is memory to hold."""
        waiting = {job_id: 0.0 for job_id, work in self.works.items() if work.rendering is None}
        room = HELD_SHARE * self.budget.num_bytes
        room -= sum(work.num_bytes for work in self.works.values() if work.rendering is not None)
        is_first, has_begun, stop = len(waiting) == len(self.works), False, self.clock() + SLICE_SECONDS
        for job_id in self.turns.order(waiting):
            work = self.works[job_id]
            if self.clock() >= stop or (work.num_bytes > room and not is_first):
                break
            with self._at_work_on(work):
                if work.lock is None:
                    work.lock = saved.try_lock(work.job.folder)
                if work.lock is None:  # another process has it; it will end, or it is dying
                    continue
                self._begin(work)
                has_begun, is_first, room = True, False, room - work.num_bytes
        return has_begun

    def _begin(self, work: Work) -> None:
        """Let a stage of a job begin, or go on where it was saved."""
        folder = work.job.folder
        if work.stage == 0:
            saved.remove_partial_files(folder)
        request = make_request(work.job.spec, self.generator, self.data, work.made)
        state = saved.read_state(folder, work.stage)
        try:
            rendering = self.generator.begin(request, state)
        except ValueError:
            if state is None:
                raise
            rendering = self.generator.begin(request)  # it was saved by another version, or the request itself is bad
        work.rendering, work.saved_step = rendering, rendering.step
        if rendering.is_done:
            self._end_stage(work)

    def _step(self) -> bool:
        """One step of one row."""
        moving = {job_id: work for job_id, work in self.works.items() if work.is_moving}
        num_tokens = {job_id: work.rendering.num_tokens for job_id, work in moving.items() if work.rendering}
        shares = {job_id: self.costs.work_seconds([number]) for job_id, number in num_tokens.items()}
        alone = {job_id for job_id, work in moving.items() if work.alone}
        room = company_tokens(self.costs, self.budget, self.pace)
        row = choose_row(self.turns.order(shares), num_tokens, room, alone)
        if not row:
            return False
        works = [moving[job_id] for job_id in row]
        expected = self.costs.row_seconds([num_tokens[job_id] for job_id in row])
        self._announce(works, expected)
        started = self.clock()
        try:
            self.generator.advance([work.rendering for work in works if work.rendering is not None])
        except Exception as error:
            self._fall_back(works, error)
            return True
        if expected > 0:
            self.pace += PACE_WEIGHT * ((self.clock() - started) / expected - self.pace)
        for work in works:
            self.turns.charge(work.job.id, shares[work.job.id])
            with self._responsible(work):
                self._after_step(work)
        return True

    def _after_step(self, work: Work) -> None:
        """Save what has moved far enough; a job that the process may have died of after every step."""
        assert work.rendering is not None
        if work.rendering.is_done:
            self._end_stage(work)
        elif work.rendering.step - work.saved_step >= (1 if work.alone else self.save_steps):
            self._save(work)

    def _end_stage(self, work: Work) -> None:
        """All steps of a stage are taken: the next one begins, or the frames are written."""
        assert work.rendering is not None
        self._save(work)
        if work.stage + 1 < num_stages(work.job.spec):
            work.made = self.generator.finish(work.rendering)
            work.stage, work.rendering, work.saved_step = work.stage + 1, None, 0

    def _write_some(self) -> bool:
        """Write frames of what is done, a frame of each in turn; what was begun to be written comes first."""
        stop = self.clock() + SLICE_SECONDS
        done = [work for work in self.works.values() if work.is_done]
        done = sorted(done, key=lambda work: work.delivery is None)[:MAX_WRITING]
        has_written = bool(done)
        while done and self.clock() < stop:
            for work in done:
                with self._at_work_on(work):
                    self._write_frame(work)
            done = [work for work in done if work.job.id in self.works]
        return has_written

    def _write_frame(self, work: Work) -> None:
        job, rendering = work.job, work.rendering
        assert rendering is not None
        fps, num_frames = rendering.task.canvas.fps, rendering.num_frames
        if work.delivery is None:
            work.delivery = deliver(
                job.folder,
                self.generator.stream(rendering),
                job.spec.size,
                num_frames,
                fps,
                self.generator.settings(rendering.request) | told(job.spec),
                kept_frames(job.spec, num_frames, fps, self.generator.geometry.time_stride, self.data),
            )
        num_written = next(work.delivery, None)
        if num_written is not None:
            work.num_written = num_written
            return
        drawn = job.spec.render_size or job.spec.size
        outcome = Outcome("done", render_size=drawn, files=FILES, num_frames=num_frames, fps=fps)
        saved.write_outcome(job.folder, outcome)
        saved.remove_states(job.folder)
        self._end(work, outcome)

    def _fall_back(self, works: list[Work], error: Exception) -> None:
        """A step failed: in company all go on alone from where they were saved, alone the job fails."""
        traceback.print_exception(error)
        if self.generator.device.type == "cuda":
            torch.cuda.empty_cache()
        for work in works:
            if work.alone and len(works) == 1:
                self._end(work, failure(error))
            else:
                work.alone, work.rendering, work.saved_step = True, None, 0

    @contextmanager
    def _at_work_on(self, work: Work) -> Iterator[None]:
        """What is done in the block is done for one job, which is reported first."""
        self._announce([work], 0.0)
        with self._responsible(work):
            yield

    @contextmanager
    def _responsible(self, work: Work) -> Iterator[None]:
        """The job is charged for the time of the block, and fails where the block does."""
        started = self.clock()
        try:
            yield
        except Exception as error:
            if not isinstance(error, ValueError):
                traceback.print_exception(error)
            self._end(work, failure(error))
        if work.job.id in self.turns:
            self.turns.charge(work.job.id, self.clock() - started)

    def _announce(self, works: list[Work], seconds: float) -> None:
        points = {work.job.id: work.point for work in works}
        self.tell({"is": "working", "on": points, "seconds": seconds, "pace": self.pace})

    def _save(self, work: Work) -> None:
        assert work.rendering is not None
        saved.write_state(work.job.folder, work.stage, work.rendering.state())
        work.saved_step = work.rendering.step

    def _end(self, work: Work, outcome: Outcome) -> None:
        """The job leaves; nothing of it goes on."""
        if work.delivery is not None:
            work.delivery.close()
        if work.lock is not None:
            os.close(work.lock)
        del self.works[work.job.id]
        self.turns.remove(work.job.id)
        self.tell({"is": "over", "id": work.job.id, "outcome": outcome.to_json()})


def failure(error: Exception) -> Outcome:
    """A ``ValueError`` is the request's fault and says what is wrong with it; all else is ours and stays in the log."""
    if isinstance(error, ValueError):
        return Outcome("failed", "invalid_request", str(error))
    return Outcome("failed", "render_failed", f"the render failed ({type(error).__name__})")
