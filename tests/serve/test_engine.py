"""Jobs in one process, with a tiny model and a cost model in which all seconds are known."""

import importlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ozora.generate.request import Request
from ozora.media.provenance import read_settings
from ozora.media.read import read_clip
from ozora.serve import saved
from ozora.serve.child import ChildRenderer
from ozora.serve.cost import Budget, CostModel, Speed
from ozora.serve.deliver import FILES, within
from ozora.serve.engine import Engine
from ozora.serve.messages import Outcome, RenderJob
from ozora.serve.settings import ServeSettings
from ozora.serve.spec import Media, VideoSpec
from ozora.serve.translate import make_request

COSTS = CostModel(16, 4, 16, 3, 3, 1, 8.0, 6, 2.0, 3072, Speed(0.01, 1e-4, 0.0, 0.0, 0.0, 1e4, 1e3, 0.7))
BUDGET = Budget(4096, 2**30, 600.0, 3072)
PATIENCE = 600.0  # seconds; a busy machine takes minutes to import torch
SPEC = VideoSpec("a red ball", (32, 32), 1.0, render_size=(32, 32))


@pytest.fixture(scope="module")
def generator():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        return importlib.import_module("tiny_renderer").tiny_generator()


def make_job(data, name, tenant="tenant", **values):
    folder = data / "jobs" / name
    folder.mkdir(parents=True, exist_ok=True)
    return RenderJob(name, tenant, replace(SPEC, **values), folder)


class Bench:
    """An engine and what it reports."""

    def __init__(self, generator, data, budget=BUDGET, costs=COSTS, **settings):
        self.data, self.reports = data, []
        # Time stands still, so that nothing depends on how busy the machine is.
        self.engine = Engine(generator, costs, budget, data, self.hear, clock=lambda: 0.0, **settings)

    def hear(self, report):
        self.reports.append(json.loads(json.dumps(report)))

    def job(self, name, tenant="tenant", **values):
        return make_job(self.data, name, tenant, **values)

    def submit(self, name, tenant="tenant", alone=False, **values):
        job = self.job(name, tenant, **values)
        self.engine.submit(job, alone)
        return job

    def run(self, num_rounds=10_000):
        while num_rounds and self.engine.works:
            self.engine.work()
            num_rounds -= 1

    def outcome(self, name):
        return next(
            Outcome.from_json(report["outcome"])
            for report in self.reports
            if report["is"] == "over" and report["id"] == name
        )

    def rows(self):
        """Who was in each step's row."""
        return [set(report["on"]) for report in self.reports if report["is"] == "working" and report["seconds"] > 0]


@pytest.fixture
def bench(generator, tmp_path):
    return Bench(generator, tmp_path)


def frames_of(job):
    return read_clip(job.folder / FILES["video"]).frames.astype(int)


def test_unlike_jobs_share_rows_and_all_are_delivered(bench, generator):
    jobs = [
        bench.submit("a"),
        bench.submit("b", size=(64, 48), render_size=(64, 48), seconds=2.0, seed=1),
        bench.submit("c", steps=3, guidance=1.0, seed=2),
    ]
    bench.run()
    assert bench.rows()[0] == {"a", "b", "c"}
    for job in jobs:
        outcome = bench.outcome(job.id)
        assert (outcome.kind, outcome.render_size) == ("done", job.spec.render_size)
        assert (outcome.num_frames, outcome.fps) == (8 * job.spec.seconds, 8.0)
        assert sorted(path.name for path in job.folder.iterdir()) == sorted([*FILES.values(), "lock", "outcome.json"])
        request = make_request(job.spec, generator, bench.data)
        rendering = generator.begin(request)
        while not rendering.is_done:
            generator.advance([rendering])
        alone = generator.finish(rendering)
        kept = alone.save(bench.data / f"{job.id}.mp4")
        difference = np.abs(frames_of(job) - read_clip(kept).frames)
        assert len(difference) == outcome.num_frames and (difference <= 1).mean() > 0.999
        assert read_settings(job.folder / FILES["video"])["prompt"] == "a red ball"


def test_who_comes_later_joins_at_the_next_step_and_who_is_cancelled_leaves(bench):
    first = bench.submit("first", steps=20)
    bench.engine.work()
    bench.submit("second", steps=20)
    bench.engine.work()
    bench.engine.cancel("first")
    bench.engine.work()
    assert bench.rows() == [{"first"}, {"first", "second"}, {"second"}]
    assert bench.outcome("first").kind == "cancelled"
    assert not list(first.folder.glob("state*"))
    bench.engine.cancel("first")


