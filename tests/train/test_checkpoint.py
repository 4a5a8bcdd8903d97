"""Checkpoints are whole or absent, old ones go, random numbers come back, and a signal asks before it kills."""

import os
import signal

import pytest
import torch

from ozora.train.checkpoint import Interruption, latest_checkpoint, load_checkpoint, save_checkpoint


def test_round_trip_restores_state_and_random_numbers(tmp_path):
    save_checkpoint(tmp_path, 7, {"weights": {"a": torch.arange(3.0)}, "rows": {"pool": [[0, 4]]}})
    expected = torch.rand(3)
    torch.rand(10)
    state = load_checkpoint(tmp_path / "step-00000007.pt")
    assert state["step"] == 7 and state["rows"] == {"pool": [[0, 4]]}
    assert torch.equal(state["weights"]["a"], torch.arange(3.0))
    assert torch.equal(torch.rand(3), expected)


def test_the_newest_are_kept_and_the_stable_one_always(tmp_path):
    assert latest_checkpoint(tmp_path / "nowhere") is None
    for step in range(1, 7):
        save_checkpoint(tmp_path, step, {}, keep=2, stable=step == 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-00000003-stable.pt",
        "step-00000005.pt",
        "step-00000006.pt",
    ]
    assert latest_checkpoint(tmp_path) == tmp_path / "step-00000006.pt"


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 1, {"x": 1}, keep=1)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path, 2, {"x": 2}, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001.pt"]
    assert load_checkpoint(tmp_path / "step-00000001.pt")["x"] == 1


def test_a_truncated_checkpoint_is_one_clear_error(tmp_path):
    path = save_checkpoint(tmp_path, 1, {"x": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(ValueError, match="no readable checkpoint"):
        load_checkpoint(path)


def test_a_signal_asks_and_a_second_one_kills():
    before = signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        assert not interruption.asked
        signal.raise_signal(signal.SIGTERM)
        assert interruption.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
