"""What the tests of studies share."""

import json
from pathlib import Path

import pytest

from edgewise.recipes.explore.result import ExploreResult
from edgewise.recipes.explore.run import run_explore
from edgewise.recipes.requests import ModelRequest
from recipes.explore import known

POINTS = [
    {"channel_ratios": [0.5, 0.25]},
    {"widths": {"0": 8, "3": 16}},
    {"widths": {"0": 12}, "channel_ratios": [0.5], "spatial_ratios": [0.25, 0.0]},
]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelRequest:
    """A small network with weights."""
    return known.write_model(tmp_path_factory.mktemp("explored"))


@pytest.fixture
def known_study(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is timed and nothing solved."""
    known.install(monkeypatch)


@pytest.fixture(scope="session")
def points(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with three networks to try."""
    path = tmp_path_factory.mktemp("points") / "points.json"
    path.write_text(json.dumps(POINTS))
    return path


@pytest.fixture(scope="session")
def explored(model: ModelRequest, tmp_path_factory: pytest.TempPathFactory) -> ExploreResult:
    """A finished study."""
    with pytest.MonkeyPatch.context() as patch:
        known.install(patch)
        return run_explore(known.request(model, tmp_path_factory.mktemp("studies") / "whole"))


@pytest.fixture(scope="session")
def listed(model: ModelRequest, points: Path, tmp_path_factory: pytest.TempPathFactory) -> ExploreResult:
    """A finished study of listed points."""
    with pytest.MonkeyPatch.context() as patch:
        known.install(patch)
        return run_explore(known.request(model, tmp_path_factory.mktemp("listed") / "whole", points=points, trials=None))