def test_a_short_job_is_done_long_before_a_long_one_that_came_first(generator, tmp_path):
    bench = Bench(generator, tmp_path, replace(BUDGET, row_tokens=24))  # room for one at a time
    bench.submit("long", "a", steps=24)
    bench.engine.work()
    bench.submit("short", "b", steps=4)
    bench.run()
    rows = bench.rows()
    assert all(len(row) == 1 for row in rows)
    last = max(i for i, row in enumerate(rows) if row == {"short"})
    assert last <= 12


def test_tenants_have_equal_parts_of_rows_that_are_too_short_for_all(generator, tmp_path):
    bench = Bench(generator, tmp_path, replace(BUDGET, row_tokens=24))
    for i in range(6):
        bench.submit(f"many-{i}", "a", steps=12)
    bench.submit("one", "b", steps=12)
    while "one" in bench.engine.works:
        bench.engine.work()
    rows = bench.rows()
    assert 10 <= len(rows) <= 26 and sum(row == {"one"} for row in rows) >= 10


def test_a_suspect_shares_no_row(bench):
    bench.submit("a")
    bench.submit("suspect", alone=True)
    bench.submit("b", seed=1)
    bench.run()
    assert {"suspect"} in bench.rows() and {"a", "b"} in bench.rows()
    assert all(row == {"suspect"} for row in bench.rows() if "suspect" in row)
    assert {bench.outcome(name).kind for name in ("a", "b", "suspect")} == {"done"}


@pytest.mark.parametrize(
    ("num_rounds", "changes"), [(4, {}), (3, {"loop": True, "seconds": 2.0}), (9, {"seconds": 3.0})]
)
def test_a_parked_job_goes_on_where_it_was_and_shows_the_same_frames(generator, tmp_path, num_rounds, changes):
    whole, parted = Bench(generator, tmp_path / "whole"), Bench(generator, tmp_path / "parted")
    expected = whole.submit("a", **changes)
    whole.run()
    job = parted.submit("a", **changes)
    parted.run(num_rounds)
    parted.engine.park()
    assert parted.outcome("a").kind == "parked" and not parted.engine.works
    num_before = len(parted.rows())
    again = Bench(generator, tmp_path / "parted")
    again.engine.submit(job)
    again.run()
    assert num_before + len(again.rows()) == len(whole.rows())
    assert (frames_of(job) == frames_of(expected)).all()


def test_a_killed_job_goes_on_from_its_last_save(generator, tmp_path):
    killed = Bench(generator, tmp_path, save_steps=3)
    job = killed.submit("a", steps=12)
    killed.run(8)
    work = killed.engine.works["a"]
    _, step, _, num_steps = work.point
    assert step == 8 and work.lock is not None
    os.close(work.lock)  # as the kernel does
    again = Bench(generator, tmp_path)
    again.engine.submit(job)
    again.run()
    assert [report["on"]["a"][1] for report in again.reports if report.get("seconds")] == [*range(6, num_steps)]
    assert again.outcome("a").kind == "done"


def test_a_finished_job_is_not_rendered_again(bench, generator):
    job = bench.submit("a")
    bench.run()
    again = Bench(generator, bench.data)
    again.engine.submit(job)
    assert again.outcome("a") == bench.outcome("a") and not again.engine.works
    (job.folder / FILES["thumbnail"]).unlink()
    assert saved.read_outcome(job.folder) is None


@pytest.mark.parametrize("damage", [b"", b"no tensors", None])
def test_a_state_that_is_damaged_or_of_another_request_is_passed_over(bench, generator, damage):
    job = bench.job("a")
    other = generator.begin(Request("another", size=(32, 32), seconds=1.0))
    generator.advance([other])
    if damage is None:
        saved.write_state(job.folder, 0, other.state())
    else:
        (job.folder / "state-0.safetensors").write_bytes(damage)
    bench.engine.submit(job)
    bench.run()
    assert bench.outcome("a").kind == "done"


def test_one_process_at_a_time_works_on_a_job(bench, generator):
    job = bench.submit("a")
    bench.engine.work()
    second = Bench(generator, bench.data)
    second.engine.submit(job)
    assert not second.engine.work() and second.engine.works
    bench.engine.park()
    second.run()
    assert second.outcome("a").kind == "done"


