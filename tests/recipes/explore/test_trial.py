"""Training one network of a study: the same task gives the same weights, whatever happened on the way."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edgewise._core.files import sha256_of
from edgewise._core.progress import SilentProgress
from edgewise.dynamic import GatedNetwork, place_gates
from edgewise.ir import TiePlan, WidthPlan
from edgewise.recipes.explore.executor import LocalExecutor, TrialOutcome, TrialTask
from edgewise.recipes.explore.point import Point
from edgewise.recipes.explore.trial import open_trial_data, train_trial
from edgewise.recipes.requests import DataRequest, DeviceRequest
from edgewise.recipes.runs import load_model, load_run, write_run
from edgewise.trace import apply_plan, trace
from edgewise.train.data import Dataset, DataSpec, open_data
from recipes.interrupted import Interrupted


@pytest.fixture(scope="module")
def data() -> Dataset:
    return open_data(DataSpec(text="digits"))


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's network, narrower and with gates."""
    folder = tmp_path_factory.mktemp("start") / "run"
    loaded = load_model("digits-cnn")
    traced = trace(loaded.model, loaded.inputs(), name="digits-cnn")
    plan = WidthPlan(ties=(TiePlan(tie="block1.conv1", keep=tuple(range(16))),))
    model = apply_plan(loaded.model, plan, traced)
    gates = place_gates(trace(model, loaded.inputs(), name="digits-cnn").net, channel_ratios=(0.5, 0.25))
    record = loaded.record.followed_by(plan, trained=True).followed_by(gates, trained=True)
    write_run(folder, GatedNetwork(model, gates), record=record, result={})
    return folder


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's network as it is."""
    folder = tmp_path_factory.mktemp("given") / "run"
    loaded = load_model("digits-cnn")
    write_run(folder, loaded.model, record=loaded.record, result={})
    return folder


def task(start: Path, folder: Path, **changes: object) -> TrialTask:
    known: dict[str, object] = {
        "number": 3,
        "point": Point(widths=(("block1.conv1", 16),), channel_ratios=(0.5, 0.25), epochs=1),
        "rung": 0,
        "epochs": 1.0,
        "recalibrate": True,
        "lr": 0.05,
        "threads": 1,
        "data": DataRequest(data="digits"),
        "start": start,
        "accuracy_before": None,
        "teacher": None,
        "folder": folder,
    }
    return TrialTask(**(known | changes))  # type: ignore[arg-type]


def test_equal_tasks_end_with_equal_weights_also_after_an_interruption(start: Path, given: Path, data: Dataset, tmp_path: Path) -> None:
    whole = train_trial(task(start, tmp_path / "whole", teacher=given), data)
    with pytest.raises(KeyboardInterrupt):
        train_trial(task(start, tmp_path / "stopped", teacher=given), data, progress=Interrupted(4))
    stopped = train_trial(task(start, tmp_path / "stopped", teacher=given), data)
    assert whole.state == "done" and whole.accuracy_validation == stopped.accuracy_validation
    files = [sha256_of(tmp_path / name / "model.safetensors") for name in ("whole", "stopped")]
    assert files[0] == files[1] != sha256_of(start / "model.safetensors")
    assert {path.name for path in (tmp_path / "stopped").iterdir()} == {"model.safetensors", "spec.json", "result.json"}


def test_the_run_folder_has_widths_and_gates(start: Path, data: Dataset, tmp_path: Path) -> None:
    train_trial(task(start, tmp_path / "run", epochs=0.2), data)
    loaded = load_run(tmp_path / "run").loaded
    assert [type(plan).__name__ for plan in loaded.plans] == ["WidthPlan", "GatePlan"]
    assert loaded.gates is not None and loaded.gates.channel_ratios == (0.5, 0.25)
    assert loaded.without_gates().model.block1.conv1.out_channels == 16


def test_a_teacher_is_learnt_from(start: Path, given: Path, data: Dataset, tmp_path: Path) -> None:
    for name, teacher in (("alone", None), ("taught", given)):
        train_trial(task(start, tmp_path / name, teacher=teacher, epochs=0.3), data)
    assert sha256_of(tmp_path / "alone" / "model.safetensors") != sha256_of(tmp_path / "taught" / "model.safetensors")


def test_training_has_the_gated_network_with_its_own_statistics_as_a_rival(start: Path, data: Dataset, tmp_path: Path) -> None:
    first = tmp_path / "first"
    train_trial(task(start, first), data)
    untrained = train_trial(task(first, tmp_path / "untrained", epochs=0.0), data)
    worse = train_trial(task(first, tmp_path / "worse", epochs=0.3, lr=30.0), data)
    assert worse.kept == "initial" and worse.accuracy_validation == untrained.accuracy_validation


def test_a_finished_task_is_read_and_not_trained(start: Path, data: Dataset, tmp_path: Path) -> None:
    first = train_trial(task(start, tmp_path / "run", epochs=0.0), data)
    written = (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns
    assert train_trial(task(start, tmp_path / "run", epochs=0.0), data) == first
    assert (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns == written


def test_rungs_see_other_batches(start: Path, data: Dataset, tmp_path: Path) -> None:
    outcomes = [train_trial(task(start, tmp_path / str(rung), rung=rung, epochs=0.3), data) for rung in (0, 1)]
    assert [outcome.rung for outcome in outcomes] == [0, 1]
    assert sha256_of(tmp_path / "0" / "model.safetensors") != sha256_of(tmp_path / "1" / "model.safetensors")


def test_a_network_that_diverges_is_a_failed_trial(start: Path, data: Dataset, tmp_path: Path) -> None:
    outcome = train_trial(task(start, tmp_path / "run", lr=1e30), data)
    assert outcome.state == "failed" and outcome.accuracy_validation is None
    assert outcome.why is not None and "the loss is" in outcome.why and not (tmp_path / "run" / "spec.json").exists()


def test_threads_are_put_back(start: Path, data: Dataset, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    train_trial(task(start, tmp_path / "run", epochs=0.0, threads=2), data)
    assert torch.get_num_threads() == before


def test_tasks_and_outcomes_are_json(start: Path, tmp_path: Path) -> None:
    one = task(start, tmp_path / "run")
    assert TrialTask.from_json(json.loads(json.dumps(one.to_json()))) == one
    outcome = TrialOutcome(number=1, rung=0, state="failed", why="no")
    assert TrialOutcome(**json.loads(json.dumps(outcome.to_json()))) == outcome


def test_the_local_executor_trains_when_waited_for(start: Path, data: Dataset, tmp_path: Path) -> None:
    executor = LocalExecutor(device=DeviceRequest(), data=data, progress=SilentProgress())
    for number in (1, 2):
        executor.submit(replace(task(start, tmp_path / str(number), epochs=0.0), number=number))
    assert not any(tmp_path.iterdir()) and executor.slots == 1
    assert [outcome.number for outcome in (*executor.wait(1.0), *executor.wait(1.0), *executor.wait(1.0))] == [1, 2]
    executor.close()


def test_an_executor_can_open_the_data_itself(start: Path, data: Dataset, tmp_path: Path) -> None:
    assert open_trial_data(task(start, tmp_path / "run")).validation.n_images == data.validation.n_images
