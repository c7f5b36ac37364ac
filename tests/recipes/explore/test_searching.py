"""Searched networks in a study, on a space for digits and a simulated device."""

import json
import shutil
from pathlib import Path

import pytest

from edgewise._core.errors import UsageError
from edgewise._core.units import LatencyTarget
from edgewise.recipes.explore.folder import EVENTS_FILE
from edgewise.recipes.explore.request import ExploreRequest
from edgewise.recipes.explore.result import ExploreResult
from edgewise.recipes.explore.run import run_explore
from edgewise.recipes.requests import DataRequest, DeviceRequest, ModelRequest
from edgewise.recipes.runs import load_run
from recipes.explore import known


def wanted(model: ModelRequest, out: Path, **changes: object) -> ExploreRequest:
    """Widths for 0.7x of the given network, and whatever the space has within 10 ms."""
    targets = (LatencyTarget(ratio=0.7), LatencyTarget(absolute_s=10e-3))
    fixed = {"device": DeviceRequest(device="titan-v"), "space": "digits", "search_epochs": 0.3, "latencies": targets, "trials": 5}
    return known.request(model, out, **(fixed | changes))


@pytest.fixture(scope="module")
def searched(model: ModelRequest, tmp_path_factory: pytest.TempPathFactory) -> ExploreResult:
    """A finished study with a space."""
    with pytest.MonkeyPatch.context() as patch:
        known.install(patch)
        return run_explore(wanted(model, tmp_path_factory.mktemp("searched") / "run"))


def test_searched_networks_stand_on_the_front_s_axes(searched: ExploreResult) -> None:
    rows = [row for row in searched.trials if row["method"] == "searched"]
    assert rows and all(row["architecture"] and row["widths"] is None and row["kind"] == "simulated" for row in rows)
    assert rows[0]["origin"] == "solver" and rows[0]["predicted_s"] == pytest.approx(rows[0]["latency_s"], rel=0.05)
    run = load_run(searched.run(rows[0]))
    assert run.loaded.source.kind == "space" and [type(plan).__name__ for plan in run.loaded.plans] == ["ArchPlan"]
    assert searched.value["method_seconds"]["searched"] > 0 and "searched" in searched.value["contributions"]


def test_a_study_with_a_space_goes_on_without_searching_again(
    searched: ExploreResult, model: ModelRequest, known_study: None, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(searched.folder, tmp_path / "run"))
    lines = (copy / EVENTS_FILE).read_text().splitlines(keepends=True)
    events = [json.loads(line) for line in lines]
    first = next(place for place, event in enumerate(events) if event["event"] == "asked" and event["point"]["base"] == "searched")
    (copy / EVENTS_FILE).write_text("".join(lines[: first + 1]))
    (copy / "result.json").unlink()
    before = (copy / "search" / "search.safetensors").stat().st_mtime_ns
    again = run_explore(wanted(model, copy, resume=True))
    assert [row["key"] for row in again.trials] == [row["key"] for row in searched.trials]
    assert [row["accuracy_validation"] for row in again.trials] == [row["accuracy_validation"] for row in searched.trials]
    assert (copy / "search" / "search.safetensors").stat().st_mtime_ns == before


def test_a_budget_too_small_for_the_search(model: ModelRequest, known_study: None, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is too small: searching space 'digits' takes about .* here \(--search-epochs 1e\+06\)"):
        data = DataRequest(data="digits", epochs=0.1)
        run_explore(wanted(model, tmp_path / "run", search_epochs=1e6, budget_s=600.0, data=data))
    assert not (tmp_path / "run").exists()
