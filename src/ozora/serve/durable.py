"""Who makes sure that accepted work is done, once? DBOS Transact: workflows in the database, taken from queues.

This file alone knows DBOS. What it is told to do is stored under a name of ours before it returns; the same name again
is the same work. Work is taken by one worker at a time, and stays taken until it returns: a worker that starts takes up
what it left, and ``recover`` gives a dead worker's work to the living. Arguments are JSON. The version is fixed: work
is done by whatever version of the program runs, which must therefore understand the arguments of older ones.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, Queue, SetEnqueueOptions, SetWorkflowID

VERSION = "ozora-1"
RENDERS, DELIVERIES = "ozora-renders", "ozora-deliveries"
RENDERS_POLL_SECONDS, DELIVERIES_POLL_SECONDS = 0.25, 1.0
MAX_RENDERS = 64
"""Videos that one worker holds at a time: enough to fill its rows, few enough to leave some to the other workers."""
MAX_DELIVERIES = 8
OVER = ("SUCCESS", "ERROR")
STOPPED = ("CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
log = logging.getLogger("ozora.serve")


class Parked(BaseException):
    """Leave the work as it is: to be taken up again at the next start, at a later ``tend``, or by another worker.

    No ``Exception``, because those are outcomes to DBOS, which it records; this one leaves none.
    """


class Durable:
    """DBOS from start to stop; there is one in a process.

    ``render(video_id)`` and ``deliver(event, attempt)`` are called from threads of their own, again and again until
    they have returned once: an exception is logged and the call is made again at a later ``tend``.
    """

    def __init__(
        self,
        url: str,
        worker: str,
        render: Callable[[str], None],
        deliver: Callable[[dict[str, Any], int], None],
    ) -> None:
        self._url, self._worker = url, worker
        self._render, self._deliver = render, deliver
        self._is_ready, self._is_stopping = threading.Event(), False
        self._at_work: Counter[str] = Counter()
        self._change = threading.Condition()
        self._strays: dict[str, str | None] = {}

    def start(self) -> None:
        """Begin to take work, first what this worker left. The SQLite file must be in WAL mode already."""
        config: DBOSConfig = {
            "name": "ozora",
            "system_database_url": self._url,
            "application_version": VERSION,
            "executor_id": self._worker,
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "WARNING",
        }
        DBOS(config=config)

        def run_render(video_id: str) -> None:
            with self._working():
                self._render(video_id)

        def run_delivery(event: dict[str, Any], attempt: int) -> None:
            with self._working():
                self._deliver(event, attempt)

        # A server that is killed often must not lose a video for it: what kills it is found out one level below.
        self._run_render = DBOS.workflow(name="ozora.render", max_recovery_attempts=None)(run_render)
        self._run_delivery = DBOS.workflow(name="ozora.deliver", max_recovery_attempts=None)(run_delivery)
        try:
            DBOS.launch()
            self._renders = _queue(RENDERS, MAX_RENDERS, RENDERS_POLL_SECONDS)
            self._deliveries = _queue(DELIVERIES, MAX_DELIVERIES, DELIVERIES_POLL_SECONDS)
        except BaseException:
            self._is_stopping = True
            DBOS.destroy(destroy_registry=True)
            raise
        finally:
            self._is_ready.set()  # What was left is taken up at once, and may want to queue more.

    def stop(self, timeout_seconds: float) -> None:
        """Take no more work, and wait a while for what is running."""
        with self._change:
            self._is_stopping = True
            if not self._change.wait_for(lambda: not self._at_work, timeout_seconds):
                log.warning("still at work, to be taken up again at the next start: %s", sorted(self._at_work))
        DBOS.destroy(destroy_registry=True)

    def enqueue_render(self, video_id: str, turn: int) -> None:
        """Have a video rendered, before those of later turns."""
        with SetWorkflowID(video_id), SetEnqueueOptions(priority=turn + 1):
            self._renders.enqueue(self._run_render, video_id)

    def enqueue_delivery(self, event: dict[str, Any], attempt: int, delay_seconds: float) -> None:
        """Have an event delivered, after a while; ``attempt`` counts from 0."""
        delay = delay_seconds or None
        with SetWorkflowID(f"{event['id']}.{attempt}"), SetEnqueueOptions(delay_seconds=delay):
            self._deliveries.enqueue(self._run_delivery, event, attempt)

    def ensure_renders(self, turns: Mapping[str, int]) -> None:
        """See to it that these unfinished videos (id -> turn) have work that will finish them."""
        known = {}
        if turns:
            listed = DBOS.list_workflows(workflow_ids=[*turns], load_input=False, load_output=False)
            known = {workflow.workflow_id: workflow.status for workflow in listed}
        for video_id, turn in turns.items():
            status = known.get(video_id)
            if status in STOPPED:
                DBOS.resume_workflow(video_id, queue_name=RENDERS)
            elif status is None or status in OVER:
                if status is not None:
                    DBOS.delete_workflow(video_id)
                self.enqueue_render(video_id, turn)

    def tend(self, living: Collection[str]) -> None:
        """Queue again what is taken but not worked at: by workers that are not among the living, or by this one.

        Any number of workers may do so at once.
        """
        pending = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
        dead = {str(workflow.executor_id) for workflow in pending} - set(living) - {self._worker}
        if dead:
            # DBOS has no public name for this; it queues a workflow only while a dead worker is still its owner.
            DBOS._recover_pending_workflows(sorted(dead))
        mine = [workflow for workflow in pending if workflow.executor_id == self._worker]
        strays = {one.workflow_id: one.queue_name for one in mine if one.workflow_id not in self._at_work}
        # Once may be chance: taken, but not begun. A queue must be named, or DBOS takes one of its own without limits.
        for workflow_id in strays.keys() & self._strays.keys():
            DBOS.resume_workflow(workflow_id, queue_name=strays[workflow_id] or RENDERS)
        self._strays = strays

    def forget(self, before: float) -> None:
        """Remove the records of work that ended before a time."""
        moment = datetime.fromtimestamp(before, UTC).isoformat()
        fields: dict[str, Any] = {"load_input": False, "load_output": False, "limit": 1000}
        over = DBOS.list_workflows(status=[*OVER, *STOPPED], completed_before=moment, **fields)
        if over:
            DBOS.delete_workflows([workflow.workflow_id for workflow in over])

    @contextmanager
    def _working(self) -> Iterator[None]:
        workflow_id = str(DBOS.workflow_id)
        self._is_ready.wait()
        with self._change:
            if self._is_stopping:
                raise Parked
            self._at_work[workflow_id] += 1
        try:
            yield
        except Exception as error:
            log.exception("%s is to be done again", workflow_id)
            raise Parked from error
        finally:
            with self._change:
                self._at_work[workflow_id] -= 1
                self._at_work += Counter()  # Keeps what is above zero.
                self._change.notify_all()


def _queue(name: str, worker_concurrency: int, poll_seconds: float) -> Queue:
    return DBOS.register_queue(
        name, worker_concurrency=worker_concurrency, polling_interval_sec=poll_seconds, on_conflict="always_update"
    )
