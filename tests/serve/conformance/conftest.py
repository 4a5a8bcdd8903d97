"""A real server on a socket with a tiny model, somebody who listens to its webhooks, and the SDKs that people use."""

import base64
import json
import os
import queue
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ozora.clip import Clip
from ozora.generate.folder import ModelConfig, SamplingConfig, TrainedRange, save_folder
from ozora.media.write import write_clip
from ozora.model.autoencoder import Autoencoder, AutoencoderConfig
from ozora.model.transformer import Transformer, TransformerConfig

OZORA = [sys.executable, "-c", "import sys; from ozora.cli import main; sys.exit(main())"]
START_SECONDS = 900  # imports alone take minutes on a machine that is busy
MINILM_WIDTH = 384
READY = re.compile(r"^(http://\S+)/v1: ready")


@dataclass(frozen=True)
class Keys:
    """API keys of two callers."""

    alice: str
    bob: str


class Server:
    """``ozora serve`` in a process of its own; its errors are kept in ``log``."""

    def __init__(
        self,
        data: Path,
        model: Path,
        *options: str,
        program: Sequence[str] = OZORA,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.data, self.log = data, data.with_name(f"{data.name}-{secrets.token_hex(4)}.log")
        command = [*program, "serve", "--data", str(data), "--model", str(model), "--port", "0", *options]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=cwd, env=environment
            )
        lines: queue.Queue[str] = queue.Queue()

        def read() -> None:
            assert self.process.stdout is not None
            with self.process.stdout as output:
                for line in output:
                    lines.put(line)
            lines.put("")

        self._reader = threading.Thread(target=read)
        self._reader.start()
        try:
            while not (match := READY.match(line := lines.get(timeout=START_SECONDS))):
                if not line:
                    raise RuntimeError(f"the server ended before it was ready:\n{self.log.read_text()}")
        except BaseException:
            self.kill()
            raise
        self.url = match[1]

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def kill(self) -> None:
        """As the kernel ends it where memory is short: without a word."""
        self.process.kill()
        self.stop()

    def stop(self) -> None:
        """As an operator stops it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(120)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join()


class Listener:
    """Takes webhooks. The first delivery of all is answered with 500, so that it must come again."""

    def __init__(self) -> None:
        self.deliveries: list[dict[str, object]] = []
        self.changed = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                with outer.changed:
                    outer.deliveries.append({"headers": dict(self.headers), "body": body})
                    is_first = len(outer.deliveries) == 1
                    outer.changed.notify_all()
                self.send_response(500 if is_first else 200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def wait_for(self, num_deliveries_of: Mapping[str, int], seconds: float = 240.0) -> list[dict[str, object]]:
        """All deliveries, once each named video was told of at least so many times."""

        def is_told() -> bool:
            told = [json.loads(str(one["body"]))["data"]["id"] for one in self.deliveries]
            return all(told.count(video) >= number for video, number in num_deliveries_of.items())

        with self.changed:
            assert self.changed.wait_for(is_told, seconds), f"missing among {self.deliveries}"
            return list(self.deliveries)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that renders noise in no time, with the real text encoder."""
    torch.manual_seed(0)
    autoencoder = AutoencoderConfig(4, 8, 8, (1, 1), (1, 1))
    transformer = TransformerConfig(16, MINILM_WIDTH, width=32, num_blocks=2, num_heads=2)
    config = ModelConfig(
        name="tiny",
        autoencoder=autoencoder,
        transformer=transformer,
        geometry=Autoencoder(autoencoder).geometry,
        latent_mean=(0.0,) * 4,
        latent_std=(1.0,) * 4,
        text_encoder="minilm",
        trained=TrainedRange(sizes=((32, 32), (48, 32)), num_frames=(1, 17), fps=(8.0,)),
        sampling=SamplingConfig(steps=4, guidance=2.0),
        default_size=(48, 32),
    )
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_folder(folder, config, Autoencoder(autoencoder), Transformer(transformer), card="# tiny")
    return folder


