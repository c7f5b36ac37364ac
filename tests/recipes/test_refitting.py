"""Which images narrowed networks are refitted with, and where they are not."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgewise._core.progress import SilentProgress
from edgewise.ir import TiePlan, WidthPlan
from edgewise.recipes.refitting import Refitter, _inputs_of, refit_fitted
from edgewise.recipes.runs import load_model
from edgewise.recipes.training import Lessons
from edgewise.trace import apply_plan, trace


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class Pair(nn.Module):
    """Two images, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.last = nn.Conv2d(1, 4, 1), nn.Conv2d(1, 4, 1), nn.Conv2d(4, 1, 1)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.last(torch.relu(self.left(left)) + self.right(right))


def lessons(inputs: object, n_batches: int = 1) -> Lessons:
    return Lessons(batches=[(inputs, None)] * n_batches, loss=functional.mse_loss)


def halved(model: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[nn.Module, WidthPlan, object]:
    traced = trace(model, inputs)
    tie = next(tie for tie in traced.net.ties if tie.free)
    plan = WidthPlan(ties=(TiePlan(tie=tie.name, keep=tuple(range(tie.width // 2))),))
    return apply_plan(model, plan, traced), plan, traced


def test_networks_with_several_inputs_are_refitted() -> None:
    model, (left, right) = Pair().eval(), torch.randn(2, 6, 1, 5, 5)
    changed, plan, traced = halved(model, (left[:1], right[:1]))
    for inputs in ((left, right), {"left": left, "right": right}):
        one = copy.deepcopy(changed)
        assert Refitter(model, traced, lessons(inputs)).refit(one, plan) == ("last",)
        assert not torch.equal(one.last.weight, changed.last.weight)


def test_without_images_or_a_removed_channel_nothing_happens() -> None:
    model, (left, right) = Pair().eval(), torch.randn(2, 6, 1, 5, 5)
    changed, plan, traced = halved(model, (left[:1], right[:1]))
    before = copy.deepcopy(changed.state_dict())
    assert Refitter(model, traced, None).refit(changed, plan) == ()
    assert Refitter(model, traced, lessons((left, right))).refit(changed, WidthPlan()) == ()
    assert all(torch.equal(tensor, before[name]) for name, tensor in changed.state_dict().items())


@pytest.mark.parametrize(("side", "expected"), [(32, 512), (224, 64), (500, 32)])
def test_as_many_images_as_memory_allows(side: int, expected: int) -> None:
    images = torch.empty(128, 3, side, side, device="meta")
    assert len(_inputs_of([(images, None)] * 8)) == expected


def test_batches_of_another_size_do_not_mix() -> None:
    small, large = torch.zeros(4, 3, 8, 8), torch.zeros(4, 3, 9, 9)
    assert _inputs_of([(small, None), (large, None), (small, None)]).shape == (8, 3, 8, 8)
    assert _inputs_of([]) is None


def test_a_network_that_was_never_trained_has_nothing_to_make_up_for() -> None:
    loaded = load_model("digits-cnn")
    assert not loaded.trained
    images = torch.randn(8, *loaded.input_shape[1:])
    changed, plan, traced = halved(loaded.model, loaded.inputs())
    progress = Notes()
    assert refit_fitted(loaded, traced, changed, plan, lessons=lessons(images), progress=progress) == () == tuple(progress.notes)
    trained = replace(loaded, record=replace(loaded.record, trained=True))
    assert refit_fitted(trained, traced, changed, plan, lessons=lessons(images), progress=progress)
    assert "refitted to what is left to read" in progress.notes[0]
