"""What every runtime offers, and what they share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor, nn

from edgewise._core.errors import DeviceError, UsageError
from edgewise.measure.host import DeviceIdentity
from edgewise.measure.session import Session
from edgewise.measure.settings import RuntimeSettings

_INPUT_SEED = 20_230_601


@runtime_checkable
class Runtime(Protocol):
    """A program that runs networks, with the settings it runs them by."""

    @property
    def settings(self) -> RuntimeSettings:
        """Device, threads, batch and precision."""
        ...

    @property
    def version(self) -> str:
        """Version of the program, as its package says."""
        ...

    def load_module(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> Session:
        """Loads a network in eval mode; inputs with a batch of 1 are repeated to the settings' batch.

        Raises:
            DeviceError: The runtime refuses the network.
            ExportError: The network cannot be written in the runtime's format.
        """
        ...

    def load_file(self, path: Path) -> Session:
        """Loads an exported file and feeds it random numbers of the shapes that it names.

        Raises:
            DeviceError: The file is missing, broken, not of this runtime, or of another batch.
        """
        ...

    def identity(self) -> DeviceIdentity:
        """What samples of this runtime belong to in the database."""
        ...


def batched(inputs: tuple[Tensor, ...], batch: int) -> tuple[Tensor, ...]:
    """The inputs with the given batch: those of a batch of 1 repeated, those that have it already as they are.

    Raises:
        UsageError: An input has another batch, or none.

    Example:
        >>> import torch
        >>> [tuple(x.shape) for x in batched((torch.zeros(1, 3, 8, 8),), 4)]
        [(4, 3, 8, 8)]
    """
    return tuple(_batched(tensor, batch) for tensor in inputs)


def random_feed(shape: Sequence[int | None], dtype: str, *, batch: int, name: str) -> np.ndarray:
    """Random numbers for an input that a file names; only the batch may be left open.

    Args:
        shape: Sizes of the axes, none where the file leaves one open.
        dtype: numpy's name of the type; floats are standard normal, others zeros.
        batch: The batch asked for.
        name: Of the input, for the error.

    Raises:
        DeviceError: An axis other than the first is open, or the file's batch is another.
    """
    sizes = [batch if place == 0 and size is None else size for place, size in enumerate(shape)]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes) or any(size < 1 for size in known):
        raise DeviceError(f"the file's input {name!r} must have fixed sizes, got {list(shape)}; export it with fixed input shapes")
    if known and known[0] != batch:
        raise DeviceError(
            f"the file's input {name!r} has a batch of {known[0]}, asked for {batch}; use --batch {known[0]} or export it again"
        )
    if not np.issubdtype(np.dtype(dtype), np.floating):
        return np.zeros(known, dtype)
    return np.random.default_rng(_INPUT_SEED).standard_normal(known).astype(dtype)


def readable_file(path: Path, *suffixes: str) -> Path:
    """The path itself, if it is a file that this runtime could read.

    Raises:
        DeviceError: Missing, a folder, or with another suffix.
    """
    if not path.is_file():
        raise DeviceError(f"no such model file: {path}")
    if path.suffix.lower() not in suffixes:
        raise DeviceError(f"a model file for this device must end with {' or '.join(suffixes)}, got {path.name!r}")
    return path


def missing_package(device: str, package: str, extra: str) -> DeviceError:
    """The error for a runtime whose package is not installed, with the remedy."""
    return DeviceError(f"device {device} needs the package {package}; pip install 'edgewise[{extra}]'")


def own_inputs(inputs: tuple[Tensor, ...], *, batch: int, device: str = "cpu") -> tuple[Tensor, ...]:
    """Own copies of the inputs on a device, so that nobody's later change reaches the session."""
    return tuple(tensor.detach().clone().to(device) for tensor in batched(inputs, batch))


def _batched(tensor: Tensor, batch: int) -> Tensor:
    if tensor.ndim == 0:
        raise UsageError("every input must have a batch axis, got a number")
    if tensor.shape[0] == batch:
        return tensor
    if tensor.shape[0] != 1:
        raise UsageError(f"inputs must have a batch of 1 or of {batch}, got shape {tuple(tensor.shape)}")
    return tensor.repeat(batch, *([1] * (tensor.ndim - 1)))
