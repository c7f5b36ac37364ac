"""How often a classifier is right."""

import pytest
import torch
from torch import Tensor, nn

from edgewise._core.errors import DataError
from edgewise.train.evaluate import accuracy
from edgewise.train.faults import DivergedError
from train.networks import random_batches, small_cnn


def test_a_batch_counts_by_its_images() -> None:
    logits = torch.eye(4)
    batches = [(logits[:3], torch.tensor([0, 1, 0])), (logits[3:], torch.tensor([3]))]
    assert accuracy(nn.Identity(), batches) == 3 / 4


def test_it_agrees_with_a_slow_loop_and_leaves_modes_alone() -> None:
    model, batches = small_cnn(dropout=0.5), random_batches(3)
    model[1].eval()
    modes = [module.training for module in model.modules()]
    found = accuracy(model, batches)
    assert [module.training for module in model.modules()] == modes
    model.eval()
    right = [
        int(model(image[None]).argmax()) == int(label) for images, labels in batches for image, label in zip(images, labels, strict=True)
    ]
    assert found == sum(right) / 24


def test_modes_come_back_after_an_error() -> None:
    model = small_cnn().train()
    with pytest.raises(RuntimeError):
        accuracy(model, [(torch.zeros(2, 7), torch.zeros(2))])
    assert all(module.training for module in model.modules())


def test_several_inputs_by_position_and_by_name() -> None:
    class Sum(nn.Module):
        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return left + 2 * right

    left, right, target = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), torch.tensor([1])
    assert accuracy(Sum(), [((left, right), target)]) == 1.0
    assert accuracy(Sum(), [({"right": left, "left": right}, target)]) == 0.0


def test_nan_is_an_error() -> None:
    with pytest.raises(DivergedError, match="NaN"):
        accuracy(nn.Identity(), [(torch.tensor([[0.0, torch.nan]]), torch.tensor([0]))])


@pytest.mark.parametrize(
    ("batches", "message"), [([], "at least 1 image"), ([(torch.zeros(1, 2, 3), torch.zeros(1))], "your own evaluate")]
)
def test_what_cannot_be_counted_is_refused(batches: list, message: str) -> None:
    with pytest.raises(DataError, match=message):
        accuracy(nn.Identity(), batches)
