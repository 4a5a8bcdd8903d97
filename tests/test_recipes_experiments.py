"""The experiments in miniature: the same files as at full length, on two dozen clips and networks of no use."""

import importlib.util
import json
import signal
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from ozora.clip import Clip
from ozora.data.record import Caption
from ozora.data.shards import ShardReader
from ozora.evaluate.cases import Case
from ozora.generate.folder import ModelConfig, SamplingConfig, find_model, load_folder, save_folder
from ozora.model.autoencoder import Autoencoder, AutoencoderConfig
from ozora.model.transformer import TransformerConfig
from ozora.train.config import AutoencoderFit, TrainConfig, TransformerFit, WorldConfig
from ozora.train.held_out import HeldOutLoss, held_out_loss, held_out_rows
from ozora.train.optimizer import OptimizerConfig
from ozora.train.run import build_world, load_recipe
from ozora.world.mix import WorldMix

RECIPES = Path(__file__).parents[1] / "recipes"
TINY = AutoencoderConfig(
    latent_channels=4, fine_width=8, coarse_width=8, num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1)
)
MIX = WorldMix(
    families=(("drop", 1.0), ("rest", 1.0)),
    num_objects=((1, 1.0),),
    shapes=(("sphere", 1.0), ("cube", 1.0)),
    sizes=(((48, 32), 1.0),),
    num_frames=((9, 0.7), (1, 0.3)),
    fps=((8.0, 1.0),),
    cameras=(("static", 1.0),),
)


class Lengths:
    """A text encoder whose state of a word is its length."""

    id, width, max_tokens, hash = "lengths", 8, 64, "0123456789abcdef0123"

    def pieces(self, text: str) -> list:
        return []

    def encode(self, texts) -> list[torch.Tensor]:
        return [torch.tensor([[float(len(word))] * 8 for word in text.split()]).reshape(-1, 8) for text in texts]


