"""Is anything lost where everything dies? A server and its renderer are killed with -9 at random, again and again.

    python benchmarks/serve_chaos.py

Many videos are asked for over HTTP, and one poison video that kills the renderer at its third step. Meanwhile the
server, or its renderer alone, is killed every few seconds; a server that is dead is started again. At the end every
video must be there once, all must be completed but the poison, and their frames must be those that one process
renders that nobody kills, within 1/255 on 99.9 % of the pixels. Frames are compared as they are drawn, for H.264 makes
more of a last bit: two clips that agree everywhere within 1/255 were seen to agree on 97 % once they are encoded.
"""

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import tyro

POISON = "a black ball that kills"
SIZES = ("64x64", "48x80", "80x48", "128x128")
PATIENCE = 900.0


def serve_as(arguments: list[str]) -> int:
    """The server, exactly, but that its renderer is ``render_poisoned``."""
    from ozora import cli
    from ozora.serve import child

    program = (sys.executable, __file__, "renderer")
    child.ChildRenderer = partial(child.ChildRenderer, program=program)
    return cli.main(["serve", *arguments])


def drawn_beside(data: Path) -> Path:
    """Where the frames are kept that were drawn for a server of this data folder."""
    return data.with_name(f"{data.name}-drawn")


def keep_frames(folder: Path) -> None:
    """From now on the frames of every job of this process are also written into ``folder``, under the job's id."""
    import numpy as np

    from ozora.serve import engine

    deliver = engine.deliver

    def deliver_and_keep(place, pieces, *others):
        kept = []

        def keep():
            for piece in pieces:
                kept.append(piece)
                yield piece

        yield from deliver(place, keep(), *others)
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / place.name, np.concatenate(kept))

    engine.deliver = deliver_and_keep


def render_poisoned(arguments: list[str]) -> int:
    """The renderer, exactly, but that the poison kills it, and that the frames it draws are kept."""
    from ozora.generate.generator import Generator
    from ozora.serve import renderer

    keep_frames(drawn_beside(Path(json.loads(arguments[0])["data"])))

    advance = Generator.advance

    def advance_unless_poisoned(self, renderings) -> None:
        if any(rendering.step == 2 and rendering.request.prompt == POISON for rendering in renderings):
            os.kill(os.getpid(), signal.SIGKILL)
        advance(self, renderings)

    Generator.advance = advance_unless_poisoned
    return renderer.main(arguments)


class Server:
    """A server process that can be killed, and what is asked of it over HTTP."""

    def __init__(self, data: Path, model: str, threads: int) -> None:
        self.data, self.url, self.process = data, "", None
        self.command = [sys.executable, __file__, "server", "--data", str(data), "--port", "0", "--model", model]
        self.command += ["--threads", str(threads)]
        self.num_starts = 0

    def start(self) -> None:
        """Return when it answers."""
        self.num_starts += 1
        log = self.data.with_suffix(".log").open("ab")
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if ": ready" not in line:
            raise RuntimeError(f"the server did not start; see {self.data.with_suffix('.log')}")
        self.url = line.split(": ready")[0].rstrip("/")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def renderer(self) -> int | None:
        """The process id of the renderer, if it is there (Linux)."""
        assert self.process is not None
        for task in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            for pid in task.read_text().split():
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if __file__.encode() in words and b"renderer" in words:
                    return int(pid)
        return None

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None, key: str = "") -> Any:
        """The answer in JSON, or bytes."""
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = answer.read()
            return json.loads(found) if "json" in answer.headers["Content-Type"] else found

    def videos(self) -> list[dict[str, Any]]:
        """All videos, page by page."""
        found, after = [], ""
        while True:
            page = self.ask("GET", f"/videos?limit=20&order=asc{after}")
            found += page["data"]
            if not page["has_more"]:
                return found
            after = f"&after={page['last_id']}"


