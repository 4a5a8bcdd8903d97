"""A child that dies, hangs or eats takes nobody with it, and what it says is data."""

import importlib
import os
import signal
import sys
from pathlib import Path

import pytest

from ozora.serve.confine import Limits, run_confined


@pytest.fixture
def confined_tasks(monkeypatch):
    """Functions that a child can import."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    return importlib.import_module("confined_tasks")


def test_answers_and_refusals_come_back_in_words(confined_tasks):
    assert run_confined(confined_tasks.add, {"left": 1, "right": 2}) == {"sum": 3}
    with pytest.raises(ValueError, match=r"^no such thing$"):
        run_confined(confined_tasks.refuse, {"words": "no such thing"})


@pytest.mark.parametrize(
    ("task", "arguments", "limits", "words"),
    [
        ("kill_itself", {"number": signal.SIGSEGV}, Limits(), "it crashed (SIGSEGV)"),
        ("break_down", {}, Limits(), "it crashed (an unexpected error)"),
        ("wait_for_ever", {}, Limits(seconds=0.5), "it took more than 0.5 s"),
        ("spin", {}, Limits(cpu_seconds=1), "it took more than 1 s of processor time"),
    ],
)
def test_a_child_that_dies_says_why(task, arguments, limits, words, confined_tasks):
    with pytest.raises(RuntimeError) as death:
        run_confined(getattr(confined_tasks, task), arguments, limits)
    assert str(death.value) == words


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces a process's memory")
def test_memory_beyond_what_a_child_starts_with_is_limited(confined_tasks):
    limits = Limits(memory_bytes=2**28)
    assert run_confined(confined_tasks.eat, {"num_bytes": 2**27}, limits) == 2**27
    with pytest.raises(RuntimeError, match="memory"):
        run_confined(confined_tasks.eat, {"num_bytes": 2**29}, limits)


def test_files_are_limited(tmp_path, confined_tasks):
    limits = Limits(file_bytes=1000)
    run_confined(confined_tasks.write, {"path": str(tmp_path / "small"), "num_bytes": 1000}, limits)
    with pytest.raises(ValueError, match="large"):
        run_confined(confined_tasks.write, {"path": str(tmp_path / "large"), "num_bytes": 1001}, limits)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_child_holds_none_of_our_files(tmp_path, confined_tasks):
    secret = tmp_path / "secret"
    with secret.open("w") as file:
        os.set_inheritable(file.fileno(), True)
        assert str(secret) not in run_confined(confined_tasks.look_around, {})["files"]
