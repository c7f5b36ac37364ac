"""Residual blocks that can be left out: which ones, and that a network without them is what was foretold."""

import copy
from dataclasses import replace

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgewise._core.errors import PlanError
from edgewise.ir import LeftAlone, NetSpec
from edgewise.models.catalog import BUILT_IN
from edgewise.trace import Traced, apply_plan, choose_channels, readers, score_channels, trace

IMAGE = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    """Adds two convolutions to what it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, 6, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 4, 3, padding=1)

    def branch(self, x: Tensor) -> Tensor:
        return self.conv2(torch.relu(self.bn1(self.conv1(x))))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class Activated(Block):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.branch(x))


class Swished(Block):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.silu(x + self.branch(x))


class Doubling(Block):
    """Looks like a block, and is twice what it reads where it adds nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(self.branch(x), x, alpha=2)


class Halving(Block):
    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x + self.branch(x)


class Twice(Block):
    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x) + 1.0


class Plain(nn.Module):
    """A block with one convolution: no channels are its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)


class Dense(nn.Module):
    """Hands out what it added, too."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Block()
        self.after = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.block(x)) + self.block.branch(x)


def sequence(*modules: nn.Module) -> nn.Module:
    """Modules between two convolutions, with weights that leave nothing silent."""
    model = nn.Sequential(nn.Conv2d(4, 4, 1), *modules, nn.Conv2d(4, 2, 1)).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return model


def traced_of(model: nn.Module, images: Tensor = IMAGE) -> Traced:
    return trace(model, (images[:1],), name="network")


def names(traced: Traced) -> list[str]:
    return [block.name for block in traced.net.blocks]


def without(net: NetSpec, blocks: set[str]) -> dict[str, int]:
    return {tie: 0 for block in net.blocks if block.name in blocks for tie in block.ties}


@pytest.mark.parametrize(
    ("modules", "found"),
    [
        ((Block(), Block()), ["1", "2"]),
        ((nn.ReLU(), Activated(), Activated()), ["2", "3"]),
        ((nn.ReLU(), nn.MaxPool2d(2), Activated()), ["3"]),
        ((Activated(), Activated()), ["2"]),  # nothing has been through a relu when the first one reads it
        ((nn.ReLU(), nn.AvgPool2d(2), Activated()), []),
        ((Swished(), Swished()), []),
        ((Doubling(), Block()), ["2"]),
        ((Halving(),), []),
        ((Twice(),), []),
        ((Plain(),), []),
        ((Dense(),), []),
    ],
    ids=lambda value: "-".join(type(one).__name__ for one in value) if isinstance(value, tuple) else "",
)
def test_which_blocks_can_be_left_out(modules: tuple[nn.Module, ...], found: list[str]) -> None:
    assert names(traced_of(sequence(*modules))) == found


def test_weights_shared_with_others_stay() -> None:
    first, second = Block(), Block()
    second.conv1 = first.conv1
    assert names(traced_of(sequence(first, second, Block()))) == ["3"]


def test_without_a_block_the_network_reads_what_the_block_read() -> None:
    model = sequence(Block(), Block())
    before, traced = copy.deepcopy(model.state_dict()), traced_of(model)
    changed = apply_plan(model, choose_channels(traced, without(traced.net, {"1"}), {}), traced)
    by_hand = nn.Sequential(model[0], model[2], model[3])
    assert torch.equal(changed(IMAGE), by_hand(IMAGE)) and isinstance(changed[1], nn.Identity)
    assert isinstance(model[1], Block) and all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def known(name: str) -> tuple[nn.Module, Tensor]:
    if name in BUILT_IN:
        return BUILT_IN[name].build().eval(), torch.randn(1, 3, 32, 32)
    return getattr(torchvision.models, name)(weights=None).eval(), torch.randn(1, 3, 64, 64)


def unexplained(net: NetSpec) -> NetSpec:
    """The network without reasons: they name the first layer that is one."""
    ties = tuple(replace(tie, reason="a layer") if tie.reason else tie for tie in net.ties)
    return replace(net, ties=ties, left_alone=tuple(LeftAlone(name=one.name, reason="a layer") for one in net.left_alone))


@pytest.mark.parametrize(
    ("name", "count", "first"),
    [
        ("resnet20", 7, "layer1.0"),
        ("resnet18", 5, "layer1.0"),
        ("resnet50", 12, "layer1.1"),
        ("mobilenet_v2", 10, "features.3"),
        ("mobilenet_v3_small", 6, "features.3"),
        ("efficientnet_b0", 9, "features.2.1"),
        ("convnext_tiny", 18, "features.1.0"),
        ("shufflenet_v2_x0_5", 0, None),
        ("vgg11", 0, None),
    ],
)
def test_known_networks_without_some_of_their_blocks(name: str, count: int, first: str | None) -> None:
    """Traced anew, the network is layer by layer what its spec foretold."""
    model, image = known(name)
    traced = traced_of(model, image)
    assert len(traced.net.blocks) == count and (first is None or names(traced)[0] == first)
    for blocks in (set(names(traced)), set(names(traced)[::2])):
        widths = without(traced.net, blocks)
        changed = apply_plan(model, choose_channels(traced, widths, {}), traced)
        assert unexplained(traced_of(changed, image).net) == unexplained(traced.net.with_widths(widths))


