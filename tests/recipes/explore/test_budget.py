"""What is known of time: learnt from what was seen, and kept to."""

import pytest

from edgewise._core.errors import UsageError
from edgewise.recipes.explore.budget import Clock, Pace, Work
from edgewise.recipes.explore.request import parse_duration


def pace() -> Pace:
    return Pace(n_train=90, n_validation=30, static_s=1e-6, dynamic_s=2e-6, measure_s=10.0)


def test_the_first_estimate_follows_the_timed_steps() -> None:
    static, dynamic = Work(macs=1000, epochs=2.0, dynamic=False), Work(macs=1000, epochs=2.0, dynamic=True)
    # 2 epochs of 90 images, and 3 scorings of 30 images at a third of the time.
    assert pace().training_s(static) == pytest.approx(1e-3 * (180 + 30))
    assert pace().training_s(dynamic) == pytest.approx(2e-3 * (180 + 30))
    assert pace().trial_s([static, static]) == pytest.approx(2 * (0.21 + 1.0) + 10.0)


def test_a_teacher_looks_at_every_training_image() -> None:
    taught = Work(macs=1000, epochs=2.0, dynamic=False, teacher_macs=3000)
    assert pace().training_s(taught) == pytest.approx(1e-3 * (180 + 30 + 3 * 180 / 3))


def test_it_learns_from_what_was_seen() -> None:
    seen, work = pace(), Work(macs=1000, epochs=2.0, dynamic=False)
    seen.trained(work, 2.1, 2.6)
    assert seen.static_s == pytest.approx(1e-5) and seen.dynamic_s == 2e-6
    seen.measured(4.0, 1)
    seen.measured(8.0, 2)
    assert seen.measure_s == pytest.approx(4.0)
    assert seen.trial_s([work]) == pytest.approx(2.1 + 0.5 + 4.0)
    seen.trained(Work(macs=1000, epochs=0.0, dynamic=False), 0.0, 0.1)
    assert seen.static_s > 0


def test_a_clock_counts_the_sessions_before() -> None:
    assert Clock(None).left_s == float("inf")
    clock = Clock(100.0, before_s=70.0)
    assert 70.0 <= clock.spent_s < 71.0 and 29.0 < clock.left_s <= 30.0


@pytest.mark.parametrize(("text", "seconds"), [("2h", 7200.0), ("40min", 2400.0), ("56m", 3360.0), ("90s", 90.0), (" 0.5 h ", 1800.0)])
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "2 weeks", "-1h", "0s", "h", "nans", "1e3s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--budget must be a positive time with a unit such as 2h, 40min or 90s"):
        parse_duration(text)
