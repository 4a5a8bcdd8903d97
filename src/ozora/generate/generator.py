"""How does a sentence become a clip? If you read one file of Ozora, read this one.

A **request** becomes a **rendering**: its canvas says which latents are known, a random number generator keyed by its
seed alone draws noise, and its schedule says how much noise each token has at each step. ``advance`` moves renderings
of any size one step: they lie in one **row** of tokens, once with their prompts and, where they are guided, once more
with what they should not show; the transformer says which way the clean row lies, and each one's **sampler** walks
there. The **decoder** turns latents into frames as they become final, and what was given is put back pixel for pixel:
a **clip**.
"""

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ozora.canvas import Canvas
from ozora.clip import Clip
from ozora.flow.guidance import guide
from ozora.flow.path import from_straight, to_velocity
from ozora.flow.sampler import Progress, Question, Sampler, take
from ozora.generate.choose import best, check_choice
from ozora.generate.device import DTYPES, find_device, find_dtype
from ozora.generate.folder import DECODED_AT_ONCE, SHIPPED, Model, find_model, load_folder
from ozora.generate.leaps import why_not
from ozora.generate.rendering import Rendering, deliver, fingerprint_of, window_lengths
from ozora.generate.request import Request
from ozora.generate.tasks import Task, as_task, text_to_video
from ozora.generate.watch import load_captioner
from ozora.language.captioner import TrainedCaptioner
from ozora.language.encoder import TextEncoder, check_prompt, check_text, load_text_encoder
from ozora.model.transformer import Transformer
from ozora.nn.rows import Layout, pack

DEFAULT_SECONDS = 2.0
MAX_VARIATIONS = 1024
MAX_TOKENS = 2**18
"""A window of more tokens is refused: its attention alone would take hours."""
MAX_CLIP_TOKENS = 2**22
"""A clip of more tokens is refused: its latents alone would fill gigabytes."""
ROW_TOKENS = 2**15
"""Requests share a row up to this many tokens; what is more goes into further rows."""
FIRMLY = 1.5
"""By how much more than usual words are followed that ask for something else than the shot before them, or than the
pixels that they are to change, show."""
NUM_TEXTS = 256
"""Texts whose states are remembered: many requests say the same."""


