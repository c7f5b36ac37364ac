"""What the tests of recipes share."""

from pathlib import Path

import pytest

from edgewise.measure.sampling import Schedule
from edgewise.models.weights import save_weights
from edgewise.recipes.requests import ModelRequest
from edgewise.recipes.runs import load_model
from recipes.known_device import KnownDevice

FACTORY = """
from torch import nn

def tiny():
    features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    return nn.Sequential(*features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
"""


@pytest.fixture
def brief_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times networks as briefly as possible: these tests ask what is reported, not how fast anything is."""
    schedule = Schedule(warmup=1, repeats=3, min_seconds=0.0, max_seconds=0.2)
    monkeypatch.setattr("edgewise.recipes.timing.NETWORK_SCHEDULE", schedule)


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    """A small model in a file of its own, as ``MODEL`` names it."""
    path = tmp_path / "mine.py"
    path.write_text(FACTORY)
    return f"{path}:tiny"


@pytest.fixture
def known_device(monkeypatch: pytest.MonkeyPatch) -> KnownDevice:
    """Nothing is timed: latencies follow a formula, and every fit is the same every time."""
    device = KnownDevice()
    device.install(monkeypatch)
    return device


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ModelRequest:
    """The demo's network with weights from a file, as if trained."""
    path = tmp_path_factory.mktemp("weights") / "digits.safetensors"
    save_weights(load_model("digits-cnn").model, path)
    return ModelRequest(model="digits-cnn", weights=path)
