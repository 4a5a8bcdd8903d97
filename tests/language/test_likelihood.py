"""A text is as likely as the writer's own numbers say, whatever its company, and what is watched can learn from it."""

import math

import torch

from ozora.language.likelihood import log_likelihood
from ozora.language.writer import Prefix, text_place


def prefix(*lengths, seed=0):
    random = torch.Generator().manual_seed(seed)
    return Prefix.stack([(torch.randn(n, 12, generator=random), text_place(n)) for n in lengths])


def by_hand(stored, seen, text, style):
    """log p(text | clip, style), one token after the other."""
    vocabulary, found = stored.vocabulary, 0.0
    tokens = [vocabulary.control(style), *vocabulary.encode(text), vocabulary.end]
    for i in range(1, len(tokens)):
        logits = stored.writer(seen, torch.tensor([tokens[:i]]))[0, -1]
        found += logits.log_softmax(0)[tokens[i]].item()
    return found


def test_a_picture_has_one_style_and_a_clip_a_mixture_of_three(stored):
    captioner, seen, text = stored("captioner"), prefix(5), "A red ball falls."
    (picture,) = log_likelihood(captioner, seen, [text], [True]).tolist()
    assert math.isclose(picture, by_hand(captioner, seen, text, "still"), rel_tol=1e-4)
    (clip,) = log_likelihood(captioner, seen, [text], [False]).tolist()
    styles = [by_hand(captioner, seen, text, style) for style in ("short", "medium", "dense")]
    assert len({round(one, 3) for one in styles}) == 3
    assert math.isclose(clip, math.log(sum(map(math.exp, styles)) / 3), rel_tol=1e-4)


def test_company_changes_nothing(stored):
    captioner, texts = (
        stored("captioner"),
        ["A red ball falls.", "blue", "On a grey floor, a blue cube is on the left."],
    )
    random = torch.Generator().manual_seed(1)
    parts = [(torch.randn(n, 12, generator=random), text_place(n)) for n in (4, 9, 6)]
    pictures = [False, True, False]
    together = log_likelihood(captioner, Prefix.stack(parts), texts, pictures)
    alone = [
        log_likelihood(captioner, Prefix.stack([part]), [text], [is_picture])
        for part, text, is_picture in zip(parts, texts, pictures)
    ]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=0)


def test_a_text_beyond_the_longest_is_scored_as_far_as_that(stored):
    captioner = stored("captioner")
    long = "On a grey floor under a pale sky, a blue cube is on the left. " * 6
    most = captioner.config.writer.max_tokens
    vocabulary = captioner.vocabulary
    assert len(vocabulary.encode(long)) > most
    (found,) = log_likelihood(captioner, prefix(5), [long], [True]).tolist()
    tokens = torch.tensor([[vocabulary.control("still"), *vocabulary.encode(long)[:most]]])
    logits = captioner.writer(prefix(5), tokens[:, :-1]).log_softmax(2)
    assert math.isclose(found, logits.gather(2, tokens[:, 1:, None]).sum().item(), rel_tol=1e-4)


def test_a_clip_that_follows_the_gradient_becomes_likelier(stored):
    captioner, seen, text = stored("captioner"), prefix(5), ["A red ball falls."]
    vectors = seen.vectors.clone().requires_grad_()
    before = log_likelihood(captioner, Prefix(vectors, seen.place, seen.real), text, [False])
    before.sum().backward()
    assert vectors.grad is not None
    nearer = Prefix(vectors.detach() + 1e-3 * vectors.grad / vectors.grad.norm(), seen.place, seen.real)
    assert log_likelihood(captioner, nearer, text, [False]) > before
