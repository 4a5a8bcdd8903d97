"""Hostile input by the thousand: no crash, no 5xx, no file outside the data folder, no outgoing connection."""

import base64
import contextlib
import http.client
import json
import random
import socket
import threading
import urllib.parse

import pytest

NUM_REQUESTS, NUM_RAW, NUM_UPLOADS = 1000, 300, 60
CANARY = "canary-5d1f"
TEXTS = (
    *("", " ", "\0", "\ud800", "a" * 20000, "💥" * 500, "../../../etc/passwd", f"..\\..\\{CANARY}", f"/tmp/{CANARY}"),
    *("%00", "%2e%2e%2f", "${jndi:ldap://127.0.0.1/x}", "'; DROP TABLE videos;--", "<script>", "null", "NaN"),
    *("-1", "0", "1e309", "9" * 400, "0x10", "true", "[]", "{}", "video_" + "0" * 32, f"../{CANARY}", "a\r\nX: b"),
)
WRONG = (None, True, -1, 0, 2**70, 1e308, [], {}, [[]], {"id": None}, {"id": "../x"}, {"image_url": 1}, ["x"] * 99)
VALUES = (*TEXTS, *WRONG)
FIELDS = (
    *("prompt", "model", "seconds", "size", "input_reference", "video", "seed", "steps", "guidance", "fps", "loop"),
    *("strength", "variations", "storyboard", "negative", "strict_size", "name", "characters", "__proto__", "a[b][c]"),
    *("input_reference[image_url]", "video[id]", "characters[]", "storyboard[0][start]", "input_reference[", "[]"),
)
PATHS = (
    *("/v1/videos", "/v1/videos/edits", "/v1/videos/extensions", "/v1/videos/characters", "/v1/videos/{}/remix"),
    *("/v1/videos/{}", "/v1/videos/{}/content", "/v1/videos/{}/content?variant={}", "/v1/videos?after={}&limit={}"),
    *("/v1/videos?order={}", "/v1/videos/characters/{}", "/v1/models/{}", "/{}", "/v1/{}", "/v1/videos/{}/cancel"),
)
METHODS = (*["POST"] * 12, *["GET"] * 6, "DELETE", "PUT", "HEAD", "OPTIONS", "PATCH", "TRACE", "BREW")
TYPES = (
    *("application/json", "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=xx"),
    *("application/x-www-form-urlencoded", "text/plain", "application/octet-stream", "image/png", "", "a/b; c=\xff"),
)


def quoted(text):
    return urllib.parse.quote(text, safe="", errors="replace")


def multipart(chance, boundary):
    """A form that is nearly right, or not at all."""
    parts = []
    for _ in range(chance.randrange(6)):
        name = chance.choice(FIELDS)
        disposition = f'form-data; name="{name}"'
        if chance.random() < 0.3:
            disposition += f'; filename="{chance.choice(TEXTS)[:200]}"'
        lines = [f"Content-Disposition: {disposition}"] if chance.random() < 0.95 else []
        if chance.random() < 0.2:
            lines.append(f"Content-Type: {chance.choice(TYPES)}")
        value = chance.choice(
            (chance.randbytes(chance.randrange(200)), chance.choice(TEXTS).encode("utf-8", "replace"))
        )
        head = "\r\n".join(lines).encode("utf-8", "replace")
        parts.append(b"--" + boundary + b"\r\n" + head + b"\r\n\r\n" + value + b"\r\n")
    return b"".join(parts) + chance.choice((b"--" + boundary + b"--\r\n", b"", b"--" + boundary))


def hostile_request(chance):
    """(method, path, headers, body) of one request."""
    path = chance.choice(PATHS)
    while "{}" in path:
        path = path.replace("{}", quoted(chance.choice(TEXTS)[:300]), 1)
    headers, body, kind = {}, None, chance.choice(TYPES)
    form = chance.randrange(5)
    if form == 0:
        body = json.dumps({chance.choice(FIELDS): chance.choice(VALUES) for _ in range(chance.randrange(8))}).encode()
        kind = "application/json"
    elif form == 1:
        body, kind = multipart(chance, b"xyz"), "multipart/form-data; boundary=xyz"
    elif form == 2:
        body = chance.choice(
            (b"[" * 50000, b'{"a":' * 20000, b'{"prompt": NaN}', b"\xff\xfe{", b'{"prompt":"\\ud800"}', b"{")
        )
        kind = "application/json"
    elif form == 3:
        body = chance.randbytes(chance.randrange(2000))
    if kind:
        headers["Content-Type"] = kind.encode("latin-1")
    for name in ("Range", "Idempotency-Key", "x-stainless-retry-count", "If-Range", "Accept-Encoding", "Expect"):
        if chance.random() < 0.1:
            text = chance.choice((*TEXTS[:9], "bytes=-", "bytes=9-1", "bytes=0-0,2-3", "100-continue"))
            headers[name] = text.replace("\r", "").replace("\n", "").encode("utf-8", "replace")[:4000]
    return chance.choice(METHODS), path, headers, body


def check_answer(status, headers, body, what):
    assert 200 <= status < 500, (status, body[:300], what)
    if (
        status == 400 and body == b"Invalid HTTP request received."
    ):  # no request yet, so not the application's to answer
        return
    if status >= 400 and body:
        error = json.loads(body)["error"]
        assert error["message"] and error["type"] and "code" in error and "param" in error, (body, what)
        assert headers["x-request-id"], what
        assert b"Traceback" not in body and b"site-packages" not in body, (body, what)


@pytest.fixture
def caller(watched):
    caller = Caller(watched)
    yield caller
    caller.connection.close()


