"""Rows: little padding on a mixed set, every clip once an epoch, examples drawn from their names, exact resume."""

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ozora.data.batch import RowPacker, make_row
from ozora.data.dataset import Dataset, MixtureConfig
from ozora.data.latents import CaptionCache, LatentCache
from ozora.geometry import Geometry

GEOMETRY = Geometry(latent_channels=4)
GRIDS = [(5, 8, 8)] * 14 + [(5, 6, 10)] * 2 + [(5, 10, 6)] * 2 + [(5, 6, 6)] * 2 + [(1, 8, 8)]
STYLES = ("dense", "medium", "short", "tags", "still")


def make_dataset(folder: Path, num_clips: int = 63, row_tokens: int = 640, **mixture) -> Dataset:
    """Clip i has latents whose every cell is i before normalisation, and a caption of style k reads i + k / 10."""
    grids = [GRIDS[i % len(GRIDS)] for i in range(num_clips)]
    latents = {str(i): torch.full((4, *grid), float(i), dtype=torch.float16) for i, grid in enumerate(grids)}
    header = {"refused": json.dumps({"999": "too tall"}), "fps": json.dumps(dict.fromkeys(range(num_clips), 8.0))}
    save_file(latents, folder / "latents.safetensors", header)
    pairs = [(i, style) for i in range(num_clips) for style in STYLES]
    states = torch.tensor([[i + STYLES.index(style) / 10] for i, style in pairs]).half()
    tensors = {"states": states, "offsets": torch.arange(len(pairs) + 1)}
    save_file(tensors, folder / "captions.safetensors", {"captions": json.dumps(pairs)})
    return Dataset(
        LatentCache([folder / "latents.safetensors"], [0.0] * 4, [1.0] * 4),
        CaptionCache([folder / "captions.safetensors"]),
        GEOMETRY,
        lambda grid, generator: torch.rand(1, generator=generator).expand(grid),
        MixtureConfig(**mixture),
        max_tokens=row_tokens,
    )


def test_padding_is_small_and_every_clip_comes_once_an_epoch(tmp_path):
    packer = RowPacker(make_dataset(tmp_path), row_tokens=640)
    seen = Counter()
    while packer.counts["used"] < 2 * 63:
        row = packer.next_row()
        assert row.layout.num_tokens == len(row.clean) == len(row.known) == len(row.segment_of_token) == 640
        for piece in row.layout.split(row.clean):
            assert piece.unique().numel() == 1  # no clip bleeds into another one
            seen[int(piece[0, 0])] += 1
    assert packer.padding <= 0.03
    assert packer.counts["seen"] == packer.counts["used"] + 64
    assert max(seen.values()) <= 4 and all(seen[i] for i in range(63))
    assert packer.dataset.refused == {"too tall": 1} and "1 clips refused: 1 because too tall" in packer.report()


def test_padding_carries_no_noise(tmp_path):
    dataset = make_dataset(tmp_path)
    examples = [dataset.example(0, i) for i in range(3)]
    num_tokens = sum(example.num_tokens for example in examples)
    row = make_row(examples, num_tokens + 7)
    assert row.layout.num_padding == 7 and row.segment_tokens.tolist()[-1] == 7
    assert (row.known[-7:] == 1).all() and (row.segment_of_token[-7:] == 3).all() and (row.clean[-7:] == 0).all()
    with pytest.raises(ValueError, match="pad_to must be at least"):
        make_row(examples, num_tokens - 1)


def test_a_stream_goes_on_exactly_where_it_was_saved(tmp_path):
    dataset = make_dataset(tmp_path)
    packer = RowPacker(dataset, row_tokens=640, pool_size=16)
    for _ in range(9):
        packer.next_row()
    other = RowPacker(dataset, row_tokens=640, pool_size=16)
    other.load_state_dict(packer.state_dict())
    for _ in range(12):
        one, two = packer.next_row(), other.next_row()
        for name in ("clean", "known", "segment_of_token"):
            assert torch.equal(getattr(one, name), getattr(two, name))
        assert torch.equal(one.layout.position, two.layout.position) and torch.equal(one.layout.text, two.layout.text)
    assert packer.report() == other.report() and packer.epoch > 0


