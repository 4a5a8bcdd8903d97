"""What is lost on the way to latents and back: each measure sees what is wrong, and only that."""

import io
import json

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress

from ozora.clip import Clip
from ozora.evaluate import compression
from ozora.evaluate.compression import (
    CONTROLS,
    RECONSTRUCTION,
    SOURCE,
    Seen,
    cell_means,
    distortion_rows,
    evaluate_compression,
    find_footage,
    footage_pieces,
    held,
    object_rows,
    score_distortion,
    size_class,
    size_classes,
    temporal_error,
)
from ozora.evaluate.damage import flickering, noisy
from ozora.evaluate.verdicts import check
from ozora.media.write import write_clip


@pytest.fixture(scope="module")
def seen(draw_discs, line):
    """Four hand-drawn clips of a moving red disc, large in two of them and small in two."""
    items = []
    for number, radius in enumerate((8.0, 9.0, 3.0, 3.5)):
        frames = draw_discs({"red": line((20 + 3 * number, 14), (0.5, 1.5), 17)}, radius=radius)
        mask = (frames[..., 0].astype(int) - frames[..., 2] > 60)[None]
        items.append(Seen(Clip(frames, 8.0), (("red", "sphere"),), mask))
    return items


def test_flicker_is_change_where_the_source_stands_still(seen):
    source = seen[0].clip.frames
    assert np.nanmax(temporal_error(source, source)) == 0
    assert np.nanmax(temporal_error(noisy(source, 8.0), source)) < 0.2  # the noise stands still as well
    light = np.arange(17) % 2 * 6
    pulsing = (source.astype(int) - light[:, None, None, None]).clip(0, 255).astype(np.uint8)
    np.testing.assert_allclose(temporal_error(pulsing, source), 6, atol=0.1)


def test_flicker_says_nothing_where_nothing_stands_still():
    frames = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    assert np.isnan(temporal_error(frames, frames)).all()
    assert score_distortion(frames, Clip(frames, 8.0))["flicker"] is None


def test_seams_are_where_latent_frames_begin(seen):
    source = seen[0].clip
    frames = source.frames.astype(int)
    groups = np.array([0, *np.arange(16) // 4 + 1])
    stepped = (frames + 5 * (groups % 2)[:, None, None, None]).clip(0, 255).astype(np.uint8)
    scores = score_distortion(stepped, source)
    assert scores["flicker at seams"] == pytest.approx(5, abs=0.1)
    assert scores["flicker"] == pytest.approx(5 / 4, abs=0.1)


def test_controls_mean_what_they_say(seen):
    frames = seen[0].clip.frames
    means = cell_means(frames)
    assert means.shape == frames.shape
    cells = means.reshape(17, 8, 8, 8, 8, 3)
    assert (cells == cells[:, :, :1, :, :1]).all() and (means[1:5] == means[1]).all()
    assert means[0, :8, :8].mean() == pytest.approx(frames[0, :8, :8].mean(), abs=0.5)
    assert np.array_equal(cell_means(means), means)
    assert np.array_equal(held(frames)[[0, 1, 4, 5, 16]], frames[[0, 1, 1, 5, 13]])


def test_every_measure_ranks_its_controls(seen):
    rows = distortion_rows(None, seen, Progress(disable=True))
    assert list(rows) == [SOURCE, *CONTROLS]
    for column, metric in compression.METRICS.items():
        if metric.worse:
            assert check(rows, column, metric).ranks, column
    psnrs = [share.value for row in rows.values() if (share := row["PSNR (dB)"])]
    assert len(psnrs) == len(CONTROLS) and max(psnrs) < 40 and rows[SOURCE]["PSNR (dB)"] is None
    assert rows["noise of 8, the same in all frames"]["flicker"].value < 0.2  # pyright: ignore[reportOptionalMemberAccess]


def test_objects_are_classed_by_what_is_seen_of_them(seen):
    assert [size_class(item.masks[0]) for item in seen] == [size_classes()[-1]] * 2 + [size_classes()[1]] * 2
    assert size_class(np.zeros((3, 8, 8), bool)) is None
    rows = object_rows(None, seen, Progress(disable=True))
    large, small = size_classes()[-1], size_classes()[1]
    read = rows[f"{SOURCE}, {large}"]["color read %"]
    assert read is not None and read.value == 1 and read.num_clips == 2
    blocks = f"{next(iter(CONTROLS))}, "
    kept = [rows[blocks + size]["PSNR inside objects (dB)"] for size in (large, small)]
    assert kept[0].value > kept[1].value  # pyright: ignore[reportOptionalMemberAccess]


def test_footage_is_cut_into_pieces(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (40, 144, 160, 3), dtype=np.uint8)
    file = write_clip(Clip(frames, 25.0), tmp_path / "street.mp4", {})
    pieces = footage_pieces(file)
    assert [piece.frames.shape for piece in pieces] == [(17, 128, 128, 3)] * 2 and pieces[0].fps == 25.0
    short = write_clip(Clip(frames[:9], 25.0), tmp_path / "short.mp4", {})
    with pytest.raises(ValueError, match="17 at least"):
        footage_pieces(short)
    assert all(path.is_file() for path in find_footage())


def test_the_whole_evaluation(monkeypatch, tmp_path, two_cases, noisy_generator):
    monkeypatch.setattr(compression, "make_cases", lambda table, num, cache=None: two_cases)
    monkeypatch.setattr(compression, "FOOTAGE_SIZE", (32, 32))
    frames = flickering(np.full((34, 40, 48, 3), 120, np.uint8), 10.0)
    file = write_clip(Clip(frames, 25.0), tmp_path / "street.mp4", {})
    console = Console(file=io.StringIO(), width=200)
    report = evaluate_compression(noisy_generator.model, tmp_path, 2, console, [file])
    assert list(report["sections"]) == ["simulated", "object size", "real footage"]
    rows = report["sections"]["simulated"]["Renders"]
    assert list(rows)[:2] == [RECONSTRUCTION, SOURCE] and rows[SOURCE]["SSIM"]["value"] == pytest.approx(1)
    assert rows[RECONSTRUCTION]["SSIM"]["value"] < 0.9
    assert {f"{RECONSTRUCTION}, street", RECONSTRUCTION} <= set(report["sections"]["real footage"]["Real footage"])
    assert any(
        name.startswith(f"{RECONSTRUCTION}, ")
        for name in report["sections"]["object size"]["Objects by size in pixels"]
    )
    assert json.loads((tmp_path / "autoencoder.json").read_text()) == report
    assert "Real footage" in (tmp_path / "autoencoder.md").read_text()


def test_too_few_clips_are_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match="at least 2"):
        evaluate_compression(None, tmp_path / "no", 1)
    assert not (tmp_path / "no").exists()
