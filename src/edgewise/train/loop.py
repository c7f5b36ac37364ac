"""Fine-tuning: SGD with one cycle of the learning rate, resumable to the bit."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from edgewise._core.errors import UsageError
from edgewise._core.progress import Progress, SilentProgress
from edgewise.train.batches import Loaders, TrainingData
from edgewise.train.checkpoint import Checkpoint
from edgewise.train.settings import FineTune, Goal
from edgewise.train.trainer import EpochRecord, Trainer

__all__ = ["Checkpoint", "EpochRecord", "FineTune", "FineTuneResult", "Goal", "Loaders", "fine_tune"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FineTuneResult:
    """A fine-tuned network and how it came about.

    Attributes:
        model: The network, in evaluation mode; the one passed in is unchanged.
        history: One record for each epoch.
        score_before: Score before training, or none where nothing could be scored.
        accuracy_validation: Score of ``model`` (validation accuracy, or what ``evaluate`` gave), or none.
        kept: ``tuned``, or ``initial`` where training made the score worse and ``model`` has the weights from before.
        seconds: Time spent in training and scoring, that before a resumption included.
        images_per_s: Images trained on per second in this process, scoring left out; 0 where it trained on none.
        resumed: Whether a checkpoint was continued.
    """

    model: nn.Module
    history: tuple[EpochRecord, ...]
    score_before: float | None
    accuracy_validation: float | None
    kept: Literal["tuned", "initial"]
    seconds: float
    images_per_s: float
    resumed: bool


def fine_tune(
    model: nn.Module,
    data: TrainingData,
    *,
    config: FineTune | None = None,
    goal: Goal | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
) -> FineTuneResult:
    """Trains a copy of ``model`` and gives the better of before and after.

    The last weights are the result: at the end of a cycle they are the best to within
    chance. Where they score below the weights from before, those are given back and a note says so.

    A run that was killed and is resumed, on the same machine with as many threads, ends
    with the very same weights as one that was not; torch's generators are seeded for that
    and put back afterwards. In several processes (``torchrun``) each takes its share of every batch.

    Args:
        model: The network, on the device to train on.
        data: A ``Dataset``, or ``Loaders`` with batches of one's own.
        config: How to train.
        goal: What to aim at.
        checkpoint: Where to keep checkpoints; none for no checkpoints.
        progress: Told of every step and of the score after each epoch.

    Raises:
        DivergedError: The loss is not finite any more.
        UsageError: Distillation without a teacher, or a teacher without distillation; hints without a teacher.
        DataError: No training batches, or their number is unknown.
        RunError: The checkpoint to resume from is damaged or of another run.
        StorageError: A checkpoint cannot be written.
        KeyboardInterrupt: Ctrl-C, after the step was finished and a checkpoint written.
    """
    config, goal = config or FineTune(), goal or Goal()
    if (goal.teacher is None) != (config.distill_weight == 0):
        raise UsageError(
            f"distillation needs both a teacher and a positive distill_weight, got distill_weight={config.distill_weight} "
            f"{'without' if goal.teacher is None else 'with'} a teacher"
        )
    if goal.hints is not None and goal.teacher is None:
        raise UsageError("hints compare a network's maps with its teacher's, got hints without a teacher")
    watcher = progress or SilentProgress()
    trainer = Trainer(deepcopy(model), data, config=config, goal=goal, checkpoint=checkpoint, progress=watcher)
    trainer.run()
    return _result(model, trainer, watcher)


def _result(before: nn.Module, trainer: Trainer, progress: Progress) -> FineTuneResult:
    score = trainer.history[-1].score if trainer.history else trainer.score_before
    kept: Literal["tuned", "initial"] = "tuned"
    if score is not None and trainer.score_before is not None and score < trainer.score_before:
        progress.note(
            f"warning: fine-tuning lowered the score from {trainer.score_before:.4f} to {score:.4f}; the weights from before are kept"
        )
        kept, score = "initial", trainer.score_before
    model = trainer.model if kept == "tuned" else deepcopy(before)
    return FineTuneResult(
        model=model.to(memory_format=torch.contiguous_format).eval(),
        history=tuple(trainer.history),
        score_before=trainer.score_before,
        accuracy_validation=score,
        kept=kept,
        seconds=trainer.seconds,
        images_per_s=trainer.images_per_s,
        resumed=trainer.resumed,
    )
