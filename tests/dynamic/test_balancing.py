"""Balanced maps: the network computes what it did, and attention ranks what readers make of channels."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from edgewise.dynamic import GatedNetwork, place_gates
from edgewise.dynamic.balancing import balance_channels
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
