from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.testing.width_problems import random_width_problem
from edgewise.widths.problem import Factor, Limits, Link, Order, UnreachableError, Variable, WidthProblem
from edgewise.widths.rounding import nearest_steps, solve_rounding

HRANK_VGG16 = (35, 35, 70, 70, 140, 140, 140, 112, 112, 112, 112, 112, 512)


def layer(name, latency, params=None):
    zeros = np.zeros(len(latency))
    sizes = zeros if params is None else np.array(params, dtype=float)
    return Factor(name=name, variables=(name,), latency_s=np.array(latency, dtype=float), params=sizes, macs=zeros, value=zeros)


def one(values, present, latency, off_step=(), params=None):
    variable = Variable(name="a", values=values, present=values.index(present), off_step=off_step)
    return WidthProblem(variables=(variable,), factors=(layer("a", latency, params),))


def test_the_hrank_vgg16_goes_to_multiples_of_32():
    """Reference section 10, fact 12: 112 is a tie between 96 and 128 and goes up."""
    variables = []
    for place, width in enumerate(HRANK_VGG16):
        steps = set(range(32, 577, 32))
        values = tuple(sorted(steps | {width}))
        off_step = () if width in steps else (width,)
        variables.append(Variable(name=f"conv{place}", values=values, present=values.index(width), off_step=off_step))
    problem = WidthProblem(variables=tuple(variables))
    expected = (32, 32, 64, 64, *[128] * 8, 512)
    assert tuple(problem.widths(nearest_steps(problem)).values()) == expected
    solution = solve_rounding(problem, Limits(latency_s=1.0))
    assert tuple(solution.widths.values()) == expected
    assert (solution.status, solution.details["scale"], solution.iterations) == ("met", 1.0, 1)


def test_the_present_width_is_used_only_where_it_is_a_step():
    assert solve_rounding(one((8, 13, 16), 13, [1, 2, 3], off_step=(13,)), Limits()).widths == {"a": 16}
    assert solve_rounding(one((8, 13, 16), 13, [1, 2, 3]), Limits()).widths == {"a": 13}
    assert solve_rounding(one((13,), 13, [1], off_step=(13,)), Limits()).widths == {"a": 13}


def test_the_largest_scale_that_meets_the_target_is_taken():
    problem = one((8, 16, 24, 32), 32, [1, 2, 3, 4])
    assert solve_rounding(problem, Limits(latency_s=3.5)).widths == {"a": 24}
    solution = solve_rounding(problem, Limits(latency_s=1.5))
    assert solution.widths == {"a": 8}
    # At 12 of 32 the tie still goes up to 16; the next scale tried is the one of the least candidate.
    assert solution.details["scale"] == 0.25


def test_one_scale_moves_all():
    variables = tuple(Variable(name=name, values=(16, 32, 48, 64), present=3) for name in "ab")
    problem = WidthProblem(variables=variables, factors=(layer("a", [1, 2, 3, 4]), layer("b", [1, 2, 3, 4])))
    assert solve_rounding(problem, Limits(latency_s=5)).widths == {"a": 32, "b": 32}


def test_ties_go_up_exactly():
    problem = one((10, 20), 20, [1, 2])
    assert problem.widths(nearest_steps(problem, Fraction(15, 20))) == {"a": 20}
    assert problem.widths(nearest_steps(problem, Fraction(1499, 2000))) == {"a": 10}


def test_limits_on_size_are_kept():
    problem = one((8, 16, 24), 24, [1, 0.5, 4], params=[1, 2, 3])
    assert solve_rounding(problem, Limits(latency_s=2, params_at_least=2)).widths == {"a": 16}


def test_a_slower_narrow_kernel_can_make_it_miss_what_others_reach():
    a, b = Variable(name="a", values=(8, 16), present=1), Variable(name="b", values=(8, 16), present=1)
    problem = WidthProblem(variables=(a, b), factors=(layer("a", [9, 5]), layer("b", [1, 5])))
    solution = solve_rounding(problem, Limits(latency_s=7))
    assert solution.status == "missed"
    assert "no common scale" in solution.note
    with pytest.raises(UnreachableError) as caught:
        solve_rounding(problem, Limits(latency_s=5.5))
    assert caught.value.fastest_s == 6.0


def test_an_order_is_mended_upwards():
    small, large = Variable(name="s", values=(16, 32), present=1), Variable(name="l", values=(24, 40), present=1)
    problem = WidthProblem(variables=(small, large), orders=(Order(larger="l", smaller="s", at_least=4),))
    # At three quarters both go to ties that end at 32 and 24 (30 is nearer to 24), which the order forbids.
    assert problem.widths(nearest_steps(problem, Fraction(3, 4))) == {"s": 32, "l": 40}


def test_an_order_that_no_step_keeps_skips_the_scale():
    small, large = Variable(name="s", values=(16, 30, 40), present=1, off_step=(30,)), Variable(name="l", values=(24, 40), present=1)
    problem = WidthProblem(variables=(small, large), orders=(Order(larger="l", smaller="s", at_least=8),))
    assert nearest_steps(problem) is None
    assert solve_rounding(problem, Limits()).widths == {"s": 16, "l": 40}


def test_no_scale_at_all_keeps_the_present_widths():
    a, b = (Variable(name=name, values=(8, 16), present=present) for name, present in (("a", 0), ("b", 1)))
    problem = WidthProblem(variables=(a, b, Variable(name="t", values=(24,))), links=(Link(total="t", terms=(("a", 1), ("b", 1))),))
    off = replace(a, off_step=(8,)), replace(b, off_step=(8,))
    stuck = replace(problem, variables=(*off, problem.variables[2]))
    solution = solve_rounding(stuck, Limits())
    assert (solution.status, solution.widths, solution.iterations) == ("missed", {"a": 8, "b": 16}, 0)


@settings(max_examples=30, deadline=None)
@given(kind=st.sampled_from(["chain", "residual", "concat"]), seed=st.integers(0, 10**6), share=st.floats(0.5, 1.1))
def test_what_is_met_is_met(kind, seed, share):
    problem = random_width_problem(np.random.default_rng(seed), kind=kind)
    limits = Limits(latency_s=share * problem.evaluate(problem.present()).latency_s)
    try:
        solution = solve_rounding(problem, limits)
    except UnreachableError:
        return
    assert problem.is_feasible(solution.assignment)
    assert 0 < solution.details["scale"] <= 1
    assert limits.allow(solution.totals) is (solution.status == "met")
