"""Charts: places by hand, limits, and hostile text."""

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.report.charts import (
    Drop,
    Point,
    StairsMarks,
    bar_pair,
    pareto_scatter,
    prediction_scatter,
    staircase_chart,
    training_curve,
    waterfall_chart,
    widths_chart,
)
from edgewise.report.charts.scale import Scale, log_ticks, nice_ticks, tick_text
from edgewise.report.charts.scatter import pareto_front
from edgewise.report.charts.stairs import step_points
from edgewise.report.charts.svg import element
from edgewise.report.charts.waterfall import largest_drops
from edgewise.report.data import Epoch, LayerWidth, NetworkCheck, Staircase

_HOSTILE = "</svg><script>alert(1)</script>\"'&"


def parsed(svg):
    """The drawing as a tree; fails where it is not well-formed."""
    return ElementTree.fromstring(str(svg))


def places(svg, class_, *names):
    """The named attributes of all elements of that class."""
    return [tuple(float(node.get(name)) for name in names) for node in parsed(svg).iter() if node.get("class") == class_]


def test_scales_place_values_by_hand():
    assert Scale(low=0, high=4, start=40, end=240)(1) == 90.0
    assert Scale(low=1, high=10_000, start=0, end=100, logarithmic=True)(100) == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, (0.0, 0.5, 1.0)),
        (0, 45, (0.0, 10.0, 20.0, 30.0, 40.0)),
        (92.5, 94.1, (92.5, 93.0, 93.5, 94.0)),
        (-1, 1, (-1.0, -0.5, 0.0, 0.5, 1.0)),
    ],
)
def test_ticks_by_hand(low, high, ticks):
    assert nice_ticks(low, high) == ticks


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e6))
def test_ticks_lie_within_ascend_and_are_few(low, room):
    ticks = nice_ticks(low, low + room)
    assert list(ticks) == sorted(set(ticks))
    assert 1 <= len(ticks) <= 5
    assert low - room * 1e-6 <= ticks[0]
    assert ticks[-1] <= low + room * (1 + 1e-6)


@given(st.floats(1e-6, 1e3), st.floats(1.01, 1e6))
def test_log_ticks_lie_within(low, factor):
    ticks = log_ticks(low, low * factor)
    assert all(low * 0.999 <= tick <= low * factor * 1.001 for tick in ticks)
    assert len(ticks) >= 1


def test_tick_labels_are_short():
    assert [tick_text(value) for value in (0.0, -0.5, 12.0, 0.005)] == ["0", "-0.5", "12", "0.005"]


def test_elements_escape_everything():
    assert "<script>" not in element("text", _HOSTILE, id=_HOSTILE)
    assert parsed(element("text", _HOSTILE, id=_HOSTILE)).text == _HOSTILE


def test_a_width_costs_what_the_next_probe_costs():
    assert step_points([8, 16, 17], [1.0, 1.0, 2.0]) == [(8, 1.0), (16, 1.0), (16, 2.0), (17, 2.0)]
    assert step_points([8], [1.0]) == [(8, 1.0)]