def make_bodies(num_videos: int, draw: random.Random) -> list[dict[str, Any]]:
    bodies = []
    for seed in range(num_videos):
        seconds, steps = draw.choice((1, 2, 3)), draw.choice((12, 20, 30))
        bodies.append({"prompt": "a red ball falls", "size": draw.choice(SIZES), "seconds": str(seconds), "seed": seed})
        bodies[-1]["steps"] = steps
    bodies.insert(num_videos // 2, {"prompt": POISON, "size": "64x64", "seconds": "2"})
    return bodies


def call(server: Server, bodies: list[dict[str, Any]], seconds: float, asked: dict[str, dict[str, Any]]) -> None:
    """Ask for all videos within about ``seconds``, each until it is acknowledged: ``asked`` maps ids to bodies."""
    for i, body in enumerate(bodies):
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                asked[server.ask("POST", "/videos", body, key=f"video-{i}")["id"]] = body
                break
            except (urllib.error.URLError, ConnectionError, http.client.HTTPException, json.JSONDecodeError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        time.sleep(seconds / len(bodies))


def torment(server: Server, num_kills: int, draw: random.Random, seconds: float) -> dict[str, int]:
    """Kill the server or its renderer ``num_kills`` times; how often which."""
    kills = {"server": 0, "renderer": 0}
    for _ in range(num_kills):
        time.sleep(draw.uniform(0.1, 2 * seconds))
        pid = server.renderer()
        if pid is not None and draw.random() < 0.5:
            os.kill(pid, signal.SIGKILL)
            kills["renderer"] += 1
        else:
            server.kill()
            server.start()
            kills["server"] += 1
    return kills


def share_equal(server: Server, videos: list[dict[str, Any]], data: Path, model: str) -> list[float]:
    """Of each completed video: the share of pixels within 1/255 of what an undisturbed process renders."""
    import numpy as np

    from ozora.generate.generator import Generator
    from ozora.serve.engine import Engine
    from ozora.serve.measure import measure, plan_budget
    from ozora.serve.messages import RenderJob
    from ozora.serve.spec import VideoSpec

    keep_frames(drawn_beside(data))
    generator = Generator.load(model)
    costs = measure(generator)
    engine = Engine(generator, costs, plan_budget(costs, generator.device, None, None, 1e9), data, lambda report: None)
    shares = []
    for video in videos:
        folder = data / video["id"]
        folder.mkdir(parents=True)
        width, height = (int(side) for side in video["size"].split("x"))
        drawn = tuple(int(side) for side in video["render_size"].split("x"))
        spec = VideoSpec(video["prompt"], (width, height), float(video["seconds"]), render_size=(drawn[0], drawn[1]))
        spec = replace(spec, seed=video["seed"], steps=video["steps"])
        engine.submit(RenderJob(video["id"], "", spec, folder))
        while engine.works:
            engine.work()
        places = (drawn_beside(server.data), drawn_beside(data))
        served, alone = (np.load(place / f"{video['id']}.npy").astype(int) for place in places)
        shares.append(float((np.abs(served - alone) <= 1).mean()) if served.shape == alone.shape else 0.0)
    return shares


def main(model: str = "mini", videos: int = 16, kills: int = 12, seconds: float = 6.0, seed: int = 0, threads: int = 2):
    """Print a report; ends with 1 where anything is lost, doubled or changed. ``seconds`` is the mean between kills."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data", model, threads)
        began = time.perf_counter()
        server.start()
        print(f"started after {time.perf_counter() - began:.1f} s", flush=True)
        asked: dict[str, dict[str, Any]] = {}
        caller = threading.Thread(target=call, args=(server, make_bodies(videos, draw), kills * seconds / 2, asked))
        caller.start()
        done = torment(server, kills, draw, seconds)
        caller.join()
        print(f"killed: {done['server']} times the server, {done['renderer']} times the renderer alone", flush=True)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = server.videos()
            if all(video["status"] in ("completed", "failed") for video in found):
                break
            time.sleep(1)
        found = server.videos()
        good = [video for video in found if video["prompt"] != POISON]
        completed = [
            video | {"seed": asked[video["id"]]["seed"], "steps": asked[video["id"]]["steps"]} for video in good
        ]
        completed = [video for video in completed if video["status"] == "completed"]
        shares = share_equal(server, completed, Path(folder) / "alone", model)
        assert server.process is not None
        server.process.terminate()
        server.process.communicate(timeout=120)
    poison = [video for video in found if video["prompt"] == POISON]
    num_lost = len(asked.keys() - {video["id"] for video in found}) + len(good) - len(completed)
    num_doubled = len(found) - len({video["id"] for video in found}) + len({v["id"] for v in found} - asked.keys())
    num_changed = sum(share < 0.999 for share in shares)
    print(f"{len(asked)} videos asked for, {num_lost} lost, {num_doubled} doubled, {num_changed} changed")
    print(f"frames: {min(shares, default=0):.5f} of the pixels within 1/255, at least, of {len(shares)} videos")
    print(f"poison: {[(video['status'], (video['error'] or {}).get('code')) for video in poison]}")
    for video in good:
        if video["status"] != "completed":
            print(f"  {video['id']}: {video['status']} {video['error']}")
    is_poison_found = [video["status"] for video in poison] == ["failed"]
    sys.exit(bool(num_lost or num_doubled or num_changed) or not is_poison_found)


if __name__ == "__main__":
    if sys.argv[1:2] == ["server"]:
        sys.exit(serve_as(sys.argv[2:]))
    if sys.argv[1:2] == ["renderer"]:
        sys.exit(render_poisoned(sys.argv[2:]))
    tyro.cli(main)