@pytest.fixture(scope="module")
def trap():
    """An address of this machine that no request may make the server visit."""
    listener, visitors = socket.create_server(("127.0.0.1", 0)), []

    def listen():
        with contextlib.suppress(OSError):
            while True:
                visitors.append(listener.accept()[1])

    thread = threading.Thread(target=listen)
    thread.start()
    yield listener.getsockname()[1], visitors
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


class Caller:
    """One connection, made anew where the server closed it."""

    def __init__(self, watched):
        self.key = watched.key
        self.connection = http.client.HTTPConnection(*watched.server.address, timeout=120)

    def ask(self, method, path, headers, body):
        given = {"Authorization": f"Bearer {self.key}"} | headers
        for attempt in (1, 2):
            try:
                self.connection.request(method, path, body, given)
                response = self.connection.getresponse()
                return response.status, response.headers, response.read()
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                self.connection.close()
                if attempt == 2:
                    raise
        raise AssertionError("the second attempt returns or raises")


def test_thousands_of_requests_are_answered_in_the_apis_own_words(watched, caller):
    for seed in range(NUM_REQUESTS):
        request = hostile_request(random.Random(seed))
        status, headers, content = caller.ask(*request)
        check_answer(status, headers, content, (seed, request[:2]))
    check_health(watched, caller)


def test_bytes_that_are_not_http(watched, caller):
    """Whatever comes over the socket, the next caller is served."""
    for seed in range(NUM_RAW):
        chance = random.Random(seed)
        head = chance.choice(
            (
                b"GET / HTTP/1.1\r\n",
                b"POST /v1/videos HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
                b"POST /v1/videos HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
                b"POST /v1/videos HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
                b"POST /v1/videos HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
                b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n",
                b"GET / HTTP/1.1\r\nX: " + b"b" * 70000 + b"\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00",
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            )
        )
        data, answer = head + chance.randbytes(chance.randrange(500)), b""
        with contextlib.suppress(OSError), socket.create_connection(watched.server.address, timeout=120) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(65536)
        assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 3")), (seed, answer[:200])
    check_health(watched, caller)


def test_damaged_media_are_refused_or_taken(watched, caller, samples):
    names = ("first.png", "clip.mp4")
    for seed in range(NUM_UPLOADS):
        chance = random.Random(seed)
        data = bytearray((samples / names[seed % 2]).read_bytes())
        for _ in range(chance.randrange(1, 40)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        data = data[: chance.choice((len(data), chance.randrange(len(data))))]
        field, path = chance.choice((("video", "/v1/videos/characters"), ("input_reference", "/v1/videos")))
        other = {"/v1/videos/characters": ("name", "x"), "/v1/videos": ("size", "64x48")}[path]
        lines = [
            f'--b\r\nContent-Disposition: form-data; name="{other[0]}"\r\n\r\n{other[1]}\r\n--b\r\n',
            f'Content-Disposition: form-data; name="{field}"; filename="../../{CANARY}.png"\r\n\r\n',
        ]
        body = "".join(lines).encode() + data + b"\r\n--b--\r\n"
        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        status, headers, content = caller.ask("POST", path, kind, body)
        check_answer(status, headers, content, (seed, field))
    check_health(watched, caller)


def test_addresses_inside_this_network_are_not_visited(watched, caller, trap):
    port, visitors = trap
    for host in (
        "127.0.0.1",
        "localhost",
        "[::1]",
        "0.0.0.0",
        "2130706433",
        "0x7f000001",
        "127.1",
        "[::ffff:127.0.0.1]",
    ):
        for url in (f"https://{host}:{port}/a.png", f"http://{host}:{port}/a.png", f"https://{host}/a.png"):
            for reference in ({"image_url": url}, url):
                body = json.dumps({"prompt": "x", "size": "64x48", "input_reference": reference}).encode()
                status, headers, content = caller.ask("POST", "/v1/videos", {"Content-Type": "application/json"}, body)
                check_answer(status, headers, content, url)
                assert status == 400, (url, content)
    for url in ("file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "//127.0.0.1/", "data:,", "data:x"):
        body = json.dumps({"prompt": "x", "input_reference": {"image_url": url}}).encode()
        assert caller.ask("POST", "/v1/videos", {"Content-Type": "application/json"}, body)[0] == 400
    assert not visitors
    assert not watched.connections.exists(), watched.connections.read_text()


def test_bodies_are_cut_off_where_the_operator_says(watched, caller):
    limit = 2 * 2**20
    too_much = {"image_url": "data:image/png;base64," + base64.b64encode(bytes(limit)).decode()}
    body = json.dumps({"prompt": "x", "input_reference": too_much}).encode()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        assert caller.ask("POST", "/v1/videos", {"Content-Type": "application/json"}, body)[0] == 413
    declared = {"Content-Type": "application/json", "Content-Length": str(2**40)}
    with contextlib.closing(http.client.HTTPConnection(*watched.server.address, timeout=120)) as connection:
        connection.putrequest("POST", "/v1/videos")
        for name, value in ({"Authorization": f"Bearer {watched.key}"} | declared).items():
            connection.putheader(name, value)
        connection.endheaders()
        assert connection.getresponse().status == 413  # before any of it was sent
    check_health(watched, caller)


def check_health(watched, caller):
    """It answers, it is the same process, and nothing of the callers' lies anywhere but in the data folder."""
    assert watched.server.process.poll() is None, watched.server.log.read_text()[-5000:]
    status, _, body = caller.ask("GET", "/readyz", {}, None)
    assert (status, json.loads(body)) == (200, {"status": "ready"})
    assert not list(watched.outside.iterdir())
    assert not list(watched.server.data.parent.parent.rglob(f"*{CANARY}*"))
    assert "Traceback" not in watched.server.log.read_text(), watched.server.log.read_text()[-5000:]
