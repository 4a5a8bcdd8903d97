"""What does a model make of the held-out cases, and what stands beside it? Clips, drawn once and kept in a folder."""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from ozora.clip import Clip
from ozora.data.record import Caption, Record
from ozora.data.shards import ShardReader, whole_shards, write_shard
from ozora.evaluate.cases import Case, cases_hash
from ozora.evaluate.motion import Frames
from ozora.evaluate.pixel_cases import NUM_FRAMES, Truth, colors_of, recolored, truth_of
from ozora.generate.generator import Generator
from ozora.generate.request import Request
from ozora.media.place import slug
from ozora.media.write import write_clip

SHEET_ROWS = 4
SHEET_COLUMNS = 17


@dataclass(frozen=True, eq=False)
class Bench:
    """A model, the cases it is asked about, and the folder that keeps what it drew. ``batch`` requests share rows.

    Without a generator only the simulator and what needs no model is judged.
    """

    generator: Generator | None
    cases: Sequence[Case]
    out: Path
    batch: int
    steps: int | None = None
    guidance: float | None = None
    progress: Progress | None = None

    def draw(
        self, name: str, request: Callable[[Generator, int], Request], cases: Sequence[Case] | None = None
    ) -> list[Frames]:
        """The model's clips, one for each case, in order: those in the folder, and the others drawn now.

        ``name`` tells one set of requests from another; ``request`` makes the one of a case, by its number.
        """
        assert self.generator is not None
        cases = self.cases if cases is None else cases
        asked = f"{self.generator.hash} {cases_hash(cases)} {name} {self.steps} {self.guidance} {self.batch}"
        folder = self.out / "clips-pixels" / f"{slug(name)}-{hashlib.sha256(asked.encode()).hexdigest()[:12]}"
        starts = range(0, len(cases), self.batch)
        for index, start in enumerate(self.progress.track(starts, description=name) if self.progress else starts):
            if index in whole_shards(folder):
                continue
            chosen = range(start, min(start + self.batch, len(cases)))
            with warnings.catch_warnings():  # that a minute is longer than training's clips is known here
                warnings.simplefilter("ignore", UserWarning)
                clips = self.generator.render([request(self.generator, i) for i in chosen])
            write_shard(folder, index, clips, [_record(cases[i], clip) for i, clip in zip(chosen, clips, strict=True)])
        reader = ShardReader(folder)
        return [reader.clip(i).frames for i in range(len(cases))]

    def options(self, case: Case) -> dict[str, Any]:
        """What every request of a case says of sampling."""
        return {"seed": case.seed, "steps": self.steps, "guidance": self.guidance}

    def truth(self, i: int) -> Truth:
        """What the simulator shows in case i."""
        return truth_of(self.cases[i])

    def colors(self, i: int) -> list[str]:
        """The colors of the objects of case i."""
        return list(colors_of(self.cases[i]))

    @cached_property
    def recolored(self) -> list[Case]:
        """The cases with another color of their first object."""
        return [recolored(case) for case in self.cases]

    @cached_property
    def simulated(self) -> list[Frames]:
        """The simulator's clips."""
        return [self.truth(i).clip.frames for i in range(len(self.cases))]

    @cached_property
    def reconstructed(self) -> list[Frames]:
        """The simulator's clips through the model's autoencoder, on which all that a model shows has gone."""
        assert self.generator is not None
        model = self.generator.model
        return [model.decode(model.encode(self.truth(i).clip), 8.0).frames for i in range(len(self.cases))]

    @cached_property
    def from_text(self) -> list[Frames]:
        """What the model makes of the prompts alone: the control of everything that is given pixels."""

        def request(generator: Generator, i: int) -> Request:
            case, clip = self.cases[i], self.truth(i).clip
            return Request(case.prompt, clip.size, NUM_FRAMES / clip.fps, clip.fps, **self.options(case))

        return self.draw("text to video", request)

    def sheet(self, name: str, rows: Sequence[Frames]) -> None:
        """Write ``rows`` of frames as a picture into the folder, a frame of each clip below that of another."""
        num = min(SHEET_COLUMNS, *(len(frames) for frames in rows))
        strips = []
        for frames in rows:
            chosen = frames[np.linspace(0, len(frames) - 1, num).round().astype(int)]
            strips.append(np.concatenate([np.pad(frame, ((0, 4), (0, 2), (0, 0))) for frame in chosen], axis=1))
        write_clip(Clip(np.concatenate(strips)[None], 1.0), self.out / f"pixels-{name}.png", {})


def _record(case: Case, clip: Clip) -> Record:
    caption = Caption("medium", case.prompt)
    return Record(case.group, clip.width, clip.height, clip.num_frames, clip.fps, (caption,), "generated", case.facts)
