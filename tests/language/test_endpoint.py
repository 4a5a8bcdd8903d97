"""Other people's models over HTTP: what is sent, what is taken of the answer, and what is said where there is none."""

import base64
import json
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from ozora.clip import Clip
from ozora.language.endpoint import MAX_REPLY, Endpoint, EndpointCaptioner, EndpointExpander, sampled
from ozora.language.expander import expand
from ozora.language.instructions import MAX_ANSWER_WORDS, asked_about, cleaned

CLIP = Clip(np.zeros((9, 32, 48, 3), np.uint8), 8.0)


@contextmanager
def server(*answers):
    """An endpoint that answers chat completions with ``answers`` in turn (the last for ever): text, status, None for
    silence, or "drip" for an answer without an end; gives its URL and the list of what it was sent."""
    got, left, release = [], list(answers), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            self._send(200, {"object": "list", "data": [{"id": "first", "object": "model"}, {"id": "second"}]})

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, json.loads(body)))
            answer = left.pop(0) if len(left) > 1 else left[0]
            if answer is None:
                release.wait(30)
            elif answer == "drip":
                self._drip()
            elif isinstance(answer, int):
                self._send(answer, {"error": {"message": "try later"}}, {"Retry-After": "0"})
            elif isinstance(answer, bytes):
                self._send(200, answer)
            else:
                text, reason = answer if isinstance(answer, tuple) else (answer, "stop")
                message = {"role": "assistant", "content": text}
                choice = {"index": 0, "message": message, "finish_reason": reason}
                self._send(
                    200, {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
                )

        def _drip(self):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            with suppress(OSError):
                while not release.wait(0.01):
                    self.wfile.write(b" ")

        def _send(self, status, data, headers=None):
            data = data if isinstance(data, bytes) else json.dumps(data).encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": len(data),
                **(headers or {}),
            }.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(data)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_address[1]}/v1", got
        finally:
            release.set()
            http.shutdown()
            thread.join()


def test_a_few_frames_are_sent_as_pictures_to_the_model_asked_for():
    with server("A red ball falls on a grey floor.") as (url, got):
        endpoint = Endpoint(url, key="secret", num_frames=3)
        captioner = EndpointCaptioner(endpoint, lambda pixels: b"PNG" + pixels.tobytes()[:9])
        assert captioner.caption([CLIP, CLIP], "short") == ["A red ball falls on a grey floor."] * 2
    assert captioner.id == "first" and "secret" not in repr(endpoint)
    path, headers, body = got[0]
    assert path == "/v1/chat/completions" and headers["authorization"] == "Bearer secret" and body["model"] == "first"
    *pictures, words = body["messages"][0]["content"]
    assert len(pictures) == 3 and "3 frames of one video of 1.1 seconds" in words["text"]
    data = pictures[0]["image_url"]["url"].removeprefix("data:image/png;base64,")
    assert base64.b64decode(data).startswith(b"PNG")


def test_of_a_picture_nobody_is_asked_for_a_video():
    question = asked_about(CLIP.slice(0, 1), 1, "medium")
    assert question.startswith("Describe the picture in one sentence") and "video" not in question
    assert "9 frames of one video" in asked_about(CLIP, 9, "medium")


def test_small_frames_are_enlarged_and_few_are_all_sent():
    assert [frame.shape for frame in sampled(CLIP, 4)] == [(224, 336, 3)] * 4
    assert len(sampled(CLIP.slice(0, 2), 4)) == 2
    big = Clip(np.zeros((1, 300, 400, 3), np.uint8), 8.0)
    assert sampled(big, 4)[0].shape == (300, 400, 3)


def test_a_busy_endpoint_is_asked_again_and_then_given_up():
    with server(503, 429, "A red ball falls here.") as (url, got):
        assert EndpointExpander(Endpoint(url, "m", tries=3)).propose("a red ball") == ["A red ball falls here."]
        assert len(got) == 3
    with server(500) as (url, got), pytest.raises(ConnectionError, match=r"refused with status 500: .*try later"):
        EndpointExpander(Endpoint(url, "m", tries=2)).propose("a red ball")
    assert len(got) == 2


