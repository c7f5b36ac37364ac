"""Activity counts against a slow loop over positions, rows and blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.cost.chip import load_chip
from edgewise.cost.chip.activity import count_activity
from edgewise.cost.chip.mapping import MappingRules, map_layer
from edgewise.cost.chip.masks import LayerMask
from edgewise.ir import Dim, LayerSpec


@settings(max_examples=25, deadline=None)
@given(
    channels=st.integers(1, 20), side=st.integers(2, 6), stride=st.integers(1, 2), kernel=st.sampled_from([1, 3]),
    order=st.sampled_from(["channels", "taps"]), aligned=st.booleans(), seed=st.integers(0, 999),
)  # fmt: skip
def test_counts_equal_a_slow_loop(channels: int, side: int, stride: int, kernel: int, order: str, aligned: bool, seed: int) -> None:
    pad = kernel // 2
    out = (side + 2 * pad - kernel) // stride + 1
    layer = LayerSpec(
        name="c", op="conv2d", in_channels=channels, out_channels=5, in_dim=Dim(fixed=channels), out_dim=Dim(fixed=5), in_hw=(side, side),
        out_hw=(out, out), kernel=(kernel, kernel), stride=(stride, stride), padding=(pad, pad), dilation=(1, 1),
    )  # fmt: skip
    mapping = map_layer(layer, load_chip("isaac"), MappingRules(row_order=order, aligned=aligned))  # type: ignore[arg-type]
    rng = np.random.default_rng(seed)
    mask = LayerMask(channels=rng.random((1, channels)) < 0.5, positions=rng.random((1, side, side)) < 0.5)
    blocks = mapping.block_of()
    reads = drives = positions = 0
    for y in range(out):
        for x in range(out):
            active, driven = set(), []
            for channel in range(channels):
                for tap in range(kernel * kernel):
                    row, column = y * stride + tap // kernel - pad, x * stride + tap % kernel - pad
                    inside = 0 <= row < side and 0 <= column < side
                    kept = bool(mask.channels[0, channel])
                    if inside and kept and mask.positions is not None and mask.positions[0, row, column]:
                        active.add(int(blocks[channel, tap]))
                        driven.append(int(blocks[channel, tap]))
                    elif not inside and kept:
                        driven.append(int(blocks[channel, tap]))
            reads += len(active)
            drives += sum(block in active for block in driven)
            positions += bool(active)
    counted = count_activity(layer, mapping, mask)
    assert (counted.reads[0], counted.drives[0], counted.positions[0]) == pytest.approx((reads, drives, positions))
    assert counted.conversions[0] == pytest.approx(reads * 5 * 8)
