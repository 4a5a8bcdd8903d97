"""The writer: what is cached, padded or written in company is what it would be alone, and nothing looks ahead."""

import pytest
import torch

from ozora.language.decoding import Decoding, beam_search, draw, write
from ozora.language.stored import StoredConfig, from_int8, load_writer, save_writer, to_int8
from ozora.language.vocabulary import CONTROLS, Vocabulary, learn_vocabulary
from ozora.language.writer import Prefix, text_place


def prefix_of(lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Prefix.stack([(torch.randn(n, 12, generator=generator), text_place(n)) for n in lengths])


def test_token_by_token_with_memory_gives_the_numbers_of_all_at_once(writer):
    tokens = torch.randint(0, 300, (2, 9), generator=torch.Generator().manual_seed(1))
    prefix = prefix_of([5, 5])
    whole = writer(prefix, tokens)
    memory, parts = writer.read(prefix), []
    for piece in tokens.split([1, 4, 1, 3], 1):
        logits, memory = writer.extend(piece, memory)
        parts.append(logits)
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-4)
    assert memory.num_written == 9 and memory.real.shape == (2, 14)


def test_no_token_sees_what_follows_and_all_see_the_prefix(writer):
    tokens = torch.randint(0, 300, (1, 6), generator=torch.Generator().manual_seed(2))
    changed = tokens.clone()
    changed[0, 4] = (changed[0, 4] + 1) % 300
    prefix, other = prefix_of([4]), prefix_of([4], seed=9)
    one, two, three = writer(prefix, tokens), writer(prefix, changed), writer(other, tokens)
    assert torch.equal(one[:, :4], two[:, :4]) and not torch.allclose(one[:, 4], two[:, 4])
    assert not torch.allclose(one[:, 0], three[:, 0], atol=1e-3)


def test_padding_of_the_prefix_changes_nothing(writer):
    tokens = torch.randint(0, 300, (2, 5), generator=torch.Generator().manual_seed(3))
    both = prefix_of([3, 7])
    alone = Prefix(both.vectors[:1, :3], both.place[:1, :3], both.real[:1, :3])
    assert torch.allclose(writer(both, tokens)[:1], writer(alone, tokens[:1]), atol=1e-4)


def test_more_text_than_the_writer_was_made_for_is_refused(writer):
    with pytest.raises(ValueError, match="made for 40"):
        writer(prefix_of([2]), torch.zeros(1, 41, dtype=torch.long))


def test_what_a_row_becomes_depends_on_its_seed_and_not_on_its_company(writer, vocabulary):
    decoding, start = Decoding(1.0, 0.9, max_tokens=12), torch.tensor([[vocabulary.control("dense")]])
    alone = write(writer, prefix_of([5]), start, vocabulary.end, decoding, [7])
    prefix = Prefix.stack([(prefix_of([5]).vectors[0], text_place(5)), (torch.ones(2, 12), text_place(2))])
    company = write(writer, prefix, start.expand(2, -1), vocabulary.end, decoding, [7, 8])
    assert company[0] == alone[0]
    other = write(writer, prefix_of([5]), start, vocabulary.end, decoding, [8])
    assert other != alone and len(alone[0]) <= 12


def test_writing_ends_at_the_end_token_and_at_the_writers_limit(writer, vocabulary):
    start = torch.tensor([[vocabulary.control("dense")]])
    greedy = Decoding(0.0, max_tokens=100)
    (long,) = write(writer, prefix_of([5]), start, vocabulary.end, greedy, [0])
    assert len(long) <= 39 and vocabulary.end not in long
    (short,) = write(writer, prefix_of([5]), start, long[3], greedy, [0])
    assert short == long[: long.index(long[3])]


