"""The derived child is exactly the supernet restricted to the decision."""

import numpy as np
import pytest
import torch
from torch import nn

from edgewise._core.errors import PlanError, SpecError
from edgewise.ir import ArchPlan
from edgewise.models.initial import drawn_deviation
from edgewise.models.mobile import MobileNet
from edgewise.singlepath.derive import at_training_scale, derive
from edgewise.singlepath.gates import Steering, values_of
from edgewise.singlepath.supernet import Supernet
from edgewise.space import SPACES, counts_of
from edgewise.space.drawing import draw_architecture
from edgewise.train.calibrate import recalibrate_batch_norm
from singlepath.spaces import images, small_space, with_odd_norms

SE = small_space(ses=(0.0, 0.25, 0.5), kernels=(3, 5, 7))
ALWAYS_SE = small_space(ses=(0.25, 0.5))


def _supernet(space, form: str = "exact") -> Supernet:
    torch.manual_seed(0)
    return with_odd_norms(Supernet(space, form=form).double())


class Restricted(nn.Module):
    """A supernet held at one network, sharing its tensors: gives scores alone, as any classifier does."""

    def __init__(self, supernet: Supernet, plan: ArchPlan) -> None:
        super().__init__()
        self.supernet = supernet
        self.values = values_of(supernet.space, plan)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return self.supernet(given, Steering(mode="given", values=self.values))[0]


def _plans(space) -> list[ArchPlan]:
    drawn = [draw_architecture(space, np.random.default_rng(seed)) for seed in range(4)]
    return [space.largest, space.smallest, *drawn]


@pytest.mark.parametrize("space", [small_space(), SE, ALWAYS_SE], ids=["paper", "se", "always-se"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_children_compute_what_the_supernet_does(space, training: bool) -> None:
    net = _supernet(space).train(training)
    for plan in _plans(space):
        child = derive(net, plan)
        assert child.training is training
        expected, _ = net(images(space), Steering(mode="given", values=values_of(space, plan)))
        child.double()
        child = derive(net, plan).double()
        assert torch.allclose(child(images(space)), expected, atol=1e-10), plan.labels


def test_thresholds_restrict_as_given_decisions_do() -> None:
    space = small_space()
    net = _supernet(space).eval()
    with torch.no_grad():
        net.thresholds[:] = torch.where(values_of(space, space.smallest) > 0, -1e9, 1e9)
    assert net.decided().labels == space.smallest.labels
    assert torch.allclose(net(images(space))[0], derive(net, net.decided()).double()(images(space)), atol=1e-10)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_the_authors_form_agrees_after_the_folds(training: bool) -> None:
    space = small_space()
    net = _supernet(space, "published").train(training)
    for plan in _plans(space):
        if training and any(choice.skip for choice in plan.blocks):
            continue  # In training a skipped block adds the shift of its norm, see below.
        expected, _ = net(images(space), Steering(mode="given", values=values_of(space, plan)))
        child = derive(net, plan).double()
        if training:  # running statistics moved in the forward pass above, but training does not read them
            child.train()
        assert torch.allclose(child(images(space)), expected, atol=1e-8), plan.labels


def test_in_the_authors_form_a_skipped_block_adds_its_shift_in_training() -> None:
    space = small_space()
    block = _supernet(space, "published").superblocks[2].train()
    maps = torch.randn(4, 8, 8, 8, dtype=torch.float64)
    out = block(maps, torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64))
    assert torch.allclose(out - maps, block.project_norm.bias[None, :, None, None].expand_as(maps), atol=1e-6)


def test_ours_leaves_a_skipped_blocks_input_alone() -> None:
    block = _supernet(small_space()).superblocks[2].train()
    maps = torch.randn(4, 8, 8, 8, dtype=torch.float64)
    assert torch.equal(block(maps, torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)), maps)


@pytest.mark.parametrize("space", [small_space(), SE, SPACES["cifar"]], ids=["paper", "se", "cifar"])
def test_children_have_the_counts_that_the_space_says(space) -> None:
    for plan in _plans(space)[:4]:
        with torch.random.fork_rng(devices=[]):
            child = derive(Supernet(space), plan)
        assert sum(parameter.numel() for parameter in child.parameters()) == counts_of(space, plan).params


def test_nothing_of_the_supernet_changes_or_is_shared() -> None:
    space = small_space()
    net = _supernet(space)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    child = derive(net, space.smallest)
    with torch.no_grad():
        for parameter in child.parameters():
            parameter.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_recalibration_sees_the_restricted_norms() -> None:
    space = small_space()
    net = _supernet(space)
    batches = [(images(space), None), (images(space) * 2, None)]
    recalibrate_batch_norm(Restricted(net, space.smallest), batches)
    child = derive(net, space.smallest).double()
    recalibrate_batch_norm(child, batches)
    assert torch.allclose(Restricted(net, space.smallest).eval()(images(space)), child.eval()(images(space)), atol=1e-10)


def test_data_gradients_reach_every_decision() -> None:
    """The authors' masks in front of a norm leave channel decisions without any gradient from the data."""
    space = small_space()
    found = {}
    for form in ("exact", "published"):
        net = Supernet(space, form=form)
        torch.manual_seed(0)
        net = net.double().train()
        scores, _ = net(images(space))
        nn.functional.cross_entropy(scores, torch.tensor([0, 1, 2, 3, 0, 1])).backward()
        # Gates of block 2: ring, skip, group. The slope of the surrogate is divided out.
        excess = net.excess()
        slope = torch.sigmoid(excess) * torch.sigmoid(-excess)
        found[form] = (net.thresholds.grad / slope)[2:5].abs()
    assert bool((found["exact"] > 1e-4).all())
    assert bool((found["published"][1:] < 1e-4).all())


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(SpecError, match="knows no squeeze-and-excitation"):
        Supernet(SE, form="published")
    with pytest.raises(PlanError, match="needs blocks 0 to 3"):
        derive(Supernet(SPACES["digits"]), small_space().largest)


@pytest.mark.parametrize("space", [small_space(), SE], ids=["paper", "se"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_kernels_at_the_scale_of_training_compute_the_same(space, training: bool) -> None:
    net = _supernet(space).train(training)
    for plan in _plans(space):
        child, scaled = derive(net, plan).double(), at_training_scale(derive(net, plan).double())
        for norm in (module for one in (child, scaled) for module in one.modules() if isinstance(module, nn.BatchNorm2d)):
            norm.eps = 1e-30  # all that the scale changes
        assert torch.allclose(scaled(images(space)), child(images(space)), atol=1e-8), plan.labels


def test_kernels_at_the_scale_of_training_are_as_large_as_those_drawn() -> None:
    space = small_space()
    child = at_training_scale(derive(_supernet(space), space.largest))
    drawn = MobileNet(space, space.largest)
    for (name, module), (_, other) in zip(child.named_modules(), drawn.named_modules(), strict=True):
        if isinstance(module, nn.Conv2d):
            size = float(module.weight.detach().square().mean().sqrt())
            assert size == pytest.approx(drawn_deviation(module), rel=1e-5), name
            if other.weight.numel() > 500:
                assert size == pytest.approx(float(other.weight.detach().std()), rel=0.15), name
