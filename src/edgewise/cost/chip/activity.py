"""What a layer's arrays do for each image, counted exactly from its masks.

Per cycle of one input bit (reference section 2.2):

* ``A`` array reads: over executed positions, row blocks with at least one active row, times the arrays of a block;
* ``W`` word-line drives: over the same blocks, rows that no mask prunes, times the arrays side by side;
* ``Cv`` conversions: array reads without the differential twin, the columns in use.

A row is active where its channel and its input position are kept. Positions of the padding hold zeros: they make no
block and no position active, but the drivers of their rows work (by zero) in a block that is read.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgewise.cost.chip.mapping import LayerMapping
from edgewise.cost.chip.masks import LayerMask
from edgewise.ir import LayerSpec

Floats = npt.NDArray[np.float64]
MECHANISMS = frozenset({"rows", "blocks", "positions"})
"""What a mask may save: word lines not driven, row blocks not read, positions not computed."""
_CHUNK_VALUES = 2**23

LineRule = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
"""Share of the full bits that a conversion needs, from the number of active rows."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Activity:
    """Counts of one layer for each image, per input cycle.

    Attributes:
        reads: Array reads.
        drives: Word-line drives.
        conversions: Conversions.
        bit_share: Mean share of the full ADC bits that those conversions need; 1 without a rule for fewer bits.
        positions: Executed positions.
        slowest_share: Sum over executed positions of the largest bit share among their row blocks.
        kept_share: Active rows over those of the unmasked layer: the share of multiply-accumulates executed.
    """

    reads: Floats
    drives: Floats
    conversions: Floats
    bit_share: Floats
    positions: Floats
    slowest_share: Floats
    kept_share: Floats

    @property
    def n_images(self) -> int:
        """Images counted."""
        return len(self.reads)


def count_activity(
    layer: LayerSpec,
    mapping: LayerMapping,
    mask: LayerMask | None = None,
    *,
    mechanisms: frozenset[str] = MECHANISMS,
    line_rule: LineRule | None = None,
    order: npt.NDArray[np.int64] | None = None,
) -> Activity:
    """Counts what a layer's arrays do.

    Args:
        layer: The layer.
        mapping: Where its weights lie; its stored channels are those of ``mask``.
        mask: What is kept of its input; none for everything.
        mechanisms: What a mask may save; see :data:`MECHANISMS`.
        line_rule: How many ADC bits a number of active rows needs; none for always all.
        order: Order of channels along the rows; see :meth:`LayerMapping.block_of`.

    Returns:
        Counts for each image of the mask (for one, without a mask).
    """
    taps = tap_masks(layer, None if mask is None else mask.positions)
    dense = tap_masks(layer, None)
    blocks = mapping.block_of(order)
    membership = np.zeros((mapping.taps, mapping.channels, mapping.blocks), dtype=np.float32)
    membership[np.arange(mapping.taps)[:, None], np.arange(mapping.channels)[None, :], blocks.T] = 1.0
    kept = np.ones((1, mapping.channels), dtype=np.float32) if mask is None else mask.channels.astype(np.float32)
    rows = _rows_by_tap(kept, membership)
    all_rows = _rows_by_tap(np.ones((1, mapping.channels), dtype=np.float32), membership)
    parts = [
        _tally(
            _Rows(
                taps=taps[chunk] if len(taps) > 1 else taps,
                padding=1.0 - dense,
                kept=rows[chunk] if len(rows) > 1 else rows,
                every=all_rows,
            ),
            mechanisms,
            line_rule,
        )
        for chunk in _chunks(max(len(taps), len(rows)), dense.shape[1] * (mapping.taps + 3 * mapping.blocks))
    ]
    active, lines, shares, positions, slowest, true_lines = (np.concatenate(part) for part in zip(*parts, strict=True))
    full_lines = float((dense[0] @ all_rows[0]).sum(dtype=np.float64))
    return Activity(
        reads=active * (mapping.column_arrays * mapping.pair),
        drives=lines * (mapping.column_arrays * mapping.pair),
        conversions=active * mapping.conversions,
        bit_share=np.divide(shares, active, out=np.ones_like(shares), where=active > 0),
        positions=positions,
        slowest_share=slowest,
        kept_share=true_lines / full_lines if full_lines else np.zeros_like(true_lines),
    )


