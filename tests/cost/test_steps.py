"""Finding steps with a handful of timings."""

from collections.abc import Sequence

import numpy as np
import pytest

from edgewise.cost.steps import find_step
from edgewise.testing.staircase import KnownStaircase

STEPS = pytest.mark.parametrize("step", [4, 8, 16, 32, 64])


def stairs(step: int, *, treads: int = 8, offset: int = 0, base: float = 1.0) -> KnownStaircase:
    """A base worth ``base`` treads."""
    return KnownStaircase(step=step, base_s=base * 1e-6, step_s=1e-6, offset=offset)


@STEPS
def test_finds_the_step(step: int) -> None:
    found = find_step(lambda widths: [stairs(step).latency_s(width) for width in widths], near=64)
    assert found.channels == step
    assert found.edge % step == 0


@STEPS
@pytest.mark.parametrize("seed", range(4))
def test_finds_the_step_in_noise(step: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = find_step(lambda widths: [stairs(step).noisy_latency_s(width, rng, noise=0.003) for width in widths], near=64)
    assert found.channels == step


@STEPS
def test_needs_few_timings(step: int) -> None:
    asked: list[int] = []

    def time_widths(widths: Sequence[int]) -> list[float]:
        asked.extend(widths)
        return [stairs(step).latency_s(width) for width in widths]

    found = find_step(time_widths, near=64)
    assert len(asked) == len(set(asked)) <= 8
    assert found.widths == tuple(sorted(asked))


@pytest.mark.parametrize("first", [4, 8, 16, 32, 64])
@STEPS
def test_a_step_to_try_first_changes_nothing_but_the_order(step: int, first: int) -> None:
    found = find_step(lambda widths: [stairs(step).latency_s(width) for width in widths], near=64, first=first)
    assert found.channels == step


@pytest.mark.parametrize("base", [0.0, 1e-6, 1e-4])
def test_a_smooth_latency_has_no_step(base: float) -> None:
    assert find_step(lambda widths: [base + 1e-8 * width for width in widths], near=64).channels == 1


def test_a_flat_latency_has_no_step() -> None:
    found = find_step(lambda widths: [1e-6] * len(widths), near=64)
    assert (found.channels, found.jump) == (1, 0.0)


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_is_no_step(seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert find_step(lambda widths: [1e-6 * (1 + float(rng.exponential(0.003))) for _ in widths], near=64).channels == 1


@pytest.mark.parametrize("offset", [1, 3, 5, 8, 11])
@pytest.mark.parametrize("step", [16, 32])
def test_edges_elsewhere_than_at_multiples_are_not_taken_for_steps(step: int, offset: int) -> None:
    """Right edges are multiples of the step: where the true ones are not, no step of that size may be claimed."""
    known = stairs(step, offset=offset)
    found = find_step(lambda widths: [known.latency_s(width) for width in widths], near=64)
    claimed = range(found.edge, found.edge + 2 * step, found.channels)
    assert found.channels == 1 or all(known.latency_s(edge + 1) > known.latency_s(edge) for edge in claimed)


def test_the_grain_is_the_distance_at_which_the_jump_is_looked_for() -> None:
    """A kernel that only takes multiples of 4: one channel more is another kernel, much slower."""
    known = stairs(16)

    def time_widths(widths: Sequence[int]) -> list[float]:
        assert all(width % 4 == 0 for width in widths)
        return [known.latency_s(width) for width in widths]

    assert find_step(time_widths, near=64, grain=4).channels == 16


@pytest.mark.parametrize("near", [16, 24, 40, 48, 100, 500])
def test_finds_it_near_any_width(near: int) -> None:
    found = find_step(lambda widths: [stairs(16).latency_s(width) for width in widths], near=near)
    assert found.channels == 16
