"""How does a sentence become a clip? If you read one file of Ozora, read this one.

A **request** becomes a **window**: its canvas says which latents are known, a random number generator keyed by its seed
alone draws noise, and its schedule says how much noise each token has at each step. Windows of any size lie in one
**row** of tokens, once with their prompts and, where they are guided, once more with what they should not show. A
**sampler** asks the transformer step by step which way the clean row lies, and walks there. The **decoder** turns
latents into frames, and what was given is put back pixel for pixel: a **clip**.
"""

import contextlib
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ozora.canvas import Canvas
from ozora.clip import Clip
from ozora.flow.guidance import guide
from ozora.flow.path import STRAIGHT, from_straight, mix, to_velocity
from ozora.flow.sampler import Progress, Sampler, Velocity, ancestral, euler, heun, multistep, noise_levels
from ozora.flow.schedule import ancestral_sigmas, shift_for, sigmas
from ozora.generate.folder import SHIPPED, Model, find_model, load_folder
from ozora.generate.request import Request
from ozora.generate.tasks import Task, text_to_video
from ozora.language.encoder import TextEncoder, check_prompt, check_text, load_text_encoder
from ozora.model.patches import patchify, segment, token_values, unpatchify
from ozora.nn.rows import Layout, Segment, Span, pack

DEFAULT_SECONDS = 2.0
MAX_VARIATIONS = 1024
MAX_TOKENS = 2**18
"""A clip of more tokens is refused: its attention alone would take hours."""
ROW_TOKENS = 2**15
"""Requests share a row up to this many tokens; what is more goes into further rows."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, eq=False)
class Window:
    """A request made ready: ``x`` is where its tokens start, ``levels`` how much noise each has at each step.

    ``random`` goes on to draw what an ancestral sampler adds.
    """

    request: Request
    task: Task
    x: Float[Tensor, "n p"]
    levels: Float[Tensor, "k n 1"]
    random: torch.Generator

    @property
    def num_steps(self) -> int:
        return len(self.levels) - 1


class Generator:
    """A model and its text encoder, ready to make clips.

        ozora.Generator.load("mini")("a red ball falls", size=(64, 64), seconds=2, seed=0).save("ball.mp4")

    It computes where the model's weights lie, in ``dtype`` (by autocast); ``name`` is what ``settings`` call the model.
    """

    def __init__(
        self, model: Model, text_encoder: TextEncoder, dtype: torch.dtype = torch.float32, name: str | None = None
    ) -> None:
        if model.transformer is None:
            raise ValueError(f"model {model.config.name!r} is an autoencoder without a transformer; it cannot generate")
        self.model, self.text_encoder, self.dtype = model, text_encoder, dtype
        self.config, self.geometry, self.hash = model.config, model.geometry, model.hash
        self.transformer = model.transformer
        self.device = next(self.transformer.parameters()).device
        self.name = name or model.config.name

    @staticmethod
    def load(
        name: str | os.PathLike[str] = "mini",
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
    ) -> "Generator":
        """A shipped name, a folder, or a Hugging Face id in the local cache; nothing is downloaded.

        ``device`` None is CUDA where there is one, else the CPU; ``dtype`` None is bfloat16 on CUDA, else float32.
        Raises ``ValueError`` for a model that is missing or damaged, and for a device or dtype that does not exist.
        """
        place = find_device(device)
        kind = find_dtype(dtype, place)
        folder = find_model(name)
        model = load_folder(folder)
        model.autoencoder.to(place)
        if model.transformer is not None:
            model.transformer.to(place)
        encoder = load_text_encoder(model.config.text_encoder, place)
        if model.config.text_encoder_hash not in ("", encoder.hash):
            warnings.warn(f"{folder}: it was trained with other weights of the text encoder {encoder.id}", stacklevel=2)
        return Generator(model, encoder, kind, folder.name if folder.parent == SHIPPED else os.fspath(name))

    def __call__(
        self,
        prompt: str,
        *,
        size: tuple[int, int] | None = None,
        seconds: float | None = None,
        fps: float | None = None,
        seed: int = 0,
        steps: int | None = None,
        guidance: float | None = None,
        negative: str = "",
        sampler: Sampler | None = None,
        variations: int = 1,
        canvas: Canvas | Task | None = None,
        progress: Progress | None = None,
    ) -> Clip | list[Clip]:
        """One clip; with ``variations`` above 1 a list, in which clip i has the seed ``seed + i``.

        ``size`` is (width, height) in pixels, ``seconds`` 2 unless given; None stands for the model's default.
        ``progress(done, total)`` is called after every step. Raises ``ValueError`` before any work for what cannot be
        done, and warns (``UserWarning``) of what the model was not trained for.
        """
        if type(variations) is not int or not 1 <= variations <= MAX_VARIATIONS:
            raise ValueError(f"variations is {variations!r}; it must be a whole number from 1 to {MAX_VARIATIONS}")
        request = Request(prompt, size, seconds, fps, seed, steps, guidance, negative, sampler, canvas)
        clips = self.render([replace(request, seed=seed + i) for i in range(variations)], progress)
        return clips if variations > 1 else clips[0]

    def render(self, requests: Sequence[Request], progress: Progress | None = None) -> list[Clip]:
        """The requests' clips, in order. Unlike requests share rows, and a clip does not depend on its company.

        All requests are checked before any work is done; raises and warns as ``__call__`` does.
        """
        resolved = [self.resolve(request) for request in requests]
        for doubt in dict.fromkeys(doubt for request in resolved for doubt in self._doubts(request)):
            warnings.warn(doubt, stacklevel=2)
        windows = [self._window(request) for request in resolved]
        rows = share_rows(windows)
        num_steps = [windows[row[0]].num_steps for row in rows]
        clips: dict[int, Clip] = {}
        for number, row in enumerate(rows):
            report = progress and partial(_report, progress, sum(num_steps[:number]), sum(num_steps))
            for i, latents in zip(row, self._sample([windows[i] for i in row], report)):
                with self._precision():
                    clip = self.model.decode(latents, windows[i].task.canvas.fps)
                clips[i] = windows[i].task.finish(clip)
        return [clips[i] for i in range(len(windows))]

    def resolve(self, request: Request) -> Request:
        """The request with the model's values where it had None.

        Raises ``ValueError`` for what this model cannot render, naming the nearest that it can.
        """
        config, geometry = self.config, self.geometry
        if request.canvas is not None:
            request = self._sized(request, as_task(request.canvas).canvas)
        request = replace(
            request,
            size=config.default_size if request.size is None else request.size,
            seconds=DEFAULT_SECONDS if request.seconds is None else request.seconds,
            fps=config.default_fps if request.fps is None else request.fps,
            steps=config.sampling.steps if request.steps is None else request.steps,
            guidance=config.sampling.guidance if request.guidance is None else request.guidance,
            sampler=config.sampling.sampler if request.sampler is None else request.sampler,
        )
        assert request.size and request.seconds is not None and request.fps is not None
        width, height = request.size
        num_frames = geometry.rendered_frames(geometry.delivered_frames(request.seconds, request.fps))
        num_tokens = geometry.num_tokens(num_frames, height, width)
        if num_tokens > MAX_TOKENS:
            num_latents = MAX_TOKENS // geometry.num_tokens(1, height, width)
            seconds = (1 + geometry.time_stride * (num_latents - 1)) / request.fps
            raise ValueError(
                f"{width}x{height} in {num_frames} frames is {num_tokens} tokens and the limit {MAX_TOKENS}; "
                f"{seconds:.2f} seconds at this size and rate are within it"
            )
        if request.prompt or request.canvas is None:
            check_text(request.prompt)
        if request.negative:
            check_text(request.negative, "negative prompt")
        return request

    def settings(self, request: Request) -> dict[str, Any]:
        """All it takes to make the clip again: the resolved request, the model and its hash, and Ozora's version."""
        dtype = next(name for name, dtype in DTYPES.items() if dtype == self.dtype)
        made_by = {"model": self.name, "model_hash": self.hash, "dtype": dtype, "ozora": version("ozora")}
        return self.resolve(request).settings() | made_by

    def _window(self, request: Request) -> Window:
        """Canvas, noise and schedule of a resolved request."""
        assert request.size and request.seconds and request.fps and request.steps
        geometry, patch = self.geometry, self.geometry.patch
        if request.canvas is None:
            num_frames = geometry.delivered_frames(request.seconds, request.fps)
            task = text_to_video(request.size, num_frames, request.fps, geometry)
        else:
            task = as_task(request.canvas)
        canvas, random = task.canvas, torch.Generator().manual_seed(request.seed)
        known = token_values(canvas.known.float(), patch)[:, None]
        if self.config.path == STRAIGHT:
            schedule = sigmas(request.steps, shift_for(len(known), self.config.reference_tokens))
        else:
            schedule = ancestral_sigmas(request.steps)
        levels = noise_levels(schedule, known)
        x = mix(patchify(canvas.clean.float(), patch), draw_patches(canvas, patch, random), levels[0])
        starts_in_noise = bool((known == 0).any())
        if self.config.sampling.skip_first and request.is_guided and starts_in_noise and request.steps > 1:
            levels = levels[1:]
        return Window(request, task, x, levels, random)

    @torch.inference_mode()
    def _sample(self, windows: Sequence[Window], progress: Progress | None) -> list[Float[Tensor, "c t h w"]]:
        """One packed row from noise to latents. Its windows have one sampler and one number of steps."""
        patch = self.geometry.patch

        def draw_noise() -> Tensor:
            return torch.cat([draw_patches(w.task.canvas, patch, w.random) for w in windows]).to(self.device)

        walk = {
            "euler": euler,
            "heun": heun,
            "multistep": multistep,
            "ancestral": partial(ancestral, draw_noise=draw_noise),
        }[windows[0].request.sampler or "euler"]
        x = torch.cat([window.x for window in windows]).to(self.device)
        levels = torch.cat([window.levels for window in windows], dim=1).to(self.device)
        x = walk(self._velocity(windows), x, levels, progress)
        if not x.isfinite().all():
            raise RuntimeError(f"{self.name}: a number overflowed in {self.dtype}; compute in float32")
        parts = x.cpu().split([len(window.x) for window in windows])
        return [unpatchify(part, window.task.canvas.grid, patch) for part, window in zip(parts, windows)]

    def _velocity(self, windows: Sequence[Window]) -> Velocity:
        """The guided velocity of a row of windows: a function of ``x`` "n p" and ``sigma`` "n 1"."""
        sampling, num_windows = self.config.sampling, len(windows)
        low, high = sampling.guidance_interval
        guided = [i for i, window in enumerate(windows) if window.request.is_guided]
        texts = self.text_encoder.encode(
            [window.request.prompt for window in windows] + [windows[i].request.negative for i in guided]
        )
        prompted = [self._segment(window, text) for window, text in zip(windows, texts)]
        negated = [self._segment(windows[i], text) for i, text in zip(guided, texts[num_windows:])]
        single, double = (pack(segments).to(self.device) for segments in (prompted, prompted + negated))

        def velocity(x: Tensor, sigma: Tensor) -> Tensor:
            if not (guided and ((sigma >= low) & (sigma <= high)).any()):
                return self._predict(x, sigma, single)
            # A double row holds all windows with their prompts, then the guided ones once more.
            levels, again = single.split(sigma), [single.split(x)[i] for i in guided]
            twice = torch.cat([sigma, *(levels[i] for i in guided)])
            parts = double.split(self._predict(torch.cat([x, *again]), twice, double))
            for i, base in zip(guided, parts[num_windows:]):
                scale = windows[i].request.guidance
                assert scale is not None
                parts[i] = guide(parts[i], base, levels[i], scale, (low, high), sampling.fitted_guidance)
            return torch.cat(parts[:num_windows])

        return velocity

    def _predict(self, x: Float[Tensor, "n p"], sigma: Float[Tensor, "n 1"], layout: Layout) -> Float[Tensor, "n p"]:
        """What the transformer says, as a velocity in float32."""
        with self._precision():
            prediction = self.transformer(from_straight(x, sigma, self.config.path), sigma.squeeze(1), layout)
        return to_velocity(prediction.float(), self.transformer.config.prediction, x, sigma)

    def _segment(self, window: Window, text: Float[Tensor, "s e"]) -> Segment:
        canvas = window.task.canvas
        span = Span(len(window.x), text.cpu())
        return segment(canvas.grid, canvas.fps, self.geometry, [span], canvas.starts_clip)

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def _sized(self, request: Request, canvas: Canvas) -> Request:
        """The request with the size, duration and rate of its canvas; ``ValueError`` where it asks for others."""
        geometry = self.geometry
        t, h, w = canvas.grid
        if canvas.clean.shape[0] != geometry.latent_channels:
            channels = canvas.clean.shape[0]
            raise ValueError(f"the canvas has {channels} channels; {self.name} has {geometry.latent_channels}")
        if not canvas.starts_clip:
            raise ValueError("the canvas starts in the middle of a clip; one to render starts a clip")
        size = (w * geometry.space_stride, h * geometry.space_stride)
        num_frames = 1 + geometry.time_stride * (t - 1)
        seconds = num_frames / canvas.fps
        if request.size not in (None, size) or request.fps not in (None, canvas.fps):
            raise ValueError(
                f"size {request.size} at {request.fps} fps beside a canvas of {size} at {canvas.fps:g} fps; "
                "leave both to the canvas"
            )
        return replace(request, size=size, seconds=seconds, fps=canvas.fps)

    def _doubts(self, request: Request) -> list[str]:
        """What of a resolved request the model was not trained for, one sentence each."""
        assert request.size and request.seconds and request.fps
        trained, (width, height) = self.config.trained, request.size
        doubts = check_prompt(request.prompt, self.text_encoder) if request.prompt else []
        areas = [w * h for w, h in trained.sizes]
        shapes = [w / h for w, h in trained.sizes]
        if not (min(areas) <= width * height <= max(areas) and min(shapes) <= width / height <= max(shapes)):
            known = ", ".join(f"{w}x{h}" for w, h in trained.sizes)
            doubts.append(f"size {width}x{height} is outside what {self.name} was trained on ({known}); expect less")
        num_frames = self.geometry.rendered_frames(self.geometry.delivered_frames(request.seconds, request.fps))
        longest = max(trained.num_frames)
        if num_frames > longest:
            doubts.append(f"{num_frames} frames are more than {self.name} was trained on ({longest}); expect less")
        if not min(trained.fps) <= request.fps <= max(trained.fps):
            rates = ", ".join(f"{fps:g}" for fps in trained.fps)
            doubts.append(f"{request.fps:g} fps is outside what {self.name} was trained on ({rates}); expect less")
        return doubts


