"""Removal of what no image is to keep: which channels, what is left, and that nothing else changes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from edgewise.cost.chip.masks import LayerMask
from edgewise.dynamic import GatedNetwork, place_gates, record_masks
from edgewise.dynamic.accounting import count_macs
from edgewise.dynamic.balancing import MapStatistics, balance_channels, record_maps
from edgewise.dynamic.redundancy import redundancy_of
from edgewise.dynamic.removing import Removal, plan_removal, removable_tie, staying_count, widths_left
from edgewise.ir import NetSpec, WidthPlan
from edgewise.ir.gates import Gate, GatePlan
from edgewise.models.catalog import BUILT_IN
from edgewise.trace import trace
from edgewise.trace.surgery import apply_plan

VGG = (0.2, 0.2, 0.6, 0.9, 0.9)


def chain(weights: list[float]) -> nn.Sequential:
    """A map of as many channels as there are weights, read with these."""
    network = nn.Sequential(nn.Conv2d(1, len(weights), 1, bias=False), nn.ReLU(), nn.Conv2d(len(weights), 1, 1, bias=False))
    nn.init.ones_(network[0].weight)
    network[2].weight.data.copy_(torch.tensor(weights).reshape(1, -1, 1, 1))
    return network


def net_of(network: nn.Module, *shape: int) -> NetSpec:
    return trace(network, (torch.zeros(1, *shape),), verify=False).net


@pytest.mark.parametrize(
    ("deviation", "changing", "staying"),
    [
        ([1.0, 1.0, 2.0, 1.0], 0.0, (1, 2)),  # worths 1, 3, 4 and 0.5: two are kept
        ([1.0, 1.0, 2.0, 1.0], 0.5, (0, 1, 2)),  # one of the two places goes to one of the next two... of three that stay
        ([1.0, 1.0, 0.1, 9.0], 0.5, (0, 1, 3)),  # worths 1, 3, 0.2 and 4.5
        (None, 0.0, (1, 2)),  # weights alone: 1, 3, 2 and 0.5
    ],
)
def test_the_worthiest_stay(deviation: list[float] | None, changing: float, staying: tuple[int, ...]) -> None:
    network = chain([1.0, 3.0, 2.0, 0.5])
    net = net_of(network, 1, 2, 2)
    plan = place_gates(net, channel_ratios=(0.5,))
    known = None if deviation is None else {"2": MapStatistics(mean=torch.ones(4), deviation=torch.tensor(deviation))}
    removal = plan_removal(network, net, plan, known, changing=(changing,))
    assert removal.staying == {"2": staying} and [tie.keep for tie in removal.widths.ties] == [staying]
    gate = removal.gates.gates[0]
    assert (gate.channels, gate.kept_channels) == (len(staying), 2), "as many as before are kept for an image"


def test_what_may_all_be_kept_loses_nothing() -> None:
    network = chain([1.0, 3.0, 2.0, 0.5])
    net = net_of(network, 1, 2, 2)
    plan = place_gates(net, channel_ratios=(0.5,))
    removal = plan_removal(network, net, plan, changing=(1.0,))
    assert removal == Removal(widths=WidthPlan(), gates=plan, staying={})


@given(
    channels=st.integers(1, 300),
    ratio=st.floats(0, 0.99),
    changing=st.floats(0, 1),
)
def test_a_gate_keeps_as_many_of_what_stays(channels: int, ratio: float, changing: float) -> None:
    gate = Gate(consumer="b", producer="a", block=0, channels=channels, hw=(2, 2), channel_ratio=ratio)
    left = staying_count(gate, (changing,))
    assert gate.kept_channels <= left <= channels
    now = Gate(consumer="b", producer="a", block=0, channels=left, hw=(2, 2), channel_ratio=1 - gate.kept_channels / left)
    assert now.kept_channels == gate.kept_channels


@pytest.mark.parametrize(("name", "n_removable", "n_gates"), [("vgg16", 12, 12), ("resnet56", 27, 54)])
def test_maps_of_sums_keep_their_channels(name: str, n_removable: int, n_gates: int) -> None:
    net = net_of(BUILT_IN[name].build(), 3, 32, 32)
    gates = place_gates(net, block_outputs=True).gates
    assert len(gates) == n_gates
    free = [gate for gate in gates if removable_tie(net, gate)]
    assert len(free) == n_removable and all(net.layer(gate.producer).op == "conv2d" for gate in free)


class Two(nn.Module):
    """One map is read by two convolutions, and one is two maps side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.left, self.right = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.last = nn.Conv2d(8, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        first = torch.relu(self.first(images))
        found: Tensor = self.last(torch.cat([torch.relu(self.left(first)), torch.relu(self.right(first))], dim=1))
        return found


def test_maps_that_others_read_or_wrote_lose_nothing() -> None:
    net = net_of(Two(), 3, 4, 4)
    for consumer in ("left", "last"):
        gate = Gate(consumer=consumer, producer="first", block=0, channels=net.layer(consumer).in_channels, hw=(4, 4), channel_ratio=0.5)
        assert removable_tie(net, gate) is None


@pytest.mark.parametrize(("name", "ratios"), [("vgg16", VGG), ("resnet56", (0.5, 0.4, 0.3)), ("digits-cnn", (0.5,))])
def test_the_count_ahead_is_that_of_the_network_that_is_left(name: str, ratios: tuple[float, ...]) -> None:
    model, shape = BUILT_IN[name].build(), BUILT_IN[name].input_shape
    traced = trace(model, (torch.zeros(shape),), verify=False)
    plan = place_gates(traced.net, channel_ratios=ratios)
    removal = plan_removal(model, traced.net, plan)
    left = trace(apply_plan(model, removal.widths, traced), (torch.zeros(shape),), verify=False).net
    ahead, gates = widths_left(traced.net, plan)
    assert gates == removal.gates and ahead.macs == left.macs and place_gates(left).gates[0].channels == gates.gates[0].channels
    count = count_macs(left, gates, given=traced.net)
    assert count.macs == count_macs(traced.net, plan).macs > count.macs_left > count.macs_executed
    assert count.reduction_removed == pytest.approx(1 - count.macs_left / count.macs)
    assert count_macs(left, gates).macs == count.macs_left


def test_the_count_by_hand() -> None:
    """1x1 convolutions of 1, 4 and 1 channels on 2x2 positions: 16 and 16. Two of four kept, three stay: 12 and 12, of which 8."""
    network = chain([1.0, 3.0, 2.0, 0.5])
    net = net_of(network, 1, 2, 2)
    left, gates = widths_left(net, place_gates(net, channel_ratios=(0.5,)), (0.5,))
    count = count_macs(left, gates, given=net)
    assert (count.macs, count.macs_left, count.macs_executed) == (32, 24, 20) and count.macs_counted == pytest.approx(20.0)


def test_without_what_is_never_kept_the_network_computes_the_same() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 20, 3, padding=1), nn.BatchNorm2d(20), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(20, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    images = torch.randn(64, 3, 8, 8)
    network(images)
    network.eval()
    traced = trace(network, (images[:1],), verify=False)
    plan = place_gates(traced.net, channel_ratios=(0.5,))
    statistics = record_maps(network, plan.gates, lambda model: model(images))
    removal = plan_removal(network, traced.net, plan, statistics)
    balanced, _ = balance_channels(network, traced.net, plan.gates, statistics)
    masks = record_masks(balanced, plan, [(images,)])
    gone = {gate.consumer: sorted(set(range(gate.channels)) - set(removal.staying[gate.consumer])) for gate in plan.gates}
    assert all(places and not masks[name].channels[:, places].any() for name, places in gone.items())
    left = GatedNetwork(apply_plan(balanced, removal.widths, traced), removal.gates).eval()
    with torch.no_grad():
        torch.testing.assert_close(left(images), GatedNetwork(balanced, plan).eval()(images), rtol=1e-4, atol=1e-5)
    now = record_masks(left.plain(), removal.gates, [(images,)])
    for name, mask in removal.masks_before(plan, now).items():
        assert np.array_equal(mask.channels, masks[name].channels)


def test_what_is_removed_is_static_redundancy() -> None:
    gate = Gate(consumer="b", producer="a", block=0, channels=4, hw=(1, 1), channel_ratio=0.5)
    now = Gate(consumer="b", producer="a", block=0, channels=3, hw=(1, 1), channel_ratio=1 / 3)
    plan = GatePlan(gates=(gate,), n_blocks=1)
    removal = Removal(widths=WidthPlan(), gates=GatePlan(gates=(now,), n_blocks=1), staying={"b": (0, 1, 3)})
    kept = np.array([[True, True, False], [True, False, True]])
    before = removal.masks_before(plan, {"b": LayerMask(channels=kept)})
    assert before["b"].channels.tolist() == [[True, True, False, False], [True, False, False, True]]
    assert [(row.pruned, row.static, row.dynamic) for row in redundancy_of(plan, before)] == [(0.5, 0.25, 0.25)]
    silent = removal.masks_before(plan, {})
    assert silent["b"].channels.tolist() == [[True, True, False, True]], "a gate that drops nothing of what stays says nothing"


def test_a_removal_is_made_again_from_its_widths() -> None:
    model = BUILT_IN["vgg16"].build()
    net = net_of(model, 3, 32, 32)
    plan = place_gates(net, channel_ratios=VGG)
    removal = plan_removal(model, net, plan, changing=(0.0, 0.1, 0.2, 0.3, 1.0))
    assert Removal.of(net, plan, WidthPlan.from_json(removal.widths.to_json())) == removal
    left = {gate.block: (gate.channels, gate.kept_channels) for gate in removal.gates.gates}
    assert left[0] == (52, 52) and left[3] == (52 + 16, 52) and left[4] == (104, 52)
