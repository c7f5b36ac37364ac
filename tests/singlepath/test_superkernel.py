"""Masks, indicators and norms: known answers of the reference."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from edgewise._core.errors import SpecError, UsageError
from edgewise.singlepath.block import SuperBlock
from edgewise.singlepath.gates import HARD, Steering, choice_of, plan_of, values_of
from edgewise.singlepath.indicators import imposed, indicator, slope
from edgewise.singlepath.runtime import block_runtime, ratio_runtime
from edgewise.singlepath.superkernel import group_masks, group_norm, nested, ring_masks, ringed, shares
from edgewise.singlepath.supernet import Supernet
from edgewise.space import SPACES
from edgewise.space.catalog import PUBLISHED
from edgewise.space.drawing import draw_architecture
from edgewise.space.prices import price_space
from singlepath.spaces import random_prices, small_space


class TestMasks:
    def test_rings_are_centred_and_cover_everything_once(self) -> None:
        masks = ring_masks((3, 5, 7))
        assert masks.sum((1, 2)).tolist() == [9, 16, 24]
        assert torch.equal(masks.sum(0), torch.ones(7, 7))
        assert torch.equal(masks[0], F.pad(torch.ones(3, 3), (2, 2, 2, 2)))
        assert all(torch.equal(mask, mask.flip(0)) and torch.equal(mask, mask.T) for mask in masks)

    def test_groups_cover_all_channels_once(self) -> None:
        assert torch.equal(group_masks((6, 12)).sum(0), torch.ones(12))
        assert group_masks((6, 12))[0].tolist() == [1.0] * 6 + [0.0] * 6

    def test_even_sides_are_refused(self) -> None:
        with pytest.raises(SpecError, match="must be odd and ascend"):
            ring_masks((3, 4))

    def test_a_closed_ring_is_the_smaller_convolution(self) -> None:
        weight = torch.randn(6, 1, 5, 5, dtype=torch.float64)
        maps = torch.randn(2, 6, 15, 15, dtype=torch.float64)
        closed = ringed(weight, ring_masks((3, 5)), torch.zeros(1))
        for stride in (1, 2):
            small = F.conv2d(maps, weight[:, :, 1:4, 1:4], stride=stride, padding=1, groups=6)
            assert torch.allclose(F.conv2d(maps, closed, stride=stride, padding=2, groups=6), small, atol=1e-12)

    def test_rings_are_nested(self) -> None:
        weight = torch.ones(1, 1, 7, 7)
        assert ringed(weight, ring_masks((3, 5, 7)), torch.tensor([0.0, 1.0])).sum() == 9


class TestIndicators:
    def test_forward_and_backward(self) -> None:
        norm, threshold = torch.tensor(1.7, requires_grad=True), torch.tensor(1.0, requires_grad=True)
        value = indicator(norm - threshold)
        value.backward()
        assert value.item() == 1.0
        assert norm.grad is not None and norm.grad.item() == pytest.approx(0.2217129, abs=1e-7)
        assert threshold.grad is not None and threshold.grad.item() == pytest.approx(-0.2217129, abs=1e-7)

    def test_a_tie_is_a_yes(self) -> None:
        assert indicator(torch.zeros(1)).item() == 1.0

    def test_the_slope_does_not_vanish_early(self) -> None:
        assert slope(torch.tensor(20.0)).item() == pytest.approx(2.0612e-9, rel=1e-4)
        assert slope(torch.tensor(17.0)).item() == pytest.approx(4.1e-8, rel=1e-2)

    def test_imposed_decisions_have_the_same_gradient(self) -> None:
        excess = torch.tensor([0.7, 0.7], requires_grad=True)
        value = imposed(torch.tensor([0.0, 1.0]), excess)
        value.sum().backward()
        assert value.tolist() == [0.0, 1.0] and excess.grad is not None
        assert excess.grad.tolist() == pytest.approx([0.2217129] * 2, abs=1e-7)


class TestNorms:
    def test_the_authors_norm_and_ours(self) -> None:
        weight = torch.full((8, 1, 5, 5), 0.5)
        ring = ring_masks((3, 5))[1]
        assert group_norm(weight, ring, scale=None).item() == pytest.approx(0.5 * (8 * 16) ** 0.5)
        assert group_norm(weight, ring, scale=0.25).item() == pytest.approx(2.0)

    def test_a_group_of_zeros_has_a_finite_gradient(self) -> None:
        weight = torch.zeros(4, 1, 5, 5, requires_grad=True)
        group_norm(weight, ring_masks((3, 5))[1], scale=1.0).backward()
        assert weight.grad is not None and torch.equal(weight.grad, torch.zeros_like(weight))

    @pytest.mark.parametrize("width", [16, 64])
    def test_ours_do_not_depend_on_width(self, width: int) -> None:
        torch.manual_seed(0)
        space = small_space().with_widths((8, width, width))
        excess = Supernet(space).excess()
        assert excess.min() > 0.8 and excess.max() < 1.2

    def test_the_authors_grow_with_width(self) -> None:
        torch.manual_seed(0)
        block = SPACES["imagenet"].blocks[2]
        norms, _ = SuperBlock(block, form="published").decide(torch.zeros(3), HARD)
        # Reference 6.1: 0.283 * sqrt(16 C) for C = 144.
        assert norms[0].item() == pytest.approx(13.6, abs=0.5)

    def test_group_norms_see_the_ring_decision(self) -> None:
        torch.manual_seed(0)
        block = SuperBlock(SPACES["digits"].blocks[1], form="published").double()
        thresholds = torch.zeros(3, dtype=torch.float64)
        value = torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64)
        ring = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
        kernel = ringed(block.depthwise.weight, block.rings, ring.reshape(1))
        norm = group_norm(kernel, block.groups[0][:, None, None, None], scale=None)
        norm.backward()
        inner = (block.depthwise.weight * block.rings[1])[: block.groups[0].sum().int()]
        assert ring.grad is not None and ring.grad.item() == pytest.approx((inner.norm() ** 2 / norm).item(), rel=1e-9)
        open_norm = block.decide(thresholds, Steering(mode="given", values=value))[0][1]
        closed_norm = block.decide(thresholds, Steering(mode="given", values=value * 0))[0][1]
        assert closed_norm.item() < open_norm.item() == pytest.approx(norm.item())


class TestDecisions:
    def test_the_decision_table(self) -> None:
        block = SPACES["imagenet"].blocks[2]
        for ring, skip, group in itertools.product((0.0, 1.0), repeat=3):
            label = choice_of(block, torch.tensor([ring, skip, group])).label
            kernel, expansion = (5 if ring else 3), (6 if group else 3)
            assert label == (f"{kernel}x{kernel}-{expansion}" if skip else "skip")

    @pytest.mark.parametrize("space", [SPACES["imagenet"], small_space(ses=(0.0, 0.25, 0.5), kernels=(3, 5, 7))], ids=["paper", "se"])
    def test_plans_come_back_from_their_gates(self, space) -> None:
        import numpy as np

        for seed in range(20):
            plan = draw_architecture(space, np.random.default_rng(seed))
            assert plan_of(space, values_of(space, plan)).labels == plan.labels

    def test_the_papers_space_has_55_live_gates_all_open(self) -> None:
        net = Supernet(SPACES["imagenet"], form="published")
        assert net.thresholds.numel() == 55 and bool((net.excess() > 0).all())
        assert net.decided() == SPACES["imagenet"].largest

    def test_first_blocks_of_a_stage_cannot_be_skipped(self) -> None:
        net = Supernet(SPACES["digits"])
        with torch.no_grad():
            net.thresholds.fill_(1e9)
        assert net.decided().labels == ("3x3-3", "skip", "3x3-3", "skip")


class TestRuntime:
    @given(st.lists(st.floats(0, 1), min_size=1, max_size=3))
    def test_shares_are_a_distribution(self, rest: list[float]) -> None:
        found = shares(torch.tensor(rest, dtype=torch.float64))
        assert found.sum().item() == pytest.approx(1.0) and bool((found >= 0).all())

    def test_every_decision_costs_its_entry(self) -> None:
        import numpy as np

        space = small_space(ses=(0.0, 0.25, 0.5), kernels=(3, 5, 7))
        net, prices = Supernet(space), random_prices(space)
        net.set_prices(prices)
        for seed in range(20):
            plan = draw_architecture(space, np.random.default_rng(seed))
            found = net.runtime_ms(Steering(mode="given", values=values_of(space, plan))).item()
            assert found == pytest.approx(prices.latency_s(plan) * 1e3, rel=1e-5)

    def test_drawn_decisions_cost_their_expectation(self) -> None:
        table = torch.tensor([[[1.0], [2.0]], [[3.0], [5.0]]])
        half = torch.tensor([0.5])
        # (1 + 2 + 3 + 5) / 4 times the chance of being there.
        assert block_runtime(table, half, half[0], groups=half, ses=half[:0]).item() == pytest.approx(11 / 8)

    def test_the_runtime_reaches_weights_and_thresholds(self) -> None:
        space = small_space()
        net = Supernet(space)
        net.set_prices(random_prices(space))
        net.runtime_ms().backward()
        assert net.thresholds.grad is not None and bool((net.thresholds.grad != 0).all())
        assert net.superblocks[1].depthwise.weight.grad.norm() > 0

    def test_prices_must_be_of_the_space(self) -> None:
        with pytest.raises(SpecError, match="do not fit a supernet of 'small'"):
            Supernet(small_space()).set_prices(random_prices(SPACES["digits"]))
        with pytest.raises(SpecError, match="call set_prices first"):
            Supernet(small_space()).runtime_ms()

    def test_the_ratio_form_is_for_the_authors_space(self) -> None:
        one = torch.ones(2)
        with pytest.raises(UsageError, match=r"got \(3, 2, 1\) choices"):
            ratio_runtime(torch.ones(3, 2, 1), one, one[0], groups=one[:1])


class TestPixel1:
    GOLDEN = (
        ("largest", 131.4578, 131.4578),
        ("3x3-6", 110.6524, 110.6524),
        ("5x5-3", 76.3622, 76.3622),
        ("3x3-3", 65.6356, 65.6914),
        ("smallest", 30.7900, 30.6319),
        ("single-path-nas", 80.5926, 80.4411),
        ("mnasnet-b1", 76.1199, 75.8806),
    )

    @pytest.mark.parametrize(("name", "ratio", "exact"), GOLDEN)
    def test_golden_runtimes_of_both_forms(self, name: str, ratio: float, exact: float, shared_folder) -> None:
        from edgewise.cost.blocks import open_lut

        space = SPACES["imagenet"]
        device = open_lut(f"lut:{shared_folder / 'data' / 'pixel1-lut.csv'}")
        prices = price_space(space, constant_s=device.table.constant_s or 0.0, price_s=device.choice_s)
        plans = {**PUBLISHED, "largest": space.largest, "smallest": space.smallest}
        if name not in plans:
            kernel, expansion = int(name[0]), int(name[-1])
            plans[name] = space.homogeneous(kernel, expansion)
        for form, expected in (("ratio", ratio), ("table", exact)):
            net = Supernet(space, form="published", runtime=form)
            net.set_prices(prices)
            net.double()
            steering = Steering(mode="given", values=values_of(space, plans[name]))
            assert net.runtime_ms(steering).item() == pytest.approx(expected, abs=5e-5)

    def test_partial_derivatives_of_the_ratio_form(self) -> None:
        # Block 1 of the Pixel 1 table, all gates open: 2.3877 and 5.6644 ms (reference 4.2).
        table = torch.tensor([[[4.4905], [9.2015]], [[5.9248], [11.5892]]], dtype=torch.float64)
        rings, groups = (torch.ones(1, dtype=torch.float64, requires_grad=True) for _ in range(2))
        ratio_runtime(table, rings, torch.ones((), dtype=torch.float64), groups=groups).backward()
        assert (rings.grad.item(), groups.grad.item()) == pytest.approx((2.3877, 5.6644), abs=5e-5)

    def test_exploration_leaves_the_mean_runtime_at_its_largest(self) -> None:
        # With independent indicators of mean 1, E[R] is R at all ones, as R is multilinear.
        space = small_space()
        net = Supernet(space, form="published")
        net.set_prices(random_prices(space))
        generator = torch.Generator().manual_seed(0)
        keeps = (torch.rand(1500, net.thresholds.numel(), generator=generator) < 0.6).float() / 0.6
        with torch.no_grad():
            mean = sum(net.runtime_ms(Steering(mode="dropped", values=keep)).item() for keep in keeps) / len(keeps)
            full = net.runtime_ms().item()
        assert mean == pytest.approx(full, rel=0.05)


def test_nested_products() -> None:
    assert nested(torch.tensor(1.0), torch.tensor([1.0, 0.0, 1.0])).tolist() == [1, 1, 0, 0]
