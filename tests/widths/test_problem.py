import math

import numpy as np
import pytest

from edgewise._core.errors import SpecError, TargetError
from edgewise.widths.problem import Factor, Limits, Link, Order, Totals, Variable, WidthProblem, params_value, unreachable


def table(name, variables, latency, params=None, macs=None, value=None):
    latency = np.array(latency, dtype=float)
    rest = [np.zeros(latency.shape) if entry is None else np.array(entry, dtype=float) for entry in (params, macs, value)]
    return Factor(name=name, variables=variables, latency_s=latency, params=rest[0], macs=rest[1], value=rest[2])


def concat_problem():
    """Two branches of 8 or 16 channels and 4 fixed ones, read in bins of 16."""
    a, b = (Variable(name=name, values=(8, 16), present=1) for name in "ab")
    total = Variable(name="cat", values=(16, 32, 48), lows=(1, 17, 33), highs=(16, 32, 48))
    return WidthProblem(
        variables=(a, b, total),
        links=(Link(total="cat", terms=(("a", 1), ("b", 1)), fixed=4),),
        factors=(table("read", ("cat",), [1.0, 2.0, 3.0], params=[10, 20, 30]),),
        constant=Totals(latency_s=0.5, params=1, macs=2, value=3),
    )


def test_totals_are_sums_of_tables_and_constant():
    a, b = (Variable(name=name, values=(8, 16), present=0) for name in "ab")
    factors = (
        table("one", ("a",), [1, 2], [10, 20], [100, 200], [5, 6]),
        table("two", ("b", "a"), [[1, 2], [3, 4]], [[0, 0], [7, 0]], [[0, 0], [9, 0]], [[0, 0], [0.5, 0]]),
    )
    problem = WidthProblem(variables=(a, b), factors=factors, constant=Totals(latency_s=0.5, params=1, macs=2, value=3))
    assert problem.evaluate({"a": 0, "b": 1}) == Totals(latency_s=4.5, params=18, macs=111, value=8.5)
    assert params_value(problem).evaluate({"a": 0, "b": 1}).value == pytest.approx(18e-6)


def test_a_link_puts_the_sum_into_its_bin():
    problem = concat_problem()
    assert problem.present() == {"a": 1, "b": 1, "cat": 2}
    assert problem.complete({"a": 0, "b": 0})["cat"] == 1
    assert problem.evaluate(problem.assignment_of({"a": 8, "b": 16})).latency_s == 2.5
    assert problem.widths(problem.present()) == {"a": 16, "b": 16}
    assert not problem.is_feasible({"a": 0, "b": 0, "cat": 0})


def test_a_sum_outside_every_bin_is_infeasible():
    variable = Variable(name="a", values=(8, 64), present=1)
    total = Variable(name="t", values=(8,), lows=(1,), highs=(8,))
    problem = WidthProblem(variables=(variable, total), links=(Link(total="t", terms=(("a", 1),)),))
    assert problem.complete({"a": 1}) is None
    assert problem.complete({"a": 0}) == {"a": 0, "t": 0}
    with pytest.raises(SpecError, match="present widths must be candidates"):
        problem.present()


def test_exact_links_chain_and_count_times():
    a, b = Variable(name="a", values=(2, 4), present=0), Variable(name="b", values=(3,), present=0)
    double, whole = Variable(name="d", values=(4, 8)), Variable(name="w", values=(8, 12))
    links = (Link(total="d", terms=(("a", 2),)), Link(total="w", terms=(("d", 1), ("b", 1)), fixed=1))
    problem = WidthProblem(variables=(a, b, double, whole), links=links)
    assert problem.complete({"a": 1, "b": 0}) == {"a": 1, "b": 0, "d": 1, "w": 1}


def test_an_order_keeps_the_distance():
    a, b = Variable(name="a", values=(8, 16), present=1), Variable(name="b", values=(16, 32), present=1)
    problem = WidthProblem(variables=(a, b), orders=(Order(larger="b", smaller="a", at_least=8),))
    assert problem.is_feasible({"a": 0, "b": 0})
    assert not problem.is_feasible({"a": 1, "b": 0})
    assert problem.feasible({"a": 1, "b": 0}) is None
    strict = WidthProblem(variables=(a, b), orders=(Order(larger="b", smaller="a", at_least=17),))
    with pytest.raises(SpecError, match="present widths must keep every order"):
        strict.present()


