"""Batches of any origin: our own splits, or whatever a user iterates over."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler

from edgewise._core.errors import DataError
from edgewise.train.data.dataset import Split

Batches = Iterable[Sequence[Any]]
"""Pairs of inputs and target. Inputs: a tensor, several in a tuple or list, or several by argument name. Target: what the loss takes."""


@runtime_checkable
class TrainingData(Protocol):
    """What fine-tuning needs: batches to learn from and, perhaps, batches to be judged by."""

    @property
    def train(self) -> Batches:
        """Batches to learn from; their number must be known (``len``)."""
        ...

    @property
    def validation(self) -> Batches | None:
        """Batches to be judged by."""
        ...


@runtime_checkable
class JudgedData(TrainingData, Protocol):
    """Data that reported networks are judged by, too."""

    @property
    def test(self) -> Batches | None:
        """Batches that nothing is chosen by."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaders:
    """A user's own batches, such as two or three ``DataLoader`` objects.

    Attributes:
        train: Batches to learn from; their number must be known (``len``).
        validation: Batches to be judged by, or none.
        test: Batches that the reported network alone is judged by, or none.
    """

    train: Batches
    validation: Batches | None = None
    test: Batches | None = None


def first_images(batches: Batches, n_images: int) -> Batches:
    """Batches of at most ``n_images`` images, or the batch that goes beyond: evenly spread over a part of our own.

    Example:
        >>> len(list(first_images([(torch.zeros(4, 1), torch.zeros(4))] * 5, 8)))
        2
    """
    if isinstance(batches, Split):
        return batches.first(n_images)
    found: list[Sequence[Any]] = []
    seen = 0
    for batch in batches:
        if seen >= n_images:
            break
        found.append(batch)
        seen += len(batch[1])
    return found


def count_batches(batches: Batches) -> int:
    """How many batches one pass gives.

    Raises:
        DataError: The number is not known, or zero.
    """
    if not isinstance(batches, Sized):
        raise DataError(f"training batches must have a length, so that the schedule has one; {type(batches).__name__} has no len()")
    n_batches = len(batches)
    if n_batches == 0:
        raise DataError("there must be at least 1 training batch, got 0; drop_last leaves none where a batch is larger than the data")
    return n_batches


def batches_of_epoch(batches: Batches, number: int, *, start: int) -> Iterator[Sequence[Any]]:
    """The batches of one epoch from ``start`` on; those before are drawn and dropped where they cannot be skipped."""
    if isinstance(batches, Split):
        return batches.epoch(number, start=start)
    if isinstance(batches, DataLoader) and isinstance(batches.sampler, DistributedSampler):
        batches.sampler.set_epoch(number)
    rest = iter(batches)
    for _ in islice(rest, start):  # now, not at the first use: it draws from torch's generator
        pass
    return rest


def call(model: nn.Module, inputs: Any) -> Any:  # noqa: ANN401 - any model's inputs and outputs
    """The model's output: several inputs are passed by position, named ones by name."""
    if isinstance(inputs, tuple | list):
        return model(*inputs)
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(inputs)


def map_tensors(value: Any, change: Any) -> Any:  # noqa: ANN401 - nested containers of any kind
    """The same nested tuples, lists and mappings with every tensor replaced by ``change(tensor)``."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_tensors(each, change) for each in value))
    if isinstance(value, tuple | list):
        return type(value)(map_tensors(each, change) for each in value)
    if isinstance(value, Mapping):
        return {key: map_tensors(each, change) for key, each in value.items()}
    return value


def device_of(model: nn.Module) -> torch.device:
    """Where the model's first parameter or buffer is; the CPU for a model without any."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


def to_device(value: Any, device: torch.device) -> Any:  # noqa: ANN401 - nested containers of any kind
    """The same nested containers with every tensor on ``device``."""
    return map_tensors(value, lambda tensor: tensor.to(device))