def test_a_sweep_of_many_widths_draws_only_corners():
    widths = list(range(1, 513))
    assert len(step_points(widths, [float(-(-width // 64)) for width in widths])) == 16


def test_the_staircase_marks_the_chosen_width_where_it_belongs():
    stairs = Staircase(name="conv", widths=(50, 100), latency_s=(1e-3, 2e-3), candidates=(50,))
    svg = staircase_chart(stairs, StairsMarks(original=(100,), chosen=(50,)), size=(340.0, 214.0))
    # x runs from 40 to 330 over 0..104 channels; y from 178 up to 36 over 0..2.24 ms.
    assert places(svg, "pin after", "cx", "cy") == [
        (pytest.approx(40 + 290 * 50 / 104, abs=0.06), pytest.approx(178 - 142 * 1 / 2.24, abs=0.06))
    ]
    assert places(svg, "pin before", "cx", "cy") == [
        (pytest.approx(40 + 290 * 100 / 104, abs=0.06), pytest.approx(178 - 142 * 2 / 2.24, abs=0.06))
    ]
    assert len(places(svg, "candidate", "cx")) == 1
    assert "originally 100, chosen 50" in parsed(svg).get("aria-label")


def test_a_kept_width_is_marked_once():
    stairs = Staircase(name="conv", widths=(50,), latency_s=(1e-3,))
    svg = staircase_chart(stairs, StairsMarks(original=(50,), chosen=(50,)))
    assert "kept 50" in svg
    assert "was 50" not in svg


def test_a_staircase_of_zeros_and_marks_beyond_it_still_draws():
    stairs = Staircase(name=_HOSTILE, widths=(8, 16), latency_s=(0.0, 0.0), candidates=(900,))
    svg = staircase_chart(stairs, StairsMarks(original=(1000,), chosen=tuple(range(1, 60))))
    assert parsed(svg).get("role") == "img"


def test_the_diagonal_holds_exact_predictions():
    svg = prediction_scatter([NetworkCheck(name="after", predicted_s=1e-3, measured_s=1e-3)], size=(420.0, 340.0))
    (x, y) = places(svg, "pin after", "cx", "cy")[0]
    ((x1, y1, x2, y2),) = places(svg, "diagonal", "x1", "y1", "x2", "y2")
    assert (y - y1) / (x - x1) == pytest.approx((y2 - y1) / (x2 - x1), rel=1e-2)


def test_points_outside_the_band_are_marked():
    checks = [NetworkCheck(name="part", predicted_s=factor * 1e-3, measured_s=1e-3) for factor in (0.85, 0.95, 1.05, 1.15)]
    svg = prediction_scatter(checks)
    assert len(places(svg, "pin part far", "cx")) == 2
    assert "2 of them over 10 % apart" in parsed(svg).get("aria-label")


def test_the_front_keeps_what_nothing_beats():
    points = [
        Point(name=name, latency_s=time, value=value) for name, time, value in (("a", 1, 0.5), ("b", 2, 0.5), ("c", 2, 0.7), ("d", 3, 0.6))
    ]
    assert [point.name for point in pareto_front(points)] == ["a", "c"]
    assert len(places(pareto_scatter(points), "pin after", "cx")) == 2


def test_the_waterfall_lands_on_the_result():
    drops = [Drop(name="a", saved_s=3e-3), Drop(name=_HOSTILE, saved_s=-1e-3)]
    svg = waterfall_chart(10e-3, drops, width=400.0)
    # One millisecond takes (400 - 64 - 108) / 10 = 22.8 units.
    assert places(svg, "bar total after", "x", "width") == [(108.0, pytest.approx(22.8 * 8, abs=0.06))]
    assert places(svg, "bar lost", "width") == [(pytest.approx(22.8, abs=0.06),)]


def test_a_waterfall_below_zero_stays_on_the_drawing():
    svg = waterfall_chart(1e-3, [Drop(name="a", saved_s=3e-3), Drop(name="b", saved_s=-2.5e-3)])
    assert min(x for (x,) in places(svg, "bar saved", "x")) >= 0


def test_the_rest_of_many_layers_is_one_step():
    drops = largest_drops([Drop(name=str(index), saved_s=1.0) for index in range(110)], at_most=12)
    assert len(drops) == 12
    assert sum(drop.saved_s for drop in drops) == pytest.approx(110)


def test_bars_are_as_long_as_widths():
    assert places(bar_pair(70, 64, maximum=140, label="x"), "bar before", "width") == [(50.0,)]
    svg = widths_chart([LayerWidth(layer="a", before=100, after=50), LayerWidth(layer="b", before=50, after=100)])
    ((after,),) = places(svg, "bar after", "height")
    ((grown,),) = places(svg, "bar grown", "height")
    assert grown == pytest.approx(2 * after, abs=0.2)


def test_one_layer_of_unknown_origin_draws():
    assert "conv: 8" in widths_chart([LayerWidth(layer="conv", before=None, after=8)])


@pytest.mark.parametrize(
    "history",
    [
        [Epoch(epoch=1, loss=1.0, accuracy_validation=0.5)],
        [Epoch(epoch=1, loss=0.0), Epoch(epoch=2, loss=0.0)],
        [Epoch(epoch=index, accuracy_validation=0.9) for index in range(300)],
    ],
    ids=["one epoch", "loss only", "flat and long"],
)
def test_training_curves_at_their_limits(history):
    assert not re.search("nan|inf", str(training_curve(history, goal=0.9)))
    assert parsed(training_curve(history)).get("role") == "img"