def recipe(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"experiment_{name}", RECIPES / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


EXPERIMENTS = ("scaling", "ablations", "guidance", "native", "gpu", "captions")
scaling, ablations, guidance, native, gpu, captions = map(recipe, EXPERIMENTS)


def small_mini() -> TrainConfig:
    """What recipes/mini.py returns, with next to nothing in it."""
    first, second = load_recipe(str(RECIPES / "mini.py")).fits
    assert isinstance(first, AutoencoderFit) and isinstance(second, TransformerFit)
    run = replace(second.run, num_threads=1, save_seconds=0.0, sample_seconds=0.0, log_steps=1)
    return TrainConfig(
        "mini",
        (
            replace(first, network=TINY, num_frames=9, batch_size=2, run=replace(run, num_steps=2)),
            replace(
                second,
                run=run,
                network=TransformerConfig(width=32, num_blocks=1, num_heads=2),
                optimizer=OptimizerConfig(warm_up_steps=2, decay_fraction=0.5),
                row_tokens=64,
                sampling=SamplingConfig(steps=2),
            ),
        ),
        world=WorldConfig(12, MIX),
    )


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """Simulated clips to train on in ``data``, others in ``held-out/data``, an untrained autoencoder in ``mini``."""
    place = tmp_path_factory.mktemp("experiments")
    build_world(WorldConfig(12, MIX, workers=1), place / "data")
    from ozora.world.build import build

    build(place / "held-out" / "data", 8, 20261124, MIX, "new_seeds", workers=1, show_progress=False)
    torch.manual_seed(0)
    autoencoder = Autoencoder(TINY)
    config = ModelConfig(
        "mini", TINY, None, autoencoder.geometry, latent_mean=(0.0,) * 4, latent_std=(0.5,) * 4, default_size=(48, 32)
    )
    save_folder(place / "mini", config, autoencoder, None, "# test\n")
    return place


@pytest.fixture
def out(clips, tmp_path, monkeypatch) -> Path:
    """A folder to experiment in; recipes/mini.py is small, and ``mini`` is the untrained autoencoder."""
    for module in (scaling, ablations, guidance, native, gpu, captions):
        monkeypatch.setattr(module, "load_recipe", lambda _: small_mini())
    monkeypatch.setattr(ablations, "load_text_encoder", lambda *_: Lengths())
    for user in ("train.fit_transformer", "train.held_out", "generate.generator"):
        monkeypatch.setattr(f"ozora.{user}.load_text_encoder", lambda *_: Lengths())
    monkeypatch.setattr("ozora.train.held_out.ROW_TOKENS", 64)
    monkeypatch.setattr("ozora.train.held_out.NUM_ROWS", 2)
    for name in ("mini", "data"):
        (tmp_path / name).symlink_to(clips / name)
    (tmp_path / "held-out").mkdir()
    (tmp_path / "held-out" / "data").symlink_to(clips / "held-out" / "data")
    monkeypatch.setattr("ozora.train.held_out.build_held_out", lambda folder, *_, **__: ShardReader(folder))
    for module in (scaling, ablations):
        monkeypatch.setattr(module, "build_held_out", lambda folder, *_, **__: ShardReader(folder), raising=False)
    return tmp_path


# scaling


def test_a_line_of_log_odds_is_continued():
    odds = 0.1 * np.array([1.0, 4.0, 32.0])
    shares = odds / (1 + odds)
    assert scaling.compute_to(0.9, (1, 4, 32), shares, 10**6) == pytest.approx(90, rel=1e-3)
    assert scaling.compute_to(0.9, (1, 4, 32), (0.5, 0.5, 0.4), 100) == float("inf")
    assert np.isfinite(scaling.compute_to(0.9, (1, 4), (0.0, 1.0), 100))


def test_the_exponent_of_a_power_law():
    compute = np.array([1e12, 4e12, 3.2e13])
    assert scaling.power_law(compute, 7 * compute**-0.13) == pytest.approx(0.13)


def test_sizes_have_the_compute_of_one():
    one = scaling.scaled(1)
    whole = scaling.compute(one.network, one.run.num_steps)
    for size in scaling.SIZES:
        fit = scaling.sized(*size)
        assert abs(scaling.compute(fit.network, fit.run.num_steps) - whole) <= scaling.compute(fit.network, 1)
    assert scaling.sized(256, 8, 4).run.num_steps == one.run.num_steps


def test_a_branch_is_the_run_that_it_left(out, monkeypatch):
    monkeypatch.setattr(scaling, "ROWS", 2)
    scaling.main(out, "1x", out / "data", threads=1)
    assert scaling.branch(out, scaling.scaled(1), scaling.scaled(1)) is None  # it has begun
    scaling.main(out, "4x", out / "data", threads=1)
    steps = [json.loads(line)["step"] for line in (out / "scale-4x-run" / "log.jsonl").read_text().splitlines()]
    assert steps[0] == 2 and steps[-1] == 8  # the first step is that of 1x, before its decay
    alone = out / "alone"
    alone.mkdir()
    for name in ("mini", "data", "cache"):
        (alone / name).symlink_to(out / name)
    (alone / "held-out").symlink_to(out / "held-out")
    scaling.main(alone, "4x", out / "data", threads=1)
    branched, whole = (load_folder(folder / "scale-4x").transformer for folder in (out, alone))
    assert branched is not None and whole is not None
    assert all(torch.equal(a, b) for a, b in zip(branched.parameters(), whole.parameters()))

    with pytest.warns(UserWarning):  # the networks were not trained for such clips
        scaling.main(out, "figure", longer=((str(out / "scale-4x"), 64),), page=out / "page", num_clips=2)
    report = json.loads((out / "page" / "scaling.json").read_text())
    assert [(point["name"], point["rows"]) for point in report["points"]] == [("1x", 2), ("4x", 8), ("32x", 64)]
    assert report["points"][1]["loss"] == report["points"][2]["loss"]
    page = (out / "page" / "README.md").read_text()
    assert "| 32x | 64 |" in page and "simulator" in page and (out / "page" / "strip.png").is_file()


# the yardstick


def test_the_yardstick_is_the_same_for_every_fit(out):
    fit = replace(small_mini().fits[1], autoencoder="mini")
    assert isinstance(fit, TransformerFit)
    model, reader = load_folder(out / "mini"), ShardReader(out / "held-out" / "data")
    rows = held_out_rows(reader, fit, model, out / "held-out", 2)
    other = replace(fit, mixture=replace(fit.mixture, masks=1.0, no_text=1.0), run=replace(fit.run, seed=5))
    again = held_out_rows(reader, other, model, out / "held-out", 2)
    assert all(torch.equal(a.clean, b.clean) for a, b in zip(rows, again))
    assert all(row.known.sum() == row.layout.num_padding for row in rows)


def test_the_yardstick_knows_paths_and_predictions(out):
    """A network that says nothing: its clean value is 0 on every path; its velocity of 0 leaves the noise in."""
    from ozora.model.transformer import Transformer

    fit = small_mini().fits[1]
    assert isinstance(fit, TransformerFit)
    model, reader = load_folder(out / "mini"), ShardReader(out / "held-out" / "data")
    rows = held_out_rows(reader, fit, model, out / "held-out", 24)
    losses = {}
    for path in ("straight", "variance_preserving"):
        for kind in ("clean", "velocity"):
            network = Transformer(TransformerConfig(16, 8, 32, 1, 2, prediction=kind))
            config = replace(model.config, transformer=network.config, path=path)
            losses[path, kind] = held_out_loss(replace(model, config=config, transformer=network), rows)
    assert losses["straight", "clean"] == losses["variance_preserving", "clean"]
    assert losses["straight", "velocity"] == losses["variance_preserving", "velocity"]
    clean, velocity = losses["straight", "clean"].by_noise, losses["straight", "velocity"].by_noise
    assert clean[0] > 10 * clean[9] and velocity[0] < 2 * velocity[9]


# ablations


def test_every_arm_differs_from_the_base_in_what_it_names():
    for name, arms in ablations.EXPERIMENTS.items():
        found = ablations.fits_of(name, 40, 2)
        names = [parts[-1].name for seeds in found.values() for parts in seeds]
        assert len(set(names)) == len(names) == (1 if name == "rates" else 2) * len(arms)
        settings = []
        for seeds in found.values():
            own = replace(seeds[0][-1], name="", card="", run=replace(seeds[0][-1].run, num_steps=0), autoencoder="")
            settings.append((own, replace(seeds[0][0], name="") if len(seeds[0]) > 1 else None))
        assert all(one != two for i, one in enumerate(settings) for two in settings[:i])
    with pytest.raises(ValueError, match="transformer, latents"):
        ablations.fits_of("nothing", 40, 2)


def test_conditionings_have_equal_compute():
    costs = []
    for seeds in ablations.fits_of("transformer", 400, 1).values():
        fit = seeds[0][-1]
        costs.append(fit.run.num_steps * ablations.training_flops(fit.network, ablations.even_row()))
    assert max(costs) / min(costs) < 1.01


def test_a_verdict_needs_more_than_the_noise():
    first = [1.00, 1.02, 0.98]
    assert ablations.verdict(*ablations.compare(first, first)) == "inside the noise"
    assert ablations.verdict(*ablations.compare([0.90, 0.92, 0.88], first)) == "better"
    assert ablations.verdict(*ablations.compare([1.10, 1.12, 1.08], first)) == "worse"
    assert ablations.verdict(*ablations.compare([0.90, 1.05, 0.97], first)) == "inside the noise"
    assert ablations.verdict(*ablations.compare([0.5], [1.0])) == "one seed: no verdict"


def test_an_ablation_runs_and_is_not_run_twice(out, monkeypatch):
    monkeypatch.setattr(ablations, "AUTOENCODER_STEPS", 2)
    monkeypatch.setattr(ablations, "NUM_PSNR_CLIPS", 2)
    arms = {label: ablations.fits_of("latents", 2, 2)[label] for label in ("kl 1e-4", "no equivariance")}
    results = {label: [ablations.run_arm(parts, out, out / "data") for parts in seeds] for label, seeds in arms.items()}
    for result in (result for found in results.values() for result in found):
        assert len(result.loss.by_noise) == 10 and len(result.psnr) == len(ablations.NOISE)
    text = ablations.table("latents", results)
    assert "inside the noise" in text or "better" in text or "worse" in text
    assert ablations.psnr_table("latents", results).count(" ± ") == len(ablations.NOISE) - 1
    monkeypatch.setattr(ablations, "train", None)
    assert ablations.run_arm(arms["kl 1e-4"][1], out, out / "data") == results["kl 1e-4"][1]


def test_the_table_pairs_seeds():
    def result(mean: float):
        return ablations.Result(HeldOutLoss(mean, (mean,) * 10), 300, 1.5)

    first = [result(x) for x in (1.0, 2.0, 3.0)]
    text = ablations.table("transformer", {"base": first, "muon": [result(x) for x in (0.9, 1.8, 2.7)]})
    assert "+10.0 ± 0.0 % | better" in text


# native sizes


def square(top: int, left: int, side: int = 10) -> Clip:
    frames = np.full((3, 32, 48, 3), 128, np.uint8)
    frames[:, top : top + side, left : left + side] = (220, 20, 20)
    return Clip(frames, 8.0)


def test_framing_tells_whole_from_cut_off():
    assert native.framing(square(10, 20)) == native.Framing(1, 1.0) and native.framing(square(10, 20)).whole
    for clip in (square(0, 20), square(10, 0), square(22, 20), square(10, 38)):
        assert native.framing(clip) == native.Framing(1, 0.0)
    assert not native.framing(Clip(np.full((3, 32, 48, 3), 128, np.uint8), 8.0)).whole


def test_framing_ranks_the_simulator_above_its_crop(clips):
    reader = ShardReader(clips / "data")
    moving = [reader.clip(i) for i in range(len(reader)) if reader.record(i).num_frames > 1]
    clear, cut = ([native.framing(x).clear for x in found] for found in (moving, map(native.middle_square, moving)))
    assert np.mean(clear) >= np.mean(cut) and not native.framing(native.middle_square(square(10, 2))).whole


def test_cropped_shards_keep_captions_and_forget_the_scene(clips, tmp_path):
    assert native.crop_shards(clips / "data", tmp_path) == 12
    whole, cropped = ShardReader(clips / "data"), ShardReader(tmp_path)
    for i in range(len(whole)):
        one, two = whole.record(i), cropped.record(i)
        assert (one.id, one.captions, one.facts, one.split) == (two.id, two.captions, two.facts, two.split)
        assert (two.width, two.height, two.source) == (32, 32, {"cropped from": [48, 32]})
        assert np.array_equal(cropped.clip(i).frames, whole.clip(i).frames[:, :, 8:40])
    assert native.crop_shards(clips / "data", tmp_path) == 0


def test_both_runs_and_their_report(out, monkeypatch):
    for name in ("native", "cropped"):
        (out / name).mkdir()
        (out / name / "mini").symlink_to(out / "mini")
    (out / "native" / "data").symlink_to(out / "data")
    native.crop_shards(out / "data", out / "cropped" / "data")
    for name in ("native", "cropped"):
        native.main(out, name, rows=2, threads=1)
    scenes = [(ShardReader(out / "data").record(i), ShardReader(out / "data").clip(i)) for i in range(12)]
    scenes = [scene for scene in scenes if scene[0].num_frames > 1][:3]
    monkeypatch.setattr(native, "asked", lambda *_: scenes)
    with pytest.warns(UserWarning):  # the model of squares was not trained for other sizes
        text = native.report(out, 3)
    assert "simulator, cropped" in text and (out / "strip.png").is_file() and (out / "native.json").is_file()


# captions


class Watcher:
    """A captioner that tells how many frames it was shown."""

    id = "watcher"

    def caption(self, clips, style="dense"):
        return [f"{clip.num_frames} frames" for clip in clips]


@pytest.fixture
def told(out, monkeypatch) -> Path:
    """The clips, described in three ways."""
    monkeypatch.setattr(captions, "mini", small_mini)
    monkeypatch.setattr(captions, "find_model", lambda _: out / "mini")
    monkeypatch.setattr(captions, "load_captioner", lambda *_: Watcher())
    (out / "own").mkdir()
    captions.choose(out / "own" / "data", out / "data", 4, 2)
    captions.describe(out / "own", "mini")
    return out / "own"


def test_three_descriptions_of_the_same_clips(told):
    readers = {name: ShardReader(told / name) for name in ("data", "data-short", "data-written", "data-dense")}
    assert {len(reader) for reader in readers.values()} == {6}
    for i in range(6):
        whole, short, written, dense = (reader.record(i) for reader in readers.values())
        assert all(replace(one, captions=whole.captions) == whole for one in (short, written, dense))
        assert all(len(one.captions) == 1 for one in (short, written, dense)) and whole.facts
        assert dense.captions[0].text == whole.text("dense" if whole.num_frames > 1 else "still")
        assert short.captions[0].text == (whole.text("short") or captions.in_short(whole))
        assert all(item.color in short.captions[0].text for item in whole.facts.objects)
        style = "dense" if whole.num_frames > 1 else "still"
        assert written in (short, replace(whole, captions=(Caption(style, f"{whole.num_frames} frames"),)))


def test_the_arms_differ_in_their_captions_alone(told, out, monkeypatch):
    """They see the same latents in the same order, and a report tells them apart scene by scene."""
    fits = [captions.fit(arm, 2, 1) for arm in captions.ARMS]
    assert all(replace(fit, name="", card="") == replace(fits[0], name="", card="") for fit in fits)
    (told / "mini").symlink_to(out / "mini")
    for arm in captions.ARMS:
        captions.main(told, arm, rows=2, threads=1)
    records = ShardReader(out / "held-out" / "data").records()
    moving = [one for one in records if one.num_frames > 1][:2]
    cases = [Case(one.id, "", seed, one.facts, one) for seed, one in enumerate(moving) if one.facts]
    monkeypatch.setattr(captions, "make_cases", lambda *_: cases)
    monkeypatch.setattr(captions, "build_held_out", lambda *_, **__: ShardReader(out / "held-out" / "data"))
    monkeypatch.setattr(captions, "load_expander", lambda *_: None)
    monkeypatch.setattr(captions, "expanded_cases", lambda cases, _: cases)
    text = captions.report(told, 2, 2)
    assert text.count("| dense - written, each asked in its own words |") == 2
    assert all((told / f"strip-{table}.png").is_file() for table in captions.TABLES)
    assert set(json.loads((told / "captions.json").read_text())["tables"]) == {"clips", "pictures"}


def test_differences_are_paired():
    """Where one arm is right whenever another is and once more, the interval does not go below nothing."""
    from ozora.evaluate.alignment import Score

    right, wrong = Score(True, True, True, True, None, None), Score(False, False, False, False, None, None)
    scores = {(arm, "short"): [right, wrong, wrong, right] for arm in captions.ARMS}
    scores |= {(arm, "dense"): [right, right, wrong, right] for arm in captions.ARMS}
    rows = captions.differences(scores)
    own = rows["dense - short, each asked in its own words"]
    assert own["count"].value == 0.25 and own["count"].low == 0 and own["event"] is None
    assert rows["dense - short, asked short"]["count"].value == 0
    assert "| +25 (+0 to +75) |" in captions.difference_table("", rows)


# the sweep


def test_scenes_of_the_sweep_are_asked_for_with_every_seed(clips):
    cases = guidance.own_cases(ShardReader(clips / "held-out" / "data"), 2, 3)
    assert [case.seed for case in cases] == [0, 1, 2, 0, 1, 2] and len({case.group for case in cases}) == 2


# the GPU's script


def test_the_pieces_of_an_export_are_the_folder(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "PIECE_BYTES", 9000)
    pieces = gpu.export(tmp_path, clips / "mini", tmp_path / "export")
    assert len(pieces) > 2 and all(piece.stat().st_size <= 9000 for piece in pieces)
    for name in ("transformer", "autoencoder"):
        whole = tmp_path / f"{name}.tar"
        whole.write_bytes(b"".join(piece.read_bytes() for piece in pieces if piece.name.startswith(name)))
        with tarfile.open(whole) as archive:
            archive.extractall(tmp_path / "again", filter="data")
    again, before = load_folder(tmp_path / "again" / "mini"), load_folder(clips / "mini")
    assert again.hash == before.hash


@pytest.mark.parametrize("before", [signal.default_int_handler, signal.SIG_IGN])
def test_a_call_ends_when_its_time_is_up(before):
    """Also one that a shell started in the background, where Ctrl-C is ignored."""
    found = signal.signal(signal.SIGINT, before)
    try:
        with pytest.raises(KeyboardInterrupt), gpu.time_limit(1e-4):
            while True:  # signal.pause() would wait for ever for a signal that came just before it
                continue
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, found)


def test_the_full_scale_is_legal_and_its_plan_decides_the_steps():
    scale = gpu.full(384, 10)
    plan = gpu.Plan(700, 6000, 0.2, 0.06, 120.0, "a GPU")
    first, second = gpu.fits(scale, plan)
    assert (first.run.num_steps, second.run.num_steps) == (700, 6000)
    assert first.init_from == str(find_model("mini")) and second.network.num_heads == 6
    geometry = Autoencoder(first.network).geometry
    assert geometry.num_tokens(33, 128, 128) == 576 < second.row_tokens
