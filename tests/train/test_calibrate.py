"""Batch-norm statistics measured anew."""

import pytest
import torch
from torch import nn

from edgewise._core.errors import DataError, UsageError
from edgewise.train.calibrate import recalibrate_batch_norm
from edgewise.train.faults import DivergedError
from train.networks import random_batches, same_weights, small_cnn


def test_one_batch_gives_the_exact_statistics_of_the_data() -> None:
    images = torch.randn(20, 3, 4, 5, generator=torch.Generator().manual_seed(0)) * 2 + 1
    norm = nn.BatchNorm2d(3)
    recalibrate_batch_norm(norm, [(images, None)])
    for channel in range(3):
        values = [float(images[i, channel, h, w]) for i in range(20) for h in range(4) for w in range(5)]
        mean = sum(values) / 400
        variance = sum((value - mean) ** 2 for value in values) / 399
        assert norm.running_mean[channel].item() == pytest.approx(mean, rel=1e-5)
        assert norm.running_var[channel].item() == pytest.approx(variance, rel=1e-5)


def test_several_batches_weigh_the_same_in_every_layer() -> None:
    model, batches = small_cnn(), random_batches(4)
    recalibrate_batch_norm(model, batches)
    slow = small_cnn().eval()
    norms = [index for index, layer in enumerate(slow) if isinstance(layer, nn.BatchNorm2d)]
    sums = {index: torch.zeros(2, slow[index].num_features, dtype=torch.float64) for index in norms}
    for images, _ in batches:
        values = images
        for index, layer in enumerate(slow):
            if index in sums:
                mean, variance = values.mean((0, 2, 3)), values.var((0, 2, 3))
                sums[index] += torch.stack([mean, variance]).double() / len(batches)
                biased = values.var((0, 2, 3), correction=0)
                values = (values - mean[:, None, None]) / (biased[:, None, None] + layer.eps).sqrt()
            else:
                values = layer(values)
    for index in norms:
        assert torch.allclose(model[index].running_mean.double(), sums[index][0], atol=1e-5)
        assert torch.allclose(model[index].running_var.double(), sums[index][1], rtol=1e-4)


def test_only_as_many_batches_are_drawn_as_asked_for() -> None:
    drawn = iter(random_batches(5))
    recalibrate_batch_norm(small_cnn(), drawn, n_batches=2)
    assert len(list(drawn)) == 3


def test_modes_momenta_and_weights_stay() -> None:
    model = small_cnn()
    model.train()
    model[1].eval()
    model[4].momentum = 0.37
    modes, weights = [module.training for module in model.modules()], [p.clone() for p in model.parameters()]
    assert recalibrate_batch_norm(model, random_batches(2)) == 3
    assert [module.training for module in model.modules()] == modes
    assert [module.momentum for module in (model[1], model[4])] == [0.1, 0.37]
    assert all(torch.equal(one, two) for one, two in zip(weights, model.parameters(), strict=True))


def test_dropout_is_off_meanwhile() -> None:
    with_dropout, without = small_cnn(dropout=0.5).train(), small_cnn().train()
    recalibrate_batch_norm(with_dropout, random_batches(2))
    recalibrate_batch_norm(without, random_batches(2))
    assert same_weights(with_dropout, without)


def test_a_model_without_statistics_is_left_alone_and_not_run() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=False))
    batches = iter(random_batches(3))
    assert recalibrate_batch_norm(model, batches) == 0
    assert len(list(batches)) == 3


def test_unusable_statistics_are_refused_and_the_old_ones_kept() -> None:
    model, before = small_cnn(), small_cnn()
    with pytest.raises(DivergedError, match="not finite"):
        recalibrate_batch_norm(model, [(torch.full((2, 1, 8, 8), torch.nan), None)])
    assert same_weights(model, before)
    with pytest.raises(DataError, match="at least 1 batch"):
        recalibrate_batch_norm(model, [])
    assert same_weights(model, before)
    with pytest.raises(UsageError, match="n_batches must be at least 1, got 0"):
        recalibrate_batch_norm(model, [], n_batches=0)
