"""Networks with gates whose layers are refitted to what the gates leave."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgewise.dynamic import GatedNetwork, place_gates
from edgewise.ir import TiePlan, WidthPlan
from edgewise.ir.gates import GatePlan
from edgewise.recipes.refitting import Refitter
from edgewise.recipes.training import Lessons
from edgewise.trace import Traced, apply_plan, trace


def chain() -> nn.Module:
    """A network whose channels know of each other: 24 of them see one map."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 24, 3, padding=1), nn.BatchNorm2d(24, momentum=1.0), nn.ReLU()]
    layers += [nn.Conv2d(24, 16, 3, padding=1), nn.BatchNorm2d(16, momentum=1.0), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Conv2d(16, 12, 3), nn.ReLU(), nn.Conv2d(12, 3, 1))
    model.train()(images(64))
    return model.eval()


def images(count: int, seed: int = 1) -> Tensor:
    rough = torch.randn(count, 1, 3, 3, generator=torch.Generator().manual_seed(seed))
    return functional.interpolate(rough, size=(9, 9), mode="bilinear")


def gated(model: nn.Module, traced: Traced, ratio: float) -> GatedNetwork:
    return GatedNetwork(model, place_gates(traced.net, channel_ratios=(ratio,), spatial_ratios=(ratio,))).eval()


def refitter(model: nn.Module, traced: Traced) -> Refitter:
    return Refitter(model, traced, Lessons(batches=[(images(64), None)], loss=functional.cross_entropy))


def far(one: nn.Module, other: nn.Module) -> float:
    with torch.no_grad():
        return float((one(images(64, seed=2)) - other(images(64, seed=2))).pow(2).mean().sqrt())


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75])
def test_the_outputs_of_other_images_stay_nearer(ratio: float) -> None:
    model = chain()
    traced = trace(model, (images(1),))
    plain, refitted = gated(model, traced, ratio), gated(model, traced, ratio)
    assert refitter(model, traced).refit_gated(refitted, WidthPlan()) == ("3", "6", "8")
    assert far(refitted, model) < 0.9 * far(plain, model)
    assert refitted.plan == plain.plan and all(gate.channel_ratio == ratio for gate in refitted.plan.gates)


def test_each_reader_solves_for_what_its_gate_lets_through() -> None:
    """The first reader against least squares on the maps that the gate leaves, with all that a patch holds."""
    model = chain()
    traced = trace(model, (images(1),))
    network = gated(model, traced, 0.5)
    refitter(model, traced).refit_gated(network, WidthPlan())
    seen: list[Tensor] = []
    handle = network.network[3].register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    with torch.no_grad():
        network(images(64))
        handle.remove()
        maps = model[:3](images(64))
        assert float((seen[0] == 0).float().mean()) > 0.7 > 0.6 > float((maps == 0).float().mean())
        wanted = functional.conv2d(maps, model[3].weight, padding=1).movedim(1, -1).flatten(0, 2)
        now = functional.unfold(seen[0], 3, padding=1).movedim(1, -1).flatten(0, 1)
        rest = [
            float(((now @ weight.flatten(1).T - wanted) - (now @ weight.flatten(1).T - wanted).mean(dim=0)).pow(2).mean())
            for weight in (model[3].weight, network.network[3].weight)
        ]
    assert rest[1] < 0.6 * rest[0]


def test_narrowed_and_gated_in_one() -> None:
    model = chain()
    traced = trace(model, (images(1),))
    plan = WidthPlan(ties=(TiePlan(tie=traced.net.layer("0").out_dim.ties[0], keep=tuple(range(12))),))
    narrow = apply_plan(model, plan, traced)
    net = trace(narrow, (images(1),)).net
    gates = place_gates(net, channel_ratios=(0.25,), spatial_ratios=(0.25,))
    plain, refitted = GatedNetwork(narrow, gates).eval(), GatedNetwork(narrow, gates).eval()
    assert refitter(model, traced).refit_gated(refitted, plan) == ("3", "6", "8")
    assert far(refitted, model) < 0.8 * far(plain, model)


def test_nothing_changes_without_images_or_without_ratios() -> None:
    model = chain()
    traced = trace(model, (images(1),))
    network, idle = gated(model, traced, 0.5), gated(model, traced, 0.0)
    before = copy.deepcopy(network.state_dict())
    assert Refitter(model, traced, None).refit_gated(network, WidthPlan()) == ()
    assert refitter(model, traced).refit_gated(idle, WidthPlan()) == ()
    assert all(torch.equal(tensor, before[name]) for one in (network, idle) for name, tensor in one.state_dict().items())


def test_layers_before_the_first_gate_stay() -> None:
    model = chain()
    traced = trace(model, (images(1),))
    plan = place_gates(traced.net, channel_ratios=(0.5,), spatial_ratios=())
    later = GatePlan(gates=tuple(gate for gate in plan.gates if gate.consumer == "6"), n_blocks=plan.n_blocks)
    network = GatedNetwork(model, later).eval()
    assert refitter(model, traced).refit_gated(network, WidthPlan()) == ("6", "8")
    assert torch.equal(network.network[3].weight, model[3].weight)
