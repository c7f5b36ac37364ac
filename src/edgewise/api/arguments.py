"""What a Python caller may write for a network, data, a latency or a share, and what the recipes make of it."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar

from edgewise._core.errors import EdgewiseError, UsageError
from edgewise._core.progress import Progress, SilentProgress
from edgewise._core.units import LatencyTarget, parse_latency, parse_ratio
from edgewise.recipes.requests import DataRequest, DeviceRequest, ModelRequest

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgewise.recipes.fit import FitResult
    from edgewise.recipes.records import LoadedModel
    from edgewise.recipes.search import SearchResult
    from edgewise.recipes.sparsify.run import SparsifyResult
    from edgewise.train.batches import Batches, JudgedData, Loaders, TrainingData
    from edgewise.train.data import Dataset

Model: TypeAlias = "str | Path | nn.Module | LoadedModel | FitResult | SearchResult | SparsifyResult"
"""A network: a name (``resnet56``, ``timm:resnet18``, ``torchvision:NAME``, ``file.py:factory``, ``space:NAME``), a run
folder, a module, what :func:`edgewise.load` returned, or what :func:`edgewise.fit`, :func:`edgewise.search` or
:func:`edgewise.sparsify` returned."""
Inputs: TypeAlias = "str | Tensor | tuple[Tensor, ...] | None"
"""What a network is called with: a shape such as ``1x3x224x224``, a tensor with a batch of one, or several in a tuple."""
Data: TypeAlias = "str | Path | Dataset | Loaders | TrainingData | Batches | tuple[Batches, ...] | None"
"""Images and classes: ``digits``, ``imagefolder:PATH``, ``npz:FILE`` or ``torchvision:NAME:ROOT``; a
:class:`edgewise.train.data.Dataset`; or batches such as a ``DataLoader``: training alone, or a tuple of training,
validation and perhaps test. Without data nothing is trained, and accuracies are none."""
Share: TypeAlias = "float | str | None"
"""A share of something: ``0.7`` or ``"0.7x"``."""
Watcher: TypeAlias = Progress | Callable[[str], object] | None
"""Who is told how far long work is: nobody, a function such as ``print`` that takes lines, or a
:class:`edgewise._core.progress.Progress`."""

IN_MEMORY = "in memory"
"""What requests and results call data that is named by no text."""
_OTHERWISE = {"input": "inputs", "no_latency": "measure"}
"""Arguments that are not called as the flags are."""
_FLAG = re.compile(r"--([a-z][a-z-]*[a-z])\b")
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def in_python(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """The function with errors that name arguments, not flags of the command line."""

    @wraps(function)
    def called(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        try:
            return function(*args, **kwargs)
        except EdgewiseError as error:
            if len(error.args) == 1:
                error.args = (python_words(str(error.args[0])),)
            raise

    return called


def python_words(text: str) -> str:
    """A message of the command line as a Python caller knows the arguments.

    Example:
        >>> python_words("--width-floor must lie in (0x, 1x], got 2x")
        '`width_floor` must lie in (0x, 1x], got 2x'
    """

    def argument(found: re.Match[str]) -> str:
        name = found.group(1).replace("-", "_")
        return f"`{_OTHERWISE.get(name, name)}`"

    return _FLAG.sub(argument, text)


class ToldProgress:
    """A watcher that passes lines on to a function.

    Args:
        say: Takes a line.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say

    def start(self, label: str, total: float) -> None:
        """Says what begins."""
        self._say(f"{label} ..." if total <= 0 else f"{label} ({total:g}) ...")

    def advance(self, steps: float = 1.0) -> None:
        """Says nothing."""

    def note(self, text: str) -> None:
        """Says the line."""
        self._say(text)


def watcher_of(progress: Watcher) -> Progress:
    """Who is told of long work."""
    if progress is None:
        return SilentProgress()
    return progress if isinstance(progress, Progress) else ToldProgress(progress)


def network_of(
    model: "Model", *, inputs: "Inputs" = None, weights: str | Path | None = None, pretrained: bool = False, trained: bool = True
) -> "LoadedModel":
    """The network that a caller means, ready to use; a module is copied, so that nothing changes the caller's.

    Raises:
        EdgewiseError: Of the kind that says what is wrong with it.
    """
    if isinstance(model, str | Path):
        from edgewise.recipes.runs import load_model

        return load_model(str(model), weights=_path(weights), pretrained=pretrained, shape=_shape_of(inputs))
    from torch import nn

    if isinstance(model, nn.Module):
        return _module(model, inputs, weights=_path(weights), trained=trained)
    if inputs is not None or weights is not None or pretrained:
        raise UsageError("`inputs`, `weights` and `pretrained` belong to names and modules; this network brings its own")
    return _loaded_of(model)


def request_of(loaded: "LoadedModel") -> ModelRequest:
    """The request that names a network in memory; recipes that get the network itself do not read it."""
    return ModelRequest(model=loaded.name)


def device_of(
    device: str | DeviceRequest, *, threads: int = 1, batch: int = 1, precision: str = "fp32", db: str | Path | None = None
) -> DeviceRequest:
    """The device asked for, by its name or as a request that is complete already."""
    if isinstance(device, DeviceRequest):
        return device
    return DeviceRequest(device=device, threads=threads, batch=batch, precision=precision, db=_path(db))