def tap_masks(layer: LayerSpec, positions: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.float32]:
    """For each image, output position and tap: 1 where the tap reads a kept position of the input, 0 in the padding.

    Args:
        layer: A convolution or linear layer.
        positions: Kept positions of its input, (images, height, width); none for all.

    Returns:
        Shape (images, output positions, taps).
    """
    if layer.op == "linear":
        return np.ones((1, layer.repeats, 1), dtype=np.float32)
    source = np.ones((1, *layer.in_hw), dtype=np.float32) if positions is None else positions.astype(np.float32)
    n_axes = len(layer.kernel)
    padded = np.pad(source, [(0, 0), *(_padding(layer, axis) for axis in range(n_axes))])
    taps = []
    for tap in np.ndindex(*layer.kernel):
        cut = [
            slice(
                tap[axis] * layer.dilation[axis],
                tap[axis] * layer.dilation[axis] + (layer.out_hw[axis] - 1) * layer.stride[axis] + 1,
                layer.stride[axis],
            )
            for axis in range(n_axes)
        ]
        taps.append(padded[(slice(None), *cut)].reshape(len(padded), -1))
    return np.stack(taps, axis=2)


def _padding(layer: LayerSpec, axis: int) -> tuple[int, int]:
    reach = (layer.out_hw[axis] - 1) * layer.stride[axis] + (layer.kernel[axis] - 1) * layer.dilation[axis] + 1
    before = layer.padding[axis]
    return before, max(before, reach - before - layer.in_hw[axis])


def _rows_by_tap(kept: npt.NDArray[np.float32], membership: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Kept rows of each block that belong to each tap: (images, taps, blocks)."""
    found: npt.NDArray[np.float32] = np.einsum("nc,tcj->ntj", kept, membership, optimize=True)
    return found


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Rows:
    """Kept taps (n, positions, taps), those in the padding, and rows of each (tap, block) that are kept, and that exist."""

    taps: npt.NDArray[np.float32]
    padding: npt.NDArray[np.float32]
    kept: npt.NDArray[np.float32]
    every: npt.NDArray[np.float32]


def _tally(rows: _Rows, mechanisms: frozenset[str], line_rule: LineRule | None) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats]:
    """Active blocks, driven lines, summed bit shares, positions, slowest shares, and truly active lines of each image."""
    active_rows = rows.taps @ rows.kept
    truly = active_rows.sum((1, 2), dtype=np.float64)
    on = active_rows > 0
    executed: npt.NDArray[np.bool_] = np.ones(on.shape[:2], dtype=bool)
    if "positions" in mechanisms:
        executed = np.asarray(on.any(2))
    if "blocks" not in mechanisms:
        on = np.broadcast_to(executed[:, :, None], on.shape)
    driven = active_rows + rows.padding @ rows.kept if "rows" in mechanisms else rows.every.sum(1)[:, None, :]
    lines = np.where(on, driven, 0.0)
    share = np.where(on, 1.0 if line_rule is None else line_rule(active_rows), 0.0)
    return (
        on.sum((1, 2), dtype=np.float64),
        lines.sum((1, 2), dtype=np.float64),
        share.sum((1, 2), dtype=np.float64),
        executed.sum(1, dtype=np.float64),
        share.max(2).sum(1, dtype=np.float64) if share.shape[2] else np.zeros(len(share)),
        truly,
    )


def _chunks(n_images: int, values_per_image: int) -> list[slice]:
    step = max(1, _CHUNK_VALUES // max(1, values_per_image))
    return [slice(start, min(start + step, n_images)) for start in range(0, n_images, step)]
