"""The parent's side, against a program that renders nothing (``fake_renderer.py``)."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ozora.serve.child import ChildRenderer, Outcome, Renderer, RenderJob
from ozora.serve.settings import ServeSettings
from ozora.serve.spec import VideoSpec

PROGRAM = (sys.executable, str(Path(__file__).with_name("fake_renderer.py")))
SPEC = VideoSpec("a ball", (32, 32), 5.0, render_size=(32, 32))
PATIENCE = 60.0


@pytest.fixture
def make(tmp_path):
    """A function: settings -> a started renderer; all are stopped at the end."""
    started = []

    def make(**values):
        renderer = ChildRenderer(ServeSettings(data=tmp_path, **values), PROGRAM)
        started.append(renderer)
        renderer.start()
        return renderer

    yield make
    for renderer in started:
        renderer.stop()


@pytest.fixture
def job(tmp_path):
    """A function: prompt -> a job of five steps."""

    def job(prompt, number=0, **values):
        folder = tmp_path / f"{prompt}-{number}"
        folder.mkdir(exist_ok=True)
        return RenderJob(f"{prompt}-{number}", "tenant", replace(SPEC, prompt=prompt, **values), folder)

    return job


def until(renderer, job_id, test):
    """Wait until a job's progress passes the test."""
    with renderer._changed:
        assert renderer._changed.wait_for(lambda: test(renderer.progress(job_id)), PATIENCE)


def test_it_is_a_renderer(tmp_path):
    assert isinstance(ChildRenderer(ServeSettings(data=tmp_path)), Renderer)


def test_jobs_are_done_and_a_job_is_taken_once(make, job):
    renderer = make()
    jobs = [job("ball", i) for i in range(5)]
    for each in [*jobs, *jobs]:
        renderer.submit(each)
    assert [renderer.wait(each.id, PATIENCE).kind for each in jobs] == ["done"] * 5
    renderer.submit(jobs[0])
    assert renderer.wait(jobs[0].id, 0.0).num_frames == 5
    assert renderer.gauges()["renderer_starts_total"] == 1
    renderer.forget(jobs[0].id)
    with pytest.raises(KeyError, match="ball-0"):
        renderer.wait(jobs[0].id, 0.0)


def test_a_poison_job_fails_and_all_others_are_done(make, job):
    renderer = make()
    good = [job("ball", i, seconds=200.0) for i in range(3)]
    bad = job("kill")
    for each in [*good, bad]:
        renderer.submit(each)
    outcome = renderer.wait(bad.id, PATIENCE)
    assert (outcome.kind, outcome.code) == ("failed", "render_crashed")
    assert [renderer.wait(each.id, PATIENCE).kind for each in good] == ["done"] * 3
    assert renderer.gauges()["renderer_deaths_total"] in (2, 3)  # twice alone, and before that perhaps in company
    # What is on record is known to the next server, which does not try again.
    again = make()
    again.submit(bad)
    assert again.wait(bad.id, PATIENCE).code == "render_crashed"
    assert again.gauges()["renderer_deaths_total"] == 0


def test_one_death_is_forgiven(make, job):
    renderer = make()
    renderer.submit(job("once"))
    outcome = renderer.wait("once-0", PATIENCE)
    assert (outcome.kind, outcome.message) == ("done", "alone")
    assert renderer.why_not_ready() == ""


def test_a_child_killed_from_outside_is_started_again(make, job):
    renderer = make()
    renderer.submit(job("wait"))
    until(renderer, "wait-0", lambda progress: progress.started)
    os.kill(renderer._process.pid, signal.SIGKILL)
    with renderer._changed:
        assert renderer._changed.wait_for(lambda: renderer._num_starts == 2 and renderer._is_up, PATIENCE)
    renderer.submit(job("ball"))
    assert renderer.wait("ball-0", PATIENCE).kind == "done"
    assert renderer.wait("wait-0", 0.0) is None


def test_cancel_ends_a_job_and_nothing_else(make, job):
    renderer = make()
    for each in (job("wait"), job("wait", 1)):
        renderer.submit(each)
    until(renderer, "wait-1", lambda progress: progress.started)
    renderer.cancel("wait-0")
    renderer.cancel("never heard of")
    assert renderer.wait("wait-0", PATIENCE) == Outcome("cancelled")
    assert renderer.wait("wait-1", 0.0) is None


def test_what_is_cancelled_while_the_child_is_dead_does_not_come_back(make, job):
    renderer = make()
    renderer.submit(job("wait"))
    until(renderer, "wait-0", lambda progress: progress.started)
    with renderer._changed:  # while we hold it the death is not heard of
        os.kill(renderer._process.pid, signal.SIGKILL)
        renderer._process.wait()
        renderer.cancel("wait-0")
    assert renderer.wait("wait-0", PATIENCE) == Outcome("cancelled")
    with renderer._changed:
        assert renderer._changed.wait_for(lambda: renderer._num_starts == 2 and renderer._is_up, PATIENCE)
    assert renderer.seconds_waiting() == 0


def test_stopping_parks_what_is_left_and_what_comes_after(make, job):
    renderer = make()
    renderer.submit(job("wait"))
    until(renderer, "wait-0", lambda progress: progress.started)
    renderer.stop()
    assert renderer.wait("wait-0", 0.0) == Outcome("parked")
    renderer.submit(job("ball"))
    assert renderer.wait("ball-0", 0.0) == Outcome("parked")
    assert "stopped" in renderer.why_not_ready()
    renderer.stop()


def test_a_child_that_parks_unasked_is_replaced_and_its_jobs_go_on(make, job):
    renderer = make()
    renderer.submit(job("wait"))
    until(renderer, "wait-0", lambda progress: progress.started)
    with renderer._changed:
        renderer._order({"do": "park"})
        assert renderer._changed.wait_for(lambda: renderer._num_starts == 2 and renderer._is_up, PATIENCE)
    assert renderer.wait("wait-0", 0.0) is None
    assert renderer.gauges()["renderer_deaths_total"] == 0
    assert renderer.gauges()["renderer_suspects"] == 0


@pytest.mark.parametrize(("model", "words"), [("missing", "no such folder"), ("dead", "ended with -9")])
def test_a_start_that_cannot_succeed_says_why(make, model, words):
    with pytest.raises(RuntimeError, match=words):
        make(model=model)


def test_nothing_is_estimated_before_the_start(tmp_path):
    renderer = ChildRenderer(ServeSettings(data=tmp_path), PROGRAM)
    assert "not been started" in renderer.why_not_ready()
    with pytest.raises(RuntimeError, match="not been started"):
        renderer.estimate(SPEC)


def test_progress_counts_who_is_before_and_estimates_what_is_left(make, job):
    renderer = make()
    renderer.submit(job("wait"))
    until(renderer, "wait-0", lambda progress: progress.started)
    alone = renderer.progress("wait-0")
    assert (alone.step, alone.num_steps, alone.queue_position) == (0, 5, 0)
    assert 0 < alone.seconds_left == pytest.approx(renderer.seconds_waiting())
    with renderer._changed:  # while we hold it no report is heard
        renderer.submit(job("wait", 1))
        renderer.submit(job("wait", 2))
        assert [renderer.progress(f"wait-{i}").queue_position for i in range(3)] == [0, 0, 1]
        assert renderer.seconds_waiting() > alone.seconds_left
