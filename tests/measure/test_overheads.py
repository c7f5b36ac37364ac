"""What a network costs beyond its calls."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise._core.errors import SpecError
from edgewise.measure.overheads import NO_OVERHEADS, Overheads, fit_overheads

SUMS = [50e-6, 80e-6, 300e-6, 900e-6, 2e-3, 5e-3]
CALLS = [10, 60, 20, 30, 90, 12]


def test_a_total_by_hand() -> None:
    over = Overheads(start_s=10e-6, per_call_s=0.5e-6, scale=1.1)
    assert over.total_s(100e-6, calls=20) == pytest.approx(130e-6)
    assert NO_OVERHEADS.total_s(100e-6, calls=20) == 100e-6


@pytest.mark.parametrize(
    "truth", [Overheads(), Overheads(start_s=20e-6), Overheads(per_call_s=1e-6), Overheads(start_s=5e-6, per_call_s=0.4e-6)]
)
def test_exact_networks_give_back_the_truth(truth: Overheads) -> None:
    measured = [truth.total_s(total, calls=count) for total, count in zip(SUMS, CALLS, strict=True)]
    found = fit_overheads(measured, SUMS, CALLS)
    assert found.start_s == pytest.approx(truth.start_s, abs=1e-9)
    assert found.per_call_s == pytest.approx(truth.per_call_s, abs=1e-10)
    assert found.scale == pytest.approx(truth.scale, rel=1e-4)


@given(st.lists(st.floats(0.5, 3.0), min_size=6, max_size=6))
@settings(max_examples=50)
def test_whatever_was_measured_no_term_is_negative(ratios: list[float]) -> None:
    found = fit_overheads([total * ratio for total, ratio in zip(SUMS, ratios, strict=True)], SUMS, CALLS)
    assert min(found.start_s, found.per_call_s, found.scale) >= 0


def test_a_scale_that_all_networks_share_is_found() -> None:
    found = fit_overheads([1.2 * total for total in SUMS], SUMS, CALLS)
    assert found.scale == pytest.approx(1.2, abs=0.01)


def test_three_networks_at_least() -> None:
    with pytest.raises(SpecError, match="at least 3 networks, got 2"):
        fit_overheads([1e-3, 2e-3], [1e-3, 2e-3], [1, 2])
