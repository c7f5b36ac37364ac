"""One operation of a network, as hardware sees it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgewise._core.errors import SpecError
from edgewise.ir.dims import NO_CHANNELS, Dim

CONV_OPS = frozenset({"conv1d", "conv2d", "conv3d", "conv_transpose2d"})
"""Operations with a weight of ``out * in / groups * kernel`` values."""
PRICED_OPS = CONV_OPS | {"linear"}
"""Operations whose multiply-accumulates are counted."""

Scalar = int | float | str | bool


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerSpec:
    """A named operation with its shapes, for a batch of one.

    Attributes:
        name: Path of the module that owns the weights (``layer1.0.conv1``), or for an
            operation without weights the path of the calling module and the operation
            (``layer1.0.add``); unique in its network.
        op: torch's functional name: ``conv2d``, ``linear``, ``batch_norm``, ``relu``,
            ``add``, ``mul``, ``cat``, ``max_pool2d``, ``adaptive_avg_pool2d``, ``mean``, ``input``...
        inputs: Names of the layers whose outputs it reads, in order.
        in_dim: Channel dimension read (of the first input; of ``cat``: of the result).
        out_dim: Channel dimension written.
        in_channels: Width of ``in_dim`` now.
        out_channels: Width of ``out_dim`` now.
        in_hw: Spatial size read; empty for vectors.
        out_hw: Spatial size written; empty for vectors.
        kernel: Kernel size of convolutions and pooling.
        stride: Stride, as long as ``kernel``.
        padding: Padding before each axis, as long as ``kernel``.
        dilation: Dilation, as long as ``kernel``.
        groups: Groups of a convolution now.
        depthwise: The groups follow the input width (one input channel a group).
        bias: A convolution or linear layer has a bias.
        parameters_per_channel: Parameters for each output channel beyond the weight and
            bias: 2 for batch norm, 1 for a learnt scale.
        fixed_parameters: Parameters that no tie changes, beyond the weight.
        repeats: How often the weight is used with the same shapes at this place: the
            number of positions a linear layer is applied to (1 otherwise).
        shares: Name of an earlier layer whose weight this one reuses, whose parameters
            are therefore not counted again.
        attributes: Further constants of the operation, sorted by name.
    """

    name: str
    op: str
    inputs: tuple[str, ...] = ()
    in_dim: Dim = NO_CHANNELS
    out_dim: Dim = NO_CHANNELS
    in_channels: int
    out_channels: int
    in_hw: tuple[int, ...] = ()
    out_hw: tuple[int, ...] = ()
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    depthwise: bool = False
    bias: bool = False
    parameters_per_channel: int = 0
    fixed_parameters: int = 0
    repeats: int = 1
    shares: str | None = None
    attributes: tuple[tuple[str, Scalar], ...] = ()

    def __post_init__(self) -> None:
        """Checks the rules that keep counts exact."""
        if self.groups < 1 or (self.op in CONV_OPS and (self.in_channels % self.groups or self.out_channels % self.groups)):
            raise SpecError(
                f"`groups` must divide the channels of {self.name!r}, "
                f"got groups={self.groups}, in_channels={self.in_channels}, out_channels={self.out_channels}"
            )

    @property
    def priced(self) -> bool:
        """Whether its multiply-accumulates count (convolutions and linear layers)."""
        return self.op in PRICED_OPS

    @property
    def weight_count(self) -> int:
        """Number of values in the weight of a convolution or linear layer; 0 for others."""
        if not self.priced:
            return 0
        return self.out_channels * (self.in_channels // self.groups) * math.prod(self.kernel)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one input; 0 for all but convolutions and linear layers."""
        if not self.priced:
            return 0
        positions = math.prod(self.in_hw if self.op.startswith("conv_transpose") else self.out_hw) if self.op in CONV_OPS else self.repeats
        return self.weight_count * positions

    @property
    def params(self) -> int:
        """Learnt parameters (running statistics are buffers and do not count)."""
        if self.shares is not None:
            return 0
        bias = self.out_channels if self.bias else 0
        return self.weight_count + bias + self.parameters_per_channel * self.out_channels + self.fixed_parameters

    def attribute(self, name: str, default: Scalar = "") -> Scalar:
        """The constant of that name, or ``default``."""
        return dict(self.attributes).get(name, default)

    def with_widths(self, widths: Mapping[str, int]) -> "LayerSpec":
        """The same operation in a network whose ties have the given widths."""
        in_channels = self.in_dim.width(widths)
        out_channels = self.out_dim.width(widths)
        groups = in_channels if self.depthwise else self.groups
        return replace(self, in_channels=in_channels, out_channels=out_channels, groups=groups)
