"""Is an event one that any Standard Webhooks receiver believes, and is it posted until it is taken?"""

import base64
import hashlib
import hmac
import json
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ozora.serve.settings import ServeSettings
from ozora.serve.webhooks import Endpoint, open_endpoint, post, sign

EVENT = {"id": "evt_1", "object": "event", "created_at": 5, "type": "video.completed", "data": {"id": "video_1"}}


@dataclass
class Listener:
    """A receiver that keeps what it is sent, and answers with what is in ``answers``, then with 200."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            listener.taken.append(({name.lower(): value for name, value in self.headers.items()}, body))
            status = listener.answers.pop(0) if listener.answers else 200
            self.send_response(status)
            if status == 302:
                self.send_header("location", f"{listener.url}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        listener.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield listener
        server.shutdown()
        thread.join()


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of the reference libraries' own tests."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_gets_what_was_signed(listener: Listener) -> None:
    assert post(Endpoint(listener.url, b"s" * 32), EVENT, 1234) is None
    ((headers, body),) = listener.taken
    assert json.loads(body) == EVENT and headers["content-type"] == "application/json"
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("evt_1", "1234")
    expected = hmac.digest(b"s" * 32, b"evt_1.1234." + body, hashlib.sha256)
    assert headers["webhook-signature"] == "v1," + base64.b64encode(expected).decode()


@pytest.mark.parametrize("status", [302, 400, 410, 500])
def test_what_is_not_2xx_is_a_problem_and_redirects_are_not_followed(listener: Listener, status: int) -> None:
    listener.answers = [status]
    assert post(Endpoint(listener.url, b"s" * 32), EVENT, 1) == f"it answered {status}"
    assert len(listener.taken) == 1


def test_nobody_listening_is_a_problem_and_no_exception(listener: Listener) -> None:
    assert post(Endpoint("http://127.0.0.1:1", b"s" * 32), EVENT, 1)
    assert post(Endpoint("http://[", b"s" * 32), EVENT, 1)


def test_a_secret_is_made_once_and_is_private(tmp_path: Path) -> None:
    settings = ServeSettings(data=tmp_path, webhook="http://127.0.0.1:9/hook")
    first, second = open_endpoint(settings), open_endpoint(settings)
    assert first == second and first is not None and len(first.secret) == 32
    assert stat.S_IMODE((tmp_path / "webhook_secret").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["webhook_secret"]
    assert base64.b64encode(first.secret).decode() not in repr(first)
    assert open_endpoint(ServeSettings(data=tmp_path)) is None


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_????", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_what_is_no_secret_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret").write_text(text)
    with pytest.raises(ValueError, match="secret"):
        open_endpoint(ServeSettings(data=tmp_path, webhook="https://h/", webhook_secret=tmp_path / "secret"))


def test_a_given_secret_is_used(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    settings = ServeSettings(data=tmp_path, webhook="https://h/", webhook_secret=tmp_path / "secret")
    endpoint = open_endpoint(settings)
    assert endpoint is not None and endpoint.secret == base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
