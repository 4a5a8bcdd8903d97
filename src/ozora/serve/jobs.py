"""How does a request become a video that survives? ``Jobs`` stores it, has it rendered, and stands by it to the end.

A video is a row first (``store``), then work that is owed (``durable``), then a job of the renderer (``messages``),
then files and an event. A process may die between any two of these: what was left is taken up again from the row, and
every step may be taken twice. Only ``Store.complete`` and ``Store.fail`` end a video's work, and end it once.
"""

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from hashlib import file_digest
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError

from ozora.serve import retention, webhooks
from ozora.serve.durable import Durable, Parked
from ozora.serve.errors import ApiError, not_found, too_busy
from ozora.serve.messages import Outcome, Renderer, RenderJob
from ozora.serve.records import STATUS, check_finished, make_records, settings_of
from ozora.serve.retention import Places
from ozora.serve.service import Attempt, CharacterRecord, Order, Variant, VideoPage, VideoRecord
from ozora.serve.settings import MEBI, ServeSettings
from ozora.serve.spec import Media, VideoSpec
from ozora.serve.store import Store
from ozora.serve.tables import Video, new_id
from ozora.serve.workers import Pulse, lock_worker, worker_name

Sign = Callable[[Path, Video], None]
"""Puts provenance into the finished file of a video; may be called again for the same file."""
WATCH_SECONDS = 0.5
BEAT_SECONDS = 5.0
SWEEP_SECONDS = 30.0
PATIENCE_SECONDS = 30.0
"""How long a worker may give no sign of life before others take up its work."""
STOP_SECONDS = 30.0
FREE_BYTES = 64 * MEBI
"""No video is accepted while the disk has less than this."""
log = logging.getLogger("ozora.serve")


def open_service(settings: ServeSettings) -> "Jobs":
    """The service as the settings describe it, not started yet: with a renderer in a child process, and a signer.

    Raises ``ValueError`` for settings that cannot be used.
    """
    from ozora.serve import confine
    from ozora.serve.child import ChildRenderer
    from ozora.serve.identity import open_identity
    from ozora.serve.sign import Source, sign

    settings.data.mkdir(parents=True, exist_ok=True)
    confine.warm_up()
    identity = open_identity(settings.data / "signing", settings.certificate, settings.private_key)

    def sign_video(path: Path, video: Video) -> None:
        source, sources = video.spec.source, []
        if source is not None:
            is_parent = video.spec.task in ("edit", "extend")
            title = source.video_id or ("source video" if is_parent else "first frame")
            file = settings.data / source.file
            sources = [Source(file, title, "parentOf" if is_parent else "inputTo")]
        sign(path, identity, settings_of(video), sources)

    return Jobs(settings, ChildRenderer(settings), sign_video)


