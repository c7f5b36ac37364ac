"""Budgets of a one-for-all network, switched by how long a call may take."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgewise._core.errors import UsageError
from edgewise.dynamic import GatedNetwork, running
from edgewise.dynamic.placement import place_gates
from edgewise.ir import NetSpec
from edgewise.ir.gates import Budget, GatePlan
from edgewise.recipes.dynamic_sessions import net_of
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.runs import load_model
from edgewise.recipes.serving import ServedNetwork

SECONDS = {0.0: 3e-3, 0.5: 2e-3, 1.0: 1e-3}


class _Session:
    """Masks in PyTorch, and times that are known."""

    def __init__(self, path: Path, *, threads: int) -> None:
        self._network, self._seconds = KNOWN[path]
        self._images = torch.zeros(1)
        self.closed = False

    def run(self, images: np.ndarray | None = None) -> np.ndarray:
        if images is not None:
            self._images = torch.from_numpy(images)
        with torch.no_grad():
            return np.asarray(self._network(self._images))

    def time_once_s(self) -> float:
        return self._seconds

    def __enter__(self) -> "_Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True


KNOWN: dict[Path, tuple[nn.Module, float]] = {}


def _export(model: nn.Module, net: NetSpec, plan: GatePlan, folder: Path, *, batch: int, threads: int) -> Path:
    share = plan.channel_ratios[0] / 0.5
    KNOWN[folder] = (GatedNetwork(model, plan).eval(), SECONDS[share])
    return folder


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    monkeypatch.setattr(running, "export_openvino", _export)
    monkeypatch.setattr(running, "OpenVinoDynamicSession", _Session)
    loaded = load_model("digits-cnn")
    plan = place_gates(net_of(loaded), channel_ratios=(0.5,))
    budgets = tuple(Budget(share=share) for share in SECONDS)
    network = GatedNetwork(loaded.model, plan).with_budgets(budgets).eval()
    return LoadedModel(model=network, record=loaded.record.followed_by(network.full_plan, trained=True), name="served")


def test_the_least_pruned_budget_that_is_fast_enough_answers(served: LoadedModel) -> None:
    images = np.random.default_rng(0).standard_normal((1, 1, 8, 8)).astype(np.float32)
    with ServedNetwork(served) as network:
        assert [budget.latency_s for budget in network.budgets] == pytest.approx([3e-3, 2e-3, 1e-3])
        assert [network.budget_within(seconds).share for seconds in (5e-3, 2.5e-3, 1e-3)] == [0.0, 0.5, 1.0]
        dense, sparse = network.run(images), network.run(images, within_s=1.5e-3)
        assert np.array_equal(dense, network.run(images, within_s=1.0)) and not np.array_equal(dense, sparse)
        with pytest.raises(UsageError, match=r"no budget is as fast as 0.0001 s on this machine; the fastest takes 0.001 s"):
            network.run(images, within_s=1e-4)
    assert isinstance(served.model, GatedNetwork) and served.model.budget == 2


def test_a_network_without_budgets_is_refused() -> None:
    with pytest.raises(UsageError, match="has no budgets to switch between"):
        ServedNetwork(load_model("digits-cnn"))
