"""A traced network: what hardware sees of it, and what surgery needs to know."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edgewise.ir import NetSpec
from edgewise.trace.ledger import Role

Units = npt.NDArray[np.int64]
"""The unit behind each channel along an axis; -1 for channels that stay."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Site:
    """An axis of a parameter or buffer that holds channels.

    Attributes:
        parameter: Full name.
        axis: The axis.
        role: What it does with them.
        units: The unit behind each place along the axis.
    """

    parameter: str
    axis: int
    role: Role
    units: Units


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Size:
    """A number held by a module that counts channels.

    Attributes:
        module: Path of the module.
        attribute: Name of the attribute.
        index: Which item of a tuple or list; None for a plain number.
        sign: 1, or -1 where the number counts channels dropped.
        units: The units counted.
    """

    module: str
    attribute: str
    index: int | None
    sign: int
    units: Units


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Traced:
    """The outcome of a trace. It does not hold the network.

    Attributes:
        net: Layers, ties, and what was left alone.
        sites: Every axis of a parameter that holds channels of a tie.
        sizes: Every number of a module that counts them.
        starts: Number of the first unit of each tie; its other units follow.
    """

    net: NetSpec
    sites: tuple[Site, ...] = field(repr=False)
    sizes: tuple[Size, ...] = field(repr=False)
    starts: Mapping[str, int] = field(repr=False)
