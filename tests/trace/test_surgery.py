"""Surgery on small networks: exact when shrinking, silent when growing, and never on the network given."""

import copy
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from edgewise._core.errors import PlanError
from edgewise.ir import TiePlan, WidthPlan
from edgewise.trace import Traced, apply_plan, choose_channels, trace

Make = Callable[[str], tuple[nn.Module, tuple[Tensor, ...]]]


def silence(model: nn.Module, traced: Traced, removed: Mapping[str, set[int]]) -> nn.Module:
    """The network with a zero at every weight that reads a removed unit, one weight slice at a time."""
    silent = copy.deepcopy(model)
    gone = {traced.starts[tie] + unit for tie, units in removed.items() for unit in units}
    tensors = dict(silent.named_parameters())
    with torch.no_grad():
        for site in traced.sites:
            for place, unit in enumerate(site.units.tolist()):
                if site.role == "read" and unit in gone:
                    tensors[site.parameter].select(site.axis, place).zero_()
    return silent


def run(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    with torch.no_grad():
        return tree_leaves(model(*inputs))


def plan_of(traced: Traced, rng: np.random.Generator, *, grow: bool, exact: bool) -> WidthPlan:
    plans = []
    for tie in traced.net.ties:
        if not tie.free or (exact and not tie.growable):
            continue
        kept = int(rng.integers(1, tie.width + 1))
        keep = tuple(sorted(rng.choice(tie.width, size=kept, replace=False).tolist()))
        plans.append(TiePlan(tie=tie.name, keep=keep, grow=int(rng.integers(0, 4)) if grow and tie.growable else 0))
    return WidthPlan(ties=tuple(plans))


def removed_by(plan: WidthPlan, traced: Traced) -> dict[str, set[int]]:
    return {tie.tie: set(range(traced.net.tie(tie.tie).width)) - set(tie.keep) for tie in plan.ties}


@pytest.mark.parametrize("grow", [False, True], ids=["shrinking", "shrinking and growing"])
def test_removed_units_are_as_good_as_never_read_and_new_ones_change_nothing(network: str, grow: bool, subject: Make) -> None:
    model, inputs = subject(network)
    traced = trace(model, inputs)
    double, precise = model.double(), tuple(tensor.double() for tensor in inputs)
    for seed in range(3):
        plan = plan_of(traced, np.random.default_rng(seed), grow=grow, exact=True)
        changed = apply_plan(double, plan, traced)
        expected = run(silence(double, traced, removed_by(plan, traced)), precise)
        for first, second in zip(expected, run(changed, precise), strict=True):
            torch.testing.assert_close(second, first, rtol=1e-9, atol=1e-9)


def test_a_changed_network_is_what_its_spec_foretold(network: str, subject: Make) -> None:
    model, inputs = subject(network)
    traced = trace(model, inputs)
    plan = plan_of(traced, np.random.default_rng(5), grow=True, exact=False)
    again = trace(apply_plan(model, plan, traced), inputs, verify=False).net
    foretold = traced.net.with_widths(plan.widths)
    found = {layer.name: (layer.in_channels, layer.out_channels, layer.groups, layer.params, layer.macs) for layer in again.layers}
    wanted = {layer.name: (layer.in_channels, layer.out_channels, layer.groups, layer.params, layer.macs) for layer in foretold.layers}
    # Padding by no channels at all is not an operation any more.
    assert found == {name: wanted[name] for name in found}
    assert {name for name in wanted if name not in found} <= {"shortcut"}


def test_keeping_everything_changes_no_bit(network: str, subject: Make) -> None:
    model, inputs = subject(network)
    traced = trace(model, inputs, verify=False)
    plans = tuple(TiePlan(tie=tie.name, keep=tuple(range(tie.width))) for tie in traced.net.ties)
    for plan in (WidthPlan(), WidthPlan(ties=plans)):
        same = apply_plan(model, plan, traced)
        assert all(torch.equal(tensor, same.state_dict()[name]) for name, tensor in model.state_dict().items())
        assert not {id(tensor) for tensor in model.parameters()} & {id(tensor) for tensor in same.parameters()}


def test_the_network_given_stays_as_it_was_and_the_same_plan_gives_the_same_bits(subject: Make) -> None:
    model, inputs = subject("Padded")
    before = copy.deepcopy(model.state_dict())
    traced = trace(model, inputs)
    plan = plan_of(traced, np.random.default_rng(1), grow=True, exact=True)
    first, second = apply_plan(model, plan, traced), apply_plan(model, plan, traced)
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in before.items())
    assert all(torch.equal(tensor, second.state_dict()[name]) for name, tensor in first.state_dict().items())


