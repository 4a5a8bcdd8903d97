"""How does a file appear whole or not at all, whatever stops us?"""

import os
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Give the file all of the data or leave it as it was. What is left of a write that was cut short is hidden."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
