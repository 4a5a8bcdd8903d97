"""Do texts become the states they should, whoever shares the batch, and is unreadable text named?"""

import re
import subprocess
import sys

import pytest
import torch

from ozora.language.encoder import MAX_CHARACTERS, check_prompt, check_text, load_text_encoder


@pytest.fixture(scope="module")
def encoder():
    return load_text_encoder()


PROMPTS = ["a red ball falls", "two blue cubes slide", "", "a ball", "a green cone is hit by a pink sphere", "a ball"]


def test_states_have_the_stated_shape_and_an_empty_text_has_none(encoder):
    states = encoder.encode(PROMPTS)
    assert [tuple(s.shape) for s in states] == [
        (len(encoder.pieces(prompt)) + 2 if prompt else 0, encoder.width) for prompt in PROMPTS
    ]
    assert all(s.dtype == torch.float32 and not s.requires_grad and not s.is_inference() for s in states)


def test_states_are_those_of_the_library_that_the_weights_come_from(encoder):
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    network = BertModel(BertConfig.from_json_file(encoder.folder / "config.json"), add_pooling_layer=False).eval()
    network.load_state_dict(load_file(encoder.folder / "model.safetensors"), strict=False)
    texts = ["a ball", "a green cone is hit by a pink sphere, and then it falls off the table", "ball " * 300]
    for text, states, early in zip(texts, encoder.encode(texts), load_text_encoder("minilm-2").encode(texts)):
        ids = torch.tensor([encoder._token_ids(text)])
        with torch.no_grad():
            expected = network(ids, torch.ones_like(ids), output_hidden_states=True)
        torch.testing.assert_close(states, expected.last_hidden_state[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(early, expected.hidden_states[2][0], atol=1e-5, rtol=0)


def test_encoding_imports_neither_that_library_nor_a_compiler():
    code = (
        "import sys; from ozora.generate.generator import Generator; from ozora.language.encoder import *;"
        "load_text_encoder().encode(['a ball']);"
        "print([m for m in ('transformers', 'torch._dynamo', 'sympy', 'scipy') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_company_does_not_matter(encoder):
    together = encoder.encode(PROMPTS)
    for prompt, states in zip(PROMPTS, together):
        torch.testing.assert_close(encoder.encode([prompt])[0], states, atol=1e-5, rtol=0)
    assert torch.equal(encoder.encode(PROMPTS)[0], together[0])


def test_equal_texts_do_not_share_memory(encoder):
    one, other = encoder.encode(["a ball", "a ball"])
    one.zero_()
    assert other.abs().max() > 0


def test_states_say_what_the_sentence_says(encoder):
    """The mean over the states is the sentence vector the encoder was trained for: a paraphrase is nearer."""
    ball, paraphrase, other = (
        torch.nn.functional.normalize(states.mean(0), dim=0)
        for states in encoder.encode(["a red ball falls", "a crimson sphere drops down", "the bank raises its rates"])
    )
    assert ball @ paraphrase > 0.5 > 0.3 > ball @ other


def test_words_beyond_the_limit_do_not_count(encoder):
    words = ["ball"] * 254
    long, longer = encoder.encode([" ".join(words), " ".join([*words, "cube", "cone"])])
    assert long.shape == longer.shape == (encoder.max_tokens, encoder.width)
    torch.testing.assert_close(long, longer, atol=1e-5, rtol=0)


def test_loading_and_encoding_leave_the_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    load_text_encoder().encode(["a ball"])
    assert torch.equal(torch.rand(4), expected)


def test_the_hash_is_stable(encoder):
    assert encoder.hash == load_text_encoder().hash
    assert len(encoder.hash) == 64
    assert len({load_text_encoder(id).hash for id in ("minilm", "minilm-1", "minilm-2")}) == 3


def test_an_unknown_encoder_is_named():
    with pytest.raises(ValueError, match=r"'t5'.* minilm, minilm-1, "):
        load_text_encoder("t5")


def test_a_prompt_is_checked_without_loading_the_network():
    code = (
        "import sys; from ozora.language.encoder import *; check_prompt('a ball', load_text_encoder());"
        "print([m for m in ('transformers', 'sentence_transformers') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("text", ["a red ball", "Ein Café, naïve — 3 balls!", "a ball's 2nd bounce (50 %)"])
def test_a_readable_prompt_has_no_warning(encoder, text):
    assert check_prompt(text, encoder) == []


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("красный мяч", "100 % .* not Latin .Cyrillic"),
        ("a red ball 大空", "20 % .* not Latin"),
        ("!?! $", "holds no words"),
        ("🙂", "holds no words"),
        ("a happy ball 🙂", "does not know '🙂'"),
        ("ball " * 300, "the first 254 of its 300 words are read"),
        ("unbelievably " * 200, "the first .* of its 200 words"),
    ],
)
def test_an_unreadable_prompt_is_warned_of(encoder, text, warning):
    messages = check_prompt(text, encoder)
    assert len(messages) == 1
    assert re.search(warning, messages[0])


@pytest.mark.parametrize("text", ["", "  \n\t", "\u200b\ufeff", "a\0ball", "a \udc80 ball", "a" * (MAX_CHARACTERS + 1)])
def test_what_is_no_text_is_refused(encoder, text):
    with pytest.raises(ValueError, match="the prompt"):
        check_prompt(text, encoder)


def test_the_refusal_names_what_was_checked():
    with pytest.raises(ValueError, match="negative prompt holds"):
        check_text("\0", "negative prompt")