def test_a_request_that_the_model_refuses_fails_alone(bench):
    bench.submit("bad", render_size=(33, 32))
    bench.submit("empty", prompt="")
    bench.submit("good")
    bench.run()
    assert (bench.outcome("bad").code, bench.outcome("empty").code) == ("invalid_request", "invalid_request")
    assert "33x32" in bench.outcome("bad").message
    assert bench.outcome("good").kind == "done"


def test_an_error_in_company_is_sought_alone(bench, capsys):
    bench.submit("good")
    bench.submit("bad", prompt="fail")
    bench.run()
    assert bench.outcome("bad") == Outcome("failed", "render_failed", "the render failed (RuntimeError)")
    assert bench.outcome("good").kind == "done"
    assert "as it was told" in capsys.readouterr().err


def test_no_more_is_begun_than_memory_holds(generator, tmp_path):
    num_bytes = COSTS.held_bytes(SPEC)
    bench = Bench(generator, tmp_path, replace(BUDGET, num_bytes=2 * 2 * num_bytes))
    for i in range(5):
        bench.submit(f"job-{i}", steps=3)
    bench.run()
    assert max(len(row) for row in bench.rows()) == 2
    assert {bench.outcome(f"job-{i}").kind for i in range(5)} == {"done"}


def test_everything_is_scaled_to_the_size_that_was_asked_for(bench):
    job = bench.submit("a", size=(180, 240), render_size=(32, 48))
    bench.run()
    outcome = bench.outcome("a")
    assert outcome.render_size == (32, 48)
    assert read_clip(job.folder / outcome.files["video"]).size == (180, 240)
    assert read_clip(job.folder / outcome.files["thumbnail"]).size == (180, 240)
    assert read_clip(job.folder / outcome.files["spritesheet"]).num_frames == 1
    assert within((720, 1280), 256) == (144, 256)


def media_of(bench, job):
    clip = read_clip(job.folder / FILES["video"])
    name = str((job.folder / FILES["video"]).relative_to(bench.data))
    return Media(name, "0", clip.width, clip.height, clip.num_frames, clip.fps, job.id)


def test_sources_are_extended_edited_and_animated(bench):
    first = bench.submit("first", size=(64, 64))
    bench.run()
    source = media_of(bench, first)
    longer = bench.submit("longer", size=(64, 64), task="extend", source=source)
    edited = bench.submit("edited", size=(64, 64), task="edit", source=source, strength=0.5)
    moving = bench.submit("moving", size=(64, 64), task="animate", source=source)
    bench.run()
    assert [bench.outcome(job.id).num_frames for job in (longer, edited, moving)] == [16, 8, 8]
    given = frames_of(first)
    # What was given stays as sharp as it was, though all else is drawn at half the size.
    assert np.abs(frames_of(longer)[:8] - given).mean() < 3
    assert np.abs(frames_of(moving)[0] - given[0]).mean() < 3


def test_a_loop_is_as_long_as_asked_and_made_in_two_stages(bench):
    bench.submit("loop", loop=True, seconds=3.0)
    bench.run()
    stages = {report["on"]["loop"][0] for report in bench.reports if report.get("seconds")}
    assert stages == {0, 1}
    assert bench.outcome("loop").num_frames == 24


def test_a_child_killed_in_mid_render_goes_on_and_shows_the_same_frames(bench, tmp_path):
    expected = bench.submit("whole", steps=200)
    bench.run()
    program = (sys.executable, str(Path(__file__).with_name("tiny_renderer.py")))
    renderer = ChildRenderer(ServeSettings(data=tmp_path / "child", save_steps=2), program)
    renderer.start()
    try:
        job = make_job(tmp_path / "child", "whole", steps=200)
        renderer.submit(job)
        with renderer._changed:
            assert renderer._changed.wait_for(lambda: renderer.progress(job.id).step >= 20, PATIENCE)
            assert renderer._process is not None
            renderer._process.kill()
        outcome = renderer.wait(job.id, PATIENCE)
        assert outcome is not None and outcome.kind == "done"
        assert renderer.gauges()["renderer_starts_total"] == 2
        assert renderer.gauges()["renderer_row_parts_total"] < 250  # it did not begin again
    finally:
        renderer.stop()
    assert (np.abs(frames_of(job) - frames_of(expected)) <= 1).mean() > 0.999