def test_nucleus_draws_from_the_likeliest_and_temperature_zero_takes_the_first():
    logits = torch.tensor([0.6, 0.3, 0.05, 0.05]).log()
    generator = torch.Generator().manual_seed(0)
    assert {draw(logits, Decoding(1.0, 0.7), generator) for _ in range(60)} == {0, 1}
    assert {draw(logits, Decoding(1.0, 0.5), generator) for _ in range(20)} == {0}
    assert {draw(logits, Decoding(0.0), generator) for _ in range(5)} == {0}
    counts = torch.bincount(torch.tensor([draw(logits, Decoding(1.0, 1.0), generator) for _ in range(2000)]))
    assert torch.allclose(counts / 2000, logits.exp(), atol=0.05)
    with pytest.raises(ValueError, match="nucleus"):
        Decoding(0.7, 0.0)


def test_a_beam_finds_nothing_less_likely_than_greed_and_one_beam_is_greed(writer, vocabulary):
    start, prefix = torch.tensor([[vocabulary.control("short")]]), prefix_of([6])
    (greedy,) = write(writer, prefix, start, vocabulary.end, Decoding(0.0, max_tokens=8), [0])
    assert beam_search(writer, prefix, start, vocabulary.end, 1, max_tokens=8) == greedy
    wide = beam_search(writer, prefix, start, -1, 6, max_tokens=3, length_power=0.0)  # an end that is never written
    one = beam_search(writer, prefix, start, -1, 1, max_tokens=3, length_power=0.0)
    assert log_probability(writer, prefix, start, wide) >= log_probability(writer, prefix, start, one) - 1e-5


def log_probability(writer, prefix, start, text):
    tokens = torch.cat([start, torch.tensor([text[:-1]], dtype=torch.long)], 1)
    logits = writer(prefix, tokens).log_softmax(-1)[0, -len(text) :]
    return logits.gather(1, torch.tensor(text)[:, None]).sum()


def test_every_text_comes_back_and_none_can_ask_for_a_control_token(vocabulary):
    for text in ("A red ball falls.", "größer ¿qué? 空 <end>", "  two  spaces\n", "<prompt>"):
        tokens = vocabulary.encode(text)
        assert vocabulary.decode(tokens) == text and max(tokens) < vocabulary.size - len(CONTROLS)
    again = Vocabulary.from_json(vocabulary.to_json())
    assert again.encode("A red ball") == vocabulary.encode("A red ball") and again.end == vocabulary.end
    assert vocabulary.decode([vocabulary.end, *vocabulary.encode("so"), vocabulary.control("dense")]) == "so"
    with pytest.raises(ValueError, match="256"):
        learn_vocabulary(["a"], 100)
    with pytest.raises(ValueError, match="no vocabulary"):
        Vocabulary.from_json("{}")


def test_eight_bits_lose_at_most_half_a_step_of_each_row():
    value = torch.randn(6, 50, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 2, 6)[:, None]
    back = from_int8(to_int8({"weight": value, "scale": torch.ones(3)}))
    assert ((back["weight"] - value).abs() <= value.abs().amax(1, keepdim=True) / 127 / 2 + 1e-7).all()
    assert torch.equal(back["scale"], torch.ones(3))


def test_a_folder_gives_back_what_was_saved_and_says_what_is_wrong_with_another(tmp_path, writer, vocabulary):
    config = StoredConfig("captioner", writer.config, "0" * 16, fps=8.0, max_frames=17, max_area=4096)
    place = save_writer(tmp_path / "w", config, writer, vocabulary, "# test\n")
    stored = load_writer(place, "captioner")
    assert stored.config == config and stored.vocabulary.size == vocabulary.size
    tokens = torch.randint(0, 300, (1, 6))
    assert torch.allclose(stored.writer(prefix_of([4]), tokens), writer(prefix_of([4]), tokens), atol=0.5)
    assert load_writer(place).hash == stored.hash
    with pytest.raises(ValueError, match="expander is asked for"):
        load_writer(place, "expander")
    (place / "writer.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(ValueError, match="truncated"):
        load_writer(place)
    (place / "writer.safetensors").unlink()
    with pytest.raises(ValueError, match="missing"):
        load_writer(place)
    (place / "config.json").write_text('{"format_version": 9}')
    with pytest.raises(ValueError, match="format_version"):
        load_writer(place)
