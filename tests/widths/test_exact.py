import math
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import OptimizeResult

from edgewise._core.errors import TargetError
from edgewise.testing.staircase import KnownTiles
from edgewise.testing.width_problems import ProblemShape, brute_force, random_width_problem
from edgewise.widths import _milp, exact
from edgewise.widths.algorithm2 import search_algorithm2
from edgewise.widths.exact import solve_exact, solve_fastest
from edgewise.widths.problem import IMPOSSIBLE_S, Factor, Limits, Link, Order, UnreachableError, Variable, WidthProblem, params_value
from edgewise.widths.rounding import search_rounding

KINDS = st.sampled_from(["chain", "residual", "concat"])


def alone(name, latency, value, params=None):
    zeros = np.zeros(len(latency))
    sizes = zeros if params is None else np.array(params, dtype=float)
    worth = np.array(value, dtype=float)
    return Factor(name=name, variables=(name,), latency_s=np.array(latency, dtype=float), params=sizes, macs=zeros, value=worth)


def random_limits(problem, rng, *, low=0.5, high=1.2):
    now = problem.evaluate(problem.present())
    return Limits(
        latency_s=now.latency_s * rng.uniform(low, high),
        params_at_least=None if rng.random() < 0.5 else now.params * rng.uniform(0.4, 1.1),
        macs_at_most=None if rng.random() < 0.5 else now.macs * rng.uniform(0.7, 1.3),
    )


def outcome(solve, problem, limits):
    """Worth and latency found, or the fastest reachable (NaN: none) and NaN."""
    try:
        solution = solve(problem, limits)
    except UnreachableError as error:
        return (math.nan if error.fastest_s is None else error.fastest_s), math.nan
    assert solution.status == "optimal"
    assert limits.allow(solution.totals)
    assert problem.is_feasible(solution.assignment)
    assert solution.totals == problem.evaluate(solution.assignment)
    return solution.totals.value, solution.totals.latency_s


@settings(max_examples=150, deadline=None)
@given(kind=KINDS, seed=st.integers(0, 10**6), as_params=st.booleans())
def test_it_finds_what_trying_everything_finds(kind, seed, as_params):
    rng = np.random.default_rng(seed)
    problem = random_width_problem(rng, kind=kind, shape=ProblemShape(n_variables=4, n_values=int(rng.integers(1, 4))))
    problem = params_value(problem) if as_params else problem
    limits = random_limits(problem, rng)
    (worth, latency_s), (best_worth, best_latency_s) = outcome(solve_exact, problem, limits), outcome(brute_force, problem, limits)
    assert worth == pytest.approx(best_worth, rel=1e-9, nan_ok=True)
    assert latency_s == pytest.approx(best_latency_s, rel=1e-3, nan_ok=True)


def with_impossible_options(problem, rng):
    """The same with some pairs of options that cannot go together, and latencies as small as those of a fast network."""
    present = problem.present()

    def changed(factor):
        latency_s = factor.latency_s * 1e-6
        if len(factor.variables) == 2:
            barred = rng.random(latency_s.shape) < 0.2
            barred[tuple(present[name] for name in factor.variables)] = False
            latency_s[barred] = IMPOSSIBLE_S
        return replace(factor, latency_s=latency_s)

    constant = replace(problem.constant, latency_s=problem.constant.latency_s * 1e-6)
    return replace(problem, factors=tuple(changed(factor) for factor in problem.factors), constant=constant)


@settings(max_examples=80, deadline=None)
@given(kind=KINDS, seed=st.integers(0, 10**6))
def test_options_that_cannot_go_together_blur_nothing(kind, seed):
    rng = np.random.default_rng(seed)
    problem = with_impossible_options(random_width_problem(rng, kind=kind, shape=ProblemShape(n_variables=4, n_values=3)), rng)
    limits = Limits(latency_s=problem.evaluate(problem.present()).latency_s * rng.uniform(0.5, 1.2))
    (worth, latency_s), (best_worth, best_latency_s) = outcome(solve_exact, problem, limits), outcome(brute_force, problem, limits)
    assert worth == pytest.approx(best_worth, rel=1e-9, nan_ok=True)
    assert latency_s == pytest.approx(best_latency_s, rel=1e-3, nan_ok=True)
    assert math.isnan(latency_s) or solve_fastest(problem, limits).totals.latency_s <= latency_s


@settings(max_examples=30, deadline=None)
@given(kind=KINDS, seed=st.integers(0, 10**6))
def test_it_is_never_below_a_rival_at_the_rivals_own_latency(kind, seed):
    rng = np.random.default_rng(seed)
    problem = random_width_problem(rng, kind=kind, shape=ProblemShape(n_variables=6, n_values=4))
    limits = random_limits(problem, rng, low=0.7)
    for search in (search_algorithm2, search_rounding):
        rival = search(problem, limits)
        if rival.status == "met":
            same = Limits(latency_s=rival.totals.latency_s, params_at_least=limits.params_at_least, macs_at_most=limits.macs_at_most)
            best = solve_exact(problem, same)
            assert best.totals.value >= rival.totals.value * (1 - 1e-12)
            assert same.allow(best.totals)


