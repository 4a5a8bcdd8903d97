"""How do other people's models write for us over HTTP? Any endpoint that speaks OpenAI's chat completions.

vLLM, Ollama, llama.cpp and the like. Frames are sampled and sent as pictures. Retries and their waiting are the
``openai`` package's (extra "words"); what it raises is turned into one line that says where and why.
"""

import base64
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import UInt8

from ozora.clip import Clip
from ozora.language.captioner import Style
from ozora.language.instructions import EXAMPLES, EXPAND, asked_about, cleaned

EncodePicture = Callable[[UInt8[np.ndarray, "h w 3"]], bytes]
"""Pixels to the bytes of a PNG."""
SMALLEST_SIDE = 224
"""Frames are enlarged to at least this, for vision models see little in 64 pixels."""
MAX_BODY = 16 * 2**20
MAX_REPLY = 2**20


@dataclass(frozen=True)
class Endpoint:
    """Where, which model (None: the first one offered), and within which limits.

    ``url`` ends in the version, as http://localhost:8080/v1 does. ``seconds`` bound one try, ``tries`` their number,
    ``at_once`` the requests under way at one time, ``max_tokens`` the answer.
    """

    url: str
    model: str | None = None
    key: str = field(default="", repr=False)
    seconds: float = 120.0
    tries: int = 3
    at_once: int = 4
    max_tokens: int = 220
    num_frames: int = 6

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"endpoint {self.url!r}; it must begin with http:// or https://, http://localhost:8080/v1")

    @cached_property
    def _client(self) -> Any:
        from openai import OpenAI

        return OpenAI(
            base_url=self.url,
            api_key=self.key or "none",
            timeout=self.seconds,
            max_retries=self.tries - 1,
            organization="",
            project="",
        )

    @cached_property
    def chosen_model(self) -> str:
        """The model asked for, or the first that the endpoint lists."""
        if self.model:
            return self.model
        offered = self._said(lambda client: client.models.with_streaming_response.list())
        try:
            return str(offered["data"][0]["id"])
        except (KeyError, IndexError, TypeError) as error:
            raise ConnectionError(f"{self.url} offers no model; name one") from error

    def ask(self, messages: Sequence[dict[str, Any]], seed: int = 0, temperature: float = 0.2) -> str:
        """The answer to a conversation, cleaned.

        Raises ``ConnectionError`` for an endpoint that does not answer, not to the end, or refuses, ``RuntimeError``
        for an answer that is none, and ``ValueError`` for a question that is too long to send.
        """
        size = len(json.dumps(messages))
        if size > MAX_BODY:
            raise ValueError(f"{size / 2**20:.1f} MiB to send to {self.url}; at most {MAX_BODY // 2**20} are sent")
        model = self.chosen_model
        answer = self._said(
            lambda client: client.chat.completions.with_streaming_response.create(
                model=model,
                messages=list(messages),
                max_tokens=self.max_tokens,
                temperature=temperature,
                seed=seed % 2**31,
            )
        )
        try:
            choice = answer["choices"][0]
            text, was_cut = choice["message"]["content"] or "", choice.get("finish_reason") == "length"
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise RuntimeError(f"{self.url} answered without a choice") from error
        if not isinstance(text, str):
            raise RuntimeError(f"{self.url} answered with something else than text: {str(text)[:60]}")
        return cleaned(text, was_cut)

    def _said(self, ask: Callable[[Any], Any]) -> Any:
        """The JSON that is answered, read within the limits of time and size: an answer may drip for ever."""
        client = self._client
        import httpx2  # what openai speaks through
        import openai

        body, silence = bytearray(), f"{self.url} was silent for {self.seconds:g} s"
        try:
            with ask(client) as response:
                deadline = time.monotonic() + self.seconds
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > MAX_REPLY:
                        raise RuntimeError(f"{self.url} answered too much: over {MAX_REPLY // 2**20} MiB")
                    if time.monotonic() > deadline:
                        raise ConnectionError(f"{self.url} did not end its answer within {self.seconds:g} s")
            return json.loads(body)
        except openai.APITimeoutError as error:
            raise ConnectionError(f"{silence}, {self.tries} times") from error
        except httpx2.TimeoutException as error:
            raise ConnectionError(f"{silence} in the middle of its answer") from error
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            reason = error.__cause__ or error
            raise ConnectionError(f"{self.url} does not answer ({reason}); is a server running there?") from error
        except openai.APIStatusError as error:
            raise ConnectionError(f"{self.url} refused with status {error.status_code}: {_reason(error)}") from error
        except (openai.OpenAIError, ValueError) as error:
            raise RuntimeError(f"{self.url} did not answer in OpenAI's form: {error}") from error


@dataclass(frozen=True)
class EndpointCaptioner:
    """A vision model behind an endpoint, who is shown a few frames of each clip."""

    endpoint: Endpoint
    encode_picture: EncodePicture

    @property
    def id(self) -> str:
        return self.endpoint.chosen_model

    def caption(self, clips: Sequence[Clip], style: Style = "dense") -> list[str]:
        self.endpoint.chosen_model  # noqa: B018  asked once, before the threads
        with ThreadPoolExecutor(max(1, min(self.endpoint.at_once, len(clips)))) as pool:
            return list(pool.map(lambda clip: self.endpoint.ask([self.question(clip, style)]), clips))

    def question(self, clip: Clip, style: Style) -> dict[str, Any]:
        """The message that shows the clip and asks for a caption."""
        frames = sampled(clip, self.endpoint.num_frames)
        pictures = [base64.b64encode(self.encode_picture(frame)).decode("ascii") for frame in frames]
        content: list[dict[str, Any]] = [
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}} for data in pictures
        ]
        text = asked_about(clip, len(frames), style)
        return {"role": "user", "content": [*content, {"type": "text", "text": text}]}


@dataclass(frozen=True)
class EndpointExpander:
    """A language model behind an endpoint, who is told what a full prompt is."""

    endpoint: Endpoint

    @property
    def id(self) -> str:
        return self.endpoint.model or self.endpoint.url

    def propose(self, prompt: str, seed: int = 0) -> list[str]:
        return [self.endpoint.ask(conversation(prompt), seed, temperature=0.5)]


def conversation(prompt: str) -> list[dict[str, Any]]:
    """Instructions, two examples, and the prompt."""
    messages = [{"role": "system", "content": EXPAND}]
    for short, full in EXAMPLES:
        messages += [{"role": "user", "content": short}, {"role": "assistant", "content": full}]
    return [*messages, {"role": "user", "content": prompt}]


def sampled(clip: Clip, count: int) -> list[UInt8[np.ndarray, "h w 3"]]:
    """At most ``count`` frames, evenly spaced from first to last, enlarged by whole factors where they are small."""
    places = np.unique(np.linspace(0, clip.num_frames - 1, min(count, clip.num_frames)).round().astype(int))
    factor = max(1, -(-SMALLEST_SIDE // min(clip.size)))
    return [np.ascontiguousarray(clip.frames[i].repeat(factor, 0).repeat(factor, 1)) for i in places]


def _reason(error: Any) -> str:
    body = error.body if isinstance(error.body, dict) else {}
    message = body.get("message") or body.get("detail") or error.message
    return " ".join(str(message).split())[:200]
