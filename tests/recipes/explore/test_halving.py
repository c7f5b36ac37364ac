"""Who is trained on, on cases worked out by hand."""

import pytest

from edgewise.recipes.explore.fronts import Value
from edgewise.recipes.explore.halving import rungs_of, why_stopped


def values(*pairs: tuple[float, float]) -> list[Value]:
    return [Value(accuracy=accuracy, ratio=ratio) for accuracy, ratio in pairs]


@pytest.mark.parametrize(
    ("epochs", "halved", "rungs"),
    [(4.0, True, (0.0, 1.0, 3.0)), (0.5, True, (0.0, 0.5)), (4.0, False, (4.0,)), (0.0, True, (0.0,))],
)
def test_rungs_add_up_to_all_epochs(epochs: float, halved: bool, rungs: tuple[float, ...]) -> None:
    assert rungs_of(epochs, halved=halved) == rungs and sum(rungs) == epochs


LINE = values((0.9, 1.0), (0.8, 0.8), (0.7, 0.6))


def test_what_nothing_beats_goes_on() -> None:
    assert why_stopped(Value(accuracy=0.6, ratio=0.5), LINE) is None
    assert why_stopped(Value(accuracy=0.85, ratio=0.9), LINE) is None


def test_what_is_beaten_stops_and_says_by_how_many() -> None:
    assert why_stopped(Value(accuracy=0.65, ratio=0.9), LINE) == (
        "2 of 3 networks at the same rung are as fast and more accurate, or faster"
    )
    assert why_stopped(Value(accuracy=0.85, ratio=1.05), LINE) == (
        "1 of 3 networks at the same rung is as fast and more accurate, or faster"
    )


def test_with_few_seen_nobody_stops() -> None:
    assert why_stopped(Value(accuracy=0.1, ratio=2.0), LINE[:2]) is None


def test_a_beaten_one_goes_on_where_it_stands_in_the_better_half() -> None:
    bad = values((0.5, 1.3), (0.4, 1.4), (0.3, 1.5))
    second = Value(accuracy=0.85, ratio=1.0)
    assert why_stopped(second, [Value(accuracy=0.9, ratio=0.9), *bad]) is None
    assert why_stopped(Value(accuracy=0.35, ratio=1.45), [Value(accuracy=0.9, ratio=0.9), *bad]) is not None


def test_of_equal_ranks_the_crowded_one_stops() -> None:
    front = values((0.9, 0.9), (0.7, 0.5))
    peers = values((0.88, 0.95), (0.6, 0.55), (0.8, 0.91))
    crowded = Value(accuracy=0.801, ratio=0.911)
    assert why_stopped(crowded, [*front, *peers]) is not None
    assert why_stopped(peers[0], [*front, *peers[1:], crowded]) is None
