"""Latency over two widths, from a few timings."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise._core.errors import SpecError
from edgewise.cost.surface import LatencySurface, Timing, fit_surface, held_out_error
from edgewise.testing.staircase import KnownTiles

TILES = KnownTiles(in_step=16, out_step=16, base_s=2e-6, tile_s=1e-6)
GRID = list(itertools.product((16, 48, 96, 160), repeat=2))


def timings(pairs: list[tuple[int, int]], latency_s: Callable[[int, int], float]) -> list[Timing]:
    return [Timing(in_channels=read, out_channels=written, latency_s=latency_s(read, written)) for read, written in pairs]


def fitted(latency_s: Callable[[int, int], float] = TILES.latency_s, *, step: int = 16) -> LatencySurface:
    return fit_surface(timings(GRID, latency_s), in_step=step, out_step=step, one_width=False)


@given(read=st.integers(1, 200), written=st.integers(1, 200))
@settings(max_examples=100, deadline=None)
def test_tiles_are_given_back_between_the_timed_pairs(read: int, written: int) -> None:
    """Where no timed pair lies off an edge, widths off the edges cost what their blocks cost."""
    assert SURFACE.latency_s(read, written) == pytest.approx(TILES.latency_s(read, written), rel=1e-4)


SURFACE = fitted()


@given(read=st.integers(161, 1000), written=st.integers(161, 1000))
@settings(max_examples=50, deadline=None)
def test_beyond_the_timed_pairs_it_goes_on(read: int, written: int) -> None:
    assert SURFACE.latency_s(read, written) == pytest.approx(TILES.latency_s(read, written), rel=1e-4)


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300), st.floats(1e-7, 1e-2)), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_whatever_was_timed_weights_are_not_negative_and_latencies_positive(points: list[tuple[int, int, float]]) -> None:
    made = [Timing(in_channels=read, out_channels=written, latency_s=latency_s) for read, written, latency_s in points]
    surface = fit_surface(made, in_step=16, out_step=16, one_width=False)
    assert min(surface.coefficients) >= 0
    assert all(surface.latency_s(read, written) > 0 for read, written in ((1, 1), (16, 1000), (4000, 4000)))


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_timed_pairs_are_given_back_nearly_as_timed(seed: int) -> None:
    """The step model does not hold exactly; what it leaves stays with the pairs."""
    rng = np.random.default_rng(seed)
    made = timings(GRID, lambda read, written: TILES.latency_s(read, written) * float(rng.uniform(0.8, 1.2)))
    surface = fit_surface(made, in_step=16, out_step=16, one_width=False)
    for one in made:
        assert surface.latency_s(one.in_channels, one.out_channels) == pytest.approx(one.latency_s, rel=0.02)


def test_a_part_full_block_may_cost_extra() -> None:
    def latency_s(read: int, written: int) -> float:
        return TILES.latency_s(read, written) * (1.0 if written % 16 == 0 else 1.3)

    pairs = [*GRID, *((read, written - 7) for read, written in GRID)]
    surface = fit_surface(timings(pairs, latency_s), in_step=16, out_step=16, one_width=False)
    for read, written in ((48, 64), (48, 60), (96, 130), (96, 144)):
        assert surface.latency_s(read, written) == pytest.approx(latency_s(read, written), rel=0.08)


@pytest.mark.parametrize("one_width", [False, True])
def test_timings_off_the_edges_alone_still_foretell_widths_on_them(one_width: bool) -> None:
    pairs = [(read, written) for read in (12, 15) for written in (25, 56, 125)]
    truth = TILES if not one_width else KnownTiles(in_step=1000, out_step=16, base_s=2e-6, tile_s=1e-6)
    surface = fit_surface(timings(pairs, truth.latency_s), in_step=16, out_step=16, one_width=one_width)
    assert surface.latency_s(12, 64) == pytest.approx(truth.latency_s(12, 64), rel=0.01)


def test_one_width_families_look_at_the_output_width_alone() -> None:
    pairs = [(width, width) for width in (16, 64, 256)]
    surface = fit_surface(timings(pairs, lambda _, written: 1e-6 + 1e-8 * written), in_step=1, out_step=1, one_width=True)
    assert surface.latency_s(1, 100) == surface.latency_s(77, 100) == pytest.approx(2e-6, rel=1e-6)
    assert len(surface.coefficients) == 3


def test_a_single_timing_will_do() -> None:
    surface = fit_surface([Timing(in_channels=32, out_channels=64, latency_s=5e-6)], in_step=16, out_step=16, one_width=False)
    assert surface.latency_s(32, 64) == pytest.approx(5e-6)


def test_held_out_pairs_are_foretold() -> None:
    checks = timings([(32, 112), (130, 70), (80, 17)], TILES.latency_s)
    assert held_out_error(timings(GRID, TILES.latency_s), checks, in_step=16, out_step=16, one_width=False) < 1e-4
    wrong = [Timing(in_channels=32, out_channels=112, latency_s=2 * TILES.latency_s(32, 112))]
    assert held_out_error(timings(GRID, TILES.latency_s), wrong, in_step=16, out_step=16, one_width=False) == pytest.approx(0.5, abs=1e-3)
    assert held_out_error(timings(GRID, TILES.latency_s), [], in_step=16, out_step=16, one_width=False) == 0.0


@pytest.mark.parametrize("bad", [[], [Timing(in_channels=1, out_channels=1, latency_s=0.0)]], ids=["none", "zero"])
def test_refuses_what_cannot_be_fitted(bad: list[Timing]) -> None:
    with pytest.raises(SpecError, match="at least one pair"):
        fit_surface(bad, in_step=16, out_step=16, one_width=False)
