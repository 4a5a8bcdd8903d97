import dataclasses
import json

import pytest
import torch

from ozora.generate import folder
from ozora.generate.folder import find_model, load_folder, read_config, save_folder


def saved(model, path):
    return save_folder(path, model.config, model.autoencoder, model.transformer, "# tiny\n")


def test_a_folder_keeps_all_but_precision(model, tmp_path):
    path = saved(model, tmp_path / "deep" / "tiny")
    assert sorted(file.name for file in path.iterdir()) == [
        "README.md", "autoencoder.safetensors", "config.json", "transformer.safetensors",
    ]  # fmt: skip
    loaded = load_folder(path)
    assert loaded.config == model.config
    assert loaded.transformer is not None
    for mine, theirs in ((model.transformer, loaded.transformer), (model.autoencoder, loaded.autoencoder)):
        for (name, before), after in zip(mine.state_dict().items(), theirs.state_dict().values()):
            assert torch.equal(before.bfloat16().float(), after), name
        assert not theirs.training and not any(p.requires_grad for p in theirs.parameters())


def test_weights_are_as_readable_as_the_config(model, tmp_path):
    folder = saved(model, tmp_path / "model")
    assert len({file.stat().st_mode for file in folder.iterdir()}) == 1


def test_saving_again_replaces_and_is_stable(model, tmp_path):
    path = saved(model, tmp_path / "tiny")
    first = {file.name: file.read_bytes() for file in path.iterdir()}
    (path / "stale").touch()
    saved(model, path)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == first
    assert [entry.name for entry in tmp_path.iterdir()] == ["tiny"]


def test_a_failed_save_leaves_the_old_folder_whole(model, tmp_path, monkeypatch):
    path = saved(model, tmp_path / "tiny")
    first = load_folder(path).hash

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(folder, "save_file", full)
    with pytest.raises(OSError, match="no space"):
        saved(model, path)
    assert load_folder(path).hash == first and [entry.name for entry in tmp_path.iterdir()] == ["tiny"]


def test_large_weights_are_cut_into_parts(model, tmp_path, monkeypatch):
    whole = load_folder(saved(model, tmp_path / "whole"))
    monkeypatch.setattr(folder, "PART_BYTES", 8000)
    path = saved(model, tmp_path / "parts")
    parts = sorted(path.glob("transformer-*.safetensors"))
    assert len(parts) > 2 and parts[0].name == f"transformer-00001-of-{len(parts):05d}.safetensors"
    assert not (path / "transformer.safetensors").exists()
    loaded = load_folder(path)
    assert loaded.hash == whole.hash and loaded.transformer is not None and whole.transformer is not None
    state = whole.transformer.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in loaded.transformer.state_dict().items())
    parts[1].unlink()
    with pytest.raises(ValueError, match=r"transformer-00002.*: missing"):
        load_folder(path)


def test_the_hash_names_weights_and_config(model, tmp_path):
    first = load_folder(saved(model, tmp_path / "a"))
    assert load_folder(saved(model, tmp_path / "b")).hash == first.hash
    other = dataclasses.replace(model.config, reference_tokens=21)
    assert load_folder(save_folder(tmp_path / "c", other, model.autoencoder, model.transformer, "")).hash != first.hash
    assert first.transformer is not None
    with torch.no_grad():
        first.transformer.patch_out.bias[0] += 1
    assert load_folder(saved(first, tmp_path / "d")).hash != first.hash


def test_an_autoencoder_alone(model, tmp_path):
    config = dataclasses.replace(model.config, transformer=None)
    loaded = load_folder(save_folder(tmp_path / "only", config, model.autoencoder, None, ""))
    assert loaded.transformer is None and not (tmp_path / "only" / "transformer.safetensors").exists()


def test_networks_of_another_config_are_refused(model, tmp_path):
    config = dataclasses.replace(model.config, transformer=None)
    with pytest.raises(ValueError, match="networks' configs differ"):
        save_folder(tmp_path / "x", config, model.autoencoder, model.transformer, "")
    assert not list(tmp_path.iterdir())


