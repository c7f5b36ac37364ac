"""Where the weights of a layer lie on a chip: rows, columns, row blocks, arrays.

====== ==========================================================
symbol meaning
====== ==========================================================
X      word lines of an array (``chip.rows``)
s      columns that one weight takes (``chip.slices``)
T      kernel taps of a layer (1 for linear layers)
nr     row blocks: ``ceil(T * Cin / X)`` for one group
nc     arrays side by side: ``ceil(Cout * s / columns)``
====== ==========================================================

Arrays of a layer: ``nr * nc * copies``, twice that for differential cells (reference section 3.1).
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from edgewise._core.errors import SpecError
from edgewise.cost.chip.records import Chip
from edgewise.ir import LayerSpec

RowOrder = Literal["channels", "taps"]
"""``channels``: the taps of one input channel lie together, as in ``weight.view(Cout, -1)``. ``taps``: the channels of one tap."""
MAPPED_OPS = frozenset({"conv1d", "conv2d", "linear"})
"""Operations that run on arrays."""
DIGITAL_OPS = frozenset(
    {
        "adaptive_avg_pool1d",
        "adaptive_avg_pool2d",
        "adaptive_max_pool2d",
        "add",
        "alpha_dropout",
        "amax",
        "avg_pool1d",
        "avg_pool2d",
        "batch_norm",
        "cat",
        "channel_shuffle",
        "chunk",
        "clamp",
        "clone",
        "contiguous",
        "detach",
        "div",
        "dropout",
        "elu",
        "expand",
        "feature_dropout",
        "flatten",
        "gelu",
        "hardsigmoid",
        "hardswish",
        "hardtanh",
        "identity",
        "index_select",
        "input",
        "leaky_relu",
        "log_softmax",
        "max_pool1d",
        "max_pool2d",
        "maximum",
        "mean",
        "minimum",
        "mish",
        "mul",
        "narrow",
        "neg",
        "pad",
        "permute",
        "pixel_shuffle",
        "pixel_unshuffle",
        "prelu",
        "relu",
        "relu6",
        "repeat",
        "roll",
        "select",
        "sigmoid",
        "silu",
        "slice",
        "softmax",
        "split",
        "split_with_sizes",
        "squeeze",
        "stack",
        "sub",
        "sum",
        "tanh",
        "to",
        "transpose",
        "unbind",
        "unsqueeze",
        "view",
    }
)
"""Operations that the digital logic of a tile does, at a cost that is part of the tile's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MappingRules:
    """How weights are laid out.

    Attributes:
        row_order: ``channels`` (torch's own order) or ``taps``.
        aligned: Start a new row block where a channel (or a tap's channels) would not fit whole; more arrays, but a
            pruned group of channels switches whole arrays off.
    """

    row_order: RowOrder = "channels"
    aligned: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerMapping:
    """A layer on the arrays of a chip.

    Attributes:
        name: Name of the layer.
        op: torch's functional name.
        channels: Input channels stored.
        outputs: Output channels stored.
        taps: Kernel taps.
        groups: Groups of a convolution.
        positions: Output positions: matrix-vector products for one input.
        row_blocks: Row blocks of one group.
        column_arrays: Arrays side by side for one row block.
        packed: Groups that share an array (1 unless a group fits one several times).
        conversions: Columns converted when a row block is read.
        pair: 2 for differential cells.
        rows_per_array: Word lines of an array.
        copies: How often the whole layer is stored, to work on several positions at once.
        rules: How the weights are laid out.
    """

    name: str
    op: str
    channels: int
    outputs: int
    taps: int
    groups: int
    positions: int
    row_blocks: int
    column_arrays: int
    packed: int
    conversions: int
    pair: int
    rows_per_array: int
    copies: int = 1
    rules: MappingRules = MappingRules()

    @property
    def blocks(self) -> int:
        """Row blocks of all groups."""
        return math.ceil(self.groups / self.packed) * self.row_blocks

    @property
    def arrays_per_copy(self) -> int:
        """Arrays that hold the layer once."""
        return self.blocks * self.column_arrays * self.pair

    @property
    def arrays(self) -> int:
        """Arrays that hold all copies."""
        return self.arrays_per_copy * self.copies

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the stored weights for one input."""
        return self.positions * self.taps * (self.channels // self.groups) * self.outputs

    def cells_used(self, slices: int) -> int:
        """Cells of one copy that hold a weight, both signs counted; ``slices`` columns a weight."""
        return self.taps * (self.channels // self.groups) * self.outputs * slices * self.pair

    def with_copies(self, copies: int) -> "LayerMapping":
        """The same layer stored ``copies`` times."""
        return replace(self, copies=copies)

    def block_of(self, order: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.int64]:
        """The row block that holds each (input channel, tap).

        Args:
            order: Channels in the order in which rows are laid out; none for their own order. One group only.

        Returns:
            Numbers from 0 to ``blocks - 1``, of shape (channels, taps).

        Example:
            >>> from edgewise.cost.chip.reading import load_chip
            >>> from edgewise.ir import Dim
            >>> chip = load_chip("isaac").with_bits(cell_bits=16)
            >>> layer = LayerSpec(name="a", op="conv2d", in_channels=64, out_channels=1, in_hw=(4, 4), out_hw=(4, 4), kernel=(2, 2),
            ...                   stride=(1, 1), padding=(0, 0), dilation=(1, 1), in_dim=Dim(fixed=64), out_dim=Dim(fixed=1))
            >>> for row_order in ("channels", "taps"):
            ...     blocks = map_layer(layer, chip, MappingRules(row_order=row_order)).block_of()
            ...     print(blocks[0].tolist(), blocks[63].tolist())
            [0, 0, 0, 0] [1, 1, 1, 1]
            [0, 0, 1, 1] [0, 0, 1, 1]
        """
        own = self.channels // self.groups
        local = local_blocks(own, self.taps, self.rows_per_array, self.rules)
        if order is not None:
            placed = np.empty_like(local)
            placed[order] = local
            local = placed
        group = np.repeat(np.arange(self.groups), own) // self.packed
        found: npt.NDArray[np.int64] = group[:, None] * self.row_blocks + np.tile(local, (self.groups, 1))
        return found


def map_layer(
    layer: LayerSpec, chip: Chip, rules: MappingRules | None = None, *, channels: int | None = None, outputs: int | None = None
) -> LayerMapping:
    """Lays a layer out on a chip.

    Args:
        layer: A convolution or linear layer.
        chip: The chip.
        rules: How weights are laid out; torch's order by default.
        channels: Input channels stored where rows were removed; all by default.
        outputs: Output channels stored where columns were removed; all by default.

    Raises:
        SpecError: The operation does not run on arrays.
    """
    if layer.op not in MAPPED_OPS:
        raise SpecError(f"layer {layer.name!r} ({layer.op}) does not run on a crossbar; {', '.join(sorted(MAPPED_OPS))} do")
    rules = rules or MappingRules()
    taps = math.prod(layer.kernel) if layer.op != "linear" else 1
    kept_in, kept_out = channels or layer.in_channels, outputs or layer.out_channels
    groups = _groups(layer, kept_in)
    # A depthwise filter whose input is gone is gone with it.
    own_in, own_out = kept_in // groups, layer.out_channels // layer.in_channels if layer.depthwise else max(1, kept_out // groups)
    row_blocks = int(local_blocks(own_in, taps, chip.rows, rules).max()) + 1
    columns = own_out * chip.slices
    column_arrays = math.ceil(columns / chip.columns)
    packed = min(chip.rows // (taps * own_in), chip.columns // columns, groups) if row_blocks == column_arrays == 1 else 1
    return LayerMapping(
        name=layer.name,
        op=layer.op,
        channels=kept_in,
        outputs=own_out * groups,
        taps=taps,
        groups=groups,
        positions=layer.repeats if layer.op == "linear" else math.prod(layer.out_hw),
        row_blocks=row_blocks,
        column_arrays=column_arrays,
        packed=max(1, packed),
        conversions=columns * max(1, packed),
        pair=chip.pair,
        rows_per_array=chip.rows,
        rules=rules,
    )


def _groups(layer: LayerSpec, channels: int) -> int:
    if layer.depthwise:
        return channels
    return layer.groups if channels % layer.groups == 0 else 1


def local_blocks(channels: int, taps: int, rows: int, rules: MappingRules) -> npt.NDArray[np.int64]:
    """Row block of each (channel, tap) of one group."""
    inner = taps if rules.row_order == "channels" else channels
    outer = channels if rules.row_order == "channels" else taps
    if not rules.aligned:
        place = np.arange(outer * inner) // rows
    elif inner >= rows:
        place = (np.arange(outer)[:, None] * math.ceil(inner / rows) + np.arange(inner)[None, :] // rows).ravel()
    else:
        place = np.repeat(np.arange(outer) // (rows // inner), inner)
    shaped = place.reshape(outer, inner)
    return np.ascontiguousarray(shaped if rules.row_order == "channels" else shaped.T).astype(np.int64)
