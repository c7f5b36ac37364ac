"""Counts: the reference's fixed numbers, and what they leave out."""

from dataclasses import dataclass

import pytest
import torch
from torch.nn import functional as F

from cost.chip.networks import net
from edgewise.dynamic import place_gates
from edgewise.dynamic.accounting import count_macs, count_static, macs_by_block
from edgewise.recipes.tables.dynamic_i import network


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of the reference's section 9.2: per cent, and whole counts where it has them."""

    channels: tuple[float, ...]
    reduction: float
    executed: int
    macs: float


CASES = (
    Case(channels=(0.2, 0.2, 0.2, 0.8, 0.9), reduction=40.38, executed=187_914_240, macs=1.8674e8),
    Case(channels=(0.3, 0.2, 0.2, 0.9, 0.9), reduction=44.90, executed=173_260_800, macs=1.7258e8),
    Case(channels=(0.2, 0.2, 0.6, 0.9, 0.9), reduction=55.14, executed=141_852_672, macs=1.4050e8),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.reduction}")
def test_the_fixed_numbers_of_vgg16(case: Case) -> None:
    count = count_macs(net("vgg16"), place_gates(net("vgg16"), channel_ratios=case.channels))
    assert count.macs == 313_196_544
    assert round(100 * count.reduction, 2) == case.reduction and count.macs_executed == case.executed
    assert count.macs_counted == pytest.approx(case.macs, rel=5e-5)


def test_kept_channels_of_the_tutorials_vector() -> None:
    plan = place_gates(net("vgg16"), channel_ratios=(0.2, 0.2, 0.6, 0.9, 0.9))
    assert {gate.block: gate.kept_channels for gate in plan.gates} == {0: 52, 1: 103, 2: 103, 3: 52, 4: 52}


def test_vgg16_at_224_with_half_of_the_positions() -> None:
    large = network("vgg16-224")
    assert count_macs(large, place_gates(large, channel_ratios=(0.0,))).macs == 15_346_630_656
    plan = place_gates(large, channel_ratios=(0.1, 0, 0, 0, 0.2), spatial_ratios=(0.5,))
    assert round(100 * count_macs(large, plan).reduction, 2) == 51.22
    for ratio, reduction in ((0.5, 49.72), (0.6, 59.66)):
        assert round(100 * count_macs(large, place_gates(large, spatial_ratios=(ratio,))).reduction, 2) == reduction


def test_resnet56_inside_blocks_and_its_ceiling() -> None:
    plan = place_gates(net("resnet56"), channel_ratios=(0.3, 0.3, 0.6), spatial_ratios=(0.6,))
    count = count_macs(net("resnet56"), plan)
    assert count.macs == 125_485_056 and round(100 * count.reduction, 2) == 38.58 and round(100 * count.reduction_executed, 1) == 38.0
    assert round(100 * sum(macs_by_block(net("resnet56"), plan)) / count.macs, 2) == 50.76


def test_macs_that_read_each_block() -> None:
    assert macs_by_block(net("vgg16"), place_gates(net("vgg16"))) == (56_623_104, 56_623_104, 94_371_840, 84_934_656, 18_874_368)


def test_the_static_vector_counted_on_both_sides_is_the_published_row() -> None:
    plan = place_gates(net("vgg16"), channel_ratios=(0.17, 0.10, 0.10, 0.45, 0.65))
    total = count_macs(net("vgg16"), plan)
    assert count_static(net("vgg16"), plan) == pytest.approx(1.849e8, rel=3e-4)
    assert round(100 * (1 - count_static(net("vgg16"), plan) / total.macs), 2) == 40.96
    assert round(100 * total.reduction, 2) == 24.02


def test_what_choosing_the_masks_costs() -> None:
    only_first = count_macs(net("vgg16"), place_gates(net("vgg16"), channel_ratios=(0.5, 0, 0, 0, 0)))
    # Two maps of block 1: 64 channels at 32x32, and at 16x16 behind the pooling.
    assert only_first.attention_adds == 64 * 32 * 32 + 64 * 16 * 16
    assert only_first.ranked == 2 * 64 and only_first.packed_bytes == 4 * 2 * 32
    nothing = count_macs(net("vgg16"), place_gates(net("vgg16")))
    assert (nothing.attention_adds, nothing.reduction, nothing.ideal_speedup) == (0, 0.0, 1.0)
    assert only_first.realised(only_first.ideal_speedup) == 1.0


@pytest.mark.parametrize("pooled_first", [True, False])
def test_positions_pruned_before_a_pooling_are_lost(pooled_first: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    kept = torch.rand(8, 1, 64, 64, generator=generator) < 0.5
    if pooled_first:
        assert float((~kept).float().mean()) == pytest.approx(0.5, abs=0.01)
    else:
        assert float((F.max_pool2d(kept.float(), 2) == 0).float().mean()) == pytest.approx(0.0625, abs=0.005)
