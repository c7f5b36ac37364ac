"""Training one network of a study: a rung, from a run folder to a run folder."""

import platform
import time
from dataclasses import replace

from edgewise._core.errors import EdgewiseError, StorageError
from edgewise._core.progress import Progress, SilentProgress
from edgewise._core.rng import make_rng
from edgewise.dynamic.training import RatioAscent
from edgewise.measure.lock import untimed
from edgewise.recipes.explore.executor import TrialOutcome, TrialTask
from edgewise.recipes.explore.threads import torch_threads
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.runs import is_finished, load_run, write_run
from edgewise.recipes.training import CHECKPOINT_FILE, FULL_DISTILL_WEIGHT, START_FILE, bring_to_start, open_named
from edgewise.train.calibrate import N_BATCHES
from edgewise.train.data import Dataset
from edgewise.train.evaluate import accuracy
from edgewise.train.loop import Checkpoint, FineTune, FineTuneResult, Goal, fine_tune

_BATCHES_BEFORE_TRAINING = 12
"""Batches that batch norms are measured with where training goes on with them, and takes longer than that."""
CHECKPOINT_EVERY_S = 30.0
"""Seconds between checkpoints within an epoch."""


def open_trial_data(task: TrialTask, *, progress: Progress | None = None) -> Dataset:
    """The data of a task, for an executor that does not have it open.

    Raises:
        DataError: It cannot be opened here, or does not fit the network.
    """
    return open_named(task.data, load_run(task.start).loaded, progress=progress or SilentProgress())


def train_trial(task: TrialTask, data: Dataset, *, progress: Progress | None = None) -> TrialOutcome:
    """Carries out a task: trains from ``task.start``, and fills ``task.folder``.

    What was finished already is read; what was begun goes on from its checkpoint and ends with the same weights.
    Torch's number of threads is the task's meanwhile.

    Args:
        task: What to do.
        data: The data, open.
        progress: Is told how far it is.

    Returns:
        The outcome, ``failed`` where the network cannot be trained (its loss is no number, it does not fit in memory).

    Raises:
        StorageError: The disk is full or not writable: no other trial would do better.
    """
    if is_finished(task.folder):
        known = load_run(task.folder).result
        return TrialOutcome(**{name: known[name] for name in TrialOutcome.__dataclass_fields__})
    with torch_threads(task.threads):
        try:
            return _train(task, data, progress or SilentProgress())
        except StorageError:
            raise
        except (EdgewiseError, RuntimeError, MemoryError) as error:
            why = " ".join(str(error).split()) or type(error).__name__
            return TrialOutcome(number=task.number, rung=task.rung, state="failed", why=why, host=platform.node())


def _train(task: TrialTask, data: Dataset, progress: Progress) -> TrialOutcome:
    loaded = load_run(task.start).loaded
    checkpoint = Checkpoint(path=task.folder / CHECKPOINT_FILE, resume=True, every_s=CHECKPOINT_EVERY_S)
    start_s = time.monotonic()
    if task.recalibrate:
        n_batches = _BATCHES_BEFORE_TRAINING if task.point.epochs else N_BATCHES
        bring_to_start(loaded.model, data, task.folder, resume=True, n_batches=n_batches, progress=progress)
    recalibrating_s = time.monotonic() - start_s
    if task.epochs == 0:
        start_s = time.monotonic()
        tuned, score, kept = loaded.model.eval(), accuracy(loaded.model, data.validation, gate=untimed), "tuned"
        seconds = time.monotonic() - start_s
    else:
        found = _tune(task, loaded, _at_rung(data, task.rung), checkpoint, progress=progress)
        assert found.accuracy_validation is not None
        tuned, score, seconds, kept = found.model, found.accuracy_validation, found.seconds, found.kept
    outcome = TrialOutcome(
        number=task.number,
        rung=task.rung,
        state="done",
        accuracy_validation=score,
        training_s=seconds,
        recalibrating_s=recalibrating_s,
        host=platform.node(),
        kept=kept,
    )
    write_run(task.folder, tuned, record=replace(loaded.record, trained=True), result=outcome.to_json())
    for path in (task.folder / START_FILE, checkpoint.path):
        path.unlink(missing_ok=True)
    return outcome


def _tune(task: TrialTask, loaded: LoadedModel, data: Dataset, checkpoint: Checkpoint, *, progress: Progress) -> FineTuneResult:
    distill_weight = 0.0 if task.teacher is None else FULL_DISTILL_WEIGHT
    config = FineTune(epochs=task.epochs, lr=task.lr, seed=task.point.seed, distill_weight=distill_weight)
    gates, teacher = loaded.gates, None if task.teacher is None else load_run(task.teacher).loaded.model
    regime = None if gates is None else RatioAscent(plan=gates, ramp=0.0)
    goal = Goal(regime=regime, teacher=teacher, gate=untimed, score_before=task.accuracy_before)
    return fine_tune(loaded.model, data, config=config, goal=goal, checkpoint=checkpoint, progress=progress)


def _at_rung(data: Dataset, rung: int) -> Dataset:
    """The data in another order and with other augmentation than in the rungs before."""
    if rung == 0:
        return data
    seed = int(make_rng(data.train.seed, "rung", rung).integers(2**31))
    return replace(data, train=replace(data.train, seed=seed))
