"""Shapes of many convolutions at once, as arrays: what the GPU model prices.

=========  ==========================================  ======
symbol     meaning                                     unit
=========  ==========================================  ======
``n``      convolutions described                      1
=========  ==========================================  ======
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float

Many = Float[np.ndarray, " n"]
"""One number for each convolution."""
All = Float[np.ndarray, " all"]
"""One number for each call of a network, of which only some are looked at."""

FLOAT_BYTES = 4.0
"""Bytes of an activation or a weight in fp32, the only precision of the traces."""


def up(value: Float[np.ndarray, "*s"], block: Float[np.ndarray, "*s"] | float) -> Float[np.ndarray, "*s"]:
    """``ceil(value / block)``: the blocks that cover a length.

    Example:
        >>> up(np.array([32.0, 35.0]), 32).tolist()
        [1.0, 2.0]
    """
    return np.ceil(value / block)


@dataclass(frozen=True, kw_only=True, slots=True)
class ConvShapes:
    """Shapes of ``n`` convolutions, one array for each axis.

    Attributes:
        batch: Images at once.
        in_channels: Channels read.
        out_channels: Channels written (the width).
        groups: Groups; 1 for a dense convolution.
        in_h: Rows read.
        in_w: Columns read.
        out_h: Rows written.
        out_w: Columns written.
        kernel: Positions of the window, such as 9 for 3x3.
        window: Longest side of the window.
        stride: Largest stride.
    """

    batch: Many
    in_channels: Many
    out_channels: Many
    groups: Many
    in_h: Many
    in_w: Many
    out_h: Many
    out_w: Many
    kernel: Many
    window: Many
    stride: Many

    def __len__(self) -> int:
        """Number of convolutions."""
        return len(self.batch)

    def __getitem__(self, chosen: np.ndarray) -> "ConvShapes":
        """Those chosen by a mask or by indices."""
        return ConvShapes(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    @property
    def rows(self) -> Many:
        """Output positions of the whole batch: rows of the implicit matrix product."""
        return np.asarray(self.batch * self.out_h * self.out_w)

    @property
    def depth(self) -> Many:
        """Products summed for one output value."""
        return np.asarray(self.in_channels / self.groups * self.kernel)

    @property
    def macs(self) -> Many:
        """Multiply-accumulates of the whole batch."""
        return np.asarray(self.rows * self.out_channels * self.depth)

    @property
    def read_bytes(self) -> Many:
        """Bytes of activations read once."""
        return np.asarray(FLOAT_BYTES * self.batch * self.in_channels * self.in_h * self.in_w)

    @property
    def written_bytes(self) -> Many:
        """Bytes of activations written once."""
        return np.asarray(FLOAT_BYTES * self.rows * self.out_channels)

    @property
    def weight_bytes(self) -> Many:
        """Bytes of weights."""
        return np.asarray(FLOAT_BYTES * self.out_channels * self.depth)

    @property
    def traced(self) -> Float[np.ndarray, " n"]:
        """1 where the traces hold such convolutions (3x3, stride 1, dense), else 0."""
        return np.asarray(((self.kernel == 9) & (self.window == 3) & (self.stride == 1) & (self.groups == 1)).astype(float))


def conv_shapes(values: Mapping[str, Many]) -> ConvShapes:
    """3x3 stride-1 convolutions that keep the size, as the traces hold them.

    Args:
        values: Arrays ``batch``, ``in_channels``, ``out_channels``, ``size`` (rows = columns); optionally
            ``kernel`` (side of a square window), ``stride`` and ``padding``.
    """
    batch, read, written, size = (np.asarray(values[name], float) for name in ("batch", "in_channels", "out_channels", "size"))
    ones = np.ones_like(batch)
    side, stride = values.get("kernel", 3 * ones), values.get("stride", ones)
    padding = values.get("padding", side // 2)
    out = (size + 2 * padding - side) // stride + 1
    return ConvShapes(
        batch=batch,
        in_channels=read,
        out_channels=written,
        groups=ones,
        in_h=size,
        in_w=size,
        out_h=out,
        out_w=out,
        kernel=side * side,
        window=side,
        stride=stride,
    )
