"""A study read from a file: what it holds, what damage does, which point a target gets."""

import pytest

from edgewise._core.errors import RunError
from edgewise._core.units import parse_latency
from edgewise.report.explore_data import study_from_json
from report.studies import BASE_MIN_S, BASE_S, study, trial


@pytest.fixture
def value():
    return study()


def small(*trials, front=()):
    """A study of a few trials."""
    baseline = {"latency_s": BASE_S, "min_s": BASE_MIN_S, "accuracy_validation": 0.92}
    return study_from_json({"trials": list(trials), "front": [trials[place]["key"] for place in front], "baseline": baseline})


def test_a_whole_study_is_read(value):
    read = study_from_json(value)
    assert len(read.trials) == 52
    assert [one.key for one in read.on_front] == value["front"]
    assert (read.trials[49].run, read.trials[49].ratio) == ("", None)
    assert dict(read.settings)["latencies"] == "0.9x, 0.8x, 0.7x, 0.6x, 0.5x"
    assert dict(read.provenance)["host.cores"] == "2"


def test_nothing_is_a_study_too():
    assert study_from_json({}).trials == ()
    assert study_from_json({"trials": None, "baseline": None, "recommended": None}).recommended is None


@pytest.mark.parametrize(
    ("place", "bad", "says"),
    [
        ("number", -1, "trials.3.number"),
        ("state", "asleep", "trials.3.state"),
        ("kind", "guessed", "trials.3.kind"),
        ("accuracy_validation", 91.2, "trials.3.accuracy_validation"),
        ("latency_s", float("nan"), "trials.3.latency_s"),
        ("channel_ratios", [0.2, 1.5], "trials.3.channel_ratios.1"),
        ("widths", ["a"], "trials.3.widths"),
        ("key", None, "trials.3.key"),
    ],
)
def test_damage_is_named(value, place, bad, says):
    value["trials"][3][place] = bad
    with pytest.raises(RunError, match="damaged") as caught:
        study_from_json(value)
    assert f"`{says}`" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_keys_must_be_distinct_and_named_ones_there(value):
    with pytest.raises(RunError, match=r"`front` must name one of the 52 trials, got 'nobody'"):
        study_from_json({**value, "front": [*value["front"], "nobody"]})
    with pytest.raises(RunError, match=r"`recommended` must name"):
        study_from_json({**value, "recommended": {"key": "nobody", "why": ""}})
    with pytest.raises(RunError, match="twice"):
        study_from_json({**value, "trials": [*value["trials"], value["trials"][0]]})
    with pytest.raises(RunError, match="got list"):
        study_from_json([value])


def test_a_target_gets_the_most_accurate_point_that_is_fast_enough():
    found = small(*(trial(n, "widths", r, a) for n, r, a in [(1, 0.5, 0.88), (2, 0.7, 0.9), (3, 0.9, 0.91)]), front=(0, 1, 2))
    best = [found.best(parse_latency(text)) for text in ("0.7x", "0.69x", "1x", "0.4x")]
    assert [one and one.number for one in best] == [2, 1, 3, None]


def test_a_share_is_judged_by_the_fastest_repeats_and_a_time_by_the_median():
    found = small(trial(1, "widths", 0.7, 0.9, latency_s=2e-3), front=(0,))
    assert found.best(parse_latency("0.7x")).number == 1
    assert found.best(parse_latency("2ms")).number == 1
    assert found.best(parse_latency("1.9ms")) is None


def test_only_the_front_is_chosen_from():
    found = small(trial(1, "widths", 0.5, 0.88), trial(2, "widths", 0.5, 0.99), front=(0,))
    assert found.best(parse_latency("1x")).number == 1


def test_points_are_drawn_by_their_ratio_and_without_one_by_their_time():
    found = small(
        trial(1, "widths", 0.5, 0.88, latency_s=9.0), trial(2, "widths", None, 0.8, predicted_s=1.5e-3), trial(3, "widths", None, 0.8)
    )
    assert [found.drawn_s(one) for one in found.trials] == [pytest.approx(0.5 * BASE_S), 1.5e-3, None]
