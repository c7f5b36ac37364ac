"""What a network costs beyond its calls."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise._core.errors import SpecError
from edgewise.cost import Workload
from edgewise.measure.overheads import NO_OVERHEADS, Overheads, fit_overheads, spilled_bytes

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


def test_one_network_out_of_line_moves_the_others_little() -> None:
    truth = Overheads(start_s=5e-6, per_call_s=0.4e-6)
    measured = [truth.total_s(total, calls=count) for total, count in zip(SUMS, CALLS, strict=True)]
    found = fit_overheads([*measured, 0.75 * measured[3]], [*SUMS, SUMS[3]], [*CALLS, CALLS[3]])
    others = [found.total_s(total, calls=count) for total, count in zip(SUMS, CALLS, strict=True)]
    assert others == pytest.approx(measured, rel=0.01)


def test_three_networks_at_least() -> None:
    with pytest.raises(SpecError, match="at least 3 networks, got 2"):
        fit_overheads([1e-3, 2e-3], [1e-3, 2e-3], [1, 2])


def test_what_maps_spill_is_told_from_the_rest() -> None:
    truth, spilled = (
        Overheads(per_call_s=0.5e-6, scale=0.9, per_spilled_byte_s=2e-11),
        [(place % 3) * 4_000_000 for place in range(len(SUMS))],
    )
    measured = [truth.total_s(total, calls=count, spilled=over) for total, count, over in zip(SUMS, CALLS, spilled, strict=True)]
    found = fit_overheads(measured, SUMS, CALLS, spilled)
    assert found.per_spilled_byte_s == pytest.approx(truth.per_spilled_byte_s, rel=0.05)
    assert found.scale == pytest.approx(truth.scale, rel=0.02)


def test_a_call_spills_what_its_maps_need_beyond_the_cache() -> None:
    conv = Workload(kernel="fused", op="conv2d", in_channels=16, out_channels=32, in_hw=(56, 56), out_hw=(56, 56), window=(3, 3))
    maps = 4 * 56 * 56 * (16 + 32)
    assert (conv.map_bytes, spilled_bytes(conv, batch=1), spilled_bytes(conv, batch=4)) == (maps, 0, 4 * maps - 2**20)
    assert replace(conv, adds=True).map_bytes == maps + 4 * 56 * 56 * 32
    over = Overheads(per_spilled_byte_s=1e-11)
    assert over.spill_s(conv, batch=4) == pytest.approx(1e-11 * (4 * maps - 2**20))
