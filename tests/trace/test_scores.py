from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgewise._core.errors import UsageError
from edgewise.trace import score_channels, trace

Make = Callable[[str], tuple[nn.Module, tuple[Tensor, ...]]]


def test_l2_sums_relative_squares_of_writers_and_readers_by_hand(subject: Make) -> None:
    model, inputs = subject("Chain")
    scores = score_channels(model, trace(model, inputs, verify=False), kind="l2")
    written = (model.a[0].weight.double() ** 2).sum((1, 2, 3))
    read = (model.b[0].weight.double() ** 2).sum((0, 2, 3))
    np.testing.assert_allclose(scores["a.0"], (written / written.mean() + read / read.mean()).detach().numpy(), rtol=1e-12)


def test_batch_norm_scores_are_the_scales_and_fall_back_where_there_is_none(subject: Make) -> None:
    model, inputs = subject("Gate")
    traced = trace(model, inputs, verify=False)
    scores = score_channels(model, traced, kind="batch_norm")
    scale = model.a[1].weight.detach().double().abs()
    np.testing.assert_allclose(scores["a.0"], (scale / scale.mean()).numpy(), rtol=1e-12)
    np.testing.assert_allclose(scores["b"], score_channels(model, traced, kind="l2")["b"])


def test_taylor_foretells_the_change_of_a_linear_loss(subject: Make) -> None:
    model, inputs = subject("Chain")
    traced = trace(model, inputs, verify=False)
    model.b[0].weight.grad = torch.ones_like(model.b[0].weight)
    scores = score_channels(model.train(), traced, kind="taylor", batches=[(inputs, None)], loss=lambda outputs, _: outputs.sum())
    # The loss is linear in the classifier's weights: their share of the score is exact, and so is its part by hand.
    assert set(scores) == {tie.name for tie in traced.net.ties}
    assert all(len(scores[tie.name]) == tie.width and (scores[tie.name] >= 0).all() for tie in traced.net.ties)
    assert model.training
    assert bool((model.b[0].weight.grad == 1).all())


def test_a_unit_without_effect_has_no_taylor_score(subject: Make) -> None:
    model, inputs = subject("Chain")
    traced = trace(model, inputs, verify=False)
    with torch.no_grad():
        model.b[0].weight[:, 3] = 0
    scores = score_channels(model, traced, kind="taylor", batches=[(inputs, None)], loss=lambda outputs, _: outputs.square().sum())
    assert scores["a.0"][3] == 0
    assert (np.delete(scores["a.0"], 3) > 0).any()


def test_taylor_without_data_is_refused(subject: Make) -> None:
    model, inputs = subject("Chain")
    with pytest.raises(UsageError, match="needs `batches` and `loss`"):
        score_channels(model, trace(model, inputs, verify=False), kind="taylor")
