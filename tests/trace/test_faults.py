"""What cannot be traced says why, in one line."""

import inspect
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from edgewise._core.errors import SpecError, UsageError, WeightsError
from edgewise.trace import trace

Make = Callable[[str], tuple[nn.Module, tuple[Tensor, ...]]]


def test_a_network_without_convolutions_is_refused() -> None:
    with pytest.raises(SpecError, match="must have a convolution, got mlp without any"):
        trace(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), (torch.zeros(1, 4),), name="mlp")


def test_a_weight_that_is_not_a_number_is_named(subject: Make) -> None:
    model, inputs = subject("Chain")
    with torch.no_grad():
        model.b[0].weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(WeightsError, match=r"got NaN in 'b\.0\.weight'"):
        trace(model, inputs)


def test_inputs_that_do_not_fit_are_told_with_shape_module_and_cause(subject: Make) -> None:
    model, _ = subject("Chain")
    with pytest.raises(
        SpecError, match=r"inputs of shape 1x4x8x8; it failed in a\.0 \(RuntimeError: .*\); give the shape it expects"
    ) as caught:
        trace(model, (torch.zeros(1, 4, 8, 8),))
    assert "\n" not in str(caught.value)


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(UsageError, match=r"must be a torch\.nn\.Module, got function"):
        inspect.unwrap(trace)(lambda x: x, (torch.zeros(1),))  # without the type check of the tests


class Uncopyable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def __deepcopy__(self, memo: object) -> nn.Module:
        raise RuntimeError("no copies")

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def test_a_network_that_cannot_be_copied_is_refused() -> None:
    with pytest.raises(SpecError, match=r"must allow copy\.deepcopy, got RuntimeError: no copies"):
        trace(Uncopyable(), (torch.zeros(1, 3, 4, 4),))


def test_a_trace_leaves_mode_hooks_and_random_state_alone(subject: Make) -> None:
    model, inputs = subject("Chain")
    model.train()
    state = torch.random.get_rng_state()
    trace(model, inputs)
    assert model.training
    assert model.b.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.equal(state, torch.random.get_rng_state())
