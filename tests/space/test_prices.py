"""Prices of a space, and the best network in a window of them, against a slow loop."""

from functools import cache
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise._core.errors import SpecError, TargetError
from edgewise.ir import ArchPlan
from edgewise.space import SPACES
from edgewise.space.prices import Prices, price_space
from edgewise.space.solve import Window, best_in_window

SPACE = SPACES["digits"]


def _prices(seed: int) -> Prices:
    rng = np.random.default_rng(seed)
    return price_space(SPACE, constant_s=1e-3, price_s=lambda choice: float(rng.uniform(1e-3, 3e-3)))


@cache
def _all_plans() -> tuple[ArchPlan, ...]:
    return tuple(ArchPlan(blocks=blocks) for blocks in product(*(block.choices for block in SPACE.blocks)))


def test_a_networks_price_is_the_constant_and_its_entries() -> None:
    prices = price_space(SPACE, constant_s=1.0, price_s=lambda choice: 10.0**choice.block * choice.kernel)
    assert prices.latency_s(SPACE.largest) == 1 + 5 + 50 + 500 + 5000
    assert prices.latency_s(SPACE.smallest) == 1 + 3 + 300
    assert prices.range_s == (304, 5556)
    assert prices.scaled(2.0).latency_s(SPACE.smallest) == 608


def test_targets_out_of_range_are_refused_with_the_range() -> None:
    prices = price_space(SPACE, constant_s=1e-3, price_s=lambda choice: 1e-3)
    prices.check_target(4e-3, asked="4ms")
    with pytest.raises(TargetError, match=r"--latency 9ms \(9 ms\) lies outside what space 'digits' reaches here: 3 ms to 5 ms"):
        prices.check_target(9e-3, asked="9ms")


def test_prices_must_fit_the_space() -> None:
    with pytest.raises(SpecError, match="must have the shapes"):
        Prices(space=SPACE, constant_s=0.0, tables=())
    with pytest.raises(SpecError, match="finite and not negative"):
        price_space(SPACE, constant_s=0.0, price_s=lambda choice: -1.0)


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.floats(0.2, 0.95), st.floats(0.02, 0.4))
def test_the_best_in_a_window_is_that_of_a_slow_loop(seed: int, share: float, slack: float) -> None:
    prices, rng = _prices(seed), np.random.default_rng(seed + 1)
    worth = [{choice.label: float(rng.normal()) for choice in block.choices} for block in SPACE.blocks]
    least, most = prices.range_s
    end = least + share * (most - least)
    window = Window(least_s=end * (1 - slack), most_s=end)

    def value(plan: ArchPlan) -> float:
        return sum(values[choice.label] for values, choice in zip(worth, plan.blocks, strict=True))

    # Latencies are rounded up by at most 1/4000 of the room for each of four blocks.
    priced = [(prices.latency_s(plan), plan) for plan in _all_plans()]
    inside = [(seconds, plan) for seconds, plan in priced if window.contains(seconds)]
    grid_s = (end - prices.constant_s) / 4000
    found = best_in_window(prices, worth, window)
    assert found is None or window.contains(prices.latency_s(found))
    if found is not None:
        assert value(found) <= max(value(plan) for _, plan in inside) + 1e-9
    top = [plan for seconds, plan in inside if window.least_s + 6 * grid_s <= seconds <= window.most_s - 4 * grid_s]
    if top:
        assert found is not None and value(found) >= max(map(value, top)) - 1e-9


def test_an_empty_window_holds_nothing() -> None:
    worth = [{choice.label: 0.0 for choice in block.choices} for block in SPACE.blocks]
    assert best_in_window(_prices(0), worth, Window(least_s=0.0, most_s=1e-4)) is None
    with pytest.raises(SpecError, match="0 <= least_s <= most_s must hold"):
        Window(least_s=2.0, most_s=1.0)
