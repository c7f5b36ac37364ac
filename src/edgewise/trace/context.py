"""What a rule sees of the operation it judges."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from edgewise.trace.ledger import Channels, FromParameters, Ids, Ledger, Role, Value
from edgewise.trace.record import Step


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """What verification has learnt about single operations.

    Attributes:
        frozen: Operations whose channels must stay, with the reason.
        limited: Operations to whose channels none may be added, with the reason.
        trailing: Reshapes that split channels with the repeated part last.
        edited: Operations whose sizes are numbers held by their module, which surgery edits.
        unedited: Operations whose sizes are not.
    """

    frozen: Mapping[int, str] = field(default_factory=dict)
    limited: Mapping[int, str] = field(default_factory=dict)
    trailing: frozenset[int] = frozenset()
    edited: frozenset[int] = frozenset()
    unedited: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Layout:
    """Where an operation that only moves values puts channels.

    Attributes:
        axes: Axes of the result along which channels vary.
        places: Which channel of the input stands where, along these axes.
    """

    axes: tuple[int, ...]
    places: npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Context:
    """One operation, what is known of its inputs, and the books to write into.

    Attributes:
        step: The operation.
        ledger: The books.
        values: What is known of each tensor, by its identity.
        choices: What verification has learnt.
        layouts: Layouts worked out before, by operation, channel axis and number of channels.
    """

    step: Step
    ledger: Ledger
    values: Mapping[int, Value]
    choices: Choices
    layouts: dict[tuple[int, int, int], tuple[Layout | None, ...]]

    def tensor(self, name: str) -> Tensor | None:
        """The tensor argument of that name, if there is one."""
        held = self.step.arguments.get(name)
        return held if isinstance(held, Tensor) else None

    def argument(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - any argument
        """The argument of that name."""
        held = self.step.arguments.get(name)
        return default if held is None else held

    def value(self, tensor: Tensor) -> Value:
        """What is known of a tensor."""
        return self.values.get(id(tensor))

    def channels(self, tensor: Tensor | None) -> Channels | None:
        """The channels of a tensor, if it has any."""
        value = None if tensor is None else self.value(tensor)
        return value if isinstance(value, Channels) else None

    @property
    def source(self) -> Tensor:
        """The first tensor argument."""
        return self.step.inputs[0]

    def attach(self, name: str, axis: int, *, ids: Ids, role: Role) -> None:
        """The tensor argument ``name``, if given, holds ``ids`` along ``axis``."""
        tensor = self.tensor(name)
        if tensor is not None:
            self.ledger.attach(self.value(tensor), axis, ids=ids, role=role, step=self.step.index)

    def freeze_all(self, reason: str) -> None:
        """All channels that the operation reads must stay."""
        for tensor in self.step.inputs:
            channels = self.channels(tensor)
            if channels is not None:
                self.ledger.freeze(channels.ids, reason)

    def parameters(self) -> tuple[FromParameters, ...]:
        """What is known of those inputs that come from parameters."""
        found = (self.value(tensor) for tensor in self.step.inputs)
        return tuple(value for value in found if isinstance(value, FromParameters))