class Jobs:
    """A ``Service``: durable jobs over one renderer. There is one in a process; every call may come from any thread."""

    def __init__(self, settings: ServeSettings, renderer: Renderer, sign: Sign) -> None:
        self._settings, self._renderer, self._sign = settings, renderer, sign
        self._places = Places(settings.data)
        self._worker = worker_name(settings)
        self._endpoint = webhooks.open_endpoint(settings)
        self._pulse = Pulse(PATIENCE_SECONDS)
        self._stopping = threading.Event()
        self._claimed: dict[str, Video] = {}
        self._reported: dict[str, tuple[Video, bool, int, float]] = {}
        self._is_full = False
        self._threads: list[threading.Thread] = []

    # Its life

    def start(self) -> None:
        """Load the model, take up what was left, and begin. ``RuntimeError`` in one line where that cannot be."""
        self._places.make()
        with ExitStack() as undo:
            lock = lock_worker(self._places.workers, self._worker)
            undo.callback(os.close, lock)
            self._store = Store(self._settings.database_url)
            undo.callback(self._store.close)
            self._renderer.start()
            try:
                self._store.beat(self._worker)
                self._durable = Durable(self._settings.database_url, self._worker, self._render, self._deliver)
                self._durable.start()
            except BaseException:
                self._renderer.stop()
                raise
            self._undo = undo.pop_all()
        for work, seconds in ((self._watch, WATCH_SECONDS), (self._beat, BEAT_SECONDS), (self._sweep, SWEEP_SECONDS)):
            thread = threading.Thread(target=self._every, args=(seconds, work), name=f"ozora{work.__name__}")
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Park what is being rendered, wait for what is being sent, and let go."""
        self._stopping.set()
        self._renderer.stop()
        for thread in self._threads:
            thread.join()
        self._durable.stop(STOP_SECONDS)
        self._store.leave(self._worker)
        self._undo.close()

    # A caller's calls: see Service

    def submit(self, tenant: str, specs: Sequence[VideoSpec], attempt: Attempt) -> tuple[VideoRecord, ...]:
        made = self._store.answered(tenant, attempt)
        if made is None:
            made = self._admit(tenant, specs, attempt)
        return tuple(self.get(tenant, video_id) for video_id in made)

    def get(self, tenant: str, video_id: str) -> VideoRecord:
        return make_records(self._store, [self._own(tenant, video_id)], int(time.time()))[0]

    def list(self, tenant: str, after: str | None, limit: int, order: Order) -> VideoPage:
        videos, has_more = self._store.page(tenant, after, limit, order)
        return VideoPage(make_records(self._store, videos, int(time.time())), has_more)

    def delete(self, tenant: str, video_id: str) -> None:
        if not self._store.delete(tenant, video_id):
            raise not_found("video", video_id)
        self._halt(video_id)

    def cancel(self, tenant: str, video_id: str) -> VideoRecord:
        if self._store.cancel(tenant, video_id):
            self._halt(video_id)
        return self.get(tenant, video_id)

    def content(self, tenant: str, video_id: str, variant: Variant) -> Path:
        video = self._finished(tenant, video_id)
        path = self._places.jobs / video.id / video.files[variant]
        if not path.is_file():
            raise ApiError(404, "video_expired", f"the files of video {video_id!r} were removed")
        return path

    def source(self, tenant: str, video_id: str) -> tuple[Media, VideoSpec]:
        video = self._finished(tenant, video_id)
        assert video.media is not None
        return video.media, video.spec

    def create_character(self, tenant: str, name: str, media: Media, attempt: Attempt) -> CharacterRecord:
        made = self._store.answered(tenant, attempt)
        if made is None:
            id = new_id("char")
            held = self._hold(media, self._places.characters / id)
            record = CharacterRecord(id, name, int(time.time()), held)
            made = (self._store.add_character(tenant, record, attempt),)
            if made[0] != id:
                retention.remove(self._places.characters / id)
        return self.character(tenant, made[0])

    def character(self, tenant: str, character_id: str) -> CharacterRecord:
        record = self._store.character(tenant, character_id)
        if record is None:
            raise not_found("character", character_id)
        return record

    def why_not_ready(self) -> str | None:
        return ("the server is shutting down" if self._stopping.is_set() else self._renderer.why_not_ready()) or None

    def gauges(self) -> Mapping[str, float]:
        counts = self._store.counts()
        videos = {f"videos_{state}": float(counts.get(state, 0)) for state in STATUS}
        return {**self._renderer.gauges(), **videos}

    # Admission

    def _admit(self, tenant: str, specs: Sequence[VideoSpec], attempt: Attempt) -> tuple[str, ...]:
        if self._is_full or shutil.disk_usage(self._settings.data).free < FREE_BYTES:
            raise too_busy("the disk is full with videos that have not expired; try again later", 60.0, "disk_full")
        sized = {new_id("video"): self._sized(spec) for spec in specs}
        costs = [self._renderer.estimate(spec).seconds for spec in sized.values()]
        made: tuple[str, ...] = ()
        try:
            held = {video_id: self._with_source(tenant, video_id, spec) for video_id, spec in sized.items()}
            made = self._store.add(tenant, held, costs, attempt, self._check_room)
        finally:
            for video_id in sized:
                if video_id not in made:
                    retention.remove(self._places.jobs / video_id)
        for video_id in made:
            if video_id in sized and (video := self._store.look_up(video_id)) is not None:
                self._durable.enqueue_render(video_id, video.turn)
        return made

    def _check_room(self, num_new: int, in_all: int, of_tenant: int) -> None:
        for waiting, most, whose in (
            (in_all, self._settings.max_queued, ""),
            (of_tenant, self._settings.max_queued_per_key, " of this key"),
        ):
            if waiting + num_new > most:
                seconds = max(1.0, self._renderer.seconds_waiting())
                raise too_busy(f"{waiting} videos{whose} are waiting, at most {most} may; try again later", seconds)

    def _sized(self, spec: VideoSpec) -> VideoSpec:
        if spec.strict_size:
            reason = self._renderer.why_not(replace(spec, render_size=spec.size))
            size = None if reason else spec.size
        else:
            size = self._renderer.render_size(spec)
            reason = "" if size else self._renderer.why_not(replace(spec, render_size=spec.size))
        if size is None:
            raise ApiError(400, "size_too_large", reason, "size")
        return replace(spec, render_size=size)

    def _with_source(self, tenant: str, video_id: str, spec: VideoSpec) -> VideoSpec:
        folder = self._places.jobs / video_id
        if spec.source is None:
            folder.mkdir()
            return spec
        if spec.source.video_id is not None:
            self._finished(tenant, spec.source.video_id)
        return replace(spec, source=self._hold(spec.source, folder))

    def _hold(self, media: Media, folder: Path) -> Media:
        source = self._places.file(media.file)
        target = folder / f"source{source.suffix}"
        folder.mkdir()
        try:
            retention.hold(source, target)
        except FileNotFoundError as error:
            retention.remove(folder)
            raise ApiError(404, "video_expired", "the source was removed; send it again") from error
        return replace(media, file=target.relative_to(self._settings.data).as_posix())

    # Work

    def _render(self, video_id: str) -> None:
        video = self._store.claim(video_id, self._worker)
        if video is not None:
            self._claimed[video_id] = video
            try:
                self._settle(video, self._outcome(video))
            except DBAPIError:
                raise  # The database is ill, not the video: it is all done again.
            except Exception:
                log.exception("video %s failed", video_id)
                message = "an error of the server, not of the request; asking again may help"
                self._store.fail(video, "internal_error", message, int(time.time()))
            finally:
                self._claimed.pop(video_id, None)
            self._renderer.forget(video_id)
        now = self._store.look_up(video_id)
        if video is not None and now is not None and now.claims != video.claims:
            raise Parked  # It was taken up again since, and what follows is not ours to do.
        self._clear(video_id, now)

    def _outcome(self, video: Video) -> Outcome:
        folder = self._places.jobs / video.id
        while True:
            self._renderer.submit(RenderJob(video.id, video.tenant, video.spec, folder))
            outcome = self._renderer.wait(video.id)
            if outcome is None or outcome.kind == "parked":
                raise Parked
            if outcome.kind != "cancelled" or self._store.held(self._worker).get(video.id) != video.claims:
                return outcome
            self._renderer.forget(video.id)  # This worker lost it once, and has it again.

    def _settle(self, video: Video, outcome: Outcome) -> None:
        now = int(time.time())
        if outcome.kind == "failed":
            self._store.fail(video, outcome.code, outcome.message, now)
        elif outcome.kind == "done":
            folder = self._places.jobs / video.id
            path = folder / outcome.files["video"]
            spec = replace(video.spec, render_size=outcome.render_size or video.spec.render_size)
            video = replace(video, spec=spec)
            try:
                self._sign(path, video)
            except ValueError:
                log.exception("video %s cannot be signed", video.id)
                self._store.fail(video, "signing_failed", "the server cannot sign the finished video", int(time.time()))
                return
            with path.open("rb") as file:
                sha256 = file_digest(file, "sha256").hexdigest()
            place = path.relative_to(self._settings.data).as_posix()
            media = Media(place, sha256, *spec.size, outcome.num_frames, outcome.fps, video.id)
            num_bytes = sum((folder / name).stat().st_size for name in outcome.files.values())
            now = int(time.time())
            until = now + round(3600 * self._settings.keep_hours)
            self._store.complete(video, media, outcome.files, num_bytes, now, until)

    def _clear(self, video_id: str, video: Video | None) -> None:
        # A video that is over, or gone: remove what is not needed, and tell. All of it may be done twice.
        folder = self._places.jobs / video_id
        if video is None or video.state in ("failed", "expired", "deleted"):
            retention.remove(folder)
        elif video.state == "completed":
            retention.keep_only(folder, set(video.files.values()))
        if video is not None:
            self._store.release(video_id, video.claims)
        if video is not None and video.state == "deleted":
            self._store.forget(video_id)
        event = webhooks.make_event(video) if video is not None else None
        if event is not None and self._endpoint is not None:
            self._durable.enqueue_delivery(event, 0, 0.0)

    def _halt(self, video_id: str) -> None:
        # Its worker clears up once the work has stopped, within a step here and within a watch elsewhere.
        if video_id in self._claimed:
            self._renderer.cancel(video_id)
        video = self._store.look_up(video_id)
        if video is not None and video.worker is None:
            self._clear(video_id, video)

    def _deliver(self, event: dict[str, Any], attempt: int) -> None:
        problem = webhooks.post(self._endpoint, event, int(time.time())) if self._endpoint is not None else None
        if problem is not None:
            log.warning("event %s was not taken, attempt %d: %s", event["id"], attempt + 1, problem)
            if attempt < len(webhooks.DELAYS):
                self._durable.enqueue_delivery(event, attempt + 1, webhooks.DELAYS[attempt])

    # What goes on beside the work

    def _every(self, seconds: float, work: Callable[[], None]) -> None:
        while True:
            try:
                work()
            except Exception:
                log.exception("%s failed; it is tried again", work.__name__)
            if self._stopping.wait(seconds):
                return

    def _watch(self) -> None:
        """Say how far the videos are, and stop work that nobody wants any more, wherever that was said."""
        claimed, held = dict(self._claimed), self._store.held(self._worker)
        reports = []
        for video_id, video in claimed.items():
            if held.get(video_id) != video.claims:
                self._renderer.cancel(video_id)
                continue
            try:
                progress = self._renderer.progress(video_id)
            except KeyError:
                continue
            percent = min(99, 100 * progress.step // max(1, progress.num_steps))
            report = (video, progress.started, percent, round(progress.seconds_left, 1))
            if self._reported.get(video_id) != report:
                reports.append(report)
        self._store.report(reports)
        self._reported = {id: report for id, report in self._reported.items() if id in claimed}
        self._reported |= {report[0].id: report for report in reports}

    def _beat(self) -> None:
        self._store.beat(self._worker)

    def _sweep(self) -> None:
        living = self._pulse.living(self._store.beats()) | {self._worker}
        self._durable.tend(living)
        # A process may have died after it had stored a video and before its work was queued.
        turns = {video.id: video.turn for video in self._store.unfinished() if video.id not in self._claimed}
        self._durable.ensure_renders(turns)
        max_bytes = self._settings.max_disk_mb * MEBI
        self._is_full = retention.sweep(self._store, self._places, living, max_bytes)
        self._durable.forget(time.time() - retention.DAY)

    def _own(self, tenant: str, video_id: str) -> Video:
        video = self._store.get(tenant, video_id)
        if video is None:
            raise not_found("video", video_id)
        return video

    def _finished(self, tenant: str, video_id: str) -> Video:
        video = self._own(tenant, video_id)
        check_finished(video, int(time.time()))
        return video