def data_of(
    data: "Data", *, epochs: float, seed: int, mean: Sequence[float], std: Sequence[float]
) -> tuple[DataRequest | None, "JudgedData | None"]:
    """The request for data, and the data where it is in memory."""
    if data is None:
        return None, None
    named = isinstance(data, str | Path)
    request = DataRequest(data=str(data) if named else IN_MEMORY, epochs=epochs, mean=tuple(mean), std=tuple(std), seed=seed)
    return request, None if named else parts_of(data)


def parts_of(data: Any) -> "JudgedData":  # noqa: ANN401 - whatever a caller calls data
    """Data in memory, in its parts.

    Raises:
        UsageError: It is no such thing.
    """
    from torch import Tensor

    from edgewise.train.batches import JudgedData, Loaders, TrainingData

    if isinstance(data, JudgedData):
        return data
    if isinstance(data, TrainingData):
        return Loaders(train=data.train, validation=data.validation)
    if isinstance(data, tuple) and 1 <= len(data) <= 3 and not any(isinstance(part, Tensor) for part in data):
        return Loaders(**dict(zip(("train", "validation", "test"), data, strict=False)))
    if isinstance(data, Iterable) and not isinstance(data, Tensor | tuple):
        return Loaders(train=data)
    raise UsageError(
        f"`data` must be a name such as 'digits', a Dataset, batches such as a DataLoader, or (train, validation, test), got {_kind(data)}"
    )


def dataset_of(data: "JudgedData | None", *, what: str) -> "Dataset | None":
    """The data in memory where only a whole data set will do.

    Raises:
        UsageError: It is a caller's own batches.
    """
    from edgewise.train.data import Dataset

    if data is None or isinstance(data, Dataset):
        return data
    raise UsageError(f"{what} needs data by its name, or an edgewise.train.data.Dataset, since it draws images of its own; got batches")


def latency_of(latency: "str | float | LatencyTarget") -> LatencyTarget:
    """The target: ``"0.7x"``, ``"2ms"``, or seconds.

    Example:
        >>> latency_of("0.7x").ratio, latency_of(2e-3).absolute_s
        (0.7, 0.002)
    """
    if isinstance(latency, LatencyTarget):
        return latency
    return parse_latency(latency if isinstance(latency, str) else f"{latency!r}s")


def share_of(share: "Share", *, name: str) -> float | None:
    """The share that a caller wrote, as a number or as it would be typed.

    Example:
        >>> share_of("0.25x", name="width_floor"), share_of(0.25, name="width_floor"), share_of(None, name="width_floor")
        (0.25, 0.25, None)
    """
    return parse_ratio(share, flag=f"`{name}`") if isinstance(share, str) else share


def names_of(names: str | Sequence[str]) -> tuple[str, ...]:
    """One name or several.

    Example:
        >>> names_of("conv1"), names_of(["a", "b"])
        (('conv1',), ('a', 'b'))
    """
    return (names,) if isinstance(names, str) else tuple(names)


def ratios_of(ratios: float | Sequence[float] | None) -> tuple[float, ...]:
    """Pruned shares: one for all blocks, or one for each.

    Example:
        >>> ratios_of(0.5), ratios_of([0.2, 0.6]), ratios_of(None)
        ((0.5,), (0.2, 0.6), ())
    """
    if ratios is None:
        return ()
    return (float(ratios),) if isinstance(ratios, int | float) else tuple(float(ratio) for ratio in ratios)


def folder_of(out: str | Path | None, loaded: "LoadedModel") -> Path | None:
    """The run folder asked for.

    Raises:
        UsageError: No file can build the network again.
    """
    if out is not None and loaded.source.kind == "memory":
        raise UsageError(
            f"`out` needs a network that can be built again from a name, file.py:factory or a run folder, got the module {loaded.name} "
            "in memory; keep the result by its save or export"
        )
    return _path(out)


def _module(model: "nn.Module", inputs: "Inputs", *, weights: Path | None, trained: bool) -> "LoadedModel":
    from torch import Tensor

    from edgewise.models.shapes import parse_input_shape
    from edgewise.models.weights import load_weights
    from edgewise.recipes.records import example_inputs, in_memory

    name = type(model).__name__
    if inputs is None:
        raise UsageError(f"`inputs` must say what the module {name} is called with, got none; give a tensor, several, or '1x3x224x224'")
    tensors = example_inputs(parse_input_shape(inputs)) if isinstance(inputs, str) else inputs
    loaded = in_memory(model, (tensors,) if isinstance(tensors, Tensor) else tuple(tensors), name=name, trained=trained)
    if weights is not None:
        load_weights(loaded.model, weights)
    return loaded


def _loaded_of(model: Any) -> "LoadedModel":  # noqa: ANN401 - whatever a caller calls a model
    from edgewise.recipes.fit import FitResult
    from edgewise.recipes.records import LoadedModel
    from edgewise.recipes.search import SearchResult
    from edgewise.recipes.sparsify.run import SparsifyResult

    if isinstance(model, LoadedModel):
        return model
    if isinstance(model, FitResult | SearchResult | SparsifyResult):
        return model.model
    raise UsageError(f"`model` must be a name, a run folder, a module, or a result that holds a network, got {_kind(model)}")


def _shape_of(inputs: "Inputs") -> str | None:
    """The shape by which a named model is loaded."""
    from torch import Tensor

    if inputs is None or isinstance(inputs, str):
        return inputs
    if isinstance(inputs, Tensor):
        return "x".join(map(str, inputs.shape))
    raise UsageError(f"`inputs` of a named model must be a shape such as 1x3x224x224 or one tensor, got {_kind(inputs)}")


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"
