import numpy as np
import pytest

from edgewise._core.errors import SpecError
from edgewise.testing.staircase import KnownStaircase, KnownTiles
from edgewise.testing.width_problems import ProblemShape, assignments, brute_force, random_width_problem
from edgewise.widths.problem import Limits, UnreachableError


def test_a_known_staircase_steps_where_it_says():
    stairs = KnownStaircase(step=16, base_s=2.0, step_s=1.0, offset=4, jumps=((30, 5.0),))
    assert [stairs.latency_s(width) for width in (4, 5, 20, 21, 29, 30, 36, 37)] == [2, 3, 3, 4, 4, 9, 9, 10]
    assert stairs.edges(1, 60) == (4, 20, 29, 36, 52)


def test_a_faster_kernel_is_no_edge():
    assert KnownStaircase(step=8, base_s=0.0, step_s=1.0, jumps=((9, -1.0),)).edges(1, 20) == (16,)


def test_noise_never_makes_a_timer_fast():
    stairs = KnownStaircase(step=8, base_s=1e-5, step_s=1e-6)
    rng = np.random.default_rng(0)
    times = [stairs.noisy_latency_s(20, rng, noise=0.1) for _ in range(200)]
    assert min(times) >= stairs.latency_s(20)
    assert np.mean(times) == pytest.approx(1.1 * stairs.latency_s(20), rel=0.03)


def test_tiles_step_in_both_widths():
    tiles = KnownTiles(in_step=16, out_step=8, base_s=1.0, tile_s=2.0)
    assert tiles.latency_s(17, 9) == 1 + 2 * 2 * 2
    assert all(tiles.outputs(17).latency_s(width) == tiles.latency_s(17, width) for width in range(1, 40))


@pytest.mark.parametrize("kind", ["chain", "residual", "concat"])
def test_the_present_widths_of_a_random_problem_are_feasible(kind):
    for seed in range(20):
        problem = random_width_problem(np.random.default_rng(seed), kind=kind)
        assert problem.is_feasible(problem.present())
        everything = list(assignments(problem))
        assert problem.present() in everything
        assert len(everything) <= 3**4


def test_brute_force_says_what_is_fastest():
    problem = random_width_problem(np.random.default_rng(3), kind="chain", shape=ProblemShape(n_variables=3))
    fastest = min(problem.evaluate(assignment).latency_s for assignment in assignments(problem))
    with pytest.raises(UnreachableError) as caught:
        brute_force(problem, Limits(latency_s=0.9 * fastest))
    assert caught.value.fastest_s == fastest


def test_what_is_too_large_or_too_small_is_refused():
    with pytest.raises(SpecError, match="at least 3"):
        random_width_problem(np.random.default_rng(0), kind="concat", shape=ProblemShape(n_variables=2))
    large = random_width_problem(np.random.default_rng(0), kind="chain", shape=ProblemShape(n_variables=20))
    with pytest.raises(SpecError, match="at most 1000000"):
        brute_force(large, Limits())
    with pytest.raises(SpecError, match="`step` must be at least 1"):
        KnownStaircase(step=0, base_s=0.0, step_s=0.0)
