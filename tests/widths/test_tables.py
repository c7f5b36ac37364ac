"""Width problems of whole networks: every assignment costs what the network at these widths costs."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cost.specs import Builder, chain
from edgewise._core.errors import PlanError
from edgewise.cost.lowering import lowering_for
from edgewise.cost.workload import Workload
from edgewise.ir import Dim, NetSpec, Term
from edgewise.models.catalog import BUILT_IN
from edgewise.trace import trace
from edgewise.widths.exact import solve_exact
from edgewise.widths.problem import IMPOSSIBLE_S, WidthProblem
from edgewise.widths.solution import Limits
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


def mobile() -> NetSpec:
    """Blocks of three ties, one of them of a gate, and one with a layer that reads and writes the stream alone."""

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.depthwise = nn.Conv2d(32, 32, 3, padding=1, groups=32)
            self.expand = nn.Conv2d(32, 64, 1)
            self.middle = nn.Conv2d(64, 48, 3, padding=1)
            self.squeeze = nn.Conv2d(48, 16, 1)
            self.excite = nn.Conv2d(16, 48, 1)
            self.project = nn.Conv2d(48, 32, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            maps = self.middle(torch.relu(self.expand(self.depthwise(x))))
            gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(maps.mean((2, 3), keepdim=True)))))
            return x + self.project(maps * gate)

    model = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), Gated(), Gated(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    return trace(model, (torch.zeros(1, 3, 8, 8),), name="mobile").net


NETS = {"chain": chain(32, 48, 64), "residual": residual(), "nested": nested(), "resnet20": resnet20(), "mobile": mobile()}


def candidates(builder: TableBuilder, net: NetSpec, *, odd: bool = False, zero: bool = True) -> dict[str, tuple[int, ...]]:
    """Present width of each variable, multiples of 16, odd widths where they are asked for, and 0 for ties of blocks."""
    structure = structure_of(net, free_ties(net))
    more = (7, 21, 33) if odd else ()
    gone = {tie for block in structure.blocks if zero for tie in block.ties}
    widths = {name: {builder.present_width(name), 16, 32, 48, 80, *more} for name in structure.variables}
    return {name: tuple(sorted(found | {0} if name in gone else found)) for name, found in widths.items()}


def chosen(problem: WidthProblem, data: st.DataObject) -> dict[str, int] | None:
    options = {one.name: data.draw(st.integers(0, len(one.values) - 1)) for one in problem.decisions}
    for block in BLOCKS:  # of a block that is left out, no tie has any width
        present = [tie for tie in block if tie in options]
        if data.draw(st.booleans()) and present:
            options.update(dict.fromkeys(present, 0))
        elif any(options[tie] == 0 and problem.by_name[tie].values[0] == 0 for tie in present):
            options.update(dict.fromkeys(present, 1))
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
    """Exactly, but for ONNX Runtime off the blocks of channels and without residual blocks: layouts further away play a part."""
    net = NETS[name]
    key = (name, device)
    if key not in PROBLEMS:
        builder = builder_of(net, device=device)
        PROBLEMS[key] = (builder, builder.problem(candidates(builder, net, odd=odd, zero=device == "openvino-cpu")))
    builder, problem = PROBLEMS[key]
    assignment = chosen(problem, data)
    if assignment is None:
        return
    changed = net.with_widths(builder.tie_widths(problem.widths(assignment)))
    totals = problem.evaluate(assignment)
    assert totals.latency_s == pytest.approx(network_s(changed, device=device), rel=1e-12)
    assert (totals.params, totals.macs) == (changed.params, changed.macs)


BLOCKS = {block.ties for net in NETS.values() for block in net.blocks}
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


def test_a_block_goes_as_a_whole_or_not_at_all() -> None:
    net = NETS["mobile"]
    structure = structure_of(net, free_ties(net))
    assert [block.name for block in structure.blocks] == ["1", "2"] and [len(block.ties) for block in structure.blocks] == [3, 3]
    builder = builder_of(net)
    problem = builder.problem(candidates(builder, net))
    whole = {name: builder.present_width(name) for name in structure.variables}
    first = structure.blocks[0]
    for tie in first.ties:
        assert problem.evaluate(problem.assignment_of({**whole, tie: 0})).latency_s >= IMPOSSIBLE_S
    gone = problem.evaluate(problem.assignment_of({**whole, **dict.fromkeys(first.ties, 0)}))
    assert gone.macs == net.with_widths(dict.fromkeys(first.ties, 0)).macs < net.macs


@pytest.mark.parametrize("name", ["resnet20", "mobile"])
def test_in_onnx_runtime_a_block_left_out_costs_nothing_but_a_change_of_layout_elsewhere(name: str) -> None:
    net = NETS[name]
    builder = builder_of(net, device="onnxruntime-cpu")
    problem = builder.problem(candidates(builder, net))
    whole = {one: builder.present_width(one) for one in structure_of(net, free_ties(net)).variables}
    lowering = pricing(net).lowering
    most_s = max(price_s(call) for group in lowering.groups for call in lowering.workloads(group, net.widths))
    for block in net.blocks:
        gone = dict.fromkeys(block.ties, 0)
        changed = net.with_widths(gone)
        found = problem.evaluate(problem.assignment_of({**whole, **gone}))
        assert found.latency_s == pytest.approx(network_s(changed, device="onnxruntime-cpu"), abs=most_s)
        assert (found.params, found.macs) == (changed.params, changed.macs)


@pytest.mark.parametrize("share", [0.4, 0.6, 0.8])
def test_the_exact_solver_leaves_out_what_no_widths_save_as_well(share: float) -> None:
    """Against trying everything, with a worth that no block and no width deserves alike."""
    net = NETS["mobile"]
    structure = structure_of(net, free_ties(net))

    def worth(tie: str, width: int) -> float:
        return -0.7 if width == 0 else (len(tie) % 3 + 1) * np.log(width)

    builder = TableBuilder(pricing(net), structure, worth)
    few = {name: (0, 16, builder.present_width(name)) for name in structure.variables if name != "0"}
    few = {name: tuple(sorted(set(widths))) for name, widths in few.items()} | {"0": (16, 32)}
    problem = builder.problem(few)
    limit = share * network_s(net)
    options = itertools.product(*(range(len(one.values)) for one in problem.decisions))
    every = (problem.feasible(dict(zip([one.name for one in problem.decisions], place, strict=True))) for place in options)
    totals = [problem.evaluate(one) for one in every if one is not None]
    best = max(one.value for one in totals if one.latency_s <= limit)
    assert solve_exact(problem, Limits(latency_s=limit)).totals.value == pytest.approx(best)


def test_layers_to_keep_keep_their_blocks() -> None:
    net = NETS["mobile"]
    chosen = free_ties(net) - {net.blocks[0].ties[1]}
    assert [block.name for block in structure_of(net, chosen).blocks] == ["2"]