@settings(max_examples=30, deadline=None)
@given(kind=KINDS, seed=st.integers(0, 10**6))
def test_the_fastest_is_the_fastest(kind, seed):
    rng = np.random.default_rng(seed)
    problem = random_width_problem(rng, kind=kind)
    limits = random_limits(problem, rng, low=1e-3, high=2e-3)
    fastest_s, _ = outcome(brute_force, problem, limits)
    if math.isnan(fastest_s):
        with pytest.raises(UnreachableError, match="must allow the limits"):
            solve_fastest(problem, limits)
    else:
        assert solve_fastest(problem, limits).totals.latency_s == pytest.approx(fastest_s, rel=1e-9)


def test_an_unreachable_target_names_the_fastest():
    problem = WidthProblem(variables=(Variable(name="a", values=(8, 16), present=1),), factors=(alone("a", [2e-3, 3e-3], [1, 2]),))
    with pytest.raises(UnreachableError, match=r"latency target 1 ms cannot be reached: the fastest .* is 2 ms; raise") as caught:
        solve_exact(problem, Limits(latency_s=1e-3))
    assert caught.value.fastest_s == 2e-3
    assert caught.value.fastest.widths == {"a": 8}


def test_limits_on_size_alone_can_be_unreachable():
    problem = WidthProblem(variables=(Variable(name="a", values=(8, 16), present=1),), factors=(alone("a", [1, 2], [1, 2], [10, 20]),))
    with pytest.raises(UnreachableError, match="parameters at least 30") as caught:
        solve_exact(problem, Limits(latency_s=5.0, params_at_least=30))
    assert caught.value.fastest is None


def test_parameters_at_least_force_growth_where_it_is_free():
    a, b = (Variable(name=name, values=(8, 16), present=0) for name in "ab")
    problem = WidthProblem(variables=(a, b), factors=(alone("a", [1, 1], [5, 0], [10, 30]), alone("b", [1, 9], [5, 4], [10, 30])))
    assert solve_exact(problem, Limits(latency_s=10)).widths == {"a": 8, "b": 8}
    assert solve_exact(problem, Limits(latency_s=10, params_at_least=40)).widths == {"a": 8, "b": 16}
    assert solve_exact(problem, Limits(latency_s=9, params_at_least=40)).widths == {"a": 16, "b": 8}


def test_equal_worth_goes_to_the_faster():
    variables = tuple(Variable(name=name, values=(8, 16, 24), present=2) for name in "abc")
    factors = tuple(alone(name, [3e-6 + 1e-9, 3e-6, 3e-6 + 2e-9], [7, 7, 7]) for name in "ab")
    problem = WidthProblem(variables=variables, factors=(*factors, alone("c", [1e-3, 2e-3, 9e-3], [1, 2, 3])))
    assert solve_exact(problem, Limits(latency_s=3e-3)).widths == {"a": 16, "b": 16, "c": 16}


def test_no_worth_at_all_means_the_fastest():
    problem = WidthProblem(variables=(Variable(name="a", values=(8, 16), present=1),), factors=(alone("a", [2, 1], [0, 0]),))
    assert solve_exact(problem, Limits()).widths == {"a": 16}


def test_an_exact_total_must_be_one_of_its_values():
    a, b = (Variable(name=name, values=(8, 12, 16), present=0) for name in "ab")
    total = Variable(name="t", values=(20, 40))
    link = Link(total="t", terms=(("a", 1), ("b", 2)), fixed=4)
    problem = WidthProblem(
        variables=(a, b, total), links=(link,), factors=(alone("a", [1, 1, 1], [1, 2, 3]), alone("b", [1] * 3, [1, 2, 3]))
    )
    best = solve_exact(problem, Limits())
    assert best.widths == {"a": 12, "b": 12}
    assert best.assignment["t"] == 1


def test_a_bin_makes_the_sum_stop_at_its_edge():
    a, b = (Variable(name=name, values=(8, 12, 16), present=2) for name in "ab")
    total = Variable(name="t", values=(24, 32), lows=(1, 25), highs=(24, 32))
    link = Link(total="t", terms=(("a", 1), ("b", 1)))
    factors = (alone("a", [0, 0, 0], [1, 2, 4]), alone("b", [0, 0, 0], [1, 2.5, 4]), alone("t", [1, 3], [0, 0]))
    problem = WidthProblem(variables=(a, b, total), links=(link,), factors=factors)
    assert solve_exact(problem, Limits(latency_s=3)).widths == {"a": 16, "b": 16}
    assert solve_exact(problem, Limits(latency_s=2)).widths in ({"a": 16, "b": 8}, {"a": 8, "b": 16})


def test_an_order_holds():
    a, b = (Variable(name=name, values=(8, 16, 24), present=0) for name in "ab")
    factors = (alone("a", [0, 0, 0], [0, 5, 9]), alone("b", [1, 2, 3], [0, 0, 0]))
    problem = WidthProblem(variables=(a, b), factors=factors, orders=(Order(larger="b", smaller="a", at_least=8),))
    assert solve_exact(problem, Limits(latency_s=2.5)).widths == {"a": 8, "b": 16}
    assert solve_exact(problem, Limits()).widths == {"a": 16, "b": 24}