def test_nobody_there_and_nobody_speaking_are_said_in_one_line():
    with server("x") as (url, _):
        pass
    with pytest.raises(ConnectionError, match="does not answer"):
        EndpointExpander(Endpoint(url, "m", tries=1, seconds=5.0)).propose("a red ball")
    with server(None) as (url, _), pytest.raises(ConnectionError, match=r"silent for 0.2 s, 1 times"):
        EndpointExpander(Endpoint(url, "m", tries=1, seconds=0.2)).propose("a red ball")
    with server("drip") as (url, _), pytest.raises(ConnectionError, match=r"did not end its answer within 0.2 s"):
        EndpointExpander(Endpoint(url, "m", tries=1, seconds=0.2)).propose("a red ball")
    with pytest.raises(ValueError, match="http://"):
        Endpoint("localhost:8080")


def test_an_answer_that_breaks_off_or_is_far_too_long_is_said():
    with server(b" " * (MAX_REPLY + 1)) as (url, _), pytest.raises(RuntimeError, match="answered too much"):
        EndpointExpander(Endpoint(url, "m")).propose("a red ball")
    listed = {"choices": [{"message": {"content": [{"type": "text"}]}}]}
    with server(json.dumps(listed).encode()) as (url, _), pytest.raises(RuntimeError, match="else than text"):
        EndpointExpander(Endpoint(url, "m")).propose("a red ball")
    with pytest.raises(ValueError, match="MiB to send"):
        EndpointExpander(Endpoint("http://localhost:1/v1", "m")).propose("x" * 17 * 2**20)


@pytest.mark.parametrize(
    "answer, says",
    [
        ("", "answered nothing"),
        ("\n\n", "answered nothing"),
        ("ok", "nothing to use"),
        ("%%%% ### 12 34 !!! ))", "nonsense"),
        ("ball " * 40, "nonsense"),
        (("word another " * 200, "length"), "too much"),
        (b"<html>no</html>", "form|choice|answer"),
        (b"{}", "without a choice"),
    ],
)
def test_an_answer_that_is_none_is_said_and_the_own_expander_takes_over(answer, says):
    class Own:
        id = "own"

        def propose(self, prompt, seed=0):
            return ["A red ball falls on a grey floor under a pale sky. The camera does not move."]

    with server(answer) as (url, _):
        stranger = EndpointExpander(Endpoint(url, "m", tries=1))
        with pytest.raises(RuntimeError, match=says):
            stranger.propose("a red ball falls")
        expansion = expand("a red ball falls", [stranger, Own()])
    assert expansion.by == "own" and len(expansion.refused) == 1


def test_a_large_models_answer_that_lost_what_was_asked_is_not_taken():
    with server("A blue dog runs on a wide green meadow. The camera does not move.") as (url, _):
        expansion = expand("a red ball falls", [EndpointExpander(Endpoint(url, "m"))])
    assert expansion.by == "rules" and "lost red sphere" in expansion.refused[0]


def test_the_text_is_taken_out_of_what_surrounds_it():
    assert cleaned('Sure! Here is the prompt:\n\n"A red ball falls."') == "A red ball falls."
    assert cleaned("**Caption:** A red ball\nfalls.\n\nLet me know if you need more!") == "A red ball falls."
    assert cleaned("<think>hm, a ball</think>- A red ball falls.") == "A red ball falls."
    assert cleaned("A red ball falls. Then it bou", was_cut=True) == "A red ball falls."
    long = " ".join(
        f"{chr(97 + i % 26) * 3} {chr(98 + i % 25) * (2 + i)} follows {chr(99 + i % 23) * 4}." for i in range(60)
    )
    assert len(cleaned(long).split()) <= MAX_ANSWER_WORDS and cleaned(long).endswith(".")
