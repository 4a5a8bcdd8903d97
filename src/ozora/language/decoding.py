"""How do a writer's probabilities become one text? By drawing, with temperature and nucleus, or by beam search."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ozora.language.writer import Prefix, Writer


@dataclass(frozen=True)
class Decoding:
    """How to write. ``temperature`` 0 takes the likeliest token each time; ``nucleus`` draws from the likeliest tokens
    that hold that share of the probability (Holtzman et al. 2020). ``max_tokens`` bounds what is written."""

    temperature: float = 0.7
    nucleus: float = 0.95
    max_tokens: int = 160

    def __post_init__(self) -> None:
        if not (0 <= self.temperature <= 10 and 0 < self.nucleus <= 1 and self.max_tokens >= 1):
            raise ValueError(
                f"temperature {self.temperature}, nucleus {self.nucleus}, max_tokens {self.max_tokens}; the first is "
                f"from 0 to 10, the second above 0 and at most 1, the third at least 1: 0.7, 0.95 and 160 for instance"
            )


@torch.inference_mode()
def write(
    writer: Writer,
    prefix: Prefix,
    start: Int[Tensor, "b s"],
    end: int,
    decoding: Decoding,
    seeds: Sequence[int],
) -> list[list[int]]:
    """Continue each row of ``start`` after its row of the prefix until ``end`` (not returned) or the limit.

    Each row has a seed of its own, so what it becomes does not depend on its company.
    """
    limit = min(decoding.max_tokens, writer.config.max_tokens - start.shape[1])
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    logits, memory = writer.extend(start, writer.read(prefix))
    texts: list[list[int]] = [[] for _ in seeds]
    going = list(range(len(seeds)))  # the rows still written, in the memory's order
    for _ in range(limit):
        tokens = [draw(logits[i, -1], decoding, generators[row]) for i, row in enumerate(going)]
        kept = [i for i, token in enumerate(tokens) if token != end]
        for i in kept:
            texts[going[i]].append(tokens[i])
        if not kept:
            break
        if len(kept) < len(going):
            memory = memory.rows(torch.tensor(kept, device=start.device))
            going = [going[i] for i in kept]
        logits, memory = writer.extend(torch.tensor([[tokens[i]] for i in kept], device=start.device), memory)
    return texts


def draw(logits: Float[Tensor, " v"], decoding: Decoding, generator: torch.Generator) -> int:
    """One token from the logits; draws are made on the CPU."""
    if decoding.temperature == 0:
        return int(logits.argmax())
    probability = (logits.float().cpu() / decoding.temperature).softmax(0)
    probability, order = probability.sort(descending=True, stable=True)
    before = probability.cumsum(0) - probability
    probability = probability * (before < decoding.nucleus)
    return int(order[torch.multinomial(probability, 1, generator=generator)])


@torch.inference_mode()
def beam_search(
    writer: Writer,
    prefix: Prefix,
    start: Int[Tensor, "1 s"],
    end: int,
    num_beams: int = 4,
    max_tokens: int = 160,
    length_power: float = 0.7,
) -> list[int]:
    """The likeliest continuation found among ``num_beams`` at a time; ``prefix`` has one row.

    Finished texts are compared by log probability over length to the ``length_power`` (Wu et al. 2016, eq. 14, without
    its constant), so that long captions are not at a disadvantage.
    """
    limit = min(max_tokens, writer.config.max_tokens - start.shape[1])
    logits, memory = writer.extend(start, writer.read(prefix))
    scores, texts = torch.zeros(1), [[]]
    finished: list[tuple[float, list[int]]] = []
    for _ in range(limit):
        total = scores[:, None] + logits[:, -1].float().cpu().log_softmax(1)
        best, place = total.flatten().topk(min(2 * num_beams, total.numel()))
        rows, tokens, kept = [], [], []
        for score, index in zip(best.tolist(), place.tolist()):
            row, token = divmod(index, total.shape[1])
            if token == end:
                finished.append((score / max(1, len(texts[row])) ** length_power, texts[row]))
            elif len(rows) < num_beams:
                rows.append(row)
                tokens.append(token)
                kept.append(score)
        texts = [[*texts[row], token] for row, token in zip(rows, tokens)]
        scores = torch.tensor(kept)
        if len(finished) >= num_beams:
            break
        chosen = torch.tensor(rows, device=start.device)
        logits, memory = writer.extend(torch.tensor(tokens, device=start.device)[:, None], memory.rows(chosen))
    if not finished:
        finished = [(score / max(1, len(text)) ** length_power, text) for score, text in zip(scores.tolist(), texts)]
    return max(finished, key=lambda item: item[0])[1]
