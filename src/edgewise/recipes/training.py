"""The accuracy side of a fit: batch norms recalibrated, the network fine-tuned, both networks judged."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from edgewise._core.errors import DataError
from edgewise._core.progress import Progress
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.requests import DataRequest, FitRequest
from edgewise.train.calibrate import recalibrate_batch_norm
from edgewise.train.data import Dataset, DataSpec, open_data
from edgewise.train.evaluate import accuracy
from edgewise.train.loop import Checkpoint, EpochRecord, FineTune, Goal, fine_tune

_CHECKPOINT_FILE = "checkpoint.safetensors"
_DISTILL_WEIGHT = 0.5


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A network after fine-tuning, judged beside the original.

    Attributes:
        model: The network.
        fine_tuned: Whether it saw training data.
        baseline_accuracy: Of the original, on the test part.
        baseline_validation: Of the original, on the validation part.
        accuracy: Of the result, on the test part.
        accuracy_validation: Of the result, on the validation part.
        history: Records of the epochs, as JSON values.
        seconds: Time spent in training.
        checkpoint: File that is no longer needed once the run is written.
        warnings: What a person should know.
    """

    model: nn.Module
    fine_tuned: bool = False
    baseline_accuracy: float | None = None
    baseline_validation: float | None = None
    accuracy: float | None = None
    accuracy_validation: float | None = None
    history: tuple[dict[str, Any], ...] = ()
    seconds: float = 0.0
    checkpoint: Path | None = None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any] | None:
        """The training as JSON values; none where there was none."""
        return {"history": list(self.history), "seconds": self.seconds} if self.fine_tuned else None

    def remove_checkpoint(self) -> None:
        """Deletes the checkpoint, whose content the finished run holds."""
        if self.checkpoint is not None:
            self.checkpoint.unlink(missing_ok=True)


def open_training(request: DataRequest | None, loaded: LoadedModel, *, progress: Progress) -> Dataset | None:
    """The data set that a command asked for, checked against the network's input.

    Raises:
        DataError: Its images have another shape than the network reads.
    """
    if request is None:
        return None
    side = loaded.input_shape[-1]
    spec = DataSpec(text=request.data, mean=request.mean, std=request.std, seed=request.seed, image_size=side if side > 64 else None)
    data = open_data(spec, progress=progress)
    if tuple(data.input_shape) != tuple(loaded.input_shape):
        shapes = " against ".join("x".join(map(str, shape)) for shape in (data.input_shape, loaded.input_shape))
        raise DataError(f"--data {request.data} has images that {loaded.name} does not read: {shapes}; pass the model's --input to match")
    return data


def train_result(request: FitRequest, original: LoadedModel, fitted: nn.Module, data: Dataset | None, *, progress: Progress) -> Trained:
    """Recalibrates and fine-tunes the fitted network, and judges it and the original.

    Args:
        request: Epochs, seed, distillation, and the run folder for checkpoints.
        original: The network before.
        fitted: The network with its new widths.
        data: The data set; none to train nothing.
        progress: Is told how far it is.
    """
    if data is None or request.data is None:
        return Trained(model=fitted)
    checkpoint = None if request.out is None else Checkpoint(path=request.out / _CHECKPOINT_FILE, resume=request.resume)
    if not (checkpoint and checkpoint.resume and checkpoint.path.exists()):
        progress.note("recalibrating batch norms")
    recalibrate_batch_norm(fitted, data.train)
    config = FineTune(epochs=request.data.epochs, seed=request.seed, distill_weight=_DISTILL_WEIGHT if request.distill else 0.0)
    goal = Goal(teacher=original.model if request.distill else None)
    tuned = fine_tune(fitted, data, config=config, goal=goal, checkpoint=checkpoint, progress=progress)
    judge = original.trained
    return Trained(
        model=tuned.model,
        fine_tuned=True,
        baseline_accuracy=accuracy(original.model, data.test) if judge else None,
        baseline_validation=accuracy(original.model, data.validation) if judge else None,
        accuracy=accuracy(tuned.model, data.test),
        accuracy_validation=tuned.accuracy_validation,
        history=tuple(_epoch(record) for record in tuned.history),
        seconds=tuned.seconds,
        checkpoint=None if checkpoint is None else checkpoint.path,
        warnings=() if tuned.kept == "tuned" else ("fine-tuning made the network worse; the weights from before are kept",),
    )


def _epoch(record: EpochRecord) -> dict[str, Any]:
    return {"epoch": record.epoch, "loss": record.loss, "accuracy_validation": record.score, "lr": record.lr, "seconds": record.seconds}
