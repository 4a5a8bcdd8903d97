"""The log holds what was logged, averages are means, and strips show each clip in a row."""

import json
import math

import numpy as np
import torch

from ozora.clip import Clip
from ozora.flow.objective import FlowLoss
from ozora.train.metrics import LossMeter, Metrics, sample_strip


def test_the_meter_averages_steps_and_noise_levels():
    meter = LossMeter()
    meter.add(FlowLoss(torch.tensor(1.0), torch.tensor([2.0, 0.0]), torch.tensor([1.0, 0.0])))
    meter.add(FlowLoss(torch.tensor(3.0), torch.tensor([4.0, 0.0]), torch.tensor([2.0, 0.0])))
    values = meter.take()
    assert values["loss"] == 2.0 and values["noise/0.25"] == 2.0 and math.isnan(values["noise/0.75"])
    assert meter.take() == {}


def test_the_log_is_json_lines_without_what_is_no_number(tmp_path, capsys):
    with Metrics(tmp_path, "fit", 20) as metrics:
        metrics.log(10, {"loss": 0.5, "noise/0.05": math.nan})
        metrics.log(20, {"loss": 0.25})
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20] and lines[1]["loss"] == 0.25
    assert "noise/0.05" not in lines[0]
    assert "fit 20/20  loss 0.25" in capsys.readouterr().out


def test_a_strip_has_a_row_for_each_clip_and_its_last_frame_on_the_right():
    clips = [Clip(np.full((t, 8, 8, 3), 10 * t, np.uint8), 8.0) for t in (1, 5)]
    clips[1].frames.setflags(write=True)
    clips[1].frames[-1] = 200
    strip = sample_strip(clips, num_columns=3, gap=1)
    assert strip.shape == (2 * 9 + 1, 3 * 9 + 1, 3)
    assert strip[1, 1, 0] == 10 and strip[10, 1, 0] == 50 and strip[10, 2 * 9 + 1, 0] == 200
    assert strip[0, 0, 0] == 255


def test_a_picture_is_kept(tmp_path):
    with Metrics(tmp_path, "fit", 1) as metrics:
        path = metrics.image(3, "samples", np.zeros((16, 16, 3), np.uint8))
    assert path.name == "samples-00000003.png" and path.stat().st_size > 0