def test_limits_hold_up_to_rounding_only():
    limits = Limits(latency_s=0.3, params_at_least=100, macs_at_most=1000)
    assert limits.allow(Totals(latency_s=0.1 + 0.2, params=100, macs=1000))
    assert not limits.allow(Totals(latency_s=0.3001, params=100, macs=1000))
    assert not limits.allow(Totals(latency_s=0.3, params=99, macs=1000))
    assert not limits.allow(Totals(latency_s=0.3, params=100, macs=1001))
    assert str(limits) == "latency at most 300 ms, parameters at least 100, MACs at most 1K"
    assert str(Limits()) == "no limit"


@pytest.mark.parametrize("latency_s", [0.0, -1.0, math.nan])
def test_a_latency_limit_must_be_positive(latency_s):
    with pytest.raises(TargetError, match="`latency_s` must be positive"):
        Limits(latency_s=latency_s)


def test_an_unreachable_target_without_any_network_says_so():
    error = unreachable(Limits(params_at_least=5e6), None)
    assert error.fastest_s is None
    assert "parameters at least 5M" in str(error)


def test_tables_are_copied_and_read_only():
    source = np.zeros(2)
    factor = table("f", ("a",), source)
    source[0] = 1.0
    assert factor.latency_s[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        factor.latency_s[0] = 1.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Variable(name="a", values=(16, 8)), "ascending widths"),
        (lambda: Variable(name="a", values=()), "ascending widths"),
        (lambda: Variable(name="a", values=(8,), present=1), "index below 1"),
        (lambda: Variable(name="a", values=(8,), off_step=(9,)), "among its values"),
        (lambda: Variable(name="a", values=(8,), lows=(1,)), "needs `lows` and `highs`"),
        (lambda: Variable(name="a", values=(8, 16), lows=(1, 8), highs=(8, 16)), "ascending and disjoint"),
        (lambda: Variable(name="a", values=(8, 16), lows=(1,), highs=(8,)), "ascending and disjoint"),
        (lambda: table("f", ("a", "a"), [[0.0]]), "one or two different variables"),
        (lambda: table("f", ("a",), [math.nan]), "must be finite"),
        (lambda: WidthProblem(variables=(Variable(name="a", values=(1,)),) * 2), "different names"),
        (lambda: WidthProblem(variables=(), factors=(table("f", ("a",), [0.0]),)), "got 'a'"),
        (lambda: WidthProblem(variables=(Variable(name="a", values=(1,)),), factors=(table("f", ("a",), [0.0, 1.0]),)), "must have shape"),
        (lambda: WidthProblem(variables=(Variable(name="a", values=(1,), lows=(1,), highs=(1,)),)), "total of a link"),
        (lambda: WidthProblem(variables=(Variable(name="a", values=(1,)),)).present(), "have no option for"),
        (lambda: concat_problem().assignment_of({"a": 8, "b": 9}), "got {'b': 9}"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(SpecError, match=message):
        make()


def test_links_must_stand_in_order_and_read_exact_widths():
    a, s, t = Variable(name="a", values=(8,)), Variable(name="s", values=(8,)), Variable(name="t", values=(8,), lows=(1,), highs=(8,))
    with pytest.raises(SpecError, match="before its link"):
        WidthProblem(variables=(a, s, t), links=(Link(total="t", terms=(("s", 1),)), Link(total="s", terms=(("a", 1),))))
    with pytest.raises(SpecError, match="must be exact"):
        WidthProblem(variables=(a, s, t), links=(Link(total="t", terms=(("a", 1),)), Link(total="s", terms=(("t", 1),))))
    with pytest.raises(SpecError, match="one link"):
        WidthProblem(variables=(a, t), links=(Link(total="t", terms=(("a", 1),)),) * 2)
    with pytest.raises(SpecError, match="between exact variables"):
        WidthProblem(variables=(a, t), links=(Link(total="t", terms=(("a", 1),)),), orders=(Order(larger="t", smaller="a"),))
