"""How long does a user wait, and where does the time go? Whole processes, from nothing to a file.

    python benchmarks/user_path.py

Measures ``ozora --help`` and ``ozora generate`` as processes (wall time, peak memory), and the parts of the latter
within one process. Each figure is the median of ``--repeat`` runs.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tyro

PROMPT = "a red ball falls and bounces on a grey floor"
OZORA = [str(Path(sys.executable).with_name("ozora"))]


def run_process(arguments: list[str]) -> tuple[float, float]:
    """(wall seconds, peak MiB of memory) of one process that must succeed."""
    started = time.perf_counter()
    pid = os.posix_spawn(
        arguments[0],
        arguments,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)],
    )
    _, status, usage = os.wait4(pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError(f"{' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def time_parts(model: str) -> dict[str, float]:
    """Seconds of each part of one ``generate``, in a fresh interpreter."""
    code = f"""
import time; marks = [("", time.perf_counter())]
def mark(name): marks.append((name, time.perf_counter()))
import torch; mark("import torch")
from ozora.generate.generator import Generator, Request; mark("import ozora")
generator = Generator.load({model!r}); mark("load the model")
text = generator.text_encoder.encode([{PROMPT!r}]); mark("load the text encoder, encode the prompt")
rendering = generator.begin(Request({PROMPT!r}))
while not rendering.is_done: generator.advance([rendering])
mark("sample")
clip = generator.finish(rendering); mark("decode")
import tempfile, pathlib
with tempfile.TemporaryDirectory() as folder: clip.save(pathlib.Path(folder) / "clip.mp4")
mark("write")
for (_, start), (name, stop) in zip(marks, marks[1:]): print(f"{{name}}\\t{{stop - start}}")
"""
    lines = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.splitlines()
    return {name: float(seconds) for name, seconds in (line.split("\t") for line in lines)}


def main(model: str = "mini", repeat: int = 3) -> None:
    """Print a Markdown table; see benchmarks/RESULTS.md."""
    print(f"| what | median of {repeat} |\n|---|---|")
    for verb in ("--version", "--help"):
        seconds = statistics.median(run_process([*OZORA, verb])[0] for _ in range(repeat))
        print(f"| `ozora {verb}` | {seconds:.2f} s |")
    with tempfile.TemporaryDirectory() as folder:
        command = [*OZORA, "generate", PROMPT, "--model", model, "--out", str(Path(folder) / "clip.mp4")]
        for what, more in (("generate", []), ("generate --steps 4", ["--steps", "4"])):
            runs = [run_process([*command, *more]) for _ in range(repeat)]
            print(f"| `ozora {what}`, whole process | {statistics.median(wall for wall, _ in runs):.1f} s |")
            print(f"| its peak memory | {statistics.median(peak for _, peak in runs):.0f} MiB |")
    parts = [time_parts(model) for _ in range(repeat)]
    for name in parts[0]:
        print(f"| of it: {name} | {statistics.median(part[name] for part in parts):.2f} s |")


if __name__ == "__main__":
    tyro.cli(main)
