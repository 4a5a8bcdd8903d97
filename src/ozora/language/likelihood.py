"""How likely is a text, to a writer who has seen a clip? What its captions are drawn from, asked about another's words.

Of several clips that were made for one prompt, the one under which the prompt is likeliest shows it best, as far as the
captioner can see: DALL-E put its pictures in order with CLIP (Ramesh et al. 2021, sec. 2.6); here a text is scored by
the network that would write it.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ozora.language.stored import StoredWriter
from ozora.language.writer import Prefix

STYLES_OF_CLIPS, STYLES_OF_PICTURES = ("short", "medium", "dense"), ("still",)


def log_likelihood(
    stored: StoredWriter, prefix: Prefix, texts: Sequence[str], are_pictures: Sequence[bool]
) -> Float[Tensor, " b"]:
    """``log p(text | clip)`` in nats for every row of ``prefix``, whichever style of caption the text is in.

    A mixture: styles are equally likely beforehand, and a picture has its own alone. A text that is longer than the
    writer's is scored as far as that goes.
    """
    vocabulary, most = stored.vocabulary, stored.config.writer.max_tokens
    asked = [
        (row, style)
        for row, is_picture in enumerate(are_pictures)
        for style in (STYLES_OF_PICTURES if is_picture else STYLES_OF_CLIPS)
    ]
    written = [[*vocabulary.encode(text), vocabulary.end][:most] for text in texts]
    tokens = [torch.tensor([vocabulary.control(style), *written[row]]) for row, style in asked]
    padded = torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True, padding_value=-1).to(prefix.vectors.device)
    rows = torch.tensor([row for row, _ in asked], device=padded.device)
    given, told = padded[:, :-1].clamp(min=0), padded[:, 1:]
    logits, _ = stored.writer.extend(given, stored.writer.read(prefix).rows(rows))
    each = logits.log_softmax(2).gather(2, told.clamp(min=0)[:, :, None]).squeeze(2)
    of_style = (each * (told >= 0)).sum(1)
    return torch.stack([(of_style[rows == row]).logsumexp(0) - (rows == row).sum().log() for row in range(len(texts))])
