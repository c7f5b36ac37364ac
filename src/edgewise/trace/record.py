"""What a network does when it runs once: every tensor operation, in order, with who asked for it.

The network runs in inference mode, where torch hands the recorder whole operations
(``linear``, ``batch_norm``, ``flatten``) instead of the pieces they are made of.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_RENAMED = {
    "_softmax": "softmax",
    "_log_softmax": "log_softmax",
    "_adaptive_avg_pool2d": "adaptive_avg_pool2d",
    "max_pool2d_with_indices": "max_pool2d",
    "native_layer_norm": "layer_norm",
    "native_group_norm": "group_norm",
    "constant_pad_nd": "pad",
    "_unsafe_view": "view",
    "reshape": "view",
    "reshape_as": "view",
    "view_as": "view",
    "_reshape_alias": "view",
    "unflatten": "view",
    "im2col": "unfold_windows",
    "native_channel_shuffle": "channel_shuffle",
    "_to_copy": "to",
    "swapaxes": "transpose",
    "concat": "cat",
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Step:
    """One operation that ran.

    Attributes:
        index: Place in running order.
        function: The operation itself.
        name: torch's functional name, without the trailing underscore of in-place forms.
        pointwise: Every value of the result depends on values at the same place only.
        arguments: Its arguments by the names of its schema, defaults included.
        inputs: Tensors among the arguments, in order.
        outputs: Tensors returned, in order; for an in-place form the tensor written.
        module: Path of the innermost module running; ``""`` is the network itself.
    """

    index: int
    function: OpOverload
    name: str
    pointwise: bool
    arguments: Mapping[str, Any]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    module: str

    @property
    def where(self) -> str:
        """The operation and the module that ran it, as people read it."""
        return f"{self.name} in {self.module or 'the network itself'}"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Record:
    """One run of a network.

    Attributes:
        steps: Operations in running order.
        inputs: Tensors given to the network.
        result: What the network returned.
        error: What it raised, if it did not finish.
        module: Path of the innermost module running at the end or at the error.
    """

    steps: tuple[Step, ...]
    inputs: tuple[Tensor, ...]
    result: Any = None
    error: Exception | None = None
    module: str = ""

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """Tensors among what the network returned."""
        return tuple(leaf for leaf in tree_leaves(self.result) if isinstance(leaf, Tensor))


@dataclass(kw_only=True, slots=True)
class _Tape:
    steps: list[Step] = field(default_factory=list)
    path: list[str] = field(default_factory=lambda: [""])


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here, and loading torch's compiler for its switch takes longer than a trace."""
        return False

    def __init__(self, tape: _Tape) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._tape = tape

    def __torch_dispatch__(
        self, func: OpOverload, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:  # noqa: ANN401 - whatever the operation returns
        result = func(*args, **(kwargs or {}))
        arguments = _bind(func, args, kwargs or {})
        inputs = tuple(leaf for leaf in tree_leaves(list(arguments.values())) if isinstance(leaf, Tensor))
        outputs = tuple(leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        tape = self._tape
        tape.steps.append(
            Step(
                index=len(tape.steps),
                function=func,
                name=_name(func, arguments),
                pointwise=torch.Tag.pointwise in func.tags,
                arguments=arguments,
                inputs=inputs,
                outputs=outputs,
                module=tape.path[-1],
            )
        )
        return result


def run_recorded(model: nn.Module, inputs: Sequence[Tensor], *, call: Callable[..., Any] | None = None) -> Record:
    """Runs the network once and writes down what it does.

    Args:
        model: Whose modules are followed; in eval mode.
        inputs: Given to the network, in order.
        call: Runs it; ``model`` itself by default.

    Returns:
        The run, with its error if it raised one. All tensors stay alive with it.
    """
    tape = _Tape()
    with _followed(model, tape), torch.inference_mode(), _Recorder(tape):
        try:
            result = (call or model)(*inputs)
        except Exception as error:  # any code of a user may fail in any way
            return Record(steps=tuple(tape.steps), inputs=tuple(inputs), error=error, module=tape.path[-1])
    return Record(steps=tuple(tape.steps), inputs=tuple(inputs), result=result)


@contextmanager
def _followed(model: nn.Module, tape: _Tape) -> Iterator[None]:
    """Keeps ``tape.path`` at the innermost running module; a failed call leaves its path on top."""
    hooks = []
    for name, module in model.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda _module, _inputs, name=name: tape.path.append(name)))
        hooks.append(module.register_forward_hook(lambda _module, _inputs, _output: _leave(tape)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _leave(tape: _Tape) -> None:
    tape.path.pop()


def _bind(func: OpOverload, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    bound: dict[str, Any] = {}
    for place, argument in enumerate(func._schema.arguments):
        if place < len(args):
            bound[argument.name] = args[place]
        elif argument.name in kwargs:
            bound[argument.name] = kwargs[argument.name]
        elif argument.has_default_value():
            bound[argument.name] = argument.default_value
    return bound


def _name(func: OpOverload, arguments: Mapping[str, Any]) -> str:
    name = func._schema.name.split("::")[-1]
    if name.endswith("_") and not name.endswith("__"):
        name = name[:-1]
    if name == "convolution" or name == "_convolution":
        spatial = len(arguments["stride"])
        return f"conv_transpose{spatial}d" if arguments["transposed"] else f"conv{spatial}d"
    if name == "hardtanh" and (arguments.get("min_val"), arguments.get("max_val")) == (0, 6):
        return "relu6"
    if name.endswith("batch_norm") or name == "_native_batch_norm_legit_no_training":
        return "batch_norm"
    if name.startswith(("upsample_", "_upsample_")):
        return "interpolate"
    return _RENAMED.get(name, name)
