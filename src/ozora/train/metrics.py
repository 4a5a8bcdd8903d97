"""How is training going? A line of progress, a log of numbers, TensorBoard where it is installed, strips of samples."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from ozora.clip import Clip
from ozora.flow.objective import FlowLoss


def sample_strip(clips: Sequence[Clip], num_columns: int = 6, gap: int = 2) -> UInt8[np.ndarray, "h w 3"]:
    """One row for each clip, ``num_columns`` of its frames evenly spaced in time, on white."""
    columns = [[clip.frames[i] for i in _evenly(clip.num_frames, num_columns)] for clip in clips]
    cell_height = max(clip.height for clip in clips) + gap
    cell_width = max(clip.width for clip in clips) + gap
    strip = np.full((cell_height * len(clips) + gap, cell_width * num_columns + gap, 3), 255, np.uint8)
    for row, frames in enumerate(columns):
        for column, frame in enumerate(frames):
            top, left = gap + row * cell_height, gap + column * cell_width
            strip[top : top + frame.shape[0], left : left + frame.shape[1]] = frame
    return strip


def _evenly(num_frames: int, num_columns: int) -> list[int]:
    return [round(i * (num_frames - 1) / max(1, num_columns - 1)) for i in range(num_columns)]


class LossMeter:
    """Averages over the steps since the last ``take``, in all and by noise level; nothing waits for the device."""

    def __init__(self) -> None:
        self._totals: list[Tensor] | None = None

    def add(self, loss: FlowLoss) -> None:
        new = [torch.ones_like(loss.mean), loss.mean.detach(), loss.sums, loss.weights]
        self._totals = new if self._totals is None else [old + one for old, one in zip(self._totals, new)]

    def take(self) -> dict[str, float]:
        """``loss``, and ``noise/0.05`` to ``noise/0.95``: the mean loss of tokens about so noisy, nan for none."""
        if self._totals is None:
            return {}
        count, total, sums, weights = (x.cpu() for x in self._totals)
        self._totals = None
        by_noise = (sums / weights).tolist()
        bins = {f"noise/{(i + 0.5) / len(by_noise):.2f}": value for i, value in enumerate(by_noise)}
        return {"loss": (total / count).item(), **bins}


class Metrics:
    """Where the numbers of one fit go, from ``with`` to its end.

    Every logged step is a line of ``log.jsonl`` in ``folder`` (steps done twice, after a kill, appear twice)
    and a point in TensorBoard if that is installed. On a terminal a bar is drawn; elsewhere a line is
    printed every ``print_seconds``.
    """

    def __init__(self, folder: Path, name: str, num_steps: int, first_step: int = 0, print_seconds: float = 20) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.name, self.num_steps, self.first_step = folder, name, num_steps, first_step
        self.print_seconds = print_seconds
        self.console = Console()
        self._log = (folder / "log.jsonl").open("a", encoding="utf-8")
        self._board = _tensorboard(folder, first_step)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"), console=self.console, disable=not self.console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task(name, total=num_steps, completed=first_step, text="")
        self._started = self._printed = time.monotonic()

    def __enter__(self) -> "Metrics":
        self._bar.start()
        self._started = self._printed = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        self._log.close()
        if self._board is not None:
            self._board.close()

    def steps_per_second(self, step: int) -> float:
        """The rate since this process began to train (``step`` steps are done)."""
        return (step - self.first_step) / max(time.monotonic() - self._started, 1e-9)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers after ``step`` steps. Values that are no number (an empty noise bin) are left out."""
        values = {key: float(value) for key, value in values.items() if not math.isnan(value)}
        seconds = round(time.monotonic() - self._started, 2)
        self._log.write(json.dumps({"step": step, "seconds": seconds, **values}) + "\n")
        self._log.flush()
        if self._board is not None:
            for key, value in values.items():
                self._board.add_scalar(key, value, step)
        text = "  ".join(f"{key} {value:.4g}" for key, value in values.items() if "/" not in key)
        self._bar.update(self._task, completed=step, text=text)
        if not self.console.is_terminal and (self._due() or step >= self.num_steps):
            self.console.print(f"{self.name} {step}/{self.num_steps}  {text}  {self.outlook(step)}", soft_wrap=True)

    def _due(self) -> bool:
        if time.monotonic() - self._printed < self.print_seconds:
            return False
        self._printed = time.monotonic()
        return True

    def outlook(self, step: int) -> str:
        """The measured rate and when the run will end if it holds."""
        rate = self.steps_per_second(step)
        if rate <= 0:
            return ""
        end = time.localtime(time.time() + (self.num_steps - step) / rate)
        return f"{rate:.2f} steps/s, ends {time.strftime('%H:%M:%S', end)}"

    def say(self, text: str) -> None:
        """A line above the bar."""
        self.console.print(text, soft_wrap=True, highlight=False)

    def image(self, step: int, name: str, pixels: UInt8[np.ndarray, "h w 3"]) -> Path:
        """Keep a picture as ``<name>-<step>.png`` and show it in TensorBoard."""
        from ozora.media.write import write_clip

        path = write_clip(Clip(pixels[None].copy(), 1.0), self.folder / f"{name}-{step:08d}.png", {})
        if self._board is not None:
            self._board.add_image(name, pixels, step, dataformats="HWC")
        return path


def _tensorboard(folder: Path, first_step: int):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=first_step)
