"""``edgewise demo``: the main job from beginning to end, on data that comes with scikit-learn."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from edgewise._core.progress import Progress, SilentProgress
from edgewise._core.units import LatencyTarget
from edgewise.measure.lock import untimed
from edgewise.models.sources import build, parse_source
from edgewise.models.weights import save_weights
from edgewise.recipes.fit import FitResult, run_fit
from edgewise.recipes.requests import DataRequest, DemoRequest, FitRequest, ModelRequest
from edgewise.recipes.runs import LOG_FILE, append_log, prepare_folder
from edgewise.train.data import DataSpec, open_data
from edgewise.train.loop import Checkpoint, FineTune, Goal, fine_tune

MODEL = "digits-cnn"
DATA = "digits"
TARGET = LatencyTarget(ratio=0.6)
WEIGHTS_FILE = "baseline.safetensors"
"""Weights of the network before it is fitted; ``MODEL`` takes them by ``--weights``."""
_CHECKPOINT_FILE = "baseline-checkpoint.safetensors"
_EVENT = "demo"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Size:
    """How much is done.

    Attributes:
        epochs: Passes over the data that train the network.
        tune_epochs: Passes that fine-tune the fitted one.
        calibrate: Get to know the device first where it is new.
    """

    epochs: float
    tune_epochs: float
    calibrate: bool


_SIZES = {
    "full": _Size(epochs=20, tune_epochs=10, calibrate=True),
    "smoke": _Size(epochs=2, tune_epochs=1, calibrate=False),
}


def run_demo(request: DemoRequest, *, progress: Progress | None = None) -> FitResult:
    """Trains a small network on embedded data, and fits it to 0.6 of its latency.

    A demo that lies in the folder already, finished or not, is replaced, unless it is to be
    resumed; a folder with anything else is refused.

    Args:
        request: Where the run goes, and on which device.
        progress: Is told how far it is.

    Raises:
        UsageError: The folder holds something that is no demo.
        DeviceError: The runtime is missing.
    """
    watcher = progress or SilentProgress()
    size = _SIZES[request.size]
    if _is_demo(request.out) and not request.resume:
        shutil.rmtree(request.out)
    prepare_folder(request.out, resume=request.resume)
    if not _is_demo(request.out):
        append_log(request.out, {"event": _EVENT, "size": request.size, "seed": request.seed})
    weights = request.out / WEIGHTS_FILE
    if not weights.exists():
        _train(request, size, weights, watcher)
    fit = FitRequest(
        model=ModelRequest(model=MODEL, weights=weights),
        latency=TARGET,
        device=request.device,
        data=DataRequest(data=DATA, epochs=size.tune_epochs, seed=request.seed),
        seed=request.seed,
        out=request.out,
        resume=True,
        calibrate=size.calibrate,
    )
    return run_fit(fit, progress=watcher)


def _train(request: DemoRequest, size: _Size, weights: Path, progress: Progress) -> None:
    progress.note(f"training {MODEL} on {DATA}")
    data = open_data(DataSpec(text=DATA, seed=request.seed), progress=progress)
    checkpoint = Checkpoint(path=request.out / _CHECKPOINT_FILE, resume=request.resume)
    config, goal = FineTune(epochs=size.epochs, lr=0.1, seed=request.seed), Goal(gate=untimed)
    trained = fine_tune(build(parse_source(MODEL)), data, config=config, goal=goal, checkpoint=checkpoint, progress=progress)
    save_weights(trained.model, weights)
    checkpoint.path.unlink(missing_ok=True)


def _is_demo(folder: Path) -> bool:
    """Whether a demo began in this folder: the first line of its log says so."""
    try:
        with (folder / LOG_FILE).open(encoding="utf-8") as log:
            first = json.loads(log.readline())
    except (OSError, ValueError):
        return False
    return isinstance(first, dict) and first.get("event") == _EVENT
