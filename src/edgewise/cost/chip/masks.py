"""Recorded or drawn masks: which channels and positions of a layer's input are kept, for each image."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool

from edgewise._core.errors import SpecError
from edgewise._core.rng import make_rng
from edgewise.ir.gates import Gate, GatePlan, kept_count


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LayerMask:
    """What is kept of the input of one layer: the product of a channel mask and a position mask.

    Attributes:
        channels: Kept channels of each image.
        positions: Kept positions of each image; none where all are.
    """

    channels: Bool[np.ndarray, "n c"]
    positions: Bool[np.ndarray, "n h w"] | None = None

    def __post_init__(self) -> None:
        """Checks that both masks are of the same images."""
        if self.positions is not None and len(self.positions) != len(self.channels):
            raise SpecError(f"masks must be of the same images, got {len(self.channels)} and {len(self.positions)}")

    @property
    def n_images(self) -> int:
        """Images it was recorded from."""
        return len(self.channels)


Masks = Mapping[str, LayerMask]
"""Masks by the name of the layer that reads the pruned map."""


def full_mask(channels: int, n_images: int = 1) -> LayerMask:
    """A mask that keeps everything."""
    return LayerMask(channels=np.ones((n_images, channels), dtype=bool))


def draw_masks(plan: GatePlan, *, n_images: int, seed: int, channel_group: int = 1, spatial_block: int = 1) -> dict[str, LayerMask]:
    """Masks with the plan's exact counts and no attention behind them: what is kept is drawn, evenly.

    Args:
        plan: Gates and their ratios.
        n_images: Images; at least 1.
        seed: Seed of the drawing.
        channel_group: Channels that are kept or pruned together; at least 1.
        spatial_block: Side of the square blocks of positions that are kept or pruned together; at least 1.
    """
    masks = {}
    for gate in plan.gates:
        rng = make_rng(seed, "masks", gate.consumer)
        masks[gate.consumer] = LayerMask(
            channels=_drawn_groups(gate.channels, channel_group, gate.channel_ratio, n_images=n_images, rng=rng),
            positions=None
            if gate.spatial_ratio == 0 or len(gate.hw) != 2
            else _drawn_blocks(gate, spatial_block, n_images=n_images, rng=rng),
        )
    return masks


def average_keep(mask: LayerMask) -> npt.NDArray[np.float64]:
    """Share of images that keep each channel, of shape (channels,)."""
    found: npt.NDArray[np.float64] = mask.channels.mean(0, dtype=np.float64)
    return found


def often_kept_first(mask: LayerMask) -> npt.NDArray[np.int64]:
    """Channels by how many images keep them, most first; ties by their number.

    Laying rows out in this order puts often-pruned channels into the same row blocks, which are then off more often.
    """
    found: npt.NDArray[np.int64] = np.argsort(-average_keep(mask), kind="stable").astype(np.int64)
    return found


def _drawn(count: int, ratio: float, *, n_images: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    kept = kept_count(count, ratio)
    order = rng.random((n_images, count)).argsort(1)
    mask = np.zeros((n_images, count), dtype=bool)
    np.put_along_axis(mask, order[:, :kept], True, axis=1)
    return mask


def _drawn_groups(channels: int, group: int, ratio: float, *, n_images: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    drawn = _drawn(math.ceil(channels / group), ratio, n_images=n_images, rng=rng)
    return np.repeat(drawn, group, axis=1)[:, :channels]


def _drawn_blocks(gate: Gate, block: int, *, n_images: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    height, width = gate.hw
    rows, columns = math.ceil(height / block), math.ceil(width / block)
    drawn = _drawn(rows * columns, gate.spatial_ratio, n_images=n_images, rng=rng).reshape(n_images, rows, columns)
    return drawn.repeat(block, axis=1).repeat(block, axis=2)[:, :height, :width]