def make_keys(data: Path, *options: str) -> Keys:
    """Two keys, made as an operator makes them."""

    def make(name: str) -> str:
        command = [*OZORA, "keys", "create", name, "--data", str(data), *options]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=START_SECONDS).stdout.strip()

    return Keys(make("alice"), make("bob"))


@pytest.fixture
def create_keys():
    """``make_keys``, for tests with a server of their own."""
    return make_keys


@pytest.fixture
def start_server():
    """``Server``, for tests with one of their own; each is stopped at the end."""
    started: list[Server] = []

    def start(*arguments: Any, **options: Any) -> Server:
        started.append(Server(*arguments, **options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server") / "data"


@pytest.fixture(scope="session")
def keys(data: Path) -> Keys:
    return make_keys(data)


@pytest.fixture(scope="session")
def listener():
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture(scope="session")
def webhook_secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("secret") / "webhook_secret"
    path.write_text("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())
    return path


@pytest.fixture(scope="session")
def server(data: Path, keys: Keys, tiny_folder: Path, listener: Listener, webhook_secret: Path):
    """The server that the suite asks; its database is SQLite."""
    server = Server(data, tiny_folder, "--webhook", listener.url, "--webhook-secret", str(webhook_secret))
    yield server
    server.stop()


# Writes down whom the server connects to. What decodes and renders are other programs, which hold no sockets.
WATCHED = """
import sys
def watch(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        with open(sys.argv[1], "a") as file:
            file.write(f"{arguments[1]}\\n")
sys.addaudithook(watch)
from ozora.cli import main
sys.exit(main(sys.argv[2:]))
"""


@dataclass(frozen=True)
class Confined:
    """A server with tight limits that is watched: ``outside`` must stay empty, and so must ``connections``."""

    server: Server
    key: str
    outside: Path
    connections: Path


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path):
    """A server for hostile input. Image URLs are allowed, so that what guards them is what is tested."""
    data, outside = tmp_path_factory.mktemp("watched") / "data", tmp_path_factory.mktemp("outside")
    key, connections = make_keys(data).alice, data.with_name("connections.txt")
    limits = {"max-queued": 8, "max-seconds": 2, "max-render-seconds": 5, "max-body-mb": 2}
    options = [part for name, value in limits.items() for part in (f"--{name}", str(value))]
    places = {"TMPDIR": str(outside), "HOME": str(outside), "XDG_CACHE_HOME": str(outside)}
    program = [sys.executable, "-c", WATCHED, str(connections)]
    server = Server(
        data, tiny_folder, *options, "--image-urls", program=program, cwd=outside, environment=os.environ | places
    )
    yield Confined(server, key, outside, connections)
    server.stop()


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What callers have: first.png (48x32), wide.png (64x32) and clip.mp4 (48x32, a second)."""
    folder = tmp_path_factory.mktemp("samples")
    t, y, x = np.mgrid[:8, :32, :64]
    frames = np.stack([x * 3, y * 7, t * 25], axis=-1).astype(np.uint8)
    write_clip(Clip(frames[:1, :, :48].copy(), 1.0), folder / "first.png")
    write_clip(Clip(frames[:1].copy(), 1.0), folder / "wide.png")
    write_clip(Clip(frames[:, :, :48].copy(), 8.0), folder / "clip.mp4")
    return folder


@pytest.fixture(scope="session")
def install(request: pytest.FixtureRequest):
    """A function: name, commands -> a folder that they were run in once; kept between runs of the tests.

    Skips the test where they fail, which without a package index they do.
    """
    cache = request.config.cache
    assert cache is not None
    root = cache.mkdir("conformance")

    def run(name: str, commands: Sequence[Sequence[str]]) -> Path:
        folder = root / name
        if not (folder / "installed").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for command in commands:
                try:
                    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=900)
                except FileNotFoundError:
                    pytest.skip(f"{command[0]} is not installed")
                except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                    words = (error.stderr or str(error)).strip().splitlines()
                    pytest.skip(f"{name} cannot be installed here: {words[-1] if words else error}")
            (folder / "installed").touch()
        return folder

    return run


@pytest.fixture(scope="session")
def plain_environment() -> dict[str, str]:
    """The environment without what would point an SDK elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "PYTHON"))}
