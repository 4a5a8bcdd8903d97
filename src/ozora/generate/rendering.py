"""What is a clip on its way from noise to frames? A rendering: where its walk stands, window after window.

It can be laid aside after any step: ``state`` is all that another process needs to go on, bit for bit.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate, groupby, pairwise

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ozora.canvas import Canvas
from ozora.flow.objective import CLEAN_BELOW
from ozora.flow.path import STRAIGHT, mix
from ozora.flow.sampler import SAMPLERS, Point, Sampler, Step, noise_levels
from ozora.flow.schedule import ancestral_sigmas, shift_for, sigmas
from ozora.generate.folder import ModelConfig
from ozora.generate.meeting import meet
from ozora.generate.request import Request
from ozora.generate.tasks import Task
from ozora.generate.windows import WindowLengths, final_frames, plan_windows
from ozora.model.patches import patchify, segment, token_values, unpatchify
from ozora.nn.rows import Segment, Span

Encode = Callable[[str], Tensor]
STATE_VERSION = 1
"""Part of what a state is recognised by: another arrangement of its tensors gets another number."""


class Rendering:
    """One request from noise to latents; ``Generator.begin`` makes it and ``Generator.advance`` moves it.

    ``request`` is resolved and ``task`` says what is known. ``windows`` are made one after the other; each ends at a
    step of ``ends``. ``latents`` are finished where ``known`` is 1; ``final_frames`` of them, from the beginning,
    are so before the first window and after each. ``point`` is where the walk of window number ``window`` stands;
    ``levels`` are the noise levels that it goes through, after ``num_skipped`` that it does not.
    """

    def __init__(
        self,
        request: Request,
        task: Task,
        config: ModelConfig,
        fingerprint: bytes,
        encode: Encode,
        device: torch.device,
    ) -> None:
        assert request.sampler and request.guidance is not None
        canvas = task.canvas
        self.request, self.task, self.config, self.device = request, task, config, device
        self.sampler: Sampler = request.sampler
        self.guidance = request.guidance
        self.fingerprint = fingerprint
        self.random = torch.Generator().manual_seed(request.seed)
        self.noise = draw_noise(canvas, self.random)
        self.latents, self.known = canvas.clean.float().clone(), canvas.known.float().clone()
        self.windows = plan_windows(self.known, window_lengths(config))
        self.final_frames = final_frames(self.known, self.windows)
        self.ends = list(accumulate(self._count_steps()))
        self.texts = texts_over_time(request, config.geometry.latent_times(canvas.grid[0], canvas.fps).tolist())
        self.states = {text: encode(text).cpu() for text in {*self.texts, request.negative}}
        self.step = self.window = 0
        if self.windows:
            self._open_window()

    @property
    def num_steps(self) -> int:
        """Steps of all windows; none where everything is known."""
        return self.ends[-1] if self.ends else 0

    @property
    def is_done(self) -> bool:
        return self.window == len(self.windows)

    @property
    def num_tokens(self) -> int:
        """Its share of the next row: the window's tokens, twice if they are asked twice; 0 when it is done."""
        if self.is_done:
            return 0
        return len(self.point.x) * (2 if self.is_guided_at(self.levels[self.step_in_window]) else 1)

    @property
    def max_tokens(self) -> int:
        """The largest share of a row that it ever takes."""
        _, h, w = self.task.canvas.grid
        longest = max((stop - start for start, stop in self.windows), default=0)
        return longest * h * w // self.config.geometry.patch**2 * (2 if self.is_guided else 1)

    @property
    def num_rendered(self) -> int:
        """Frames of the canvas, the surplus included."""
        return 1 + self.config.geometry.time_stride * (self.task.canvas.grid[0] - 1)

    @property
    def num_frames(self) -> int:
        """How many frames it delivers."""
        start, stop, _ = slice(self.task.start, self.task.stop).indices(self.num_rendered)
        return stop - start + sum(len(part) for part in (self.task.before, self.task.after) if part is not None)

    @property
    def step_in_window(self) -> int:
        return self.step - (self.ends[self.window - 1] if self.window else 0)

    @property
    def is_leaping(self) -> bool:
        """Whether it is asked for whole steps, with guidance in them."""
        return self.sampler == "leap"

    @property
    def is_guided(self) -> bool:
        """Whether it is asked twice, so that guidance can be made of the two answers."""
        return self.request.is_guided and not self.is_leaping

    def is_guided_at(self, sigma: Float[Tensor, "n 1"]) -> bool:
        """Whether such guidance changes the velocity of a token of this noise level."""
        low, high = self.config.sampling.guidance_interval
        return self.is_guided and bool(((sigma >= low) & (sigma <= high)).any())

    def next_step(self) -> Step:
        """The step that it takes next; ``move_to`` the point that it leads to."""
        sigma, following = self.levels[self.step_in_window : self.step_in_window + 2]
        return SAMPLERS[self.sampler](self.point, sigma, following, self._draw_fresh)

    def move_to(self, point: Point) -> None:
        """One step is taken; after the last one of a window, its latents are finished and the next one begins."""
        self.step, self.point = self.step + 1, point
        if self.step < self.ends[self.window]:
            return
        start, stop = self.windows[self.window]
        _, h, w = self.task.canvas.grid
        self.latents[:, start:stop] = unpatchify(point.x.cpu(), (stop - start, h, w), self.config.geometry.patch)
        self._close_window()

    def state(self) -> dict[str, Tensor]:
        """All it takes to go on from here, on the CPU; ``Generator.begin`` takes it back beside the same request."""
        state = {
            "fingerprint": torch.tensor(list(self.fingerprint), dtype=torch.uint8),
            "step": torch.tensor(self.step),
            "random": self.random.get_state(),
            "latents": self.latents,
        }
        walk = {} if self.is_done else {"x": self.point.x, "slope": self.point.slope, "stride": self.point.stride}
        state |= {name: tensor for name, tensor in walk.items() if tensor is not None}
        return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in state.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Stand where ``state`` was taken. Raises ``ValueError`` for one of another request or model, or damaged."""
        mark = state.get("fingerprint")
        if mark is None or mark.tolist() != list(self.fingerprint):
            raise ValueError("the state belongs to another request or another model; begin this one without a state")
        try:
            step = int(state["step"])
            if not 0 <= step <= self.num_steps or state["latents"].shape != self.latents.shape:
                raise ValueError(f"step {step} of {self.num_steps}, latents of shape {tuple(state['latents'].shape)}")
            self.latents.copy_(state["latents"])
            while not self.is_done and step >= self.ends[self.window]:
                self.step = self.ends[self.window]
                self._close_window()
            self.step = step
            if not self.is_done:
                shapes = {"x": self.point.x.shape, "slope": self.point.x.shape, "stride": self.levels[0].shape}
                walk = {name: state[name].to(self.device) for name in shapes if name in state}
                if any(tensor.shape != shapes[name] for name, tensor in walk.items()):
                    raise ValueError(f"shapes {[tuple(tensor.shape) for tensor in walk.values()]}")
                self.point = Point(**walk)
            self.random.set_state(state["random"])
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise ValueError(f"the state is damaged ({error}); begin the request without it") from error

    def _count_steps(self) -> Iterator[int]:
        """The number of steps of each window."""
        known = self.known.clone()
        for start, stop in self.windows:
            levels, first = self._schedule(known[start:stop])
            yield len(levels) - 1 - first
            known[start:stop] = 1

    def _schedule(self, known: Float[Tensor, "t h w"]) -> tuple[Float[Tensor, "k n 1"], int]:
        """The noise levels of a window's tokens, and which of them its walk starts from.

        A guided walk from pure noise does not take its first step (CFG-Zero*): it starts at the second level as it is.
        """
        assert self.request.steps
        of_tokens = token_values(known, self.config.geometry.patch)[:, None]
        if self.config.path == STRAIGHT:
            levels = sigmas(self.request.steps, shift_for(len(of_tokens), self.config.reference_tokens))
        else:
            levels = ancestral_sigmas(self.request.steps)
        starts_in_noise = bool((known == 0).any()) and self.is_guided and self.request.steps > 1
        levels = noise_levels(levels, of_tokens, CLEAN_BELOW)
        return levels, int(self.config.sampling.skip_first and starts_in_noise)

    def _open_window(self) -> None:
        """Canvas, noise and schedule of the next window."""
        canvas, patch = self._canvas(), self.config.geometry.patch
        start, stop = self.windows[self.window]
        levels, first = self._schedule(canvas.known)
        x = mix(patchify(canvas.clean, patch), patchify(self.noise[:, start:stop], patch), levels[0])
        self.levels, self.point, self.num_skipped = levels[first:].to(self.device), Point(x.to(self.device)), first
        texts = self.texts[start:stop]
        self.prompted = self._segment(canvas, texts)
        self.negated = self._segment(canvas, texts_to_avoid(texts, self.request.negative))

    def _close_window(self) -> None:
        """Its latents are finished: the next window knows them."""
        start, stop = self.windows[self.window]
        self.known[start:stop] = 1
        self.window += 1
        if not self.is_done:
            self._open_window()

    def _canvas(self) -> Canvas:
        """What the present window knows."""
        start, stop = self.windows[self.window]
        return Canvas(self.latents[:, start:stop], self.known[start:stop], self.task.canvas.fps, start == 0)

    def _segment(self, canvas: Canvas, texts: list[str]) -> Segment:
        """The window's tokens, with a text for each latent frame."""
        _, h, w = canvas.grid
        num_tokens = h * w // self.config.geometry.patch**2
        spans = [Span(len(list(frames)) * num_tokens, self.states[text]) for text, frames in groupby(texts)]
        return segment(canvas.grid, canvas.fps, self.config.geometry, spans, canvas.starts_clip)

    def _draw_fresh(self) -> Float[Tensor, "n p"]:
        return patchify(draw_noise(self._canvas(), self.random), self.config.geometry.patch).to(self.device)


