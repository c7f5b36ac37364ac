"""Balanced maps: the network computes what it did, and attention ranks what readers make of channels."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from edgewise.dynamic import GatedNetwork, place_gates
from edgewise.dynamic.balancing import MapStatistics, balance_channels, record_maps
from edgewise.models.catalog import BUILT_IN
from edgewise.trace import trace


def seeded(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def trained_like(model: nn.Module) -> nn.Module:
    """Norms with statistics and scales that differ from channel to channel."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in ((module.running_var, 0.5, 2.0), (module.weight.data, 0.2, 3.0), (module.bias.data, -0.5, 0.5)):
                assert tensor is not None
                tensor.uniform_(low, high, generator=generator)
    return model.eval()


@pytest.mark.parametrize(("name", "sums", "n_balanced"), [("resnet20", False, 9), ("resnet20", True, 9), ("vgg16", False, 12)])
def test_a_balanced_network_computes_what_it_did(name: str, sums: bool, n_balanced: int) -> None:
    model = trained_like(BUILT_IN[name].build())
    images = seeded((4, 3, 32, 32))
    net = trace(model, (images,), verify=False).net
    gates = place_gates(net, block_outputs=sums).gates
    balanced, maps = balance_channels(model, net, gates)
    assert len(maps) == n_balanced, "maps inside blocks; a sum's channels have other readers"
    with torch.no_grad():
        expected, found = model(images), balanced(images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    before, after = model.get_parameter(f"{maps[0]}.weight"), balanced.get_parameter(f"{maps[0]}.weight")
    sums_after = after.abs().sum((0, 2, 3))
    assert sums_after.std() < 1e-4 * sums_after.mean()
    assert before.abs().sum((0, 2, 3)).std() > 1e-3 * sums_after.mean()


def test_attention_ranks_what_the_reader_makes_of_channels() -> None:
    network = nn.Sequential(nn.Conv2d(2, 2, 1, groups=1, bias=False), nn.ReLU(), nn.Conv2d(2, 1, 1, bias=False))
    network[0].weight.data.copy_(torch.eye(2)[..., None, None])
    network[2].weight.data.copy_(torch.tensor([10.0, 1.0]).reshape(1, 2, 1, 1))
    maps = torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1)
    net = trace(network, (maps,), verify=False).net
    plan = place_gates(net, channel_ratios=(0.5,))
    balanced, consumers = balance_channels(network, net, plan.gates)
    assert consumers == ("2",)
    assert GatedNetwork(network, plan)(maps).item() == 2.0, "the channel with the larger mean, which hardly counts"
    assert GatedNetwork(balanced, plan)(maps).item() == pytest.approx(10.0)


def two_channels() -> nn.Module:
    network = nn.Sequential(nn.Conv2d(2, 2, 1, bias=False), nn.ReLU(), nn.Conv2d(2, 1, 1, bias=False))
    network[0].weight.data.copy_(torch.eye(2)[..., None, None])
    network[2].weight.data.copy_(torch.tensor([3.0, 1.0]).reshape(1, 2, 1, 1))
    return network


def test_where_ratios_are_settled_channels_of_little_worth_are_made_small() -> None:
    network, maps = two_channels(), torch.tensor([[[[2.0, 2.0]], [[0.0, 2.0]]], [[[2.0, 2.0]], [[0.0, 2.0]]]])
    net = trace(network, (maps,), verify=False).net
    gates = place_gates(net, channel_ratios=(0.5,)).gates
    statistics = record_maps(network, gates, lambda model: model(maps))
    assert statistics["2"].mean.tolist() == [2.0, 1.0]
    assert statistics["2"].deviation.tolist() == [0.0, 1.0]
    balanced, consumers = balance_channels(network, net, gates, statistics)
    assert consumers == ("2",)
    assert balanced[0].weight.flatten().tolist() == pytest.approx([0.03, 0, 0, 1.0]), "worth 3 * 0, as it always says the same, and 1 * 1"
    assert balanced[2].weight.flatten().tolist() == pytest.approx([100.0, 1.0])
    assert torch.allclose(balanced(maps), network(maps))


def test_the_worthiest_stay_the_next_change_and_the_rest_goes() -> None:
    network = nn.Sequential(nn.Conv2d(10, 10, 1, bias=False), nn.ReLU(), nn.Conv2d(10, 1, 1, bias=False))
    for place in (0, 2):
        nn.init.ones_(network[place].weight)
    net = trace(network, (torch.ones(1, 10, 1, 1),), verify=False).net
    gates = place_gates(net, channel_ratios=(0.5,)).gates
    statistics = {"2": MapStatistics(mean=torch.tensor([1.0] * 6 + [2.0] + [1.0] * 3), deviation=torch.arange(10.0, 0.0, -1.0))}
    balanced, _ = balance_channels(network, net, gates, statistics)
    # 5 are kept: 3 surely, and 2 of the next 4, whose worths 7, 6, 5, 4 have a mean of 5.5 and whose means 1, 1, 1, 2 one of 1.25
    changing = [0.3 * worth / 5.5 * 1.25 / mean for worth, mean in ((7, 1), (6, 1), (5, 1), (4, 2))]
    assert balanced[0].weight[:, 0, 0, 0].tolist() == pytest.approx([1.0] * 3 + changing + [0.03] * 3)


@pytest.mark.parametrize(("mean", "ratio"), [([-1.0, 2.0], 0.5), ([float("nan"), 1.0], 0.5), ([1.0, 1.0], 0.0)])
def test_maps_below_zero_and_gates_without_a_ratio_are_balanced_by_weights_alone(mean: list[float], ratio: float) -> None:
    network, maps = two_channels(), torch.ones(1, 2, 1, 1)
    net = trace(network, (maps,), verify=False).net
    gates = place_gates(net, channel_ratios=(ratio,)).gates
    statistics = {"2": MapStatistics(mean=torch.tensor(mean), deviation=torch.ones(2))}
    balanced, _ = balance_channels(network, net, gates, statistics)
    assert balanced[0].weight.flatten().tolist() == pytest.approx([1.5, 0, 0, 0.5])


def test_recording_leaves_the_network_as_it_was() -> None:
    model, images = BUILT_IN["resnet20"].build().train(), seeded((4, 3, 32, 32))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    gates = place_gates(trace(model, (images,), verify=False).net).gates
    statistics = record_maps(model, gates, lambda network: network(images))
    assert set(statistics) == {gate.consumer for gate in gates}
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())


def bounded() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6(), nn.Conv2d(4, 2, 3))


def parametrised() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), weight_norm(nn.Conv2d(4, 2, 3)))


class Shared(nn.Module):
    """One convolution reads two maps."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        once: Tensor = self.second(torch.relu(self.first(images)))
        again: Tensor = self.second(torch.relu(once))
        return again


@pytest.mark.parametrize("make", [bounded, parametrised, Shared])
def test_what_cannot_be_balanced_is_left_alone(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model, images = make().eval(), seeded((1, 3, 8, 8))
    net = trace(model, (images,), verify=False).net
    balanced, maps = balance_channels(model, net, place_gates(net).gates)
    assert maps == ()
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), balanced.state_dict().values(), strict=True))


def test_a_reader_of_zeros_leaves_its_map_alone() -> None:
    model, images = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).eval(), seeded((1, 3, 8, 8))
    nn.init.zeros_(model[2].weight)
    net = trace(model, (images,), verify=False).net
    balanced, _ = balance_channels(model, net, place_gates(net).gates)
    assert torch.equal(balanced[0].weight, model[0].weight)
    assert torch.equal(balanced(images), model(images))
