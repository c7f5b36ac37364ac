"""The accuracy side of a fit: batch norms recalibrated, the network fine-tuned, both networks judged."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgewise._core.errors import DataError
from edgewise._core.progress import Progress
from edgewise.measure.lock import untimed
from edgewise.models.shapes import format_input_shape
from edgewise.models.weights import load_weights, save_weights
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.requests import DataRequest, FitRequest
from edgewise.train.batches import JudgedData, TrainingData
from edgewise.train.calibrate import N_BATCHES, recalibrate_batch_norm
from edgewise.train.data import Dataset, DataSpec, open_data
from edgewise.train.evaluate import accuracy_on
from edgewise.train.loop import Checkpoint, EpochRecord, FineTune, FineTuneResult, Goal, fine_tune
from edgewise.train.objective import Loss

CHECKPOINT_FILE = "checkpoint.safetensors"
START_FILE = "start.safetensors"
"""Weights that fine-tuning starts from: those after surgery and recalibration."""
DISTILL_WEIGHT = 0.5
FULL_DISTILL_WEIGHT = 0.9
"""Nearly all of the loss: what networks pruned for each input, and short trainings, gain most from (``docs/dynamic.md``)."""
_TAYLOR_BATCHES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Lessons:
    """Labelled batches by which the importance of channels is judged.

    Attributes:
        batches: Pairs of inputs and target; a few are enough.
        loss: A scalar from outputs and target.
    """

    batches: Sequence[Sequence[Any]]
    loss: Loss


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
        score_before: What a user's own ``evaluate`` says of the original.
        score: What it says of the result.
        history: Records of the epochs, as JSON values.
        seconds: Time spent in training.
        scratch: Files that are no longer needed once the run is written.
        warnings: What a person should know.
    """

    model: nn.Module
    fine_tuned: bool = False
    baseline_accuracy: float | None = None
    baseline_validation: float | None = None
    accuracy: float | None = None
    accuracy_validation: float | None = None
    score_before: float | None = None
    score: float | None = None
    history: tuple[dict[str, Any], ...] = ()
    seconds: float = 0.0
    scratch: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any] | None:
        """The training as JSON values; none where there was none."""
        return {"history": list(self.history), "seconds": self.seconds} if self.fine_tuned else None

    def clean_up(self) -> None:
        """Deletes the files that the finished run makes superfluous."""
        for path in self.scratch:
            path.unlink(missing_ok=True)


@runtime_checkable
class Course(Protocol):
    """How a fitted network is trained and judged."""

    @property
    def lessons(self) -> Lessons | None:
        """Batches to judge channels by; none without data."""
        ...

    def train(self, original: LoadedModel, fitted: nn.Module, *, progress: Progress) -> Trained:
        """Trains the fitted network, and judges it and the original."""
        ...


class NoCourse:
    """Without data nothing is trained and nothing judged."""

    @property
    def lessons(self) -> Lessons | None:
        """None."""
        return None

    def train(self, original: LoadedModel, fitted: nn.Module, *, progress: Progress) -> Trained:
        """The network as it is."""
        return Trained(model=fitted)


class DataCourse:
    """Fine-tuning and judging a classifier on a data set.

    Args:
        request: Epochs, seed, distillation, and the run folder for checkpoints.
        data: The data set.
    """

    def __init__(self, request: FitRequest, data: JudgedData) -> None:
        self._request, self._data = request, data

    @property
    def lessons(self) -> Lessons | None:
        """The first training batches, with cross entropy."""
        return lessons_of(self._data)

    def train(self, original: LoadedModel, fitted: nn.Module, *, progress: Progress) -> Trained:
        """Recalibrates and fine-tunes the network; judges it on both parts, and the original if it was trained."""
        request, data = self._request, self._data
        assert request.data is not None
        checkpoint = None if request.out is None else Checkpoint(path=request.out / CHECKPOINT_FILE, resume=request.resume)
        bring_to_start(fitted, data, request.out, resume=request.resume, progress=progress)
        weight = DISTILL_WEIGHT if request.distill else 0.0
        config = FineTune(epochs=request.data.epochs, lr=request.lr, seed=request.seed, distill_weight=weight)
        goal = Goal(teacher=original.model if request.distill else None, gate=untimed)
        tuned = fine_tune(fitted, data, config=config, goal=goal, checkpoint=checkpoint, progress=progress)
        # What was never trained guesses, and its accuracy would only mislead.
        judge = original.trained
        return Trained(
            model=tuned.model,
            fine_tuned=True,
            baseline_accuracy=accuracy_on(original.model, data.test, gate=untimed) if judge else None,
            baseline_validation=accuracy_on(original.model, data.validation, gate=untimed) if judge else None,
            accuracy=accuracy_on(tuned.model, data.test, gate=untimed),
            accuracy_validation=tuned.accuracy_validation,
            history=history_of(tuned),
            seconds=tuned.seconds,
            scratch=() if request.out is None else (request.out / START_FILE, request.out / CHECKPOINT_FILE),
            warnings=warnings_of(tuned),
        )


