"""Sensitivity of blocks, ratios chosen by it, and redundancy."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from edgewise._core.errors import TargetError, UsageError
from edgewise.cost.chip.masks import LayerMask
from edgewise.dynamic import GateRules, gated
from edgewise.dynamic.choosing import choose_ratios
from edgewise.dynamic.redundancy import redundancy_of
from edgewise.dynamic.sensitivity import Sensitivity, SweepPoint, sweep_blocks
from edgewise.ir.gates import Gate, GatePlan
from edgewise.train.evaluate import accuracy

GRID = (0.25, 0.5, 0.75)


def _plan(n_blocks: int) -> GatePlan:
    gates = tuple(Gate(consumer=f"c{block}", producer=f"p{block}", block=block, channels=8, hw=(4, 4)) for block in range(n_blocks))
    return GatePlan(gates=gates, n_blocks=n_blocks)


def _sweep(losses: list[list[float]], *, side: str = "channels") -> Sensitivity:
    points = tuple(
        SweepPoint(block=block, side=side, ratio=ratio, accuracy=0.9 - loss)  # type: ignore[arg-type]
        for block, row in enumerate(losses)
        for ratio, loss in zip(GRID, row, strict=True)
    )
    return Sensitivity(points=points, dense=0.9, n_images=100, n_blocks=len(losses))


@given(data=st.data(), n_blocks=st.integers(1, 3), share=st.floats(0.3, 1.0))
def test_the_choice_is_the_best_there_is(data: st.DataObject, n_blocks: int, share: float) -> None:
    losses = [sorted(data.draw(st.lists(st.floats(0, 0.5), min_size=3, max_size=3))) for _ in range(n_blocks)]
    macs = [data.draw(st.integers(1, 9)) for _ in range(n_blocks)]
    sweep, limit = _sweep(losses), share * sum(macs)
    choice = choose_ratios(_plan(n_blocks), sweep, lambda block, c, s: macs[block] * (1 - c) * (1 - s), limit=limit, ratios=GRID)
    best = min(
        sum(sweep.loss(block, "channels", ratio) for block, ratio in enumerate(ratios))
        for ratios in product((0.0, *GRID), repeat=n_blocks)
        if sum(macs[block] * (1 - ratio) for block, ratio in enumerate(ratios)) <= limit * (1 + 1e-9)
    )
    assert choice.loss <= best + 1e-5 and choice.cost <= limit * (1 + 1e-6)
    assert choice.plan.spatial_ratios == (0.0,) * n_blocks


def test_out_of_reach_says_the_least() -> None:
    with pytest.raises(TargetError, match=r"cost 0.25, the target is 0.2"):
        choose_ratios(_plan(1), _sweep([[0, 0, 0]]), lambda block, c, s: 1 - c, limit=0.2, ratios=GRID)


def test_losses_between_ratios_and_never_falling() -> None:
    sweep = _sweep([[0.1, 0.05, 0.3]])
    assert sweep.loss(0, "channels", 0.0) == 0.0 and sweep.loss(0, "channels", 0.125) == pytest.approx(0.05)
    assert sweep.loss(0, "channels", 0.5) == pytest.approx(0.1), "a lucky point does not count as a gain"
    assert sweep.largest_ratio(0, "channels", tolerance=0.06) == 0.0 and sweep.largest_ratio(0, "channels", tolerance=0.2) == 0.5
    with pytest.raises(UsageError, match=r"within those swept for channels of block 0, up to 0.75, got 0.9"):
        sweep.loss(0, "channels", 0.9)


def test_the_sweep_prunes_one_block_at_a_time() -> None:
    torch.manual_seed(0)
    model = nn.Sequential()
    for name, module in (("p0", nn.Conv2d(1, 8, 3, padding=1)), ("r0", nn.ReLU()), ("c0", nn.Conv2d(8, 8, 1)), ("r1", nn.ReLU())):
        model.add_module(name, module)
    model.add_module("c1", nn.Conv2d(8, 2, 1))
    model.add_module("end", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    gates = (
        Gate(consumer="c0", producer="p0", block=0, channels=8, hw=(4, 4)),
        Gate(consumer="c1", producer="c0", block=1, channels=8, hw=(4, 4)),
    )
    images, plan = torch.randn(64, 1, 4, 4), GatePlan(gates=gates, n_blocks=2)
    with torch.no_grad():
        scores = model.eval()(images)
        model.c1.bias[0] -= (scores[:, 0] - scores[:, 1]).median()  # half of the images in each class
        batches = [(images, model(images).argmax(1))]
    sweep = sweep_blocks(model, plan, batches, ratios=(0.5, 0.875), sides=("channels", "positions", "static"))
    assert sweep.dense == 1.0 and sweep.n_images == 64 and len(sweep.points) == 12 and min(point.accuracy for point in sweep.points) < 1.0
    for point in sweep.points:
        only = [point.ratio if place == point.block else 0.0 for place in range(2)]
        pruned = plan.with_ratios([0.0, 0.0], only) if point.side == "positions" else plan.with_ratios(only, [0.0, 0.0])
        with gated(model, pruned, GateRules(ranking="static" if point.side == "static" else "attention")):
            assert point.accuracy == accuracy(model, batches)


def test_redundancy_splits_what_is_pruned() -> None:
    gate = Gate(consumer="c0", producer="p0", block=0, channels=4, hw=(1, 2), channel_ratio=0.5, spatial_ratio=0.5)
    kept = np.zeros((200, 4), dtype=bool)
    kept[:, 0] = True
    kept[0, 1] = True  # for one image of two hundred: as good as never
    kept[1:, 2] = True
    positions = np.zeros((200, 1, 2), dtype=bool)
    positions[::2, 0, 0] = positions[1::2, 0, 1] = True
    rows = redundancy_of(GatePlan(gates=(gate,), n_blocks=1), {"c0": LayerMask(channels=kept, positions=positions)})
    assert [(row.side, row.pruned, row.static, row.dynamic) for row in rows] == [("channels", 0.5, 0.5, 0.0), ("positions", 0.5, 0.0, 0.5)]
