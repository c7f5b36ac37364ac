"""Width problems of whole networks: every assignment costs what the network at these widths costs."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cost.specs import Builder, chain
from edgewise._core.errors import PlanError
from edgewise.cost.lowering import lowering_for
from edgewise.cost.workload import Workload
from edgewise.ir import Dim, NetSpec, Term
from edgewise.models.catalog import BUILT_IN
from edgewise.trace import trace
from edgewise.widths.problem import WidthProblem
from edgewise.widths.tables import Pricing, TableBuilder, spread, structure_of


def price_s(work: Workload) -> float:
    """A price in which both widths and what runs inside count."""
    extra = 1e-6 * (1 + work.adds) + 1e-7 * len(work.activation)
    return extra + 1e-9 * (3 * work.in_channels + 7 * work.out_channels + work.in_channels * work.out_channels)


def pricing(net: NetSpec, *, device: str = "openvino-cpu", price: Callable[[Workload], float] = price_s) -> Pricing:
    return Pricing(net=net, lowering=lowering_for(device, net), price=price, per_call_s=2e-7, scale=1.1, start_s=5e-6)


def builder_of(net: NetSpec, *, device: str = "openvino-cpu") -> TableBuilder:
    return TableBuilder(pricing(net, device=device), structure_of(net, free_ties(net)), None)


def free_ties(net: NetSpec) -> frozenset[str]:
    return frozenset(tie.name for tie in net.ties if tie.free)


def network_s(net: NetSpec, *, device: str = "openvino-cpu") -> float:
    """Seconds of a network, straight from its groups."""
    priced = pricing(net, device=device)
    return priced.start_s + sum(priced.group_s(group, net.widths) for group in priced.lowering.groups)


def residual() -> NetSpec:
    builder = Builder()
    builder.conv("stem", 32)
    for place in range(2):
        start = builder.last
        builder.conv(f"inner{place}", 48)
        builder.conv(f"outer{place}", 32, tie="stem")
        builder.point(f"add{place}", "add", f"outer{place}", start)
        builder.point(f"relu{place}", "relu")
    builder.pool("pool")
    builder.linear("fc", 10)
    return builder.net()


def nested() -> NetSpec:
    """Three stages, each as wide as the one before and some channels more."""
    builder = Builder()
    builder.conv("one", 16)
    builder.conv("mid", 32)
    builder.stage("two", 16, "one")
    builder.conv("mid2", 48)
    builder.stage("three", 32, "one", "two")
    builder.pool("pool")
    builder.linear("fc", 10)
    return builder.net()


def concatenated() -> NetSpec:
    builder = Builder()
    builder.conv("stem", 32)
    builder.conv("left", 32, reads="stem")
    builder.conv("right", 64, reads="stem")
    builder.cat("cat", "left", "right")
    builder.conv("reader", 48)
    builder.pool("pool")
    builder.linear("fc", 10)
    return builder.net()


def resnet20() -> NetSpec:
    return trace(BUILT_IN["resnet20"].build(), (torch.zeros(1, 3, 32, 32),), name="resnet20").net


NETS = {"chain": chain(32, 48, 64), "residual": residual(), "nested": nested(), "resnet20": resnet20()}


def candidates(builder: TableBuilder, net: NetSpec, *, odd: bool = False) -> dict[str, tuple[int, ...]]:
    """Present width of each variable, and multiples of 16 (with odd widths where they are asked for)."""
    structure = structure_of(net, free_ties(net))
    more = (7, 21, 33) if odd else ()
    return {name: tuple(sorted({builder.present_width(name), 16, 32, 48, 80, *more})) for name in structure.variables}


def chosen(problem: WidthProblem, data: st.DataObject) -> dict[str, int] | None:
    options = {one.name: data.draw(st.integers(0, len(one.values) - 1)) for one in problem.decisions}
    return problem.feasible(options)


@pytest.mark.parametrize("name", list(NETS))
def test_present_widths_cost_what_the_network_costs(name: str) -> None:
    net = NETS[name]
    builder = builder_of(net)
    totals = (problem := builder.problem(candidates(builder, net))).evaluate(problem.present())
    assert totals.latency_s == pytest.approx(network_s(net), rel=1e-12)
    assert (totals.params, totals.macs, totals.value) == (net.params, net.macs, net.params)


@pytest.mark.parametrize(("device", "odd"), [("openvino-cpu", True), ("onnxruntime-cpu", False)])
@pytest.mark.parametrize("name", list(NETS))
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_any_widths_cost_what_the_network_costs_at_these_widths(name: str, device: str, odd: bool, data: st.DataObject) -> None:
    """Exactly, but for ONNX Runtime off the blocks, where layouts further away play a part."""
    net = NETS[name]
    key = (name, device)
    if key not in PROBLEMS:
        builder = builder_of(net, device=device)
        PROBLEMS[key] = (builder, builder.problem(candidates(builder, net, odd=odd)))
    builder, problem = PROBLEMS[key]
    assignment = chosen(problem, data)
    if assignment is None:
        return
    changed = net.with_widths(builder.tie_widths(problem.widths(assignment)))
    totals = problem.evaluate(assignment)
    assert totals.latency_s == pytest.approx(network_s(changed, device=device), rel=1e-12)
    assert (totals.params, totals.macs) == (changed.params, changed.macs)


PROBLEMS: dict[tuple[str, str], tuple[TableBuilder, WidthProblem]] = {}


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_reader_of_a_concatenation_is_priced_by_the_bin_of_its_sum(data: st.DataObject) -> None:
    net = concatenated()
    builder = builder_of(net)
    problem = builder.problem(candidates(builder, net))
    (link,) = problem.links
    assignment = chosen(problem, data)
    assert assignment is not None
    widths = problem.widths(assignment)
    total = problem.by_name[link.total]
    option = assignment[link.total]
    assert total.lows is not None
    assert total.lows[option] <= widths["left"] + widths["right"] <= total.values[option]
    changed = net.with_widths({name: widths[name] for name in net.widths})
    # A bin stands for its widest sum: never cheaper than the network, and no more than a bin's width dearer.
    totals = problem.evaluate(assignment)
    assert totals.latency_s >= network_s(changed) * (1 - 1e-12)
    slack = total.values[option] - widths["left"] - widths["right"]
    assert totals.params - changed.params == pytest.approx(9 * widths["reader"] * slack)


def test_bins_tile_every_sum_that_the_branches_can_add_up_to() -> None:
    net = concatenated()
    builder = builder_of(net)
    problem = builder.problem(candidates(builder, net))
    total = problem.by_name[problem.links[0].total]
    assert total.lows is not None
    assert (total.lows[0], total.values[-1]) == (32, 160)
    assert all(after == before + 1 for before, after in zip(total.values, total.lows[1:], strict=False))


def test_nested_stages_become_totals_in_order() -> None:
    net = nested()
    structure = structure_of(net, free_ties(net))
    assert structure.plain == ("one", "mid", "mid2")
    assert dict(structure.nested) == {"two": "one", "three": "two"}
    builder = builder_of(net)
    assert {name: builder.present_width(name) for name in structure.variables} == {"one": 16, "mid": 32, "mid2": 48, "two": 32, "three": 64}
    orders = {(order.larger, order.smaller, order.at_least) for order in builder.problem(candidates(builder, net)).orders}
    assert orders == {("two", "one", 1), ("three", "two", 1)}


@given(one=st.integers(1, 40), two=st.integers(1, 40), three=st.integers(1, 40), mid=st.integers(1, 99))
def test_totals_and_tie_widths_go_back_and_forth(one: int, two: int, three: int, mid: int) -> None:
    builder = builder_of(nested())
    made = builder.tie_widths({"one": one, "mid": mid, "two": one + two, "three": one + two + three})
    assert made == {"one": one, "mid": mid, "mid2": 48, "two": two, "three": three}


def test_a_total_no_wider_than_what_it_holds_is_refused() -> None:
    with pytest.raises(PlanError, match="must exceed the 20 channels that its shortcut brings, got 20"):
        builder_of(nested()).tie_widths({"one": 20, "two": 20})


def test_ties_that_never_stand_alone_are_frozen_with_a_reason() -> None:
    builder = Builder()
    builder.conv("first", 16)
    builder.stage("second", 16, "first")
    net = builder.net()
    alone = replace(net.layers[-1], inputs=("x",), in_dim=Dim(fixed=3), in_channels=3)
    kept = NetSpec(name="odd", input_shapes=net.input_shapes, layers=(net.layers[0], alone), ties=net.ties)
    structure = structure_of(kept, free_ties(kept))
    assert structure.variables == ()
    assert set(structure.frozen) == {"first", "second"}
    assert all("solver does not handle" in reason for reason in structure.frozen.values())


def test_ties_not_chosen_are_neither_variables_nor_frozen() -> None:
    structure = structure_of(nested(), frozenset({"mid", "one"}))
    assert structure.variables == ("one", "mid")
    assert structure.frozen == {}


def test_worth_replaces_parameters_as_the_value() -> None:
    net = nested()
    asked: set[tuple[str, int]] = set()

    def worth(tie: str, width: int) -> float:
        asked.add((tie, width))
        return float(width)

    builder = TableBuilder(pricing(net), structure_of(net, free_ties(net)), worth)
    problem = builder.problem({"one": (16, 24), "mid": (32,), "mid2": (48,), "two": (32, 40), "three": (64,)})
    assert problem.evaluate(problem.present()).value == 16 + 32 + 48 + 16 + 32
    wider = problem.assignment_of({"one": 24, "mid": 32, "mid2": 48, "two": 40, "three": 64})
    assert problem.evaluate(wider).value == 24 + 32 + 48 + 16 + 24


@given(st.integers(2, 300), st.integers(1, 60), st.integers(1, 60))
def test_spread_keeps_proportions_and_hits_the_sum(total: int, left: int, right: int) -> None:
    dim = Dim(terms=(Term(tie="a"), Term(tie="b")))
    made = spread(dim, total, {"a": left, "b": right}, frozenset())
    assert dim.width(made) == max(total, 2) or min(made.values()) == 1
    assert spread(dim, total, {"a": left, "b": right}, frozenset({"a"}))["a"] == left