def as_task(canvas: Canvas | Task) -> Task:
    """A bare canvas is a task of which no pixel was given."""
    return canvas if isinstance(canvas, Task) else Task(canvas)


def draw_patches(canvas: Canvas, patch: int, random: torch.Generator) -> Float[Tensor, "n p"]:
    """Normal noise for a canvas, frame by frame of its latents, so that a longer clip starts with the same noise."""
    t, h, w = canvas.grid
    noise = torch.randn(t, canvas.clean.shape[0], h, w, generator=random)
    return patchify(noise.transpose(0, 1), patch)


def share_rows(windows: Sequence[Window]) -> list[list[int]]:
    """Which windows share a row: those of one sampler and number of steps, up to ``ROW_TOKENS`` with guidance."""
    rows: dict[tuple[str | None, int], list[list[int]]] = {}
    filled: dict[tuple[str | None, int], int] = {}
    for i, window in enumerate(windows):
        kind = (window.request.sampler, window.num_steps)
        num_tokens = len(window.x) * (2 if window.request.is_guided else 1)
        if kind not in rows or filled[kind] + num_tokens > ROW_TOKENS:
            rows.setdefault(kind, []).append([])
            filled[kind] = 0
        rows[kind][-1].append(i)
        filled[kind] += num_tokens
    return [row for kinds in rows.values() for row in kinds]


def find_device(device: str | torch.device | None) -> torch.device:
    """The device of that name; None is CUDA where there is one, else the CPU. ``ValueError`` if it is not there."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    there += ["mps"] if torch.backends.mps.is_available() else []
    try:
        place = torch.device(device)
    except RuntimeError:
        place = None
    name = str(place) if place is None or place.index is not None else place.type
    if place is None or not any(name in (other, other.partition(":")[0]) for other in there):
        raise ValueError(f"device is {str(device)!r}; here it must be one of {', '.join(there)}")
    return place


def find_dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    """The type of number of that name; None is bfloat16 on CUDA, else float32. ``ValueError`` for any other."""
    if dtype is None:
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    found = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if found not in DTYPES.values():
        raise ValueError(f"dtype is {dtype}; it must be one of {', '.join(DTYPES)}")
    assert found is not None
    return found


def _report(progress: Progress, before: int, total: int, step: int, _: int) -> None:
    progress(before + step, total)
