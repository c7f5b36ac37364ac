"""Channels judged by what their readers lose, against numbers worked by hand and a slow search."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgewise.trace import Traced, readers, trace
from edgewise.trace import reader_scores as module
from edgewise.trace.reader_scores import score_by_readers
from edgewise.trace.readers import record_readers


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RIDGE", 1e-9)


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def scored(model: nn.Module, given: Tensor) -> tuple[dict[str, np.ndarray], Traced]:
    traced = trace(model, (given[:1],))
    return score_by_readers(record_readers(model, traced, lambda one: one(given))), traced


def pair(first: list[list[float]], last: list[list[float]]) -> nn.Module:
    """Two convolutions of 1x1 with these weights."""
    model = nn.Sequential(nn.Conv2d(len(first[0]), len(first), 1, bias=False), nn.Conv2d(len(first), len(last), 1, bias=False)).eval()
    with torch.no_grad():
        model[0].weight[:] = torch.tensor(first)[..., None, None]
        model[1].weight[:] = torch.tensor(last)[..., None, None]
    return model


def orthogonal() -> Tensor:
    """Three inputs of variance 1 that know nothing of each other, exactly."""
    signs = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    return signs.reshape(4, 3, 1, 1)


def test_independent_channels_cost_their_weight_times_their_variance() -> None:
    found, traced = scored(pair([[1, 0, 0], [0, 2, 0], [0, 0, 1]], [[1, 2, 3], [2, 0, 0]]), orthogonal())
    (tie,) = (tie.name for tie in traced.net.ties if tie.free)
    # Weights squared times variance: (1 + 4) * 1, 4 * 4, 9 * 1, of 30 in all.
    assert found[tie] == pytest.approx(np.array([5, 16, 9]) / 30, rel=1e-5)


def test_a_channel_that_another_knows_costs_nothing_and_its_weight_moves() -> None:
    # The second channel is the first one doubled: one of the two is free, and what stays then counts for both.
    found, traced = scored(pair([[1, 0, 0], [2, 0, 0], [0, 1, 0]], [[3, 1, 4]]), orthogonal())
    (tie,) = (tie.name for tie in traced.net.ties if tie.free)
    # All that is said is 5 a + 4 b.
    assert sorted(found[tie]) == pytest.approx([0, 16 / 41, 25 / 41], abs=1e-5) and found[tie][2] == pytest.approx(16 / 41, abs=1e-5)


def slow_scores(weight: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The same by fitting all that is left anew with every step."""
    seen = seen - seen.mean(axis=0)
    whole, alive, said, scores = seen @ weight.T, list(range(seen.shape[1])), 0.0, np.zeros(seen.shape[1])
    while alive:
        errors = {}
        for unit in alive:
            rest = seen[:, [one for one in alive if one != unit]]
            fitted = rest @ np.linalg.lstsq(rest, whole, rcond=None)[0] if rest.size else 0.0
            errors[unit] = ((whole - fitted) ** 2).sum() / (whole**2).sum()
        least = min(errors, key=errors.__getitem__)
        scores[least] = max(scores.max(), errors[least] - said)
        said = errors[least]
        alive.remove(least)
    return scores


def test_costs_are_those_of_fitting_anew_with_every_channel_removed() -> None:
    model = nn.Sequential(nn.Conv2d(3, 9, 1), nn.ReLU(), nn.Conv2d(9, 4, 1)).eval()
    given = images(40, 3, 2, 2)
    found, traced = scored(model, given)
    (tie,) = (tie.name for tie in traced.net.ties if tie.free)
    with torch.no_grad():
        seen = model[:2](given).movedim(1, -1).reshape(-1, 9).double().numpy()
    assert found[tie] == pytest.approx(slow_scores(model[2].weight.detach().double().numpy()[..., 0, 0], seen), rel=1e-3, abs=1e-6)


class Residual(nn.Module):
    """A sum that two convolutions read, one of them beside other channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.back = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 5, 3, padding=1), nn.Conv2d(5, 6, 1)
        self.other, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(10, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        stream = torch.relu(self.stem(image))
        stream = stream + self.back(torch.relu(self.inner(stream)))
        return self.last(torch.cat([stream, self.other(image)], dim=1))


def test_all_readers_count_also_beside_other_channels() -> None:
    found, traced = scored(Residual().eval(), images(30, 3, 4, 4))
    assert {tie.name for tie in traced.net.ties if tie.free} == set(found) and [len(one) for one in found.values()] == [6, 5, 4]
    assert all(np.isfinite(one).all() and (one >= 0).all() for one in found.values())


def test_many_channels_fall_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, given = nn.Sequential(nn.Conv2d(3, 40, 1), nn.ReLU(), nn.Conv2d(40, 4, 1)).eval(), images(40, 3, 4, 4)
    one_by_one, traced = scored(model, given)
    (tie,) = (tie.name for tie in traced.net.ties if tie.free)
    monkeypatch.setattr(module, "_STEPS", 10)
    a_few = scored(model, given)[0]
    assert a_few[tie].max() == pytest.approx(one_by_one[tie].max(), rel=0.5)
    assert np.corrcoef(np.argsort(np.argsort(one_by_one[tie])), np.argsort(np.argsort(a_few[tie])))[0, 1] > 0.8


def test_ties_without_a_plain_reader_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "_MOST_INPUTS", 4)
    found, _ = scored(nn.Sequential(nn.Conv2d(3, 9, 1), nn.ReLU(), nn.Conv2d(9, 4, 1)).eval(), images(4, 3, 2, 2))
    assert found == {}


def test_channels_that_never_vary_cost_nothing() -> None:
    found, traced = scored(pair([[1, 0, 0], [0, 2, 0], [0, 0, 1]], [[1, 2, 3]]), torch.ones(4, 3, 2, 2))
    (tie,) = (tie.name for tie in traced.net.ties if tie.free)
    assert np.isfinite(found[tie]).all()
