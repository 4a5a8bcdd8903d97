"""Tiny writers: random weights, a vocabulary of a few captions."""

from typing import Any

import pytest
import torch

from ozora.language.stored import StoredConfig, StoredWriter
from ozora.language.vocabulary import learn_vocabulary
from ozora.language.writer import Writer, WriterConfig

CAPTIONS = (
    "A red ball falls, hits the floor after half a second and bounces twice. The camera does not move.",
    "On a grey floor under a pale sky, a blue cube is on the left. It slides to the right. The camera pans left.",
)


@pytest.fixture(scope="session")
def vocabulary():
    return learn_vocabulary(CAPTIONS, 300)


@pytest.fixture(scope="session")
def writer(vocabulary):
    torch.manual_seed(0)
    config = WriterConfig(vocabulary.size, 12, width=32, num_blocks=2, num_heads=2, max_tokens=40)
    network = Writer(config).requires_grad_(False).eval()
    for weight in network.parameters():  # fresh networks hardly look at what they read
        if weight.ndim == 2:
            weight.mul_(5)
    return network


@pytest.fixture
def stored(writer, vocabulary):
    """A function: role -> a ``StoredWriter`` of that role."""
    return lambda role, reads="0" * 64, **fields: StoredWriter(
        StoredConfig(role, writer.config, reads, **fields), writer, vocabulary, "f" * 64
    )


WORDS = [f"{one}{two}{end}" for one in ("ba", "de", "ki", "lo", "mu") for two in ("na", "ro") for end in ("", "s", ".")]
TEMPLATE = (
    "{% for message in messages %}{% if message.content is string %}{{ message.content }} {% else %}"
    "{% for part in message.content %}{% if part.type == 'image' %}<image> {% else %}{{ part.text }} {% endif %}"
    "{% endfor %}{% endif %}{% endfor %}"
)


def word_tokenizer():
    """A tokenizer of a few words, so that whatever a random network writes with it is made of words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = {word: i for i, word in enumerate(["<unknown>", "<end>", "<image>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(pieces, "<unknown>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unknown>",
        eos_token="<end>",
        pad_token="<end>",
        extra_special_tokens={"image_token": "<image>"},
        chat_template=TEMPLATE,
    )


def spoken(network):
    """Random weights large enough that what is read shows in what is written, and no word written twice."""
    for weight in network.parameters():
        if weight.ndim >= 2:
            torch.nn.init.normal_(weight, std=0.5)
    network.generation_config.no_repeat_ngram_size = 1
    network.generation_config.suppress_tokens = [0, 1, 2]
    return network.eval()


SIZES: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48}
SIZES |= {"num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture(scope="session")
def vision_folder(tmp_path_factory):
    """A vision-language model with random weights, as ``transformers`` stores one."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    folder, tokenizer = tmp_path_factory.mktemp("vision"), word_tokenizer()
    torch.manual_seed(0)
    seen = CLIPVisionConfig(**SIZES, image_size=28, patch_size=14)
    written = LlamaConfig(**SIZES, vocab_size=len(tokenizer), eos_token_id=1, pad_token_id=1, bos_token_id=1)
    config = LlavaConfig(vision_config=seen, text_config=written, image_token_index=2, vision_feature_layer=-1)
    spoken(LlavaForConditionalGeneration(config)).save_pretrained(folder)
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    LlavaProcessor(
        pictures,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def language_folder(tmp_path_factory):
    """A language model with random weights, as ``transformers`` stores one."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder, tokenizer = tmp_path_factory.mktemp("language"), word_tokenizer()
    torch.manual_seed(1)
    sizes = LlamaConfig(**SIZES, vocab_size=len(tokenizer), eos_token_id=1, pad_token_id=1, bos_token_id=1)
    spoken(LlamaForCausalLM(sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
