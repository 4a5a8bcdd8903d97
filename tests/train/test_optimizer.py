"""The schedule's closed form, groups of weights, the moving average, and clipping."""

import pytest
import torch
from torch import nn

from ozora.train.optimizer import Ema, OptimizerConfig, apply_gradients, decay_starts, make_optimizers, schedule_factor


def test_schedule_warms_up_stays_and_decays_to_one_step_above_nothing():
    factors = [schedule_factor(step, 100, 10, 0.25) for step in range(100)]
    assert factors[0] == pytest.approx(0.1) and factors[9] == 1.0
    assert all(factor == 1.0 for factor in factors[10:76])
    assert decay_starts(100, 0.25) == 75
    assert factors[99] == pytest.approx(1 / 25) and factors[87] == pytest.approx(13 / 25)
    assert min(factors) > 0


def test_weight_decay_is_on_matrices_only():
    network = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3))
    (optimizer,) = make_optimizers(network, OptimizerConfig(weight_decay=0.5))
    decayed, kept = optimizer.param_groups
    assert [tuple(w.shape) for w in decayed["params"]] == [(3, 4)] and decayed["weight_decay"] == 0.5
    assert len(kept["params"]) == 3 and kept["weight_decay"] == 0.0


def test_muon_gets_the_matrices_of_blocks_and_both_learn():
    torch.manual_seed(0)
    network = nn.ModuleDict({"blocks": nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)), "out": nn.Linear(8, 1)})
    config = OptimizerConfig(kind="muon", learning_rate=0.1, warm_up_steps=1, decay_fraction=0.1)
    optimizers = make_optimizers(network, config)
    assert [tuple(w.shape) for w in optimizers[1].param_groups[0]["params"]] == [(8, 8), (8, 8)]
    x, losses = torch.randn(64, 8), []
    for step in range(40):
        loss = (network["out"](network["blocks"](x)) - x.sum(1, keepdim=True)).square().mean()
        loss.backward()
        apply_gradients(network, optimizers, config, step, 40)
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_the_gradient_is_clipped_and_its_norm_reported():
    network = nn.Linear(1, 1, bias=False)
    network.weight.grad = torch.tensor([[30.0]])
    config = OptimizerConfig(clip_norm=1.0)
    norm = apply_gradients(network, make_optimizers(network, config), config, 0, 10)
    assert norm.item() == pytest.approx(30.0) and network.weight.grad is None


def test_the_average_is_the_closed_form_and_lends_itself():
    network = nn.Linear(1, 1, bias=False)
    ema = Ema(network, decay=0.5)
    average = network.weight.item()
    for value in (1.0, 2.0, 5.0):
        nn.init.constant_(network.weight, value)
        decay = min(0.5, (1 + ema.num_updates) / (10 + ema.num_updates))
        average = decay * average + (1 - decay) * value
        ema.update(network)
    assert ema.weights["weight"].item() == pytest.approx(average)
    with ema.applied_to(network):
        assert network.weight.item() == pytest.approx(average)
    assert network.weight.item() == 5.0
    with pytest.raises(ValueError, match=r"ema_decay is 1.0"):
        Ema(network, 1.0)
