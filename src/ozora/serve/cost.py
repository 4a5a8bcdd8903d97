"""What will a video cost, and may one job cost that much? Tokens, memory and seconds, by a model measured at the start.

A step over a row takes a constant, plus so much per token, plus so much per pair of tokens that attend to each other;
decoding and writing take so much per pixel. The numbers come from timing this model on this machine.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ozora.serve.spec import VideoSpec, largest_size

MAX_CONTEXT = 2  # latent frames of a clip that the model sees where it is to go on from it
LOOP_LATENTS = 2  # the latent frames of a loop that lead back to its beginning; at most a third of the clip
ENCODER_BYTES = 200  # per delivered pixel: x264 looks tens of frames ahead
HELD_COPIES = 6  # a rendering holds its latents several times: start, now, slope, what is known


@dataclass(frozen=True)
class Cost:
    """What one video takes: tokens of its largest share of a row, bytes beyond the loaded model, seconds alone.

    Of the seconds, ``writing_seconds`` at the end go into decoding, scaling and writing ``num_frames``.
    """

    num_tokens: int
    num_bytes: int
    seconds: float
    writing_seconds: float = 0.0
    num_frames: int = 1


@dataclass(frozen=True)
class Budget:
    """What one job may take, and a row of jobs: ``num_pixels`` is the area that is drawn, before it is scaled up.

    Beyond the area that it was trained on, a model's pictures fall apart.
    """

    row_tokens: int
    num_bytes: int
    seconds: float
    num_pixels: int


@dataclass(frozen=True)
class Speed:
    """What was measured: seconds per row, token, pair of tokens, drawn pixel and delivered pixel; bytes likewise.

    ``guided_share`` is the part of a guided rendering's steps that guidance acts on, where it counts twice.
    """

    row_seconds: float
    token_seconds: float
    pair_seconds: float
    drawn_seconds: float
    delivered_seconds: float
    token_bytes: float
    drawn_bytes: float
    guided_share: float


@dataclass(frozen=True)
class CostModel:
    """A model on a machine, as far as cost goes: its sizes, its defaults, and how fast it is.

    Sides are drawn in multiples of ``side`` pixels; a latent frame holds ``stride`` frames and has a token for every
    ``side`` x ``side`` pixels, of ``token_width`` numbers. The first window of a clip has up to ``first`` latent
    frames, the later ones ``later``, of which up to ``context`` are finished before.
    """

    side: int
    stride: int
    token_width: int
    first: int
    later: int
    context: int
    fps: float
    steps: int
    guidance: float
    trained_pixels: int
    speed: Speed

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "CostModel":
        return CostModel(**{**values, "speed": Speed(**values["speed"])})

    def row_seconds(self, lengths: Sequence[int]) -> float:
        """Seconds of one step over a row of parts of these numbers of tokens."""
        return self.speed.row_seconds + self.work_seconds(lengths)

    def work_seconds(self, lengths: Sequence[int]) -> float:
        """What these parts add to a row's step, apart from what every row takes."""
        num_pairs = sum(length**2 for length in lengths)
        return self.speed.token_seconds * sum(lengths) + self.speed.pair_seconds * num_pairs

    def packing(self, lengths: Sequence[int], row_tokens: int) -> float:
        """How much shorter a step of all these parts is in rows of ``row_tokens`` than one by one: above 0, up to 1."""
        num_rows = math.ceil(sum(lengths) / row_tokens)
        one_by_one = sum(self.row_seconds([length]) for length in lengths)
        together = num_rows * self.speed.row_seconds + self.work_seconds(lengths)
        return min(1.0, together / one_by_one) if one_by_one else 1.0

    def held_bytes(self, spec: VideoSpec) -> int:
        """Memory of a rendering that waits for its turn."""
        return HELD_COPIES * 4 * self.token_width * sum(self.window_tokens(spec))

    def num_frames(self, spec: VideoSpec) -> int:
        """Frames of the delivered file."""
        return max(1, round(spec.delivered_seconds * (spec.fps or self.fps)))

    def windows(self, num_latents: int, num_known: int = 0) -> list[int]:
        """Latent frames of every window in which a clip is made of which the first ``num_known`` are known.

        What ``ozora.generate.windows`` does where nothing further is known, without its tensors.
        """
        if num_latents <= self.first:
            return [num_latents]
        lengths = []
        while num_known < num_latents:
            left = min(num_known, self.context)
            room = self.first if left == num_known else self.later
            lengths.append(min(room, left + num_latents - num_known))
            num_known += lengths[-1] - left
        return lengths

    def window_tokens(self, spec: VideoSpec) -> list[int]:
        """Tokens of every window that the spec is made in, guidance not counted."""
        fps, num_known = spec.fps or self.fps, 0
        num_latents = 1 + self._latents_after_first(self.num_frames(spec))
        if spec.task == "extend" and spec.source is not None:
            num_known = 1 + min(MAX_CONTEXT, (max(1, round(spec.source.seconds * fps)) - 1) // self.stride)
            num_latents = num_known + self._latents_after_first(1 + max(1, round(spec.seconds * fps)))
        elif spec.task == "animate" and num_latents > 1:
            num_known = 1
        lengths = self.windows(num_latents, num_known)
        if spec.loop:
            num_new = num_loop_frames(self.num_frames(spec), self.stride) // self.stride
            lengths += self.windows(num_new + 2 * MAX_CONTEXT + 1)
        width, height = spec.render_size or spec.size
        across = math.ceil(width / self.side) * math.ceil(height / self.side)
        return [length * across for length in lengths]

    def _latents_after_first(self, num_frames: int) -> int:
        return math.ceil((num_frames - 1) / self.stride)

    def estimate(self, spec: VideoSpec) -> Cost:
        """What the spec takes, drawn at its ``render_size`` (at its ``size`` where that is None)."""
        in_windows = self.window_tokens(spec)
        is_guided = (self.guidance if spec.guidance is None else spec.guidance) != 1
        steps = self.steps if spec.steps is None else spec.steps
        doubled = self.speed.guided_share if is_guided else 0.0
        once = sum(self.row_seconds([tokens]) for tokens in in_windows)
        twice = sum(self.row_seconds([tokens, tokens]) for tokens in in_windows)
        drawn, delivered = math.prod(spec.render_size or spec.size), math.prod(spec.size)
        num_frames = self.num_frames(spec)
        writing = num_frames * (drawn * self.speed.drawn_seconds + delivered * self.speed.delivered_seconds)
        num_tokens = max(in_windows) * (2 if is_guided else 1)
        at_work = max(num_tokens * self.speed.token_bytes, drawn * self.speed.drawn_bytes)
        return Cost(
            num_tokens,
            round(self.held_bytes(spec) + at_work + delivered * ENCODER_BYTES),
            steps * (doubled * twice + (1 - doubled) * once) + writing,
            writing,
            num_frames,
        )

    def why_not(self, spec: VideoSpec, budget: Budget) -> str:
        """Why the spec is beyond the budget, in one sentence that names the largest size within it; else empty."""
        too_much = self._excess(spec, budget)
        if not too_much:
            return ""
        width, height = spec.render_size or spec.size
        asked, largest = f"{width}x{height} for {spec.seconds:g} seconds", self.render_size(spec, budget)
        if largest is None:
            return f"{asked} {too_much}, and nothing smaller of that shape fits; ask for another shape or less time"
        return f"{asked} {too_much}; {largest[0]}x{largest[1]} is the largest that fits"

    def render_size(self, spec: VideoSpec, budget: Budget) -> tuple[int, int] | None:
        """The largest size of ``spec.size``'s aspect that is within the budget; None where not even the smallest is."""

        def is_affordable(size: tuple[int, int]) -> bool:
            return not self._excess(replace(spec, render_size=size), budget)

        return largest_size(spec.size, self.side, is_affordable)

    def _excess(self, spec: VideoSpec, budget: Budget) -> str:
        width, height = spec.render_size or spec.size
        if width % self.side or height % self.side:
            return f"cannot be drawn (sides are multiples of {self.side})"
        if width * height > budget.num_pixels:
            return f"is more than the {budget.num_pixels} pixels a frame that the model is good for"
        cost = self.estimate(spec)
        if cost.num_tokens > budget.row_tokens:
            return f"takes {cost.num_tokens} tokens of at most {budget.row_tokens}"
        if cost.num_bytes > budget.num_bytes:
            return f"takes {cost.num_bytes / 2**20:.0f} MiB of at most {budget.num_bytes / 2**20:.0f}"
        if cost.seconds > budget.seconds:
            return f"takes about {cost.seconds:.0f} seconds of at most {budget.seconds:.0f}"
        return ""


def num_loop_frames(num_frames: int, stride: int) -> int:
    """How many of a loop's frames lead back to its beginning: whole latent frames of ``stride`` frames."""
    return stride * max(1, min(LOOP_LATENTS, num_frames // 3 // stride))


def seconds_left(remaining: Mapping[str, float]) -> dict[str, float]:
    """When each of the jobs that share a machine equally will be done, from the seconds that each would need alone.

    Until job i is done every other job has had as much as i, or all that it needed (processor sharing).
    """
    ordered = sorted(remaining, key=lambda job: remaining[job])
    done, left, before = 0.0, {}, len(ordered)
    for job in ordered:
        left[job] = done + remaining[job] * before
        done += remaining[job]
        before -= 1
    return left


def poll_after_ms(seconds_left: float) -> int:
    """How long a client should wait between two questions; it reads this once, from its first answer.

    A quarter of the time that is left, from half a second to twenty: nobody waits much longer than the render takes.
    """
    return round(1000 * min(max(seconds_left / 4, 0.5), 20.0))
