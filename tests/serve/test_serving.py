"""The verbs of the service: what they refuse, what they print, and how the server begins and ends."""

import os
import signal
import socket
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from ozora.serve.scratch import use_scratch
from ozora.serve.settings import ServeSettings
from ozora.verbs.serving import create_key, list_keys, revoke_key, serve


@pytest.fixture
def served(service, monkeypatch):
    """The service in memory instead of jobs and renderer; what the verb sets for its process is set back."""
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)
    monkeypatch.setattr("ozora.serve.jobs.open_service", lambda settings: service)
    return service


def test_keys_are_made_listed_and_revoked(tmp_path, capsys):
    create_key("laptop", data=tmp_path)
    text, note = capsys.readouterr()
    assert text.startswith("ozora-") and text.count("\n") == 1 and "not shown again" in note
    key_id = text.split("-")[1]
    create_key("phone", tenant=key_id, data=tmp_path)
    capsys.readouterr()
    revoke_key(key_id, data=tmp_path)
    list_keys(data=tmp_path)
    lines = capsys.readouterr().out.splitlines()[1:]
    states = {line.split()[-1]: line.split()[1:3] for line in lines}
    assert states == {"laptop": [key_id, "revoked"], "phone": [key_id, "made"]}
    with pytest.raises(ValueError, match="no key"):
        revoke_key("nothing", data=tmp_path)


def test_others_are_let_in_only_with_keys(tmp_path, served):
    with pytest.raises(ValueError, match="ozora keys create"):
        serve(ServeSettings(data=tmp_path, host="0.0.0.0", port=0))
    create_key("laptop", data=tmp_path)
    served.start = lambda: (_ for _ in ()).throw(RuntimeError("the model is damaged"))
    with pytest.raises(RuntimeError, match="the model is damaged"):  # so it came as far as that
        serve(ServeSettings(data=tmp_path, host="0.0.0.0", port=0))


def test_temporary_files_stay_in_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    use_scratch(tmp_path)
    assert (tmp_path / "tmp").is_dir()
    assert Path(tempfile.gettempdir()) == (tmp_path / "tmp").resolve() or len(str(tmp_path)) > 70
    monkeypatch.setattr(tempfile, "tempdir", None)
    use_scratch(tmp_path / ("a" * 100))  # no socket could be made there
    assert tempfile.tempdir is None


def test_a_port_that_is_taken_is_said(tmp_path, served):
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(OSError, match="in use"):
        serve(ServeSettings(data=tmp_path, port=listener.getsockname()[1]))


def test_it_answers_until_it_is_stopped(tmp_path, served, capsys):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    answers = []

    def ask():
        while not answers:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=60) as answer:
                    answers.append((answer.read(), served.is_running))
            except urllib.error.URLError:
                continue
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=ask)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        serve(ServeSettings(data=tmp_path, port=port))
    thread.join()
    assert answers == [(b'{"status":"ready"}', True)] and not served.is_running
    assert capsys.readouterr().out.startswith(f"http://127.0.0.1:{port}/v1: ready, model mini")
