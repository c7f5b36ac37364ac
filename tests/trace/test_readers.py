"""Readers refitted after surgery, against weights known by hand, a slow least-squares solution, and real networks."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgewise.ir import TiePlan, WidthPlan
from edgewise.trace import Traced, apply_plan, trace
from edgewise.trace import readers as module
from edgewise.trace.patches import patches, reads_patches, sampled
from edgewise.trace.readers import record_readers, refit_readers


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearly no ridge: what can be made up for is made up for."""
    monkeypatch.setattr(module, "RIDGE", 1e-9)


def narrowed(
    model: nn.Module, images: Tensor, keep: dict[str, tuple[int, ...]], **how: bool
) -> tuple[nn.Module, nn.Module, tuple[str, ...]]:
    """The network narrowed, the same refitted, and which layers were."""
    traced = trace(model, (images[:1],))
    plan = WidthPlan(ties=tuple(TiePlan(tie=tie_of(traced, layer), keep=kept) for layer, kept in keep.items()))
    plain = apply_plan(model, plan, traced)
    refitted = copy.deepcopy(plain)
    readers = record_readers(model, traced, lambda one: one(images))
    return plain, refitted, refit_readers(refitted, readers, plan, **how)


def tie_of(traced: Traced, layer: str) -> str:
    return traced.net.layer(layer).out_dim.ties[0]


def far(model: nn.Module, other: nn.Module, images: Tensor) -> float:
    with torch.no_grad():
        return float((model(images) - other(images)).pow(2).mean().sqrt())


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def doubled() -> nn.Module:
    """Four channels of which the last two are twice the first two, summed by a convolution with a bias."""
    model = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 1, 3, padding=1)).eval()
    with torch.no_grad():
        model[0].weight[:] = torch.tensor([[1.0, 0], [0, 1], [2, 0], [0, 2]]).reshape(4, 2, 1, 1)
        model[0].bias[:] = torch.tensor([0.0, 1.0, 5.0, 0.0])
        model[1].weight[:] = torch.arange(36.0).reshape(1, 4, 3, 3)
    return model


def test_a_channel_that_others_know_is_made_up_for(free: None) -> None:
    model, given = doubled(), images(8, 2, 6, 6)
    plain, refitted, names = narrowed(model, given, {"0": (0, 1)}, neighbours=False)
    assert names == ("1",)
    before = model[1].weight
    # The missing channels are 2 x the kept ones + 5, and 2 x the kept ones - 2.
    assert torch.allclose(refitted[1].weight, before[:, :2] + 2 * before[:, 2:], atol=1e-3)
    shift = 5 * before[0, 2].sum() - 2 * before[0, 3].sum()
    assert torch.allclose(refitted[1].bias, model[1].bias + shift, atol=1e-2)
    # Only at the border do zeros of the padding stand where the missing channels had them, too.
    inner = slice(1, -1)
    with torch.no_grad():
        exact, rough = (one(given)[..., inner, inner] - model(given)[..., inner, inner] for one in (refitted, plain))
    assert float(exact.abs().max()) < 0.1 < 100 < float(rough.abs().max())


def test_it_is_the_least_squares_solution(free: None) -> None:
    model, given = nn.Sequential(nn.Conv2d(6, 5, 1), nn.ReLU(), nn.Flatten(), nn.Linear(5, 3)).eval(), images(50, 6, 1, 1)
    _, refitted, _ = narrowed(model, given, {"0": (0, 2, 4)})
    with torch.no_grad():
        hidden = model[:3](given).double()
        known = torch.cat([hidden[:, [0, 2, 4]], torch.ones(50, 1, dtype=torch.float64)], dim=1)
        best = torch.linalg.lstsq(known, hidden @ model[3].weight.double().T + model[3].bias.double()).solution
    assert torch.allclose(refitted[3].weight.double(), best[:3].T, atol=1e-4)
    assert torch.allclose(refitted[3].bias.double(), best[3], atol=1e-4)


def test_the_ridge_keeps_the_old_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RIDGE", 1e9)
    plain, refitted, names = narrowed(doubled(), images(8, 2, 6, 6), {"0": (0, 1)})
    assert names == ("1",) and torch.allclose(plain[1].weight, refitted[1].weight, atol=1e-4)


