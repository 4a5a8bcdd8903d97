"""Is nothing lost or doubled when workers die, and does everybody learn of it? With kill -9, on real processes."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path

import pytest

from ozora.serve import durable, jobs, webhooks
from ozora.serve.jobs import Jobs
from ozora.serve.service import Attempt
from ozora.serve.settings import ServeSettings
from ozora.serve.spec import VideoSpec
from ozora.serve.store import Store
from ozora.serve.tables import new_id

sys.path.append(str(Path(__file__).parent))
counting = import_module("counting_server")
eventually, SPEC = counting.eventually, counting.SPEC


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[[str, float], subprocess.Popen[bytes]]]:
    """A function: a worker's name, seconds per step -> the process."""
    running: list[subprocess.Popen[bytes]] = []

    def start(worker: str, step_seconds: float) -> subprocess.Popen[bytes]:
        command = [sys.executable, counting.__file__, tmp_path, worker, str(step_seconds)]
        running.append(subprocess.Popen(command))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(counting.settings(tmp_path, "w").database_url)
    yield store
    store.close()


def store_videos(store: Store, data: Path, number: int) -> dict[str, VideoSpec]:
    """Videos as a server leaves them that died after it had stored them and before it had queued their work."""
    specs = {new_id("video"): replace(SPEC, seed=seed, render_size=(64, 32)) for seed in range(number)}
    for video_id in specs:
        (data / "jobs" / video_id).mkdir(parents=True)
    store.add("ann", specs, [1.0] * number, Attempt("f"), lambda *waiting: None)
    return specs


def check_all_done(store: Store, data: Path, specs: dict[str, VideoSpec]) -> None:
    assert store.counts() == {"completed": len(specs)}
    for video_id, spec in specs.items():
        assert (data / "jobs" / video_id / "video.mp4").read_text() == f"a red ball {spec.seed} signed"


def test_nothing_is_lost_by_kill_9_again_and_again(store: Store, tmp_path: Path, start_server) -> None:
    specs = store_videos(store, tmp_path, 9)
    for target in (1, 5, 9):
        server = start_server("w", 0.1)
        eventually(lambda target=target: store.counts().get("completed", 0) >= target)
        server.send_signal(signal.SIGKILL)
        server.wait()
    check_all_done(store, tmp_path, specs)


def test_a_dead_workers_videos_go_on_where_they_were_at_another(
    store: Store, tmp_path: Path, start_server, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = store_videos(store, tmp_path, 3)
    dead = start_server("a", 3600.0)
    eventually(lambda: len(store.held("a")) == 3)
    dead.kill()
    dead.wait()
    for name in ("SWEEP_SECONDS", "BEAT_SECONDS", "PATIENCE_SECONDS"):
        monkeypatch.setattr(jobs, name, 0.3)
    living = Jobs(counting.settings(tmp_path, "b"), counting.CountingRenderer(tmp_path / "log"), counting.sign)
    living.start()
    try:
        eventually(lambda: store.counts().get("completed", 0) == 3)
    finally:
        living.stop()
    check_all_done(store, tmp_path, specs)
    assert {video_id: claims for video_id, (_, claims) in claims_of(store, specs).items()} == dict.fromkeys(specs, 2)


def claims_of(store: Store, specs: dict[str, VideoSpec]) -> dict[str, tuple[str, int]]:
    videos = [store.look_up(video_id) for video_id in specs]
    return {video.id: (video.state, video.claims) for video in videos if video is not None}


def test_everybody_is_told_once_it_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, taken, arrived = [500, 503], [], threading.Condition()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with arrived:
                status = answers.pop(0) if answers else 204
                taken.append((status, self.headers["webhook-id"], event))
                arrived.notify_all()
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    monkeypatch.setattr(webhooks, "DELAYS", (0.1,) * 9)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        settings = ServeSettings(data=tmp_path, webhook=f"http://127.0.0.1:{listener.server_address[1]}/hook")
        server = Jobs(settings, counting.CountingRenderer(tmp_path / "log"), counting.sign)
        server.start()
        try:
            records = [counting.submit(server), counting.submit(server, replace(SPEC, prompt="poison"))]
            with arrived:
                assert arrived.wait_for(lambda: sum(status == 204 for status, _, _ in taken) == 2, counting.PATIENCE)
        finally:
            server.stop()
            listener.shutdown()
            thread.join()
    assert len(taken) == 4
    told = {event["data"]["id"]: (event["type"], id) for status, id, event in taken if status == 204}
    first, second = (record.id for record in records)
    assert told == {
        first: ("video.completed", first.replace("video", "evt")),
        second: ("video.failed", second.replace("video", "evt")),
    }


@pytest.fixture
def start_durable(tmp_path: Path) -> Iterator[Callable[[Callable[[str], None]], durable.Durable]]:
    """A function: what is done with a video -> the engine, started."""
    url = f"sqlite:///{tmp_path / 'ozora.db'}"
    Store(url).close()
    running: list[durable.Durable] = []

    def start(render: Callable[[str], None]) -> durable.Durable:
        running.append(durable.Durable(url, "w", render, lambda event, attempt: None))
        running[0].start()
        return running[0]

    yield start
    for engine in running:
        engine.stop(counting.PATIENCE)


def test_work_that_raises_is_done_again(start_durable) -> None:
    calls: list[str] = []

    def render(video_id: str) -> None:
        calls.append(video_id)
        if len(calls) == 1:
            raise OSError("the first time it does not work")

    engine = start_durable(render)
    engine.enqueue_render("video_1", 0)
    engine.enqueue_render("video_1", 0)  # The same name is the same work.
    eventually(lambda: len(calls) == 1 and not engine._at_work)
    engine.tend({"w"})
    assert len(calls) == 1  # Once may be chance.
    engine.tend({"w"})
    eventually(lambda: len(calls) == 2 and not engine._at_work)
    engine.tend({"w"})
    engine.tend({"w"})
    engine.ensure_renders({"video_2": 1})
    eventually(lambda: len(calls) == 3)
    assert calls == ["video_1", "video_1", "video_2"]


def test_urgent_turns_come_first(start_durable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "MAX_RENDERS", 1)
    calls: list[str] = []
    gate = threading.Event()

    def render(video_id: str) -> None:
        calls.append(video_id)
        gate.wait(counting.PATIENCE)

    engine = start_durable(render)
    engine.enqueue_render("first", 5)
    eventually(lambda: calls == ["first"])
    for name, turn in (("last", 9), ("second", 3), ("third", 4)):
        engine.enqueue_render(name, turn)
    gate.set()
    eventually(lambda: len(calls) == 4)
    assert calls == ["first", "second", "third", "last"]
