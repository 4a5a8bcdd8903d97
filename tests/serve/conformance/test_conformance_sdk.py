"""The SDKs that people have, unmodified, against a real server over a socket: every operation of the Videos API."""

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SECONDS = 500


def run_check(command, cwd, environment):
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


def is_signed(delivery, secret):
    """Standard Webhooks, computed here and not by what is tested."""
    headers = {name.lower(): value for name, value in delivery["headers"].items()}
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{delivery['body']}".encode()
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert abs(time.time() - int(headers["webhook-timestamp"])) < SECONDS
    return f"v1,{digest}" in headers["webhook-signature"].split(" ")


@pytest.mark.parametrize("wanted", ["openai>=3,<4", "openai>=2,<3", "openai==2.8.0"])
def test_python(server, keys, samples, install, plain_environment, listener, webhook_secret, wanted):
    name = wanted.translate(str.maketrans("<>=,", "____"))
    folder = install(name, [[sys.executable, "-m", "venv", "."], ["bin/pip", "install", "--quiet", wanted]])
    command = [folder / "bin/python", HERE / "check_sdk.py", f"{server.url}/v1", keys.alice, keys.bob, samples]
    done = run_check(command, folder, plain_environment)
    assert done["has_all"] or wanted == "openai==2.8.0"

    kept = [video for video in done["videos"] if video != done["videos"][1]]  # that one was deleted
    deliveries = listener.wait_for(dict.fromkeys([*kept, done["failed"]], 1))
    told = {}
    for delivery in deliveries:
        event = json.loads(delivery["body"])
        assert set(event) == {"id", "object", "created_at", "type", "data"} and event["object"] == "event"
        assert is_signed(delivery, webhook_secret.read_text())
        told[event["data"]["id"]] = event["type"]
    assert {told[video] for video in kept} == {"video.completed"} and told[done["failed"]] == "video.failed"


def test_what_was_not_acknowledged_comes_again_under_the_same_id(server, listener):
    """The listener refused the very first delivery."""
    if not listener.deliveries:
        pytest.skip("no SDK could be installed, so nothing was rendered")
    video = json.loads(listener.deliveries[0]["body"])["data"]["id"]
    deliveries = listener.wait_for({video: 2})
    again = [one for one in deliveries if json.loads(one["body"])["data"]["id"] == video]
    assert len({one["headers"]["webhook-id"] for one in again}) == 1 and len({one["body"] for one in again}) == 1


def test_node(server, keys, samples, install, plain_environment, listener, webhook_secret, tmp_path):
    commands = [["npm", "init", "--yes"], ["npm", "install", "--no-audit", "--no-fund", "openai@6"]]
    folder = install("node", commands)
    deliveries = tmp_path / "deliveries.json"
    deliveries.write_text(json.dumps(listener.deliveries[-5:]))
    secret = webhook_secret.read_text()
    command = ["node", HERE / "check_sdk.mjs", f"{server.url}/v1", keys.alice, keys.bob, samples, secret, deliveries]
    done = run_check(command, folder, plain_environment)
    assert len(done["told"]) == len(listener.deliveries[-5:]) or not listener.deliveries
    listener.wait_for(dict.fromkeys(done["videos"], 1))