def chain() -> nn.Module:
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Conv2d(8, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1))
    torch.manual_seed(1)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    with torch.no_grad(), module._modes(model, norms=True):
        model(images(64, 3, 8, 8))
    return model.eval()


def test_layers_behind_are_refitted_too_and_the_function_stays_nearer() -> None:
    model, given = chain(), images(64, 3, 8, 8)
    keep = {"0": (0, 1, 2, 5, 6)}
    plain, all_refitted, names = narrowed(model, given, keep)
    assert names == ("3", "6", "8")
    _, one_refitted, names = narrowed(model, given, keep, drifted=False)
    assert names == ("3",)
    other = images(64, 3, 8, 8).flip(0) * 0.9
    assert far(all_refitted, model, other) < far(one_refitted, model, other) < 0.9 * far(plain, model, other)


def test_batch_norms_keep_the_statistics_of_the_images_and_modes_stay() -> None:
    model, given = chain(), images(64, 3, 8, 8)
    _, refitted, _ = narrowed(model.train(), given, {"0": (0, 1, 2, 5, 6)})
    assert model.training and refitted.training and all(one.momentum == 0.1 for one in (model[1], refitted[1], refitted[4]))
    with torch.no_grad():
        first = refitted[0](given)
    assert torch.allclose(refitted[1].running_mean, first.mean(dim=(0, 2, 3)), atol=1e-5)
    assert not any(one._forward_pre_hooks for one in (*model.modules(), *refitted.modules()))


SHAPES = {
    "plain": ((3, 3), {"padding": 1}),
    "wide": ((1, 5), {"padding": (0, 2)}),
    "strided": ((3, 3), {"stride": 2, "padding": 1}),
    "apart": ((3, 2), {"dilation": 2, "padding": (1, 0)}),
    "mixed": ((2, 3), {"stride": (1, 2), "dilation": (2, 1)}),
}


@pytest.mark.parametrize(("kernel", "how"), SHAPES.values(), ids=[*SHAPES])
def test_a_patch_is_what_the_kernel_sees(kernel: tuple[int, int], how: dict[str, Any]) -> None:
    convolution, given = nn.Conv2d(3, 4, kernel, **how), images(2, 3, 9, 8)
    found = patches(convolution, given)
    with torch.no_grad():
        said = found @ convolution.weight.flatten(1).T + convolution.bias
        assert torch.allclose(said, convolution(given).movedim(1, -1).flatten(0, 2), atol=1e-5)


def test_many_patches_are_sampled_alike_whatever_their_channels() -> None:
    given = images(20, 2, 40, 40)
    one, both = patches(nn.Conv2d(1, 1, 3), given[:, 1:]), patches(nn.Conv2d(2, 1, 3), given)
    assert len(one) == len(both) == 1 << 14 and torch.equal(both[:, 9:], one)


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(4, 4, 1),
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(257, 4, 3),
        nn.Conv1d(4, 4, 3),
        nn.Linear(4, 4),
    ],
)
def test_of_these_no_patches_are_taken(other: nn.Module) -> None:
    assert reads_patches(nn.Conv2d(256, 4, 3)) and not reads_patches(other)


def test_all_taps_together_are_the_least_squares_solution(free: None) -> None:
    model, given = chain(), images(64, 3, 8, 8)
    _, refitted, _ = narrowed(model, given, {"0": (0, 1, 2, 5, 6)}, drifted=False)
    with torch.no_grad(), module._modes(refitted, norms=True):
        now = nn.functional.unfold(refitted[:3](given), 3).movedim(1, -1).flatten(0, 1).double()
        wanted = nn.functional.conv2d(model[:3](given), model[3].weight).movedim(1, -1).flatten(0, 2).double()
    best = torch.linalg.lstsq(now - now.mean(dim=0), wanted - wanted.mean(dim=0)).solution
    assert now.shape == (2304, 45)
    assert torch.allclose(refitted[3].weight.flatten(1).double(), best.T, atol=2e-3)


