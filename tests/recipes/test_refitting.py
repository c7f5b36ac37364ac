"""Which images narrowed networks are refitted with, and where they are not."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgewise._core.progress import SilentProgress
from edgewise._core.units import parse_latency
from edgewise.ir import TiePlan, WidthPlan
from edgewise.recipes.refitting import Refitter, _inputs_of, refit_fitted
from edgewise.recipes.requests import DataRequest, FitRequest, ModelRequest
from edgewise.recipes.runs import load_model
from edgewise.recipes.solving import channel_scores
from edgewise.recipes.training import Lessons
from edgewise.trace import apply_plan, score_channels, trace


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


class Single(nn.Module):
    """A tie that one plain layer reads."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(image)))


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


@pytest.mark.parametrize(
    ("trained", "asked", "expected"), [(True, None, "obs"), (False, None, "taylor"), (True, "l2", "l2"), (False, "obs", "obs")]
)
def test_channels_are_judged_by_the_best_that_is_known(trained: bool, asked: str | None, expected: str) -> None:
    model = Single().eval()
    traced, judged = (
        trace(model, (torch.randn(1, 1, 5, 5),)),
        Lessons(batches=[(torch.randn(6, 1, 5, 5), torch.zeros(6, 1, 5, 5))], loss=functional.mse_loss),
    )
    request = FitRequest(model=ModelRequest(model="x"), latency=parse_latency("1ms"), importance=asked, data=DataRequest(data="digits"))
    found = channel_scores(request, model, traced, trained=trained, lessons=judged)
    batches = [(inputs, target) for inputs, target in judged.batches]
    by = {
        "l2": score_channels(model, traced, kind="l2"),
        "taylor": score_channels(model, traced, kind="taylor", batches=batches, loss=judged.loss),
        "obs": Refitter(model, traced, judged).scores(),
    }
    (tie,) = by["obs"]
    assert np.allclose(found[tie], by[expected][tie])
    assert sum(np.allclose(found[tie], one[tie]) for one in by.values()) == 1


def test_what_no_reader_tells_of_gradients_do(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Single().eval()
    traced, judged = (
        trace(model, (torch.randn(1, 1, 5, 5),)),
        Lessons(batches=[(torch.randn(6, 1, 5, 5), torch.zeros(6, 1, 5, 5))], loss=functional.mse_loss),
    )
    request = FitRequest(model=ModelRequest(model="x"), latency=parse_latency("1ms"), data=DataRequest(data="digits"))
    monkeypatch.setattr("edgewise.trace.readers._MOST_INPUTS", 2)
    found = channel_scores(request, model, traced, trained=True, lessons=judged)
    gradients = score_channels(
        model, traced, kind="taylor", batches=[(inputs, target) for inputs, target in judged.batches], loss=judged.loss
    )
    assert all(np.allclose(found[tie], gradients[tie]) for tie in gradients)


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
