"""Trials on a real Ray cluster of two nodes on this machine: the same networks as in one process, whatever dies."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edgewise._core.errors import DataError, DeviceError
from edgewise._core.progress import SilentProgress
from edgewise.measure import lock
from edgewise.measure.database import LatencyDatabase
from edgewise.recipes.explore.executor import Executor, LocalExecutor, TrialOutcome, TrialTask
from edgewise.recipes.explore.folder import EVENTS_FILE
from edgewise.recipes.explore.point import Point
from edgewise.recipes.explore.ray_executor import RayExecutor
from edgewise.recipes.explore.result import ExploreResult
from edgewise.recipes.explore.run import run_explore
from edgewise.recipes.requests import DataRequest, DeviceRequest, ModelRequest
from edgewise.recipes.runs import load_model, write_run
from edgewise.train.data import DataSpec, open_data
from recipes.explore import known
from recipes.explore.ray_nodes import Cluster

pytest.importorskip("ray", reason="Ray is not installed")
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="finds the cluster's processes in /proc"),
    # Ray's own, at the end of a connection; nothing of ours opens sockets or processes there.
    pytest.mark.filterwarnings("ignore:unclosed.*socket:ResourceWarning", "ignore:subprocess .* is still running:ResourceWarning"),
]
DEVICE = "onnxruntime-cpu"


class Notes(SilentProgress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes with one processor each; the first offers the device."""
    made = Cluster()
    try:
        made.started(made.start("head", head=True, resources={f"device:{DEVICE}": 1}), made.start("second"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lock, "_path", lambda name: f"{made.folder}/tmp/{name}")  # one timing lock for the tests and the nodes
            yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given") / "run"
    loaded = load_model("digits-cnn")
    write_run(folder, loaded.model, record=replace(loaded.record, trained=True), result={})
    return folder


def task(number: int, given: Path, out: Path, *, epochs: float = 0.25) -> TrialTask:
    return TrialTask(
        number=number,
        point=Point(epochs=epochs, seed=number),
        rung=0,
        epochs=epochs,
        recalibrate=number == 1,
        lr=0.05,
        threads=1,
        data=DataRequest(data="digits"),
        start=given,
        accuracy_before=None,
        teacher=given if number else None,
        folder=out / f"trial-{number}",
    )


def outcomes_of(executor: Executor, tasks: list[TrialTask]) -> dict[int, TrialOutcome]:
    for one in tasks:
        executor.submit(one)
    found: dict[int, TrialOutcome] = {}
    ends = time.monotonic() + 240
    while len(found) < len(tasks):
        assert time.monotonic() < ends, f"only {sorted(found)} of {len(tasks)} ended"
        found |= {one.number: one for one in executor.wait(1.0)}
    return found


def weights_of(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def until(holds: object, *, seconds: float = 180.0) -> None:
    assert callable(holds)
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.05)


def test_trials_end_as_in_one_process_though_a_node_dies_and_samples_come_back(cluster: Cluster, given: Path, tmp_path: Path) -> None:
    tasks = [task(number, given, tmp_path) for number in range(3)]
    notes, device = Notes(), DeviceRequest(device=DEVICE, db=tmp_path / "latency.sqlite")

    def kill_when_it_trains() -> None:
        until(lambda: cluster.processes(node="second", named="ray::train_here"))
        cluster.kill("second")

    killer = threading.Thread(target=kill_when_it_trains)
    with closing(RayExecutor(cluster.address, device=device, threads=1, progress=notes)) as executor:
        assert executor.slots == 2
        killer.start()
        found = outcomes_of(executor, tasks)
        killer.join()
        until(lambda: executor.slots == 1, seconds=30)
        (measured,) = executor.measure(given, [tasks[0].folder])
    assert any("it starts again" in note for note in notes.notes)

    alone = LocalExecutor(device=DeviceRequest(), data=open_data(DataSpec(text="digits")), progress=SilentProgress())
    expected = outcomes_of(alone, [replace(one, folder=tmp_path / f"alone-{one.number}") for one in tasks])
    facts = ("state", "accuracy_validation", "host", "kept")
    assert [[getattr(found[number], name) for name in facts] for number in range(3)] == [
        [getattr(expected[number], name) for name in facts] for number in range(3)
    ]
    assert all(weights_of(one.folder) == weights_of(tmp_path / f"alone-{one.number}") for one in tasks)

    assert (measured.kind, measured.host) == ("measured", socket.gethostname())
    assert 0 < measured.min_s <= measured.latency_s
    samples = LatencyDatabase(device.db).stored()
    assert [one.identity.device for one in samples] == [DEVICE, DEVICE]
    assert {json.loads(one.host)["name"] for one in samples} == {socket.gethostname()}
    assert samples[0].sample.min_s == measured.baseline_min_s


def test_a_node_without_the_data_is_named_and_ctrl_c_leaves_nothing_running(cluster: Cluster, given: Path, tmp_path: Path) -> None:
    with closing(RayExecutor(cluster.address, device=DeviceRequest(), threads=1, progress=SilentProgress(), measures=False)) as executor:
        executor.submit(replace(task(0, given, tmp_path), data=DataRequest(data=f"npz:{tmp_path}/absent.npz")))
        with pytest.raises(DataError, match=rf"on {socket.gethostname()}: .*absent\.npz.*the same path on every node"):
            executor.wait(180.0)
        executor.submit(task(1, given, tmp_path, epochs=10_000.0))
        until(lambda: trains(cluster))
        interrupting = threading.Timer(1.0, signal.raise_signal, (signal.SIGINT,))
        interrupting.start()
        with pytest.raises(KeyboardInterrupt):
            executor.wait(180.0)
        interrupting.join()
    until(lambda: not trains(cluster), seconds=30)


def test_a_device_that_no_node_offers_and_a_trial_that_fits_on_none_are_refused(cluster: Cluster) -> None:
    with pytest.raises(
        DeviceError, match=r"offers the device openvino-cpu \(it offers onnxruntime-cpu\).*ray start --address=.*device:openvino"
    ):
        RayExecutor(cluster.address, device=DeviceRequest(device="openvino-cpu"), threads=1, progress=SilentProgress())
    with pytest.raises(DeviceError, match=r"the 64 processors.*the largest has 1: lower --trial-threads"):
        RayExecutor(cluster.address, device=DeviceRequest(), threads=64, progress=SilentProgress())


KILLED = """
import os, signal, sys
from pathlib import Path
from edgewise.recipes.explore.folder import StudyFolder
from edgewise.recipes.explore.ray_executor import RayExecutor
from edgewise.recipes.explore.run import run_explore
from edgewise.recipes.requests import ModelRequest
from recipes.explore.known import measure_runs, request

RayExecutor.measure = lambda self, given, folders: measure_runs(self._device, given, folders)
append = StudyFolder.append
def then_die(self, event):
    append(self, event)
    if event["event"] == "trial":
        os.kill(os.getpid(), signal.SIGKILL)

StudyFolder.append = then_die
code, weights, out, points, address = sys.argv[1:]
model = ModelRequest(model=code, weights=Path(weights), input="1x1x8x8")
run_explore(request(model, Path(out), points=Path(points), trials=None, ray=address))
"""


def test_a_study_killed_on_a_cluster_goes_on_there_and_ends_as_on_one_machine(
    cluster: Cluster, model: ModelRequest, points: Path, listed: ExploreResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RayExecutor, "measure", lambda _, given, folders: known.measure_runs(DeviceRequest(), given, folders))
    out = tmp_path / "study"
    words = [sys.executable, "-c", KILLED, model.model, str(model.weights), str(out), str(points), cluster.address]
    done = subprocess.run(words, env=cluster.environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    until(lambda: not trains(cluster), seconds=30)
    kept = (out / EVENTS_FILE).read_text().splitlines()

    result = run_explore(known.request(model, out, points=points, trials=None, ray=cluster.address, resume=True))
    events = (out / EVENTS_FILE).read_text().splitlines()
    assert events[: len(kept)] == kept
    ended = [event["number"] for event in map(json.loads, events) if event["event"] == "trial"]
    assert sorted(ended) == [row["number"] for row in listed.to_json()["trials"]]
    assert accuracies(result) == accuracies(listed)


def trains(cluster: Cluster) -> list[int]:
    """Processes of the cluster that train or measure."""
    return [*cluster.processes(named="ray::train_here"), *cluster.processes(named="ray::MeasuringHost")]


def accuracies(result: ExploreResult) -> dict[str, float]:
    return {row["key"]: row["accuracy_validation"] for row in result.to_json()["trials"]}