def test_loading_draws_no_random_numbers(model, tmp_path):
    path = saved(model, tmp_path / "tiny")
    state = torch.get_rng_state()
    load_folder(path)
    assert torch.equal(torch.get_rng_state(), state)


def test_latents_are_normalised_and_decode_back(model):
    from ozora.clip import Clip

    frames = torch.randint(0, 256, (9, 32, 48, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    clip = Clip(frames.numpy(), 8.0)
    latents = model.encode(clip)
    raw = model.autoencoder.encode(clip.to_signal())
    std, mean = (
        torch.tensor(values)[:, None, None, None] for values in (model.config.latent_std, model.config.latent_mean)
    )
    torch.testing.assert_close(latents * std + mean, raw)
    expected = Clip.from_signal(model.autoencoder.decode(raw), 8.0)
    for chunk in (1, 2, 8):
        difference = model.decode(latents, 8.0, chunk).frames.astype(int) - expected.frames
        assert abs(difference).max() <= 1


def break_json(path):
    path.write_text("{")


def set_field(name, value):
    def change(path):
        values = json.loads(path.read_text())
        values[name] = value
        path.write_text(json.dumps(values))

    return change


@pytest.mark.parametrize(
    "file, change, match",
    [
        ("config.json", break_json, "no readable model config"),
        ("config.json", lambda path: path.unlink(), "no readable model config"),
        ("config.json", set_field("format_version", 99), "format_version is 99; this ozora reads 1"),
        ("config.json", set_field("colour", 1), "unknown field 'colour'"),
        ("config.json", set_field("path", "crooked"), "path: 'crooked'"),
        ("config.json", set_field("default_size", [64]), r"default_size: \[64\]"),
        ("config.json", set_field("reference_tokens", "many"), "reference_tokens: 'many' is no int"),
        ("config.json", set_field("geometry", {"patch": 1}), "geometry is"),
        ("transformer.safetensors", lambda path: path.unlink(), "transformer.safetensors: missing"),
        ("transformer.safetensors", lambda path: path.write_bytes(path.read_bytes()[:-9]), "truncated"),
        ("transformer.safetensors", lambda path: path.write_bytes(b""), "truncated"),
        ("autoencoder.safetensors", lambda path: path.write_text("<html>"), "truncated or no weights file"),
        (
            "transformer.safetensors",
            lambda path: path.write_bytes((path.parent / "autoencoder.safetensors").read_bytes()),
            "not those that config.json describes",
        ),
    ],
)
def test_a_damaged_folder_is_one_clear_line(model, tmp_path, file, change, match):
    path = saved(model, tmp_path / "tiny")
    change(path / file)
    with pytest.raises(ValueError, match=match) as caught:
        load_folder(path)
    assert "\n" not in str(caught.value)


def test_a_config_without_the_newer_fields_has_their_defaults(model, tmp_path):
    path = saved(model, tmp_path / "tiny")
    values = json.loads((path / "config.json").read_text())
    for name in ("sampling", "trained", "default_fps", "text_encoder_hash"):
        del values[name]
    del values["transformer"]["mlp_ratio"]
    (path / "config.json").write_text(json.dumps(values))
    config = read_config(path)
    assert config.sampling == folder.SamplingConfig()
    assert config.transformer is not None and config.transformer.mlp_ratio == 2.75
    assert config.autoencoder == model.config.autoencoder


def test_models_are_found_by_folder_and_shipped_name(model, tmp_path, monkeypatch):
    path = saved(model, tmp_path / "shipped" / "tiny")
    monkeypatch.setattr(folder, "SHIPPED", tmp_path / "shipped")
    assert find_model("tiny") == path and find_model(path) == path and find_model(str(path)) == path
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no config.json"):
        find_model(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"'giant': no such folder, nor a shipped model \(tiny\)"):
        find_model("giant")
    with pytest.raises(ValueError, match="hf download someone/something"):
        find_model("someone/something")
    with pytest.raises(ValueError, match="no such folder"):
        find_model("./someone/something/else")