def test_training_mode_flags_types_and_memory_format_survive(subject: Make) -> None:
    model, inputs = subject("Chain")
    traced = trace(model, inputs)
    model.train().to(torch.bfloat16).to(memory_format=torch.channels_last)
    model.a[0].weight.requires_grad_(False)
    model.b.eval()
    changed = apply_plan(model, WidthPlan(ties=(TiePlan(tie="a.0", keep=(0, 2, 5), grow=1), TiePlan(tie="b.0", keep=(1, 2)))), traced)
    assert changed.training
    assert not changed.b.training
    assert not changed.a[0].weight.requires_grad
    assert changed.b[0].weight.requires_grad
    assert changed.b[0].weight.dtype is torch.bfloat16
    assert changed.b[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert (changed.a[0].out_channels, changed.a[1].num_features, changed.b[0].in_channels, changed.head.in_features) == (4, 4, 4, 2)


def test_new_units_stand_behind_the_kept_ones_and_are_drawn_like_them(subject: Make) -> None:
    model, inputs = subject("Chain")
    traced = trace(model, inputs)
    changed = apply_plan(model, WidthPlan(ties=(TiePlan(tie="a.0", keep=(1, 4), grow=2),)), traced)
    assert torch.equal(changed.a[0].weight[:2], model.a[0].weight[[1, 4]])
    drawn, present = changed.a[0].weight[2:].detach().std(), model.a[0].weight.detach().std()
    assert drawn.item() == pytest.approx(present.item(), rel=0.5)
    assert torch.equal(changed.b[0].weight[:, :2], model.b[0].weight[:, [1, 4]])
    assert not changed.b[0].weight[:, 2:].any()
    assert torch.equal(changed.a[1].running_var, model.a[1].running_var[[1, 4, 4, 4]])


def test_padding_follows_both_stages(subject: Make) -> None:
    model, inputs = subject("Padded")
    traced = trace(model, inputs)
    plan = WidthPlan(ties=(TiePlan(tie="a.0", keep=(0, 3), grow=1), TiePlan(tie="b.0", keep=(1, 2), grow=2)))
    changed = apply_plan(model, plan, traced)
    # The added tie is one channel before the eight of the first stage and three behind them.
    assert (changed.shortcut.before, changed.shortcut.after) == (0, 4)


def test_a_shared_module_stays_shared(subject: Make) -> None:
    model, inputs = subject("Residual")
    model.again = model.b
    traced = trace(model, inputs)
    changed = apply_plan(model, WidthPlan(ties=(TiePlan(tie="a.0", keep=(0, 1)),)), traced)
    assert changed.again is changed.b


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        (TiePlan(tie="nowhere", keep=(0,)), "must name ties"),
        (TiePlan(tie="a.0", keep=(0, 9)), "must lie below its width 8, got 9"),
        (TiePlan(tie="head", keep=(0,)), "must keep its width 5"),
        (TiePlan(tie="head", keep=(0, 1, 2, 3), grow=1), "must not grow"),
    ],
)
def test_plans_that_do_not_fit_are_refused(plan: TiePlan, text: str, subject: Make) -> None:
    model, inputs = subject("Chain")
    with pytest.raises(PlanError, match=text):
        apply_plan(model, WidthPlan(ties=(plan,)), trace(model, inputs, verify=False))


def test_the_trace_of_another_network_is_refused(subject: Make) -> None:
    traced = trace(*subject("Flat"), verify=False)
    with pytest.raises(PlanError, match="must be the trace of this network"):
        apply_plan(subject("Chain")[0], WidthPlan(ties=(TiePlan(tie="a.0", keep=(0,)),)), traced)


def test_chosen_channels_are_the_best_scored_and_growth_keeps_all(subject: Make) -> None:
    model, inputs = subject("Chain")
    traced = trace(model, inputs, verify=False)
    scores = {"a.0": np.array([3.0, 1.0, 9.0, 2.0, 9.0, 0.0, 0.0, 0.0])}
    plan = choose_channels(traced, {"a.0": 3, "b.0": 10}, scores)
    assert plan.ties == (TiePlan(tie="a.0", keep=(0, 2, 4)), TiePlan(tie="b.0", keep=tuple(range(8)), grow=2))
    with pytest.raises(PlanError, match="must hold 8 values"):
        choose_channels(traced, {"b.0": 3}, scores)
    with pytest.raises(PlanError, match="must not grow"):
        choose_channels(traced, {"head": 6}, scores)
