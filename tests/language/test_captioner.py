"""The trained captioner: parts of long clips, company that changes nothing, styles."""

import numpy as np
import pytest
import torch

from ozora.clip import Clip
from ozora.language.captioner import TrainedCaptioner
from ozora.language.writer import text_place


def clip(num_frames, seed=0, fps=8.0):
    return Clip(np.random.default_rng(seed).integers(0, 256, (num_frames, 8, 8, 3), dtype=np.uint8), fps)


def look(clip):
    vectors = torch.from_numpy(clip.frames.astype(np.float32)).flatten(1)[:, :12] / 255
    return vectors, text_place(len(vectors))


@pytest.fixture
def captioner(stored):
    return TrainedCaptioner(stored("captioner", max_frames=17, max_area=64, fps=8.0), look)


def test_company_and_batches_change_no_caption(captioner):
    clips = [clip(5 + i % 3, i) for i in range(20)]
    together = captioner.caption(clips)
    assert together[3] == captioner.caption([clips[3]])[0] and together[19] == captioner.caption([clips[19]])[0]
    assert captioner.caption([]) == []


def test_styles_differ_and_others_are_refused(captioner):
    texts = [captioner.caption([clip(9)], style)[0] for style in ("short", "dense")]
    assert texts[0] != texts[1]
    assert captioner.caption([clip(1)], "short") == captioner.caption([clip(1)], "dense")  # a picture has one style


def test_a_long_clip_is_told_part_by_part_with_seconds(captioner):
    parts = captioner.parts(clip(40))
    assert [(second, part.num_frames) for second, part in parts] == [(0.0, 17), (17 / 8, 17), (34 / 8, 6)]
    assert len(captioner.parts(clip(20))) == 1  # three frames more are no part of their own
    (text,) = captioner.caption([clip(34)])
    assert text.startswith("From 0 seconds: ") and "From 2.12 seconds: " in text
    still = Clip(np.repeat(clip(1).frames, 34, 0), 8.0)
    assert not captioner.caption([still])[0].startswith("From")  # the same words are told once


def test_beams_are_a_way_to_write(stored):
    captioner = TrainedCaptioner(stored("captioner", max_frames=17), look, num_beams=3)
    assert captioner.caption([clip(5)]) == captioner.caption([clip(5)])
    with pytest.raises(ValueError, match="trained expander"):
        TrainedCaptioner(stored("expander"), look)
