"""Fronts and hypervolumes on known answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.recipes.explore.fronts import Value, crowding_of, front_of, hypervolume, ranks_of


def values(*pairs: tuple[float, float]) -> list[Value]:
    return [Value(accuracy=accuracy, ratio=ratio) for accuracy, ratio in pairs]


CORNER = Value(accuracy=0.0, ratio=1.0)


def test_a_front_by_hand() -> None:
    tried = values((0.9, 1.0), (0.8, 0.5), (0.8, 0.7), (0.95, 0.9), (0.8, 0.5))
    assert front_of(tried) == [1, 3] and ranks_of(tried) == [1, 0, 1, 0, 0]
    assert front_of([]) == [] and ranks_of([]) == []


@pytest.mark.parametrize(
    ("tried", "area"),
    [
        ([], 0.0),
        ([(1.0, 0.0)], 1.0),
        ([(0.5, 0.5)], 0.25),
        ([(0.5, 0.5), (0.25, 0.75)], 0.25),
        ([(0.5, 0.25), (0.75, 0.5)], 0.5 * 0.75 + 0.25 * 0.5),
        ([(0.5, 1.0)], 0.0),
        ([(0.0, 0.5)], 0.0),
        ([(0.9, 1.5), (-1.0, 0.1)], 0.0),
        ([(0.25, 0.25), (0.5, 0.5), (0.75, 0.75)], 0.25 * 0.75 + 0.25 * 0.5 + 0.25 * 0.25),
    ],
)
def test_hypervolumes_by_hand(tried: list[tuple[float, float]], area: float) -> None:
    assert hypervolume(values(*tried), CORNER) == pytest.approx(area, abs=1e-15)


shares = st.integers(0, 20).map(lambda whole: whole / 20)


@given(st.lists(st.tuples(shares, shares), max_size=12))
def test_the_sweep_counts_what_a_grid_counts(tried: list[tuple[float, float]]) -> None:
    centres = (np.arange(20) + 0.5) / 20
    covered = np.zeros((20, 20), dtype=bool)
    for accuracy, ratio in tried:
        covered |= (centres[:, None] < accuracy) & (centres[None, :] > ratio)
    assert hypervolume(values(*tried), CORNER) == pytest.approx(covered.mean(), abs=1e-12)


@given(st.lists(st.tuples(shares, shares), min_size=1, max_size=12))
def test_a_front_is_what_nothing_dominates(tried: list[tuple[float, float]]) -> None:
    found = values(*tried)
    front = {(found[place].accuracy, found[place].ratio) for place in front_of(found)}
    assert front == {(one.accuracy, one.ratio) for one in found if not any(other.dominates(one) for other in found)}
    assert [rank == 0 for rank in ranks_of(found)] == [(one.accuracy, one.ratio) in front for one in found]


def test_room_on_a_front() -> None:
    assert crowding_of(values((0.0, 0.0), (0.5, 0.25), (1.0, 1.0))) == [float("inf"), 2.0, float("inf")]
    assert crowding_of(values((0.5, 0.5))) == [float("inf")] and crowding_of([]) == []