def draw_noise(canvas: Canvas, random: torch.Generator) -> Float[Tensor, "c t h w"]:
    """Normal noise for a canvas, latent frame by latent frame, so that a longer clip starts with the same noise."""
    t, h, w = canvas.grid
    return torch.randn(t, canvas.clean.shape[0], h, w, generator=random).transpose(0, 1)


def window_lengths(config: ModelConfig) -> WindowLengths:
    """How many latent frames a model makes at once: as many as it was trained on."""
    geometry = config.geometry
    return WindowLengths.trained_on(geometry.latent_frames(geometry.rendered_frames(max(config.trained.num_frames))))


def texts_over_time(request: Request, seconds: list[float]) -> list[str]:
    """The text that holds at each of these times: the prompt, then each line of the script from its start on."""
    lines = [(-math.inf, request.prompt), *request.script]
    return [next(text for start, text in reversed(lines) if second >= start) for second in seconds]


def texts_to_avoid(texts: list[str], negative: str) -> list[str]:
    """What guidance leads each latent frame of a window away from, when it is led to these texts.

    That is ``negative``. Where there is none and the words change within the window, it is the words that they take the
    place of: what is seen of the frames before would else outweigh what is new.
    """
    avoided = [negative]
    for before, text in pairwise(texts):
        avoided.append(before if text != before and not negative else avoided[-1])
    return avoided


def fingerprint_of(request: Request, canvas: Canvas, model_hash: str) -> bytes:
    """32 bytes that tell a resolved request, with all that its canvas knows, and the model from any others."""
    words = [STATE_VERSION, model_hash, request.settings(), canvas.grid, canvas.fps]
    digest = hashlib.sha256(json.dumps(words, sort_keys=True).encode())
    for cells in (canvas.clean, canvas.known):
        digest.update(cells.float().contiguous().numpy().data)
    return digest.digest()


def deliver(
    task: Task, pieces: Iterable[UInt8[np.ndarray, "_t h w 3"]], num_rendered: int
) -> Iterator[UInt8[np.ndarray, "_t h w 3"]]:
    """The frames to return, as those of the canvas come: given pixels put back, the surplus trimmed, and the frames of
    the given clips that the canvas does not hold joined on."""
    start, stop, _ = slice(task.start, task.stop).indices(num_rendered)
    if task.before is not None and len(task.before):
        yield task.before
    first = 0
    for frames in meet(task, pieces):
        delivered = frames[max(0, start - first) : max(0, stop - first)]
        if len(delivered):
            yield delivered
        first += len(frames)
    if task.after is not None and len(task.after):
        yield task.after
