"""A fit that was killed ends as it would have ended."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from edgewise._core.errors import RunError, UsageError
from edgewise._core.files import sha256_of
from edgewise._core.progress import SilentProgress
from edgewise.recipes.fit import run_fit
from edgewise.recipes.training import CHECKPOINT_FILE, START_FILE
from edgewise.recipes.unfinished import ATTEMPT_FILE
from recipes.interrupted import Interrupted
from recipes.killed_fit import request
from recipes.known_device import KnownDevice

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a fit that was killed by a signal in its second epoch."""
    folder = tmp_path_factory.mktemp("killed")
    paths = os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY / "tests")])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-m", "recipes.killed_fit", str(folder / "run")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return folder / "run"


@pytest.fixture
def run(killed: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(killed, tmp_path / "run"))


def test_a_killed_fit_ends_with_the_same_weights(run: Path, tmp_path: Path, known_device: KnownDevice):
    assert {ATTEMPT_FILE, START_FILE, CHECKPOINT_FILE} <= {path.name for path in run.iterdir()}
    whole = Path(shutil.copytree(run, tmp_path / "whole"))
    (whole / CHECKPOINT_FILE).unlink()
    widths = json.loads((run / ATTEMPT_FILE).read_text())["attempt"]

    # What is measured now is another matter: the widths found before stay.
    known_device.skew = lambda parts_s, original_s, number: 3 * parts_s
    resumed = run_fit(request(run, resume=True))
    uninterrupted = run_fit(request(whole, resume=True))
    assert sha256_of(run / "model.safetensors") == sha256_of(whole / "model.safetensors")
    assert resumed.plan == uninterrupted.plan and resumed.plan.to_json() == widths["plan"]
    assert resumed.value["result"] == uninterrupted.value["result"]
    assert resumed.value["result"]["min_s"] == min(widths["sample_s"]) and resumed.value["met"]
    assert len(resumed.value["fine_tune"]["history"]) == 2
    assert {path.name for path in run.iterdir()} == {"model.safetensors", "spec.json", "result.json", "report.html", "log.jsonl"}

    again = run_fit(request(run, resume=True))
    assert again.value == json.loads((run / "result.json").read_text())


def test_other_settings_are_refused(run: Path, known_device: KnownDevice):
    changed = json.loads((run / ATTEMPT_FILE).read_text())
    changed["settings"] |= {"latency": "0.9x", "seed": 7}
    (run / ATTEMPT_FILE).write_text(json.dumps(changed))
    with pytest.raises(RunError, match=r"other settings: latency \(0.9x there, 0.7x now\), seed \(7 there, 0 now\)"):
        run_fit(request(run, resume=True))


@pytest.mark.parametrize("damage", ["{", "[]", '{"attempt": {}, "profile": {}, "seconds": 1, "settings": 3}'])
def test_a_damaged_file_is_named(run: Path, known_device: KnownDevice, damage: str):
    (run / ATTEMPT_FILE).write_text(damage)
    with pytest.raises(RunError, match=rf"{ATTEMPT_FILE} is damaged"):
        run_fit(request(run, resume=True))


def test_without_resume_an_unfinished_run_is_not_touched(run: Path, known_device: KnownDevice):
    before = {path.name: sha256_of(path) for path in run.iterdir()}
    with pytest.raises(UsageError, match="holds an unfinished run; add --resume"):
        run_fit(request(run, resume=False))
    assert {path.name: sha256_of(path) for path in run.iterdir()} == before


def test_ctrl_c_while_fine_tuning_can_be_resumed(run: Path, tmp_path: Path, known_device: KnownDevice):
    stopped = Path(shutil.copytree(run, tmp_path / "stopped"))
    with pytest.raises(KeyboardInterrupt):
        run_fit(request(stopped, resume=True), progress=Interrupted(3))
    for folder in (stopped, run):
        run_fit(request(folder, resume=True), progress=SilentProgress())
    assert sha256_of(stopped / "model.safetensors") == sha256_of(run / "model.safetensors")
