"""Where do temporary files go? Into the data folder, so that a server leaves nothing anywhere else."""

import os
import tempfile
from pathlib import Path

MAX_SOCKET_PATH = 107
"""Bytes of a Unix socket's path: the processes that decode uploads are reached through one in this folder."""
NUM_SOCKET_BYTES = len("/pymp-12345678/listener-12345678")


def use_scratch(data: Path) -> None:
    """Let this process, and those it forks, put their temporary files into ``data/tmp``.

    Where that path is too long for a socket, the system's folder stays: there only an empty socket comes to lie.
    """
    folder = data.resolve() / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    if len(os.fsencode(folder)) + NUM_SOCKET_BYTES <= MAX_SOCKET_PATH:
        tempfile.tempdir = str(folder)