def test_neighbours_make_up_for_what_channels_alone_cannot(free: None) -> None:
    """The missing channel is the kept one, one position aside."""
    model = nn.Sequential(nn.Conv2d(1, 2, (1, 3), padding=(0, 1), bias=False), nn.Conv2d(2, 1, 3)).eval()
    with torch.no_grad():
        model[0].weight[:] = torch.tensor([[0.0, 1, 0], [0, 0, 1]]).reshape(2, 1, 1, 3)
        model[1].weight[0, 0] = 0
        model[1].weight[0, 1] = torch.tensor([[1.0, 2, 0]] * 3)
    given = images(16, 1, 9, 9)
    plain, together, _ = narrowed(model, given, {"0": (0,)})
    _, alike, _ = narrowed(model, given, {"0": (0,)}, neighbours=False)
    # The taps move by one to the right.
    assert torch.allclose(together[1].weight[0, 0], torch.tensor([[0.0, 1, 2]] * 3), atol=1e-3)
    assert far(together, model, given) < 1e-3 < 1 < far(alike, model, given) <= 1.01 * far(plain, model, given)


@pytest.mark.parametrize("plan", [WidthPlan(), WidthPlan(ties=(TiePlan(tie="0", keep=(0, 1, 2, 3), grow=2),))], ids=["none", "growing"])
def test_without_a_removed_channel_no_bit_changes(plan: WidthPlan) -> None:
    model, given = doubled(), images(8, 2, 6, 6)
    traced = trace(model, (given[:1],))
    plan = WidthPlan(ties=tuple(TiePlan(tie=tie_of(traced, "0"), keep=one.keep, grow=one.grow) for one in plan.ties))
    changed = apply_plan(model, plan, traced)
    before = copy.deepcopy(changed.state_dict())
    readers = record_readers(model, traced, lambda one: one(given))
    assert refit_readers(changed, readers, plan) == ()
    assert all(torch.equal(tensor, before[name]) for name, tensor in changed.state_dict().items())


def test_new_channels_are_not_read(free: None) -> None:
    """One tie shrinks and another grows: both the reader's columns and its rows are matched by unit."""
    model = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 3, 1), nn.Conv2d(3, 2, 1)).eval()
    with torch.no_grad():
        model[0].weight[:] = doubled()[0].weight
    given = images(8, 2, 5, 5)
    traced = trace(model, (given[:1],))
    plan = WidthPlan(ties=(TiePlan(tie=tie_of(traced, "0"), keep=(2, 3)), TiePlan(tie=tie_of(traced, "1"), keep=(0, 1, 2), grow=2)))
    changed = apply_plan(model, plan, traced)
    readers = record_readers(model, traced, lambda one: one(given))
    assert refit_readers(changed, readers, plan) == ("1", "2")
    assert changed[1].weight.shape == (5, 2, 1, 1) and not changed[2].weight[:, 3:].any()
    assert far(changed, model, given) < 1e-4


class Odd(nn.Module):
    """Layers that must stay as they are: called twice, sharing weights, grouped, or of a kind of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 1)
        self.twice = nn.Conv2d(4, 4, 1)
        self.grouped = nn.Conv2d(4, 4, 1, groups=2)
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        maps = self.first(image)
        return self.last(self.grouped(self.twice(self.twice(maps))))


def test_what_is_not_plain_is_left_alone() -> None:
    model, given = Odd().eval(), images(4, 2, 3, 3)
    assert [*record_readers(model, trace(model, (given[:1],)), lambda one: one(given)).by_name] == ["last"]
    model.grouped = nn.Conv2d(4, 4, 1)
    model.grouped.weight = model.last.weight = nn.Parameter(torch.randn(4, 4, 1, 1))
    assert "grouped" not in module._refittable(model) and "last" not in module._refittable(model)


@pytest.mark.parametrize("neighbours", [False, True])
def test_what_never_varies_changes_nothing(neighbours: bool) -> None:
    model = doubled()
    model[1].padding = (0, 0)  # zeros at the border would vary
    plain, refitted, _ = narrowed(model, torch.ones(4, 2, 3, 3), {"0": (0, 1)}, neighbours=neighbours)
    assert torch.equal(plain[1].weight, refitted[1].weight)


def test_many_positions_are_sampled_alike_in_both_networks() -> None:
    few = sampled(10**6, 100)
    assert len(np.unique(few)) == 100 and torch.equal(few, sampled(10**6, 100))
    assert torch.equal(sampled(5, 100), torch.arange(5))
