"""A timing lock of the tests' own, and things to time."""

import tempfile
from pathlib import Path

import pytest
import torch
from torch import nn

from edgewise.measure.host import DeviceIdentity


@pytest.fixture(autouse=True)
def own_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps tests from waiting for whatever else is timed on this machine."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))


@pytest.fixture
def identity() -> DeviceIdentity:
    return DeviceIdentity(
        device="onnxruntime-cpu", cpu="a cpu", isa="avx2", runtime="onnxruntime", version="1.0", threads=1, precision="fp32", batch=1
    )


@pytest.fixture
def network() -> nn.Module:
    """A convolution, its norm, and a pool with a linear layer."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)).eval()


@pytest.fixture
def image() -> tuple[torch.Tensor]:
    return (torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1)),)
