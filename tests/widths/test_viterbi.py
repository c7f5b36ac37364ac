import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise._core.errors import SpecError
from edgewise.testing.width_problems import ProblemShape, random_width_problem
from edgewise.widths import viterbi
from edgewise.widths.exact import solve_exact
from edgewise.widths.problem import Factor, Limits, Order, UnreachableError, Variable, WidthProblem, params_value
from edgewise.widths.viterbi import solve_chain


def limits_of(problem, rng):
    now = problem.evaluate(problem.present())
    return Limits(
        latency_s=now.latency_s * rng.uniform(0.5, 1.2),
        params_at_least=None if rng.random() < 0.6 else now.params * rng.uniform(0.4, 1.0),
        macs_at_most=None if rng.random() < 0.6 else now.macs * rng.uniform(0.7, 1.2),
    )


def found(solve, problem, limits):
    try:
        solution = solve(problem, limits)
    except UnreachableError as error:
        return (math.nan if error.fastest_s is None else error.fastest_s), math.nan
    assert limits.allow(solution.totals)
    return solution.totals.value, solution.totals.latency_s


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_it_agrees_with_the_milp_on_chains(seed):
    rng = np.random.default_rng(seed)
    problem = random_width_problem(rng, kind="chain", shape=ProblemShape(n_variables=int(rng.integers(2, 8)), n_values=4))
    limits = limits_of(problem, rng)
    assert found(solve_chain, problem, limits) == pytest.approx(found(solve_exact, problem, limits), rel=1e-9, nan_ok=True)


def test_it_agrees_with_the_milp_on_a_chain_of_13_with_8_widths():
    problem = random_width_problem(np.random.default_rng(4), kind="chain", shape=ProblemShape(n_variables=13, n_values=8))
    for case in (problem, params_value(problem)):
        limits = Limits(latency_s=0.7 * case.evaluate(case.present()).latency_s)
        assert found(solve_chain, case, limits) == pytest.approx(found(solve_exact, case, limits), rel=1e-9)


def pair(first, second, latency):
    zeros = np.zeros(np.shape(latency))
    return Factor(name="p", variables=(first, second), latency_s=np.array(latency, dtype=float), params=zeros, macs=zeros, value=zeros)


def alone(name, value):
    zeros = np.zeros(len(value))
    return Factor(name=name, variables=(name,), latency_s=zeros, params=zeros, macs=zeros, value=np.array(value, dtype=float))


def test_variables_in_any_order_and_separate_pieces_form_chains():
    a, b, c, d = (Variable(name=name, values=(8, 16), present=0) for name in "abcd")
    factors = (
        pair("c", "a", [[1, 2], [3, 9]]),
        pair("b", "a", [[1, 1], [5, 2]]),
        *(alone(name, [0, 1]) for name in "abc"),
        alone("d", [2, 1]),
    )
    problem = WidthProblem(variables=(a, b, c, d), factors=factors, orders=(Order(larger="a", smaller="b"),))
    # b wide needs a wide; then c narrow costs 2 + 2, c wide 9 + 2: within 5 the best is a, b wide, c narrow, worth 2 + 2.
    solution = solve_chain(problem, Limits(latency_s=5))
    assert solution.widths == {"a": 16, "b": 16, "c": 8, "d": 8}
    assert solution.totals.value == 4.0
    assert solve_exact(problem, Limits(latency_s=5)).widths == solution.widths


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_an_order_binds_whichever_end_comes_first(names):
    variables = tuple(Variable(name=name, values=(8, 16), present=0) for name in names)
    problem = WidthProblem(
        variables=variables, factors=(alone("a", [1, 0]), alone("b", [0, 1.5])), orders=(Order(larger="a", smaller="b"),)
    )
    assert solve_chain(problem, Limits()).widths == {"a": 16, "b": 16}
    assert solve_exact(problem, Limits()).widths == {"a": 16, "b": 16}


def test_an_unreachable_target_names_the_fastest():
    a, b = (Variable(name=name, values=(8, 16), present=0) for name in "ab")
    problem = WidthProblem(variables=(a, b), factors=(pair("a", "b", [[1e-3, 2e-3], [3e-3, 9e-3]]),))
    with pytest.raises(UnreachableError, match=r"the fastest .* is 1 ms"):
        solve_chain(problem, Limits(latency_s=0.9e-3))


def test_what_is_no_chain_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(SpecError, match="must have no links"):
        solve_chain(random_width_problem(rng, kind="concat"), Limits())
    with pytest.raises(SpecError, match="three neighbours or a cycle"):
        solve_chain(random_width_problem(rng, kind="residual", shape=ProblemShape(n_variables=6)), Limits())
    variables = tuple(Variable(name=name, values=(8,), present=0) for name in "abc")
    ring = tuple(pair(first, second, [[1.0]]) for first, second in ("ab", "bc", "ca"))
    with pytest.raises(SpecError, match="a cycle"):
        solve_chain(WidthProblem(variables=variables, factors=ring), Limits())


def test_too_many_labels_are_refused(monkeypatch):
    monkeypatch.setattr(viterbi, "_MOST_LABELS", 10)
    with pytest.raises(SpecError, match="at most 10 labels"):
        solve_chain(random_width_problem(np.random.default_rng(0), kind="chain", shape=ProblemShape(n_variables=5, n_values=5)), Limits())
