"""The books of an analysis: which channels are the same, which must stay, and where parameters hold them.

Every channel of every tensor has an integer id. Two ids that must live or die together are
joined; which ids form one *class* is worked out at the end, for all pairs at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
from torch import nn

Ids = npt.NDArray[np.int64]
"""Channel ids along one axis of a tensor."""
Role = Literal["write", "read", "scale", "each"]
"""What a parameter's axis does with channels: ``write`` makes them (output axis of a weight),
``read`` sums over them (input axis), ``scale`` is a batch norm's scale, ``each`` has a value for each."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Channels:
    """The channel ids of a tensor: they vary along one axis only."""

    axis: int
    ids: Ids


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Part of a value computed from a parameter.

    Attributes:
        parameter: Full name of the parameter or buffer.
        shape: Its shape.
        axes: For each axis of the value the parameter's axis that runs along it, or None.
        ordered: Values stand in the parameter's order, so that a reshape back restores the axes.
    """

    parameter: str
    shape: tuple[int, ...]
    axes: tuple[int | None, ...]
    ordered: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class FromParameters:
    """A value that depends on parameters only.

    Attributes:
        sources: The parameters.
        altered: How it was computed, where that is more than a change of shape; else empty.
    """

    sources: tuple[Source, ...]
    altered: str = ""


Value = Channels | FromParameters | None
"""What is known of a tensor; None: nothing in it depends on a width that could change."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AxisUse:
    """An axis of a parameter that holds channels, as one operation uses it."""

    parameter: str
    axis: int
    ids: Ids
    role: Role
    step: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SizeUse:
    """A number held by a module that counts channels, such as ``in_channels``.

    Attributes:
        module: Path of the module.
        attribute: Name of the attribute.
        index: Which item of a tuple or list; None for a plain number.
        sign: 1, or -1 where the number counts channels dropped.
        ids: The channels it counts.
    """

    module: str
    attribute: str
    index: int | None
    sign: int
    ids: Ids


@dataclass(kw_only=True, slots=True)
class Ledger:
    """What the rules write while an analysis walks through the operations."""

    modules: Mapping[str, nn.Module]
    count: int = 0
    joined: list[tuple[Ids, Ids]] = field(default_factory=list)
    frozen: list[tuple[Ids, str]] = field(default_factory=list)
    limited: list[tuple[Ids, str]] = field(default_factory=list)
    axes: list[AxisUse] = field(default_factory=list)
    sizes: list[SizeUse] = field(default_factory=list)

    def fresh(self, n: int) -> Ids:
        """Ids that no tensor has yet."""
        ids = np.arange(self.count, self.count + n, dtype=np.int64)
        self.count += n
        return ids

    def join(self, first: Ids, second: Ids) -> None:
        """Both arrays' channels live or die together, place by place."""
        if first is not second:
            self.joined.append((first, second))

    def join_rows(self, rows: Ids) -> Ids:
        """The rows of a table of ids live or die together, column by column; returns the first."""
        table = rows.reshape(rows.shape[0], -1)
        first: Ids = table[0]
        for row in table[1:]:
            self.join(first, row)
        return first

    def freeze(self, ids: Ids, reason: str) -> None:
        """The channels must stay, none may be added."""
        self.frozen.append((ids.reshape(-1), reason))

    def limit(self, ids: Ids, reason: str) -> None:
        """Channels may go, but none may be added without changing the function."""
        self.limited.append((ids.reshape(-1), reason))

    def attach(self, value: Value, axis: int, *, ids: Ids, role: Role, step: int) -> None:
        """Axis ``axis`` of a value computed from parameters holds the channels ``ids``."""
        if value is None or isinstance(value, Channels):
            self.freeze(ids, "combined with numbers that are no parameter")
            return
        for source in value.sources:
            parameter_axis = source.axes[axis]
            if parameter_axis is None:
                self.freeze(ids, f"parameter {source.parameter} is reshaped before use")
            else:
                self.axes.append(AxisUse(parameter=source.parameter, axis=parameter_axis, ids=ids, role=role, step=step))
        if value.altered:
            self.limit(ids, f"its weight is computed by {value.altered}")

    def size(self, module: str, attribute: str, ids: Ids, *, index: int | None = None, sign: int = 1) -> None:
        """The module's attribute counts ``ids``, if it has such a number now."""
        held = vars(self.modules[module]).get(attribute) if module in self.modules else None
        if index is not None and isinstance(held, tuple | list) and -len(held) <= index < len(held):
            held = held[index]
        if isinstance(held, int) and not isinstance(held, bool) and held == sign * len(ids):
            self.sizes.append(SizeUse(module=module, attribute=attribute, index=index, sign=sign, ids=ids))


def owner_of(parameter: str) -> str:
    """Path of the module a parameter belongs to, seen through torch's parametrizations.

    Example:
        >>> owner_of("stem.conv.weight"), owner_of("conv.parametrizations.weight.original0")
        ('stem.conv', 'conv')
    """
    path = parameter.rsplit(".", 1)[0] if "." in parameter else ""
    parts = path.split(".")
    return ".".join(parts[: parts.index("parametrizations")]) if "parametrizations" in parts else path
