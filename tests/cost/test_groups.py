"""Which layers run as one kernel call."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cost.specs import Builder, chain
from edgewise.cost.lowering import fused_groups
from edgewise.cost.lowering.generic import GENERIC_RULES
from edgewise.cost.lowering.groups import FREE_OPS, FusionRules
from edgewise.cost.lowering.onnxruntime import ONNXRUNTIME_RULES
from edgewise.ir import NetSpec

RULES = pytest.mark.parametrize("rules", [GENERIC_RULES, ONNXRUNTIME_RULES, FusionRules()], ids=["generic", "onnxruntime", "none"])


def names(net: NetSpec, rules: FusionRules = GENERIC_RULES) -> list[tuple[str, ...]]:
    return [group.names for group in fused_groups(net, rules)]


def test_norm_and_activation_run_inside_the_convolution() -> None:
    assert names(chain(16, 32)) == [("conv0", "bn0", "relu0"), ("conv1", "bn1", "relu1"), ("pool",), ("fc",)]


def test_what_renames_memory_is_in_no_group() -> None:
    assert all("fc.flatten" not in group for group in names(chain(16)))


def residual(*, read_inside: bool = False) -> NetSpec:
    builder = Builder()
    builder.conv("a", 16)
    start = builder.point("relu", "relu")
    builder.conv("b", 16, tie="a")
    builder.point("bn", "batch_norm")
    if read_inside:
        start = builder.point("sigmoid", "sigmoid", "bn")
    builder.point("add", "add", "bn", start)
    builder.point("relu2", "relu")
    return builder.net()


def test_addition_and_the_activation_behind_it_run_inside_the_last_convolution() -> None:
    groups = fused_groups(residual(), GENERIC_RULES)
    assert [group.names for group in groups] == [("a", "relu"), ("b", "bn", "add", "relu2")]
    assert (groups[1].adds, groups[1].activation, groups[1].last.name) == ("relu", "relu", "relu2")


def test_an_addition_whose_other_input_depends_on_the_convolution_is_a_call_of_its_own() -> None:
    # bn is read twice here, so nothing may run behind it.
    assert names(residual(read_inside=True))[1:] == [("b", "bn"), ("sigmoid",), ("add",), ("relu2",)]


def test_an_addition_that_waits_for_the_convolution_through_others_does_not_fuse() -> None:
    builder = Builder()
    builder.conv("a", 16)
    builder.point("add", "add", "a", "a")
    assert names(builder.net()) == [("a",), ("add",)]


def test_of_two_convolutions_that_meet_one_takes_the_addition() -> None:
    builder = Builder()
    builder.conv("a", 16)
    builder.conv("left", 16, reads="a")
    builder.conv("right", 16, reads="a", tie="left")
    builder.point("add", "add", "left", "right")
    groups = fused_groups(builder.net(), GENERIC_RULES)
    assert sorted(group.adds for group in groups) in (["", "", "left"], ["", "", "right"])


def test_a_result_of_the_network_is_not_fused_away() -> None:
    builder = Builder()
    builder.conv("a", 16)
    builder.point("bn", "batch_norm")
    builder.point("relu", "relu")
    assert names(builder.net("bn", "relu")) == [("a", "bn"), ("relu",)]


def test_a_result_read_twice_ends_its_group() -> None:
    builder = Builder()
    builder.conv("a", 16)
    builder.point("relu", "relu")
    builder.point("sigmoid", "sigmoid", "a")
    builder.point("mul", "mul", "relu", "sigmoid")
    assert names(builder.net()) == [("a",), ("relu",), ("sigmoid",), ("mul",)]


@RULES
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_every_layer_that_takes_time_is_in_exactly_one_group(rules: FusionRules, data: st.DataObject) -> None:
    builder = Builder()
    builder.conv("c0", 8)
    for place in range(1, data.draw(st.integers(1, 9))):
        same = [layer.name for layer in builder.layers if layer.out_channels == 8]
        reads = data.draw(st.sampled_from(same))
        kind = data.draw(st.sampled_from(["conv", "batch_norm", "relu", "add", "dropout", "sigmoid"]))
        if kind == "conv":
            builder.conv(f"c{place}", 8, reads=reads, tie="c0")
        elif kind == "add":
            builder.point(f"n{place}", "add", reads, data.draw(st.sampled_from(same)))
        else:
            builder.point(f"n{place}", kind, reads)
    net = builder.net()
    grouped = [name for group in fused_groups(net, rules) for name in group.names]
    assert sorted(grouped) == sorted(layer.name for layer in net.layers if layer.op not in FREE_OPS)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_groups_can_run_one_after_the_other(data: st.DataObject) -> None:
    """No two groups wait for each other."""
    builder = Builder()
    builder.conv("c0", 8)
    for place in range(1, 10):
        same = [layer.name for layer in builder.layers if layer.out_channels == 8]
        kind = data.draw(st.sampled_from(["conv", "batch_norm", "relu", "add", "add"]))
        reads = [data.draw(st.sampled_from(same)) for _ in range(2)]
        if kind == "conv":
            builder.conv(f"c{place}", 8, reads=reads[0], tie="c0")
        else:
            builder.point(f"n{place}", kind, *(reads if kind == "add" else reads[:1]))
    net = builder.net()
    groups = fused_groups(net, GENERIC_RULES)
    home = {name: group.head.name for group in groups for name in group.names}
    waits = {
        group.head.name: {home[one] for layer in group.layers for one in layer.inputs if one in home} - {group.head.name}
        for group in groups
    }
    while ready := [head for head, others in waits.items() if not others & waits.keys()]:
        for head in ready:
            del waits[head]
    assert waits == {}
