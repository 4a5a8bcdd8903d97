"""Does a request become a video once, and is it told truly on the way? On a renderer that only counts."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from ozora.serve.errors import ApiError
from ozora.serve.jobs import Jobs
from ozora.serve.messages import RenderProgress
from ozora.serve.service import Attempt, Service
from ozora.serve.settings import ServeSettings
from ozora.serve.spec import Media
from ozora.serve.tables import Video

sys.path.append(str(Path(__file__).parent))
counting = import_module("counting_server")
FILES, NUM_STEPS, SPEC, CountingRenderer = counting.FILES, counting.NUM_STEPS, counting.SPEC, counting.CountingRenderer
submit, ended, eventually, is_over, sign = (
    counting.submit,
    counting.ended,
    counting.eventually,
    counting.is_over,
    counting.sign,
)


@pytest.fixture
def open_jobs(tmp_path: Path) -> Iterator[Callable[..., Jobs]]:
    running: list[Jobs] = []

    def open_(renderer: Any = None, **settings: Any) -> Jobs:
        for jobs in running:
            jobs.stop()
        renderer = renderer or CountingRenderer(tmp_path / "log")
        running[:] = [Jobs(ServeSettings(data=tmp_path / "data", **settings), renderer, sign)]
        running[0].start()
        return running[0]

    yield open_
    for jobs in running:
        jobs.stop()


def test_a_video_is_rendered_signed_and_delivered(open_jobs, tmp_path: Path) -> None:
    jobs = open_jobs()
    assert isinstance(jobs, Service)
    record = submit(jobs)
    assert record.status == "queued" and record.seconds_left is not None and record.poll_after_ms
    (done,) = ended(jobs, record)
    assert (done.status, done.progress, done.error, done.poll_after_ms) == ("completed", 100, None, None)
    assert done.spec.render_size == (64, 32) and done.expires_at == done.completed_at + 24 * 3600
    assert jobs.content("ann", done.id, "video").read_text() == "a red ball 0 signed"
    assert jobs.content("ann", done.id, "thumbnail").name == "thumbnail.webp"
    folder = tmp_path / "data" / "jobs" / done.id
    assert {path.name for path in folder.iterdir()} == set(FILES.values())
    media, spec = jobs.source("ann", done.id)
    assert (media.file, media.size, media.num_frames, media.video_id) == (
        f"jobs/{done.id}/video.mp4",
        (128, 64),
        17,
        done.id,
    )
    assert spec == done.spec and jobs.gauges()["videos_completed"] == 1
    for call in (jobs.get, jobs.delete, jobs.cancel, jobs.source):
        with pytest.raises(ApiError) as caught:
            call("bob", done.id)
        assert caught.value.status == 404


def test_progress_is_seen_and_nothing_is_to_be_had_before_the_end(open_jobs, tmp_path: Path) -> None:
    renderer = CountingRenderer(tmp_path / "log", hold_at=2)
    jobs = open_jobs(renderer)
    record = submit(jobs)
    eventually(lambda: jobs.get("ann", record.id).progress == 40)
    now = jobs.get("ann", record.id)
    assert (now.status, now.queue_position, now.seconds_left) == ("in_progress", None, 3.0)
    with pytest.raises(ApiError, match="in_progress, 40 %") as caught:
        jobs.content("ann", record.id, "video")
    assert (caught.value.status, caught.value.code) == (400, "video_not_ready")
    renderer.release()
    assert ended(jobs, record)[0].status == "completed"


def test_what_is_stopped_goes_on_where_it_was(open_jobs, tmp_path: Path) -> None:
    renderer = CountingRenderer(tmp_path / "log", hold_at=3)
    jobs = open_jobs(renderer)
    records = [submit(jobs, replace(SPEC, seed=seed)) for seed in range(3)]
    eventually(lambda: all(renderer.steps.get(record.id) == 3 for record in records))
    later = CountingRenderer(tmp_path / "log")
    jobs = open_jobs(later)
    assert [record.status for record in ended(jobs, *records)] == ["completed"] * 3
    assert Counter((tmp_path / "log").read_text().split()) == Counter(record.id for record in records)


@pytest.mark.parametrize("how", ["cancel", "delete"])
@pytest.mark.parametrize("hold_at", [0, 2])
def test_what_nobody_wants_any_more_stops(open_jobs, tmp_path: Path, how: str, hold_at: int) -> None:
    renderer = CountingRenderer(tmp_path / "log", hold_at=hold_at)
    jobs = open_jobs(renderer)
    record = submit(jobs)
    if hold_at:
        eventually(lambda: renderer.steps.get(record.id) == hold_at)
    getattr(jobs, how)("ann", record.id)
    eventually(lambda: is_over(jobs._store.look_up(record.id)))
    eventually(lambda: not (tmp_path / "data" / "jobs" / record.id).exists())
    if how == "cancel":
        error = jobs.get("ann", record.id).error
        assert error is not None and error.code == "cancelled"
        assert jobs.cancel("ann", record.id) == jobs.get("ann", record.id)
    else:
        with pytest.raises(ApiError):
            jobs.get("ann", record.id)
        assert jobs.list("ann", None, 10, "desc").videos == ()
    eventually(lambda: not renderer.jobs)
    renderer.release()
    assert not (tmp_path / "log").exists()


def test_a_failure_is_told_and_the_others_go_on(open_jobs) -> None:
    jobs = open_jobs()
    good, poison = submit(jobs), submit(jobs, replace(SPEC, prompt="poison"))
    done, failed = ended(jobs, good, poison)
    assert done.status == "completed" and failed.status == "failed"
    assert failed.error is not None and failed.error.code == "render_crashed"


def test_an_error_of_the_server_fails_the_video_and_not_the_server(open_jobs, tmp_path: Path, caplog) -> None:
    jobs = open_jobs()

    def refuse(path: Path, video: Video) -> None:
        raise ValueError("no key") if video.spec.seed else OSError("no disk")

    jobs._sign = refuse
    first, second = ended(jobs, submit(jobs), submit(jobs, replace(SPEC, seed=1)))
    assert first.error is not None and first.error.code == "internal_error" and "disk" not in first.error.message
    assert second.error is not None and second.error.code == "signing_failed"
    jobs._sign = sign
    assert ended(jobs, submit(jobs))[0].status == "completed"


def test_sizes_are_admitted_or_refused_before_anything_is_stored(open_jobs, tmp_path: Path) -> None:
    jobs = open_jobs()
    for spec in (replace(SPEC, strict_size=True), replace(SPEC, size=(2000, 64))):
        with pytest.raises(ApiError, match="64x32") as caught:
            submit(jobs, spec)
        assert (caught.value.status, caught.value.code, caught.value.param) == (400, "size_too_large", "size")
    assert submit(jobs, replace(SPEC, size=(64, 32), strict_size=True)).spec.render_size == (64, 32)
    assert len(list((tmp_path / "data" / "jobs").iterdir())) == 1


def test_a_full_queue_says_when_to_come_again(open_jobs, tmp_path: Path) -> None:
    renderer = CountingRenderer(tmp_path / "log", hold_at=0)
    jobs = open_jobs(renderer, max_queued=3, max_queued_per_key=2)
    renderer.progress = lambda job_id: RenderProgress(0, NUM_STEPS, False, 1, 3.0)
    first = submit(jobs, key="k", fingerprint="f")
    with pytest.raises(ApiError, match="of this key") as caught:
        jobs.submit("ann", [SPEC, SPEC], Attempt("f2"))
    assert (caught.value.status, caught.value.retry_after) == (429, 7.0)
    jobs.submit("bob", [SPEC, SPEC], Attempt("f3"))
    with pytest.raises(ApiError, match="3 videos are waiting"):
        submit(jobs, tenant="eve")
    assert submit(jobs, key="k", fingerprint="f").id == first.id  # Known already, so it needs no room.
    assert len(list((tmp_path / "data" / "jobs").iterdir())) == 3
    renderer.release()


def test_variations_know_each_other_and_stand_in_line(open_jobs, tmp_path: Path) -> None:
    renderer = CountingRenderer(tmp_path / "log", hold_at=0)
    jobs = open_jobs(renderer)
    renderer.progress = lambda job_id: RenderProgress(0, NUM_STEPS, False, 1, 3.0)
    records = jobs.submit("ann", [replace(SPEC, seed=seed) for seed in range(3)], Attempt("f"))
    assert {record.variation_ids for record in records} == {tuple(record.id for record in records)}
    assert [record.queue_position for record in records] == [0, 1, 2]
    renderer.release()
    ended(jobs, *records)


def test_a_source_may_be_deleted_while_another_video_needs_it(open_jobs, tmp_path: Path) -> None:
    renderer = CountingRenderer(tmp_path / "log")
    jobs = open_jobs(renderer)
    (source,) = ended(jobs, submit(jobs))
    media, _ = jobs.source("ann", source.id)
    renderer.hold_at = 1
    edit = submit(jobs, replace(SPEC, task="edit", source=media))
    jobs.delete("ann", source.id)
    assert not (tmp_path / "data" / "jobs" / source.id).exists()
    held = edit.spec.source
    assert held is not None and (tmp_path / "data" / held.file).read_text() == "a red ball 0 signed"
    with pytest.raises(ApiError):
        submit(jobs, replace(SPEC, task="edit", source=media))
    renderer.release()
    assert ended(jobs, edit)[0].status == "completed"


def test_a_character_holds_its_clip(open_jobs, tmp_path: Path) -> None:
    jobs = open_jobs()
    upload = tmp_path / "data" / "uploads" / "u.webp"
    upload.write_text("picture")
    media = Media("uploads/u.webp", "00", 8, 8, 1, 1.0)
    made = jobs.create_character("ann", "Mia", media, Attempt("f", key="k"))
    upload.unlink()
    assert jobs.create_character("ann", "Mia", media, Attempt("f", key="k")) == made
    assert jobs.character("ann", made.id) == made
    assert (tmp_path / "data" / made.media.file).read_text() == "picture"
    with pytest.raises(ApiError):
        jobs.character("bob", made.id)


def test_one_name_is_one_server(open_jobs, tmp_path: Path) -> None:
    open_jobs()
    second = Jobs(ServeSettings(data=tmp_path / "data"), CountingRenderer(tmp_path / "log"), sign)
    with pytest.raises(RuntimeError, match="a server named 'local' works in"):
        second.start()