def bring_to_start(
    network: nn.Module, data: TrainingData, folder: Path | None, *, resume: bool, n_batches: int = N_BATCHES, progress: Progress
) -> None:
    """Measures batch norms anew, in place: the weights that fine-tuning starts from and is compared with.

    Args:
        network: The network after surgery, or with its gates at work.
        data: Gives the batches.
        folder: Where the weights are kept until the run is done; none to keep none.
        resume: Read them there if an unfinished run left them: rounding may differ by now, and a checkpoint goes on
            from the very same start alone.
        n_batches: Batches that batch norms are measured with.
        progress: Is told.
    """
    kept = None if folder is None else folder / START_FILE
    if resume and kept is not None and kept.exists():
        load_weights(network, kept)
        return
    progress.note("recalibrating batch norms")
    recalibrate_batch_norm(network, data.train, n_batches=n_batches, gate=untimed)
    if kept is not None:
        save_weights(network, kept)


def lessons_of(data: TrainingData, *, loss: Loss = functional.cross_entropy) -> Lessons:
    """The first few training batches, and the loss on them."""
    return Lessons(batches=tuple(islice(data.train, _TAYLOR_BATCHES)), loss=loss)


def history_of(tuned: FineTuneResult) -> tuple[dict[str, Any], ...]:
    """The epochs as JSON values."""
    return tuple(_epoch(record) for record in tuned.history)


def warnings_of(tuned: FineTuneResult) -> tuple[str, ...]:
    """What a person should know of a training."""
    return () if tuned.kept == "tuned" else ("fine-tuning made the network worse; the weights from before are kept",)


def open_training(
    request: DataRequest | None, loaded: LoadedModel, *, given: JudgedData | None = None, progress: Progress
) -> JudgedData | None:
    """The data set that a command asked for, checked against the network's input and output.

    Args:
        request: The data set by its name; none for none.
        loaded: The network.
        given: The data itself where a Python caller has it in memory; user batches are not checked.
        progress: Is told of long work.

    Raises:
        DataError: Its images have another shape than the network reads, or it has more
            classes than the network tells apart.
    """
    if request is None:
        return None
    if given is not None and not isinstance(given, Dataset):
        return given
    return open_named(request, loaded, given=given, progress=progress)


def open_named(request: DataRequest, loaded: LoadedModel, *, given: Dataset | None = None, progress: Progress) -> Dataset:
    """A data set by its name, checked against the network's input and output.

    Args:
        request: The data set.
        loaded: The network.
        given: The data set itself where it is open already.
        progress: Is told of long work.

    Raises:
        DataError: Its images have another shape than the network reads, or it has more
            classes than the network tells apart.
    """
    data = given or open_data(spec_of(request, loaded), progress=progress)
    if tuple(data.input_shape) != tuple(loaded.input_shape):
        shapes = " against ".join(format_input_shape(shape) for shape in (data.input_shape, loaded.input_shape))
        raise DataError(f"--data {request.data} has images that {loaded.name} does not read: {shapes}; pass the model's --input to match")
    _check_classes(request, loaded, data, progress=progress)
    return data


def spec_of(request: DataRequest, loaded: LoadedModel) -> DataSpec:
    """A data set by its name, its images as large as a network reads them."""
    side = loaded.input_shape[-1]
    return DataSpec(text=request.data, mean=request.mean, std=request.std, seed=request.seed, image_size=side if side > 64 else None)


def _check_classes(request: DataRequest, loaded: LoadedModel, data: Dataset, *, progress: Progress) -> None:
    with torch.no_grad():
        scores = loaded.model(*loaded.inputs())
    if not isinstance(scores, Tensor) or scores.ndim != 2:
        form = f"shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else type(scores).__name__
        raise DataError(
            f"--data trains classifiers, which give one score for each class, got {form} from {loaded.name}; "
            "fit other networks from Python, with a loss of your own"
        )
    if data.n_classes > scores.shape[1]:
        raise DataError(
            f"--data {request.data} has {data.n_classes} classes, but {loaded.name} tells {scores.shape[1]} apart; "
            "give a model with as many outputs as there are classes"
        )
    if data.n_classes < scores.shape[1]:
        progress.note(f"warning: {loaded.name} has {scores.shape[1]} outputs for {data.n_classes} classes; class i is taken to be output i")


def _epoch(record: EpochRecord) -> dict[str, Any]:
    return {"epoch": record.epoch, "loss": record.loss, "accuracy_validation": record.score, "lr": record.lr, "seconds": record.seconds}
