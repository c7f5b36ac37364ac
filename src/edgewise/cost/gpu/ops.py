"""Kernel calls as arrays, sorted by how they are priced.

=========  ==========================================  ======
symbol     meaning                                     unit
=========  ==========================================  ======
``n``      calls                                       1
=========  ==========================================  ======
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from edgewise.cost.gpu.shapes import FLOAT_BYTES, All, ConvShapes, Many
from edgewise.cost.workload import Workload


class Pricing(StrEnum):
    """How a call is priced."""

    CONV = "conv"
    DEPTHWISE = "depthwise"
    LINEAR = "linear"
    MOVE = "move"


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """What of a call does not depend on its widths.

    Attributes:
        pricing: How it is priced.
        groups: Groups of a convolution (1 for what has none).
        in_h: Rows read.
        in_w: Columns read.
        out_h: Rows written.
        out_w: Columns written.
        kernel: Positions of the window.
        window: Longest side of the window.
        stride: Largest stride.
        repeats: Rows a linear layer is applied to.
        read_positions: Values read of each input channel, all operands together.
        written_positions: Values written to each output channel.
    """

    pricing: Pricing
    groups: int
    in_h: int
    in_w: int
    out_h: int
    out_w: int
    kernel: int
    window: int
    stride: int
    repeats: int
    read_positions: int
    written_positions: int


def form_of(call: Workload) -> Form:
    """The form of a kernel call.

    A transposed convolution is priced as the convolution that reads what it writes: its
    kernel is that convolution's data gradient, with the same products and the same tiles.
    """
    transposed = call.op.startswith("conv_transpose")
    read, written = (call.out_hw, call.in_hw) if transposed else (call.in_hw, call.out_hw)
    in_h, in_w = _sides(read)
    out_h, out_w = _sides(written)
    operands = int(dict(call.attributes).get("inputs", 1)) if call.op in ("add", "mul", "sub", "div") else 1
    return Form(
        pricing=_pricing(call),
        groups=max(call.groups, 1),
        in_h=in_h,
        in_w=in_w,
        out_h=out_h,
        out_w=out_w,
        kernel=math.prod(call.window),
        window=max(call.window, default=1),
        stride=max(call.stride, default=1),
        repeats=call.repeats,
        read_positions=math.prod(call.in_hw) * operands * (call.repeats if call.op == "linear" else 1),
        written_positions=math.prod(call.out_hw) * (call.repeats if call.op == "linear" else 1),
    )


def _pricing(call: Workload) -> Pricing:
    if call.op == "linear":
        return Pricing.LINEAR
    if not call.has_weight:
        return Pricing.MOVE
    return Pricing.DEPTHWISE if call.groups == 0 or call.groups == call.in_channels > 1 else Pricing.CONV


def _sides(hw: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns; further axes count as rows, a missing one as 1."""
    return (math.prod(hw[:-1]), hw[-1]) if hw else (1, 1)


@dataclass(frozen=True, kw_only=True)
class Calls:
    """Forms of calls as arrays, made once for a network and priced at many widths.

    Attributes:
        forms: The forms.
        columns: One row for each numeric field of a form, one column for each call.
        kinds: How each call is priced.
    """

    forms: tuple[Form, ...]
    columns: np.ndarray
    kinds: np.ndarray

    def __len__(self) -> int:
        """Number of calls."""
        return len(self.forms)

    def of_kind(self, pricing: Pricing) -> np.ndarray:
        """Indices of the calls priced so."""
        return np.flatnonzero(self.kinds == pricing)

    def field(self, name: str, where: np.ndarray) -> Many:
        """A field of some of the calls."""
        return np.asarray(self.columns[_FIELDS.index(name), where])

    def shapes(self, where: np.ndarray, in_channels: All, out_channels: All, *, batch: int) -> ConvShapes:
        """The convolutions among the calls at these widths.

        Args:
            where: Their indices.
            in_channels: Channels that each of all calls reads.
            out_channels: Channels that each of all calls writes.
            batch: Images at once.
        """
        return ConvShapes(
            batch=np.full(len(where), float(batch)),
            in_channels=in_channels[where],
            out_channels=out_channels[where],
            **{name: self.field(name, where) for name in ("groups", "in_h", "in_w", "out_h", "out_w", "kernel", "window", "stride")},
        )

    def moved_bytes(self, where: np.ndarray, in_channels: All, out_channels: All, *, batch: int) -> Many:
        """Bytes of activations that some calls read and write."""
        values = in_channels[where] * self.field("read_positions", where) + out_channels[where] * self.field("written_positions", where)
        return np.asarray(FLOAT_BYTES * batch * values)


_FIELDS = (
    "groups", "in_h", "in_w", "out_h", "out_w", "kernel", "window", "stride", "repeats", "read_positions", "written_positions",
)  # fmt: skip


def calls_of(forms: Sequence[Form]) -> Calls:
    """Forms as arrays."""
    columns = np.array([[getattr(form, name) for form in forms] for name in _FIELDS], dtype=float)
    return Calls(forms=tuple(forms), columns=columns, kinds=np.array([str(form.pricing) for form in forms]))
