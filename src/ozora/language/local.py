"""How do other people's models write for us on this machine? ``transformers`` models by id or folder, none
downloaded."""

from collections.abc import Sequence
from typing import Any

import torch

from ozora.clip import Clip
from ozora.language.captioner import Style
from ozora.language.endpoint import conversation, sampled
from ozora.language.instructions import asked_about, cleaned


class LocalCaptioner:
    """A vision-language model: a few frames of the clip and the question, through its own chat template.

    Raises ``ValueError`` for a model that is not on this machine or cannot see.
    """

    def __init__(self, id: str, device: str | None = None, num_frames: int = 6, max_tokens: int = 220) -> None:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.id, self.num_frames, self.max_tokens = id, num_frames, max_tokens
        self._processor, self._network = _open(id, AutoProcessor, AutoModelForImageTextToText, device or "cpu")

    def caption(self, clips: Sequence[Clip], style: Style = "dense") -> list[str]:
        return [self._answer(clip, style) for clip in clips]

    def _answer(self, clip: Clip, style: Style) -> str:
        from PIL import Image

        frames = [Image.fromarray(frame) for frame in sampled(clip, self.num_frames)]
        content = [{"type": "image", "image": frame} for frame in frames]
        text = asked_about(clip, len(frames), style)
        question = {"role": "user", "content": [*content, {"type": "text", "text": text}]}
        return _answer(self._network, self._processor, [question], self.max_tokens, seed=None)


class LocalExpander:
    """A language model with a chat template; raises ``ValueError`` for one that is not on this machine."""

    def __init__(self, id: str, device: str | None = None, max_tokens: int = 220) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.id, self.max_tokens = id, max_tokens
        self._tokenizer, self._network = _open(id, AutoTokenizer, AutoModelForCausalLM, device or "cpu")

    def propose(self, prompt: str, seed: int = 0) -> list[str]:
        return [_answer(self._network, self._tokenizer, conversation(prompt), self.max_tokens, seed)]


def _open(id: str, reader: Any, network: Any, device: str) -> tuple[Any, Any]:
    """The two halves of a model, from a folder or the local cache."""
    try:
        opened = reader.from_pretrained(id, local_files_only=True)
        return opened, network.from_pretrained(id, local_files_only=True).to(device).eval()
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"transformers model {id!r} cannot be opened: {reason}; fetch it first: hf download"
        ) from error


def _answer(network: Any, reader: Any, messages: list[dict[str, Any]], max_tokens: int, seed: int | None) -> str:
    """What the model answers; the likeliest words where ``seed`` is None. ``RuntimeError`` where it is no answer."""
    from jinja2 import TemplateError  # what chat templates are written in

    try:
        inputs = reader.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        ).to(network.device)
    except (ValueError, TemplateError) as error:
        raise RuntimeError(f"its chat template cannot be used: {str(error).splitlines()[0]}") from error
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        if seed is not None:
            torch.manual_seed(seed % 2**63)
        sampling = {"do_sample": False} if seed is None else {"do_sample": True, "temperature": 0.5, "top_p": 0.95}
        tokens = network.generate(**inputs, max_new_tokens=max_tokens, **sampling)
    new = tokens[0, inputs["input_ids"].shape[1] :]
    return cleaned(reader.decode(new, skip_special_tokens=True), was_cut=len(new) >= max_tokens)
