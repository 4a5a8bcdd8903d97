"""Two workers share one PostgreSQL; one is killed, and nothing is lost or made twice. PostgreSQL is real here."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import urllib.request
from pathlib import Path

import pytest

SHORT = {"prompt": "a red ball", "seconds": 1, "size": "48x32"}
NUM_VIDEOS = 8
SECONDS = 400


def find_postgres():
    """The folder of PostgreSQL's programs, newest first; Debian does not put them on the path."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: -float(place.parent.name))
    return next((place for place in places if (place / "initdb").exists()), None)


@pytest.fixture(scope="module")
def postgres():
    """The URL of an empty database on this machine, in a cluster of its own."""
    programs = find_postgres()
    if programs is None and os.geteuid() == 0 and shutil.which("apt-get"):
        command = "apt-get update -qq && apt-get install -y -qq postgresql"
        subprocess.run(["bash", "-c", command], check=False, capture_output=True, timeout=600)
        programs = find_postgres()
    if programs is None:
        pytest.skip("PostgreSQL is not installed and cannot be: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="ozora-postgres-"))  # pytest's own folders are closed to other users
    become = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        shutil.chown(folder, "postgres", "postgres")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    cluster = folder / "cluster"
    base = {"cwd": folder, "check": True, "timeout": 300, "stdout": subprocess.DEVNULL}
    subprocess.run([*become, programs / "initdb", "-D", cluster, "-A", "trust", "-U", "ozora", "-N"], **base)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    control = [*become, programs / "pg_ctl", "-D", cluster, "-w", "-t", "120"]
    subprocess.run([*control, "-l", folder / "log", "-o", options, "start"], **base)
    yield f"postgresql://ozora@127.0.0.1:{port}/postgres"
    subprocess.run([*control, "-m", "immediate", "stop"], **base)
    shutil.rmtree(folder)


def ask(server, key, method, path, body=None):
    """(status, JSON or bytes) of one request."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/v1{path}", data, headers, method=method)
    with urllib.request.urlopen(request, timeout=120) as response:
        content = response.read()
        return json.loads(content) if "json" in response.headers["Content-Type"] else content


def wait_for_all(server, key, ids):
    """The videos once all are over. Asks as often as a client would."""
    pause = threading.Event()
    for _ in range(SECONDS):
        videos = {video["id"]: video for video in ask(server, key, "GET", "/videos?limit=100")["data"]}
        if all(videos[video]["status"] in ("completed", "failed") for video in ids):
            return videos
        pause.wait(1.0)
    raise AssertionError(f"not all are over: {videos}")


def test_two_workers_share_the_work_and_the_living_takes_over_from_the_dead(
    postgres, tmp_path, tiny_folder, start_server, create_keys
):
    data = tmp_path / "data"
    key = create_keys(data, "--database", postgres).alice
    first, second = (
        start_server(data, tiny_folder, "--database", postgres, "--worker", name) for name in ("one", "two")
    )
    ids = [ask((first, second)[i % 2], key, "POST", "/videos", SHORT | {"seed": i})["id"] for i in range(NUM_VIDEOS)]
    slow = [ask(first, key, "POST", "/videos", SHORT | {"seed": i, "steps": 200})["id"] for i in range(4)]
    first.kill()

    videos = wait_for_all(second, key, ids + slow)
    assert set(videos) == {*ids, *slow}  # none lost, none made twice
    assert {video["status"] for video in videos.values()} == {"completed"}, videos
    for video in videos:
        assert ask(second, key, "GET", f"/videos/{video}/content")[4:8] == b"ftyp"

    again = start_server(data, tiny_folder, "--database", postgres, "--worker", "one")
    shown = {video["id"]: video for video in ask(again, key, "GET", "/videos?limit=100")["data"]}
    assert shown == videos
    assert ask(again, key, "GET", f"/videos/{slow[0]}/content")[4:8] == b"ftyp"
    assert "Traceback" not in second.log.read_text()