class Generator:
    """A model and its text encoder, ready to make clips.

        ozora.Generator.load("mini")("a red ball falls", size=(64, 64), seconds=2, seed=0).save("ball.mp4")

    It computes where the model's weights lie, in ``dtype`` (by autocast); ``name`` is what ``settings`` call the model.
    """

    def __init__(
        self,
        model: Model,
        text_encoder: TextEncoder,
        dtype: torch.dtype = torch.float32,
        name: str | None = None,
        folder: Path | None = None,
    ) -> None:
        if model.transformer is None:
            raise ValueError(f"model {model.config.name!r} is an autoencoder without a transformer; it cannot generate")
        self.model, self.text_encoder, self.dtype = model, text_encoder, dtype
        self.config, self.geometry, self.hash = model.config, model.geometry, model.hash
        self.transformer, self.leaps = model.transformer, model.leaps
        self.name, self.folder = name or model.config.name, folder
        device = self.device = next(self.transformer.parameters()).device
        self._states = lru_cache(NUM_TEXTS)(lambda text: text_encoder.encode([text])[0])
        # Whatever moves together usually does so for many steps, so its layout is made once.
        self._pack = lru_cache(4)(lambda *segments: pack(segments).to(device))

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
        if model.leaps is not None:
            model.leaps.transformer.to(place)
        encoder = load_text_encoder(model.config.text_encoder, place)
        if model.config.text_encoder_hash not in ("", encoder.hash):
            warnings.warn(f"{folder}: it was trained with other weights of the text encoder {encoder.id}", stacklevel=2)
        return Generator(model, encoder, kind, folder.name if folder.parent == SHIPPED else os.fspath(name), folder)

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
        best_of: int = 1,
        canvas: Canvas | Task | None = None,
        script: Sequence[tuple[float, str]] = (),
        progress: Progress | None = None,
    ) -> Clip | list[Clip]:
        """One clip; with ``variations`` above 1 a list, in which clip i has the seed ``seed + i``.

        With ``best_of`` above 1 so many are drawn and one returned: the nearest to the prompt, to the captioner.

        ``size`` is (width, height) in pixels, ``seconds`` 2 unless given; None stands for the model's default.
        ``script`` holds (second, text): what the clip should show from then on, instead of ``prompt``.
        ``progress(done, total)`` is called after every step. Raises ``ValueError`` before any work for what cannot be
        done, and warns (``UserWarning``) of what the model was not trained for.
        """
        if type(variations) is not int or not 1 <= variations <= MAX_VARIATIONS:
            raise ValueError(f"variations is {variations!r}; it must be a whole number from 1 to {MAX_VARIATIONS}")
        request = Request(prompt, size, seconds, fps, seed, steps, guidance, negative, sampler, canvas, tuple(script))
        check_choice(best_of, request.texts)
        if best_of > 1 and variations > 1:
            raise ValueError(f"best_of is {best_of} beside variations {variations}; ask for all or for the best one")
        captioner = self.captioner if best_of > 1 else None
        clips = self.render([replace(request, seed=seed + i) for i in range(max(best_of, variations))], progress)
        if captioner is not None:
            return clips[best(captioner, clips, request, self.geometry)]
        return clips if variations > 1 else clips[0]

    @cached_property
    def captioner(self) -> TrainedCaptioner:
        """The captioner of the model's folder. Raises ``ValueError`` where there is none."""
        if self.folder is None:
            raise ValueError(f"{self.name} was not loaded from a folder, so it has no captioner")
        return load_captioner(self.folder, self.model)

    def render(self, requests: Sequence[Request], progress: Progress | None = None) -> list[Clip]:
        """The requests' clips, in order. Unlike requests share rows, and a clip does not depend on its company.

        All requests are checked before any work is done; raises and warns as ``__call__`` does.
        """
        resolved = [self.resolve(request) for request in requests]
        for doubt in dict.fromkeys(doubt for request in resolved for doubt in self.doubts(request)):
            warnings.warn(doubt, stacklevel=2)
        renderings = [self.begin(request) for request in resolved]
        rows = share_rows([rendering.max_tokens for rendering in renderings])
        num_steps = sum(max(renderings[i].num_steps for i in row) for row in rows)
        clips: dict[int, Clip] = {}
        done = 0
        for row in rows:
            while moving := [renderings[i] for i in row if not renderings[i].is_done]:
                self.advance(moving)
                done += 1
                if progress is not None:
                    progress(done, num_steps)
            clips |= {i: self.finish(renderings[i]) for i in row}
        return [clips[i] for i in range(len(renderings))]

    def begin(self, request: Request, state: Mapping[str, Tensor] | None = None) -> Rendering:
        """A rendering of the request, at its beginning or where a ``Rendering.state`` of it was taken.

        Raises ``ValueError`` for what cannot be rendered, and for a state of another request or model.
        """
        request = self.resolve(request)
        assert request.size and request.seconds and request.fps
        if request.canvas is None:
            num_frames = self.geometry.delivered_frames(request.seconds, request.fps)
            task = text_to_video(request.size, num_frames, request.fps, self.geometry)
        else:
            task = as_task(request.canvas)
        fingerprint = fingerprint_of(request, task.canvas, self.hash + self._leaps_hash(request))
        rendering = Rendering(request, task, self.config, fingerprint, self._states, self.device)
        if state is not None:
            rendering.restore(state)
        return rendering

    @torch.inference_mode()
    def advance(self, renderings: Sequence[Rendering]) -> None:
        """Every rendering moves one step, all in one packed row, whatever their sizes, samplers and schedules.

        Raises ``ValueError`` unless there is one at least, none is done and none comes twice.
        """
        num_open = len({id(rendering) for rendering in renderings if not rendering.is_done})
        if num_open == 0 or num_open < len(renderings):
            raise ValueError(f"{num_open} of {len(renderings)} renderings can move; give 1 or more, none done or twice")
        points = take([rendering.next_step() for rendering in renderings], partial(self._velocities, renderings))
        for rendering, point in zip(renderings, points):
            rendering.move_to(point)

    def stream(self, rendering: Rendering, progress: Progress | None = None) -> Iterator[UInt8[np.ndarray, "_t h w 3"]]:
        """The clip's frames as they become final. A rendering that is not done is advanced, alone.

        Memory does not grow with the clip's length, but for its latents. ``progress(step, num_steps)`` is called after
        every step. Raises ``RuntimeError`` where a number overflowed, which half precision may do.
        """
        return deliver(rendering.task, self._decoded(rendering, progress), rendering.num_rendered)

    def finish(self, rendering: Rendering) -> Clip:
        """The whole clip: what ``stream`` gives, joined."""
        return Clip(np.concatenate(list(self.stream(rendering))), rendering.task.canvas.fps)

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
        )
        if request.guidance is None:
            request = replace(request, guidance=self._guidance(request))
        reason = why_not(self.leaps, request)
        if request.sampler is None:
            request = replace(request, sampler=config.sampling.sampler if reason else "leap")
        elif request.sampler == "leap" and reason:
            raise ValueError(f"sampler is 'leap'; {self.name} {reason}: leave the sampler to the model")
        assert request.size and request.seconds is not None and request.fps is not None
        num_frames = geometry.rendered_frames(geometry.delivered_frames(request.seconds, request.fps))
        self._check_tokens(num_frames, request)
        if request.prompt or request.canvas is None:
            check_text(request.prompt)
        if request.negative:
            check_text(request.negative, "negative prompt")
        for second, text in request.script:
            check_text(text, f"prompt at {second:g} s")
            if second >= request.seconds:
                raise ValueError(f"the prompt at {second:g} s comes after the clip's end, {request.seconds:g} s")
        return request

    def settings(self, request: Request) -> dict[str, Any]:
        """All it takes to make the clip again: the resolved request, the model and its hash, and Ozora's version."""
        dtype = next(name for name, dtype in DTYPES.items() if dtype == self.dtype)
        made_by = {"model": self.name, "model_hash": self.hash, "dtype": dtype, "ozora": version("ozora")}
        request = self.resolve(request)
        leaps = self._leaps_hash(request)
        return request.settings() | made_by | ({"leaps_hash": leaps} if leaps else {})

    def doubts(self, request: Request) -> list[str]:
        """What of a request the model was not trained for, one sentence each."""
        request = self.resolve(request)
        assert request.size and request.seconds and request.fps
        trained, (width, height) = self.config.trained, request.size
        doubts = [doubt for text in request.texts if text for doubt in check_prompt(text, self.text_encoder)]
        areas = [w * h for w, h in trained.sizes]
        shapes = [w / h for w, h in trained.sizes]
        if not (min(areas) <= width * height <= max(areas) and min(shapes) <= width / height <= max(shapes)):
            known = ", ".join(f"{w}x{h}" for w, h in trained.sizes)
            doubts.append(f"size {width}x{height} is outside what {self.name} was trained on ({known}); expect less")
        if self.leaps and request.steps == self.leaps.num_steps and (reason := why_not(self.leaps, request)):
            doubts.append(f"{self.name} {reason}, so each of its {request.steps} steps is a plain one; expect less")
        num_frames = self.geometry.rendered_frames(self.geometry.delivered_frames(request.seconds, request.fps))
        longest = max(trained.num_frames)
        if num_frames > longest:
            doubts.append(
                f"{num_frames} frames are more than {self.name} was trained on ({longest}), so they are made part by "
                "part, each seeing little of those before it; expect less"
            )
        if not min(trained.fps) <= request.fps <= max(trained.fps):
            rates = ", ".join(f"{fps:g}" for fps in trained.fps)
            doubts.append(f"{request.fps:g} fps is outside what {self.name} was trained on ({rates}); expect less")
        return doubts

    def _guidance(self, request: Request) -> float:
        """What a request has that names none: ``FIRMLY`` where words are at odds with what is beside them."""
        if self.leaps is not None and request.steps == self.leaps.num_steps and not request.is_known_in_part:
            return self.leaps.guidance
        is_at_odds = bool(request.script) or request.is_known_in_part
        return self.config.sampling.guidance * (FIRMLY if is_at_odds else 1)

    def _decoded(self, rendering: Rendering, progress: Progress | None) -> Iterator[UInt8[np.ndarray, "_t h w 3"]]:
        """Frames of the canvas, decoded window by window whenever it is called, so that they are always the same."""
        past, first = None, 0
        for num_windows, last in enumerate(rendering.final_frames):
            while rendering.window < num_windows:
                self.advance([rendering])
                if progress is not None:
                    progress(rendering.step, rendering.num_steps)
            for latents in rendering.latents[:, first:last].split(DECODED_AT_ONCE, 1) if first < last else ():
                if not latents.isfinite().all():
                    raise RuntimeError(f"{self.name}: a number overflowed in {self.dtype}; compute in float32")
                with self._precision():
                    frames, past = self.model.decode_next(latents, past)
                yield frames
            first = last

    def _velocities(self, renderings: Sequence[Rendering], questions: Mapping[int, Question]) -> dict[int, Tensor]:
        """Velocities, one "n p" for each rendering that asks. Those that leap are a row of their own."""
        leaping = {i: question for i, question in questions.items() if renderings[i].is_leaping}
        others = {i: question for i, question in questions.items() if i not in leaping}
        return self._leaps(renderings, leaping) | self._guided(renderings, others)

    def _guided(self, renderings: Sequence[Rendering], questions: Mapping[int, Question]) -> dict[int, Tensor]:
        """Guided velocities. The row holds all with their prompts, then those that guidance acts on once more."""
        if not questions:
            return {}
        sampling = self.config.sampling
        guided = [i for i, (_, sigma) in questions.items() if renderings[i].is_guided_at(sigma)]
        layout = self._pack(*(renderings[i].prompted for i in questions), *(renderings[i].negated for i in guided))
        x, sigma = (torch.cat([questions[i][part] for i in (*questions, *guided)]) for part in (0, 1))
        parts = layout.split(self._predict(self.transformer, x, sigma, layout))
        velocities = dict(zip(questions, parts))
        for i, base in zip(guided, parts[len(questions) :]):
            sigma, scale = questions[i][1], renderings[i].guidance
            velocities[i] = guide(
                velocities[i], base, sigma, scale, sampling.guidance_interval, sampling.fitted_guidance
            )
        return velocities

    def _leaps(self, renderings: Sequence[Rendering], questions: Mapping[int, Question]) -> dict[int, Tensor]:
        """The mean velocities of whole steps, guidance included, as the changed transformer says them."""
        if not questions:
            return {}
        assert self.leaps is not None
        layout = self._pack(*(renderings[i].prompted for i in questions))
        x, sigma = (torch.cat(parts) for parts in zip(*questions.values()))
        return dict(zip(questions, layout.split(self._predict(self.leaps.transformer, x, sigma, layout))))

    def _predict(
        self, transformer: Transformer, x: Float[Tensor, "n p"], sigma: Float[Tensor, "n 1"], layout: Layout
    ) -> Float[Tensor, "n p"]:
        """What the transformer says, as a velocity in float32."""
        with self._precision():
            prediction = transformer(from_straight(x, sigma, self.config.path), sigma.squeeze(1), layout)
        return to_velocity(prediction.float(), transformer.config.prediction, x, sigma)

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def _leaps_hash(self, request: Request) -> str:
        """The hash of the changed weights where they draw this resolved request."""
        return self.leaps.hash if self.leaps and request.sampler == "leap" else ""

    def _check_tokens(self, num_frames: int, request: Request) -> None:
        """``ValueError`` for a clip, or a window of it, of too many tokens."""
        assert request.size and request.fps
        geometry, (width, height) = self.geometry, request.size
        num_latents, frame_tokens = geometry.latent_frames(num_frames), geometry.num_tokens(1, height, width)
        at_once = min(num_latents, window_lengths(self.config).first)
        for what, number, limit in (("at once", at_once, MAX_TOKENS), ("in all", num_latents, MAX_CLIP_TOKENS)):
            if number * frame_tokens > limit:
                seconds = (1 + geometry.time_stride * (limit // frame_tokens - 1)) / request.fps
                raise ValueError(
                    f"{width}x{height} in {num_frames} frames is {number * frame_tokens} tokens {what} and the limit "
                    f"{limit}; {seconds:.2f} seconds at this size and rate are within it"
                )

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


def share_rows(sizes: Sequence[int], budget: int = ROW_TOKENS) -> list[list[int]]:
    """Which of so many tokens share a row of at most ``budget``, first come, first served; one alone may exceed it."""
    rows: list[list[int]] = []
    filled = budget
    for i, num_tokens in enumerate(sizes):
        if not rows or filled + num_tokens > budget:
            rows.append([])
            filled = 0
        rows[-1].append(i)
        filled += num_tokens
    return rows