def test_an_order_that_nothing_keeps_is_unreachable():
    a, b = (Variable(name=name, values=(8, 16), present=0) for name in "ab")
    problem = WidthProblem(variables=(a, b), orders=(Order(larger="b", smaller="a", at_least=9),))
    with pytest.raises(UnreachableError, match="must allow the limits"):
        solve_exact(problem, Limits())


def residual_network(rng, n_mid=27, n_values=8):
    """The shape of ResNet-56: three stage widths, each paired with nine inner widths."""
    variables = [Variable(name=f"v{k}", values=tuple(range(8, 8 * n_values + 1, 8)), present=n_values // 2) for k in range(3 + n_mid)]
    pairs = [(0, 1), (1, 2), *((place // 9, 3 + place) for place in range(n_mid))]
    tiles = KnownTiles(in_step=8, out_step=16, base_s=5e-6, tile_s=3e-6)
    factors = [alone(v.name, np.zeros(n_values), rng.uniform(0.5, 2) * np.sqrt(np.array(v.values))) for v in variables]
    for i, j in pairs:
        latency = np.array([[2 * tiles.latency_s(m, n) for n in variables[j].values] for m in variables[i].values])
        size = 18.0 * np.outer(variables[i].values, variables[j].values)
        names = (variables[i].name, variables[j].name)
        factors.append(Factor(name=f"{i}-{j}", variables=names, latency_s=latency, params=size, macs=64 * size, value=0 * size))
    return WidthProblem(variables=tuple(variables), factors=tuple(factors))


@pytest.mark.parametrize("as_params", [False, True])
def test_a_network_of_the_size_of_resnet56_is_solved_to_the_end(as_params):
    problem = residual_network(np.random.default_rng(0))
    problem = params_value(problem) if as_params else problem
    limits = Limits(latency_s=0.7 * problem.evaluate(problem.present()).latency_s)
    started = time.monotonic()
    solution = solve_exact(problem, limits)
    assert (solution.status, solution.gap) == ("optimal", 0.0)
    assert limits.allow(solution.totals)
    assert time.monotonic() - started < 60


def test_a_search_cut_short_returns_its_best_with_the_gap(monkeypatch):
    problem = residual_network(np.random.default_rng(1))
    limits = Limits(latency_s=0.8 * problem.evaluate(problem.present()).latency_s)
    best = solve_exact(problem, limits)
    whole = exact.run_highs

    def stopped(*args, **keywords):
        _, result = whole(*args, **keywords)
        worst = dict(solve_fastest(problem, limits).assignment)
        result.status, result.mip_dual_bound = 1, result.mip_dual_bound - 100.0
        return worst, result

    monkeypatch.setattr(exact, "run_highs", stopped)
    solution = solve_exact(problem, limits)
    assert solution.status == "time_limit"
    assert solution.note
    assert solution.gap >= 0.01
    assert max(search(problem, limits).totals.value for search in (search_rounding, search_algorithm2)) <= solution.totals.value
    assert solution.totals.value <= best.totals.value * (1 + 1e-9)
    assert limits.allow(solution.totals)


def test_a_search_without_result_falls_back_to_the_fastest(monkeypatch):
    problem = residual_network(np.random.default_rng(2), n_mid=4, n_values=3)
    limits = Limits(latency_s=0.9 * problem.evaluate(problem.present()).latency_s)
    whole = exact.run_highs

    def empty(*args, **keywords):
        _, result = whole(*args, **keywords)
        result.status = 1
        return None, result

    monkeypatch.setattr(exact, "run_highs", empty)
    solution = solve_exact(problem, limits)
    assert solution.status == "time_limit"
    assert limits.allow(solution.totals)
    nameless = replace(problem, variables=tuple(replace(variable, present=None) for variable in problem.variables))
    assert limits.allow(solve_exact(nameless, limits).totals)
    with pytest.raises(UnreachableError):
        solve_exact(problem, Limits(latency_s=1e-9))


def test_no_network_within_the_time_is_an_error(monkeypatch):
    problem = residual_network(np.random.default_rng(2), n_mid=4, n_values=3)
    monkeypatch.setattr(_milp, "run_highs", lambda *_, **__: (None, OptimizeResult(status=1)))
    with pytest.raises(TargetError, match="were found within 3 s; give the solver more time"):
        solve_fastest(problem, time_limit_s=3)


def test_an_assignment_a_hair_beyond_the_limit_is_not_returned():
    variables = tuple(Variable(name=f"v{k}", values=(8, 16), present=0) for k in range(3))
    step = 1e-3 * (1 + 1.2e-9)
    factors = tuple(alone(v.name, [0.5e-3, step], [0, 1 + 0.1 * k]) for k, v in enumerate(variables))
    problem = WidthProblem(variables=variables, factors=factors)
    limits = Limits(latency_s=3e-3)
    assert not limits.allow(problem.evaluate({v.name: 1 for v in variables}))
    assert solve_exact(problem, limits).widths == {"v0": 8, "v1": 16, "v2": 16}