def test_examples_depend_on_their_name_alone_and_change_with_the_epoch(tmp_path):
    dataset = make_dataset(tmp_path)
    first = [dataset.example(3, i) for i in range(20)]
    again = [dataset.example(3, i) for i in reversed(range(20))][::-1]
    for one, two in zip(first, again):
        assert torch.equal(one.known, two.known) and torch.equal(one.segment.position, two.segment.position)
    later = [dataset.example(4, i) for i in range(20)]
    assert sum(bool(torch.equal(a.known[:1], b.known[:1])) for a, b in zip(first, later)) == 0
    assert dataset.order(0) != dataset.order(1) and sorted(dataset.order(0)) == dataset.indices


def test_the_mixture_is_what_was_asked_for(tmp_path):
    dataset = make_dataset(tmp_path, two_spans=0.0, jitter=0.0)
    examples = [(i, dataset.example(epoch, i)) for epoch in range(24) for i in range(63) if i % 21 != 20]
    kinds = Counter(example.kind for _, example in examples)
    assert kinds["picture"] / len(examples) == pytest.approx(0.08, abs=0.02)
    assert kinds["mid_clip"] / (len(examples) - kinds["picture"]) == pytest.approx(0.20, abs=0.03)
    texts = [(i, example.kind, example.segment.spans[0].text) for i, example in examples]
    assert sum(len(text) == 0 for *_, text in texts) / len(texts) == pytest.approx(0.10, abs=0.02)
    styles = Counter(
        (kind == "picture", round(10 * float(text[0, 0] - i))) for i, kind, text in texts if len(text) and i < 9
    )
    assert {style for picture, style in styles if picture} == {4}
    clips = sum(number for (picture, _), number in styles.items() if not picture)
    assert styles[False, 0] / clips == pytest.approx(0.60, abs=0.08)
    for _, example in examples:
        seconds = example.segment.position[:, 0]
        assert bool(example.segment.one_frame[0]) == (example.kind != "mid_clip")
        if example.kind == "mid_clip":
            assert seconds[0] == pytest.approx(1.5 / 8) and seconds.unique().numel() >= 2
        if example.kind == "picture":
            assert seconds.unique().tolist() == [0.0]


def test_two_spans_share_a_window_by_whole_latent_frames(tmp_path):
    dataset = make_dataset(tmp_path, two_spans=1.0, pictures=0.0, mid_clip=0.0, no_text=0.0)
    spans = dataset.example(0, 0).segment.spans
    assert [span.num_tokens for span in spans] == [32, 48]
    assert len({round(float(span.text[0, 0]) * 10) for span in spans}) == 2


def test_a_picture_needs_no_other_caption_than_the_still_one(tmp_path):
    dataset = make_dataset(tmp_path, styles={"moving": 1.0}, no_text=0.0)
    assert dataset.indices == [20, 41, 62]
    example = dataset.example(0, 20)
    assert example.kind == "picture" and round(10 * float(example.segment.spans[0].text[0, 0] - 20)) == 4


def test_what_is_longer_than_a_row_is_refused(tmp_path):
    dataset = make_dataset(tmp_path, row_tokens=76)
    assert all(GRIDS[i % len(GRIDS)] != (5, 8, 8) for i in dataset.indices)
    assert dataset.refused["it has more than 76 tokens, which is all that a row holds"] == 42
    with pytest.raises(ValueError, match="no clip is left"):
        make_dataset(tmp_path, row_tokens=8)


def test_a_stream_over_a_grown_dataset_starts_the_next_epoch(tmp_path):
    packer = RowPacker(make_dataset(tmp_path, num_clips=42), row_tokens=640)
    packer.next_row()
    (tmp_path / "grown").mkdir()
    grown = RowPacker(make_dataset(tmp_path / "grown", num_clips=63), row_tokens=640)
    grown.load_state_dict(packer.state_dict())
    assert grown.epoch == packer.epoch + 1
