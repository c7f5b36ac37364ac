"""Candidate widths: right edges, the envelope, thinning."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.widths.candidates import MOST_CANDIDATES, envelope, right_edges, thin

LATENCIES = st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=20)


@given(LATENCIES)
def test_the_envelope_is_monotone_and_never_above(latency_s: list[float]) -> None:
    lowered = envelope(latency_s)
    assert lowered == sorted(lowered)
    assert all(low <= raw for low, raw in zip(lowered, latency_s, strict=True))


@given(LATENCIES)
def test_every_value_of_the_envelope_is_that_of_this_or_a_larger_width(latency_s: list[float]) -> None:
    assert envelope(latency_s) == [min(latency_s[place:]) for place in range(len(latency_s))]


def test_the_envelope_of_nothing_is_nothing() -> None:
    assert envelope([]) == []


@given(st.integers(1, 300), st.integers(0, 300), st.sampled_from([2, 4, 8, 16, 32]), st.integers(1, 4), st.integers(0, 40))
def test_edges_fill_whole_steps(low: int, extent: int, step: int, times: int, offset: int) -> None:
    edges = right_edges(low, low + extent, step=step, times=times, offset=offset)
    assert edges == [width for width in range(low, low + extent + 1) if (times * width + offset) % step == 0]


@given(st.integers(1, 2000), st.integers(0, 2000))
def test_smooth_latencies_give_about_sixteen_widths(low: int, extent: int) -> None:
    edges = right_edges(low, low + extent, step=1)
    assert edges[0] == low
    assert len(edges) == extent + 1 if extent < 16 else 16 <= len(edges) <= 32


@given(st.sets(st.integers(1, 600), max_size=60), st.integers(1, 600), st.integers(1, 12))
def test_thinned_candidates_are_few_and_hold_what_is_always_kept(edges: set[int], present: int, most: int) -> None:
    chosen = thin(edges, present=present, price_s=lambda width: 1.0 + width, most=most)
    assert list(chosen) == sorted(set(chosen))
    assert present in chosen
    assert set(chosen) <= edges | {present}
    assert len(chosen) <= most + 3
    below, above = [edge for edge in edges if edge < present], [edge for edge in edges if edge > present]
    assert not below or max(below) in chosen
    assert not above or min(above) in chosen


def test_at_most_eight_beyond_those_always_kept() -> None:
    assert len(thin(range(16, 2049, 16), present=1000, price_s=lambda width: 1.0 + width)) <= MOST_CANDIDATES + 3


def test_of_each_stretch_the_edge_of_highest_throughput_stays() -> None:
    cheap = {32, 96}
    chosen = thin(range(16, 257, 16), present=250, price_s=lambda width: 1.0 if width in cheap else float(width), most=2)
    assert set(chosen) == {32, 96, 240, 250, 256}


@pytest.mark.parametrize("edges", [[], [64]])
def test_few_edges_are_all_kept(edges: list[int]) -> None:
    assert thin(edges, present=60, price_s=float) == tuple(sorted([60, *edges]))
