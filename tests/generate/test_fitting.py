"""Is a file that somebody has brought to the model by the stated rule, and its mask with it?"""

from dataclasses import replace

import numpy as np
import pytest

from ozora.clip import Clip
from ozora.generate.fitting import fit_mask, fitting_size, read_for_model, read_mask
from ozora.generate.folder import ModelConfig, TrainedRange
from ozora.media.resize import resize
from ozora.media.write import write_clip

CONFIG = ModelConfig("any", trained=TrainedRange(((48, 48), (48, 80), (64, 64), (80, 48)), (1, 17), (8.0,)))


@pytest.mark.parametrize(
    ("size", "fitted"),
    [
        ((64, 64), (64, 64)),
        ((48, 48), (48, 48)),
        ((80, 48), (80, 48)),
        ((64, 48), (64, 48)),  # not trained on, but legal and between those that were
        ((32, 32), (64, 64)),
        ((128, 128), (64, 64)),
        ((63, 64), (64, 64)),
        ((1920, 1080), (80, 48)),
        ((1080, 1920), (48, 80)),
        ((500, 480), (64, 64)),
        ((3, 4000), (48, 80)),
    ],
)
def test_a_file_is_kept_as_it_is_or_fitted_to_the_nearest_shape(size, fitted):
    assert fitting_size(size, CONFIG) == fitted


def moving(num_frames, size, fps):
    ramp = (
        np.arange(size[0], dtype=np.uint8)[None, None, :, None]
        + np.arange(num_frames, dtype=np.uint8)[:, None, None, None]
    )
    return Clip(np.broadcast_to(ramp, (num_frames, size[1], size[0], 3)).copy(), fps)


def test_what_was_done_is_said(tmp_path):
    write_clip(moving(45, (98, 54), 29.97), tmp_path / "phone.webm")
    clip, said = read_for_model(tmp_path / "phone.webm", CONFIG)
    assert (clip.size, clip.num_frames, clip.fps) == ((80, 48), 12, 8.0)
    assert said.startswith("phone.webm (98x54 webm, 45 frames") and "cropped at the centre" in said
    assert "resampled to 8 fps" in said
    clip, said = read_for_model(tmp_path / "phone.webm", CONFIG, (64, 64), 10.0, "letterbox", seconds=0.5)
    assert (clip.size, clip.num_frames, clip.fps) == ((64, 64), 5, 10.0)
    assert "black bars" in said and "kept 0 to 0.5 s" in said
    with pytest.raises(ValueError, match="64x64 or 80x64"):
        read_for_model(tmp_path / "phone.webm", CONFIG, (70, 64))


def test_a_rate_that_the_model_knows_is_kept(tmp_path):
    config = replace(CONFIG, trained=replace(CONFIG.trained, fps=(6.0, 12.0)))
    for fps, kept in ((8.0, 8.0), (12.0, 12.0), (10.0, 10.0), (24.0, 8.0), (5.0, 8.0)):
        write_clip(moving(9, (64, 64), fps), tmp_path / "a.webm")
        assert read_for_model(tmp_path / "a.webm", config)[0].fps == pytest.approx(kept, rel=1e-3)


def test_a_mask_has_the_size_and_length_of_its_clip(tmp_path):
    white = np.zeros((1, 48, 80, 3), np.uint8)
    white[:, 10:20, 30:50] = 255
    write_clip(Clip(white, 8.0), tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png", (80, 48), 9, 8.0)
    assert np.array_equal(mask, white[..., 0] > 0)
    with pytest.raises(ValueError, match=r"mask\.png has 80x48 pixels; .* 64x64"):
        read_mask(tmp_path / "mask.png", (64, 64), 9, 8.0)
    write_clip(Clip(np.repeat(white, 5, axis=0), 8.0), tmp_path / "mask.webm")
    assert read_mask(tmp_path / "mask.webm", (80, 48), 5, 8.0).shape == (5, 48, 80)
    with pytest.raises(ValueError, match=r"has 5 frames at 8 fps; it must have 1 or 9"):
        read_mask(tmp_path / "mask.webm", (80, 48), 9, 8.0)


@pytest.mark.parametrize("fit", ["crop", "letterbox", "stretch"])
def test_a_mask_is_fitted_as_its_clip_is(fit):
    frames = np.zeros((1, 54, 98, 3), np.uint8)
    frames[:, 20:30, 40:60] = 255
    fitted = resize(Clip(frames, 8.0), (64, 64), fit).frames[..., 0]
    mask = fit_mask(frames[..., 0] > 0, (64, 64), fit)
    assert mask.shape == (1, 64, 64) and mask[fitted > 40].all() and not mask[fitted < 20].any()
