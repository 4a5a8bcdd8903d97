"""What is another model told to do, and is its answer one? The words for large models, and what their answers must be.

A large model answers in any form it likes: in quotation marks, with a greeting, with a list, with far too much or with
nothing. ``cleaned`` takes the answer out of that, or says why there is none.
"""

import re

from ozora.clip import Clip
from ozora.language.captioner import Style

CAPTION = {
    "short": "Describe the video in one short clause without a full stop: what is there and what it does.",
    "medium": "Describe the video in one sentence: what is there, what it does, and how the camera moves.",
    "dense": (
        "Describe the video in two to five plain sentences: where each object is, its colour, shape and size; the "
        "floor and the sky; what each does, in order, with the second at which it happens; and how the camera moves."
    ),
}
FRAMES = "These are {count} frames of one video of {seconds:.1f} seconds, evenly spaced, in order. "
ONLY = "Answer with the description alone."
EXPAND = (
    "You write prompts for a model that makes short videos of simple objects. Rewrite the user's prompt as two to "
    "four plain English sentences. Keep every object, colour, number, place, motion and camera move of the prompt "
    "in its own words; add no other object. Add what is missing: where things stand, the floor and the sky, how "
    "the motion goes on, and what the camera does ('The camera does not move.' if the prompt does not say). "
    "Answer with the prompt alone."
)
EXAMPLES = (
    (
        "a red ball falls",
        "A red ball is in the air in the middle. The scene is set on a grey floor under a pale sky. The red ball "
        "falls, hits the floor and bounces twice. The camera does not move.",
    ),
    (
        "a blue cube slides to the right near a green cone, camera pans left",
        "On a beige floor, a blue cube is on the left and a green cone stands to the right of the blue cube. The "
        "blue cube slides to the right and comes to rest. The green cone stays still. The camera pans left.",
    ),
)
MAX_ANSWER_WORDS = 150
_GREETING = re.compile(r"^(?:sure|certainly|of course|here(?:'s| is| are)|okay|ok)\b[^:\n]*:\s*", re.IGNORECASE)
_LABEL = re.compile(r"^(?:\**(?:caption|description|prompt|answer|video|output)\**\s*[:\-]\s*)+", re.IGNORECASE)


def asked_about(clip: Clip, num_shown: int, style: Style) -> str:
    """The question that goes with ``num_shown`` frames of a clip, or with a picture."""
    words = CAPTION[style] if clip.num_frames > 1 else CAPTION[style].replace("video", "picture")
    lead = FRAMES.format(count=num_shown, seconds=clip.seconds) if num_shown > 1 else ""
    return f"{lead}{words} {ONLY}"


def cleaned(answer: str, was_cut: bool = False) -> str:
    """The one paragraph that the answer is; of one that ``was_cut`` at its limit, or is too long, its whole sentences.

    Raises ``RuntimeError`` for nothing, nonsense, or too much without an end.
    """
    text = re.sub(r"<think>.*?(</think>|$)", "", answer, flags=re.DOTALL).strip()
    text = _LABEL.sub("", _GREETING.sub("", text)).strip()
    text = re.split(r"\n\s*\n", text)[0]
    text = " ".join(re.sub(r"^[\s>*#\-]+", "", line) for line in text.splitlines()).replace("**", "")
    text = " ".join(text.split()).strip("\"'“”„`* ")
    words = text.split()
    if was_cut or len(words) > MAX_ANSWER_WORDS:
        text = _whole_sentences(" ".join(words[:MAX_ANSWER_WORDS]))
        if not text:
            raise RuntimeError(f"answered too much: {len(words)} words without an end, {_excerpt(answer)}")
    if len(text.split()) < 2:
        raise RuntimeError(f"answered nothing to use: {_excerpt(answer)}" if answer.strip() else "answered nothing")
    if _is_nonsense(text):
        raise RuntimeError(f"answered nonsense: {_excerpt(answer)}")
    return text


def _whole_sentences(text: str) -> str:
    end = max(text.rfind(mark) for mark in ".!?")
    return text[: end + 1]


def _is_nonsense(text: str) -> bool:
    """Few letters, or the same few words again and again."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    letters = sum(c.isalpha() or c.isspace() for c in text)
    if len(words) < 2 or letters < 0.7 * len(text) or any(not c.isprintable() for c in text):
        return True
    return len(words) >= 12 and len(set(words)) < 0.25 * len(words)


def _excerpt(text: str, length: int = 60) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= length else f"{text[: length - 1]}…")
