"""Ratios of all blocks improved together."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.dynamic.refining import Refined, refine_ratios
from edgewise.ir.gates import Gate, GatePlan


def _plan(channels: tuple[float, ...], positions: tuple[float, ...] = ()) -> GatePlan:
    gates = tuple(Gate(consumer=f"c{block}", producer=f"p{block}", block=block, channels=8, hw=(4, 4)) for block in range(len(channels)))
    return GatePlan(gates=gates, n_blocks=len(gates)).with_ratios(channels, positions or (0.0,) * len(channels))


def _macs(_block: int, channels: float, positions: float) -> float:
    return 100 * (1 - channels) * (1 - positions)


def _cost(plan: GatePlan) -> float:
    return sum(_macs(block, c, s) for block, (c, s) in enumerate(zip(plan.channel_ratios, plan.spatial_ratios, strict=True)))


def test_pruning_moves_to_where_it_does_not_hurt() -> None:
    """Block 0 suffers from its square, block 1 not at all: all of it belongs into block 1."""
    found = refine_ratios(
        _plan((0.4, 0.4)), lambda plan: plan.channel_ratios[0] ** 2 + 9 * sum(plan.spatial_ratios), _cost, limit=120.0, most_trials=30
    )
    assert found.plan.channel_ratios == (0.0, 0.8) and found.plan.spatial_ratios == (0.0, 0.0)
    assert (found.loss_before, found.loss) == pytest.approx((0.16, 0.0)) and found.trials <= 30


def test_pruning_moves_from_channels_to_positions_of_one_block() -> None:
    """By hand: 0.5 of channels leave 50 of 100; without, positions have to prune that half."""
    found = refine_ratios(_plan((0.5,)), lambda plan: 3 * plan.channel_ratios[0] + plan.spatial_ratios[0], _cost, limit=50.0)
    assert found.plan.channel_ratios == (0.0,) and found.plan.spatial_ratios == (0.5,)


def test_what_is_best_already_comes_back_unchanged() -> None:
    start = _plan((0.5, 0.5))
    found = refine_ratios(
        start, lambda plan: sum(ratio**2 for ratio in plan.channel_ratios) + 9 * sum(plan.spatial_ratios), _cost, limit=100.0
    )
    assert found == Refined(plan=start, loss_before=0.5, loss=0.5, trials=found.trials)


def test_no_more_plans_are_judged_than_allowed() -> None:
    judged: list[GatePlan] = []

    def judge(plan: GatePlan) -> float:
        judged.append(plan)
        return -float(len(judged))  # each one better than the last

    found = refine_ratios(_plan((0.4, 0.4, 0.4)), judge, _cost, limit=180.0, most_trials=9)
    assert len(judged) == found.trials == 9 and judged[0] == _plan((0.4, 0.4, 0.4))


@given(
    weights=st.lists(st.floats(0, 5), min_size=6, max_size=6),
    ratios=st.lists(st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8, 0.9]), min_size=6, max_size=6),
)
def test_the_limit_holds_and_the_loss_never_rises(weights: list[float], ratios: list[float]) -> None:
    start = _plan(tuple(ratios[:3]), tuple(ratios[3:]))
    limit = _cost(start)

    def judge(plan: GatePlan) -> float:
        return sum(w * ratio**2 for w, ratio in zip(weights, (*plan.channel_ratios, *plan.spatial_ratios), strict=True))

    found = refine_ratios(start, judge, _cost, limit=limit)
    assert _cost(found.plan) <= limit * (1 + 1e-9) and found.loss <= found.loss_before == judge(start)
    assert found.loss == judge(found.plan) and all(0 <= ratio <= 0.9 for ratio in (*found.plan.channel_ratios, *found.plan.spatial_ratios))
    assert [replace(gate, channel_ratio=0.0, spatial_ratio=0.0) for gate in found.plan.gates] == [
        replace(gate, channel_ratio=0.0, spatial_ratio=0.0) for gate in start.gates
    ]
