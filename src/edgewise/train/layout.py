"""How a network and its inputs lie in memory, and in which mode it runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from edgewise.train.batches import Batches, call, device_of, map_tensors, to_device
from edgewise.train.gate import Gate, passing


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for the time being; every module gets back the mode that it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def takes_channels_last(model: nn.Module, inputs: Any) -> bool:  # noqa: ANN401 - any model's inputs
    """Whether the model runs with channels last; one that flattens by ``view`` may not.

    Args:
        model: The network; run once in evaluation mode.
        inputs: A batch, on the model's device; its first two items are enough.
    """
    few = map_tensors(inputs, lambda tensor: channels_last(tensor[:2]))
    try:
        with evaluation_mode(model), torch.no_grad():
            call(model, few)
    except RuntimeError:
        return False
    return True


def channels_last(value: Tensor) -> Tensor:
    """A batch of images with their channels last in memory; other tensors as they are."""
    return value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value


def outputs_on(model: nn.Module, batches: Batches, *, gate: Gate | None) -> Iterator[tuple[Any, Any]]:
    """What a model makes of each batch, in the mode that it is in, and the batch's target, not moved.

    Args:
        model: The network.
        batches: Pairs of inputs and target.
        gate: Passed before every batch.
    """
    device, laid_out = device_of(model), LaidOut(model)
    for inputs, target in batches:
        with passing(gate):
            output = call(model, laid_out(to_device(inputs, device)))
        yield output, target


class LaidOut:
    """Inputs as a network runs fastest on them: with channels last, where it takes them.

    ResNet-56 is judged 1.15 to 1.3 times as fast so (``benchmarks/results/training-speed.json``). The first batch is
    tried; all others follow.

    Args:
        model: The network.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._takes: bool | None = None

    def __call__(self, inputs: Any) -> Any:  # noqa: ANN401 - any model's inputs
        """The inputs of a batch."""
        if self._takes is None:
            self._takes = takes_channels_last(self._model, inputs)
        return map_tensors(inputs, channels_last) if self._takes else inputs