RESNET = known("resnet20")
RESNET_TRACED = traced_of(*RESNET)


@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_blocks_go_and_widths_change_in_one_plan(data: st.DataObject) -> None:
    model, image = RESNET
    net = RESNET_TRACED.net
    gone = data.draw(st.sets(st.sampled_from([block.name for block in net.blocks])))
    widths = without(net, gone)
    widths |= {tie.name: data.draw(st.integers(1, 20)) for tie in net.ties if tie.free and tie.growable and tie.name not in widths}
    plan = choose_channels(RESNET_TRACED, widths, score_channels(model, RESNET_TRACED, kind="l2"))
    changed = apply_plan(model, plan, RESNET_TRACED)
    foretold, again = net.with_widths(widths), trace(changed, (image,), verify=False).net
    assert changed(image).shape == (1, 10)
    assert (again.macs, again.params) == (foretold.macs, foretold.params)
    assert {layer.name: layer.out_channels for layer in again.priced} == {layer.name: layer.out_channels for layer in foretold.priced}


def test_what_is_left_may_be_left_out_next() -> None:
    net = RESNET_TRACED.net
    once = net.with_widths(without(net, {"layer1.0", "layer1.1"}))
    assert [block.name for block in once.blocks] == ["layer1.2", "layer2.1", "layer2.2", "layer3.1", "layer3.2"]
    assert once.blocks[0].source == "relu"
    assert once.with_widths(without(once, {"layer1.2"})) == net.with_widths(without(net, {"layer1.0", "layer1.1", "layer1.2"}))


class Holding(Block):
    """Holds a block between its two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1, self.conv2 = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)
        self.inner = Block()

    def branch(self, x: Tensor) -> Tensor:
        return self.conv2(self.inner(self.bn1(self.conv1(x))))


def test_a_block_stays_without_the_one_it_holds() -> None:
    model = sequence(Holding())
    traced = traced_of(model)
    net = traced.net
    assert names(traced) == ["1.inner", "1"]
    for gone, left in (({"1.inner"}, ["1"]), ({"1"}, [])):
        widths = without(net, gone)
        changed = apply_plan(model, choose_channels(traced, widths, {}), traced)
        assert [block.name for block in net.with_widths(widths).blocks] == left
        assert traced_of(changed).net == net.with_widths(widths)
    assert [block.name for block in net.left_out(without(net, {"1.inner"}))] == ["1.inner"]


def test_a_width_of_zero_leaves_a_whole_block_out_or_nothing() -> None:
    model, image = known("resnet50")
    net = traced_of(model, image).net
    block = net.blocks[0]
    assert len(block.ties) == 2
    with pytest.raises(
        PlanError, match=r"'layer1.1.conv1' must be at least 1 \(or 0 together with layer1.1.conv1, layer1.1.conv2\), got 0"
    ):
        net.with_widths({block.ties[0]: 0})
    with pytest.raises(PlanError, match=r"'conv1' must be at least 1 \(no block that can be left out is all it writes\), got 0"):
        net.with_widths({"conv1": 0})
    assert len(net.with_widths(dict.fromkeys(block.ties, 0)).blocks) == len(net.blocks) - 1


def test_layers_behind_a_block_left_out_make_up_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that adds half of what it reads: what reads the network without it takes one and a half times as much."""
    monkeypatch.setattr(readers, "RIDGE", 1e-9)
    model = sequence(Block())
    with torch.no_grad():
        for tensor in model[1].parameters():
            tensor.zero_()
        for channel in range(4):
            model[1].conv1.weight[channel, channel, 1, 1] = 1.0
            model[1].conv2.weight[channel, channel, 1, 1] = 0.5
        model[1].conv1.bias.fill_(1000.0)  # nothing is negative where the relu is
        model[1].bn1.weight.fill_(1.0)
        model[1].bn1.running_var.fill_(1.0 - model[1].bn1.eps)
        model[1].conv2.bias.fill_(-500.0)
    traced = traced_of(model)
    plan = choose_channels(traced, without(traced.net, {"1"}), {})
    refitted = apply_plan(model, plan, traced)
    seen = readers.record_readers(model, traced, lambda one: one(IMAGE))
    assert readers.refit_readers(refitted, seen, plan) == ("2",)
    assert torch.equal(refitted[0].weight, model[0].weight)
    torch.testing.assert_close(refitted[2].weight, 1.5 * model[2].weight, rtol=1e-3, atol=1e-3)
    others = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(refitted(others), model(others), rtol=1e-3, atol=0.05)
