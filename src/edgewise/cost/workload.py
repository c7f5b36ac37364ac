"""One kernel call, described well enough to time it alone."""

import json
import math
from dataclasses import asdict, dataclass, fields, replace

from edgewise.ir.layers import Scalar

INPUT_LAYOUT = "input_layout"
"""Kernel that brings a network's input into the layout of its first convolution."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """What a runtime does in one step: a fused layer, a change of layout, or a pooling.

    Two layers with equal workloads cost the same, wherever they stand.

    Attributes:
        kernel: Which of the runtime's implementations runs: ``nchwc``, ``nchwc_first``,
            ``im2col``, ``reorder_in``, ``reorder_out``, ``blocked``, ``plain``, ``fused``...
        op: torch's functional name of the main operation, or ``reorder``.
        in_channels: Channels read, as the network counts them (padding to blocks is the kernel's business).
        out_channels: Channels written.
        groups: Groups of a convolution; 0 for depthwise, where groups follow the channels.
        in_hw: Spatial size read.
        out_hw: Spatial size written.
        window: Kernel size.
        stride: Stride.
        padding: Padding before each axis.
        dilation: Dilation.
        activation: Activation fused behind, or ``""``.
        adds: A residual addition is fused behind.
        bias: A bias is added (batch norms fold into one).
        repeats: Rows a linear layer is applied to.
        attributes: Further constants, sorted by name.
    """

    kernel: str
    op: str
    in_channels: int
    out_channels: int
    groups: int = 1
    in_hw: tuple[int, ...] = ()
    out_hw: tuple[int, ...] = ()
    window: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    activation: str = ""
    adds: bool = False
    bias: bool = True
    repeats: int = 1
    attributes: tuple[tuple[str, Scalar], ...] = ()

    @property
    def has_weight(self) -> bool:
        """Whether the kernel reads a learnt weight."""
        return self.op.startswith("conv") or self.op == "linear"

    @property
    def one_width(self) -> bool:
        """Whether input and output width are one and the same (depthwise, pooling, elementwise)."""
        return self.groups == 0 or not self.has_weight

    @property
    def family(self) -> "Workload":
        """The workload with its widths struck out: what is the same for every width of a layer."""
        return replace(self, in_channels=0, out_channels=0)

    def with_widths(self, in_channels: int, out_channels: int) -> "Workload":
        """The same kernel at other widths."""
        return replace(self, in_channels=in_channels, out_channels=out_channels)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one input; 0 without a weight."""
        if not self.has_weight:
            return 0
        groups = self.in_channels if self.groups == 0 else self.groups
        positions = math.prod(self.in_hw if self.op.startswith("conv_transpose") else self.out_hw) if self.op != "linear" else self.repeats
        return self.out_channels * (self.in_channels // groups) * math.prod(self.window) * positions

    @property
    def map_bytes(self) -> int:
        """Bytes of the feature maps read and written for one input in fp32, a residual addend included."""
        read = self.in_channels * math.prod(self.in_hw)
        written = self.out_channels * math.prod(self.out_hw)
        return 4 * self.repeats * (read + written * (2 if self.adds else 1))

    @property
    def weight_bytes(self) -> int:
        """Bytes of weight read in fp32."""
        if not self.has_weight:
            return 0
        groups = self.in_channels if self.groups == 0 else self.groups
        return 4 * self.out_channels * (self.in_channels // groups) * math.prod(self.window)

    @property
    def activation_bytes(self) -> int:
        """Bytes of feature maps read and written in fp32, for one input."""
        read = self.in_channels * math.prod(self.in_hw) * self.repeats
        written = self.out_channels * math.prod(self.out_hw) * self.repeats * (2 if self.adds else 1)
        return 4 * (read + written)

    def key(self) -> str:
        """Canonical text that names this workload in a database, fields at their default left out."""
        values = {name: value for name, value in asdict(self).items() if value != _DEFAULTS[name]}
        return json.dumps(values, sort_keys=True, separators=(",", ":"))


_DEFAULTS = {field.name: field.default for field in fields(Workload)}


def plain_conv(kernel: str, read: int, written: int, side: int, *, activation: str = "") -> Workload:
    """A 3x3 convolution that keeps the size of a square map.

    Args:
        kernel: What runs it.
        read: Channels read.
        written: Channels written.
        side: Of the map, in positions.
        activation: Fused behind, or ``""``.

    Example:
        >>> plain_conv("fused", 8, 16, 4).macs == 8 * 16 * 9 * 16
        True
    """
    return Workload(
        kernel=kernel,
        op="conv2d",
        in_channels=read,
        out_channels=written,
        in_hw=(side, side),
        out_hw=(side, side),
        window=(3, 3),
        stride=(1, 1),
        padding=(1, 1),
        dilation=(1, 1),
        activation=activation,
    )
