"""Points: what decides a network, read, written and told apart."""

import json
from pathlib import Path

import pytest

from edgewise._core.errors import UsageError
from edgewise.recipes.explore.point import METHODS, Point, read_points


def test_equal_points_have_one_form_and_one_key() -> None:
    first = Point(widths=(("b", 8), ("a", 16)), channel_ratios=(0.0, 0.0), epochs=3, origin="solver")
    second = Point(widths=(("a", 16), ("b", 8)), spatial_ratios=(0.0,), epochs=3.0)
    assert first == second and first.key == second.key and first.channel_ratios == ()
    assert first.key != Point(widths=first.widths, epochs=2).key and len(first.key) == 12


def test_the_key_is_the_same_in_every_process() -> None:
    assert Point(widths=(("conv1", 8),), channel_ratios=(0.5,), epochs=3).key == "6c85b2636a8a"


def test_methods_are_named() -> None:
    points = [
        Point(),
        Point(widths=(("a", 1),)),
        Point(channel_ratios=(0.5,)),
        Point(widths=(("a", 1),), spatial_ratios=(0.5,)),
        Point(base="searched", architecture=("3x3-3",)),
        Point(base="searched", architecture=("3x3-3",), channel_ratios=(0.1,)),
    ]
    assert tuple(point.method for point in points) == METHODS


def test_points_come_back_from_json() -> None:
    point = Point(widths=(("a", 3),), channel_ratios=(0.5, 0.25), spatial_ratios=(0.1, 0.0), epochs=1.5, seed=2, origin="sampler")
    again = Point.from_json(json.loads(json.dumps(point.to_json())))
    assert again == point and again.origin == "sampler"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"wide": 3}, "a point has no field 'wide'; it has architecture"),
        ({"base": "mine"}, "a point's base must be one of"),
        ({"base": "searched"}, "has an architecture exactly where it is searched"),
        ({"channel_ratios": [1.0]}, r"channel_ratios of a point must lie in \[0, 1\), got 1"),
        ({"widths": {"a": -1}}, "widths of a point must be at least 1, or 0 for blocks left out"),
        ({"epochs": -1}, "epochs and seed must not be negative"),
        ({"widths": 3}, "not a point"),
    ],
)
def test_what_is_no_point_is_refused(value: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Point.from_json(value)


def test_a_file_of_points(tmp_path: Path) -> None:
    path = tmp_path / "points.json"
    path.write_text(json.dumps({"points": [{"channel_ratios": [0.5]}, {"widths": {"a": 3}, "epochs": 1}]}))
    first, second = read_points(path, epochs=3.0, seed=7)
    assert (first.epochs, first.seed, first.origin, second.epochs) == (3.0, 7, "given", 1.0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "must hold points, each once, got none"),
        ("{", "needs a JSON file with a list of points"),
        ('{"trials": []}', "needs a JSON file with a list of points"),
        ('[{"widths": {"a": 1}}, {"widths": {"a": 1}}]', "got entry 2 twice"),
        ('[{"origin": "me"}]', "points.json: a point's base"),
    ],
)
def test_a_file_that_holds_no_points_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "points.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=said):
        read_points(path, epochs=3.0, seed=0)
