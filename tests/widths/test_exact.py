import numpy as np
import pytest

from edgewise.testing.width_problems import brute_force, random_width_problem
from edgewise.widths.exact import solve_exact
from edgewise.widths.problem import Limits


@pytest.mark.parametrize("kind", ["chain", "residual", "concat"])
def test_it_finds_what_trying_everything_finds(kind):
    problem = random_width_problem(np.random.default_rng(1), kind=kind)
    limits = Limits(latency_s=0.9 * problem.evaluate(problem.present()).latency_s)
    assert solve_exact(problem, limits).totals.value == pytest.approx(brute_force(problem, limits).totals.value)
