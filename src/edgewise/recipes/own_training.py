"""Training from Python: a user's own batches, loss, evaluation or loop."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from edgewise._core.errors import UsageError
from edgewise._core.progress import Progress
from edgewise.measure.lock import untimed
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.training import DISTILL_WEIGHT, Lessons, Trained, bring_to_start, history_of, lessons_of, warnings_of
from edgewise.train.batches import TrainingData
from edgewise.train.evaluate import accuracy
from edgewise.train.loop import FineTune, FineTuneResult, Goal, fine_tune
from edgewise.train.objective import Loss


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """How the fitted network gets its accuracy back; everything may be left out.

    Attributes:
        train: A loop of one's own: trains the network that it is given, or returns another with
            the same tensors. It takes the place of the built-in fine-tuning.
        data: Batches of inputs and target: to judge channels by, to recalibrate batch norms
            with, and, without ``train``, to fine-tune on.
        loss: Scalar from outputs and target; cross entropy by default.
        evaluate: Score of a network, higher is better; by default the validation accuracy.
        settings: How to fine-tune.
        distill: Learn from the original network's outputs too.
    """

    train: Callable[[nn.Module], nn.Module | None] | None = None
    data: TrainingData | None = None
    loss: Loss | None = None
    evaluate: Callable[[nn.Module], float] | None = None
    settings: FineTune = field(default_factory=FineTune)
    distill: bool = False

    def __post_init__(self) -> None:
        """Checks that distillation has data and no other loop."""
        if self.distill and (self.data is None or self.train is not None):
            raise UsageError("`distill` belongs to the built-in fine-tuning: it needs `data`, and no `train` of your own")


class OwnCourse:
    """Trains and judges as a user said.

    Args:
        training: What the user said.
    """

    def __init__(self, training: Training) -> None:
        self._training = training

    @property
    def lessons(self) -> Lessons | None:
        """The first training batches, with the user's loss."""
        data = self._training.data
        if data is None:
            return None
        return lessons_of(data, loss=self._training.loss or functional.cross_entropy)

    def train(self, original: LoadedModel, fitted: nn.Module, *, progress: Progress) -> Trained:
        """Recalibrates batch norms where there is data, trains, and scores both networks."""
        training = self._training
        if training.data is not None:
            bring_to_start(fitted, training.data, None, resume=False, progress=progress)
        if training.train is not None:
            progress.note("training by the loop given")
            return self._judged(original, Trained(model=_trained_by(training.train, fitted), fine_tuned=True))
        if training.data is None:
            return self._judged(original, Trained(model=fitted))
        teacher = original.model if training.distill else None
        goal = Goal(loss=training.loss, evaluate=training.evaluate, teacher=teacher, gate=untimed)
        settings = replace(training.settings, distill_weight=DISTILL_WEIGHT) if training.distill else training.settings
        return self._tuned(original, fine_tune(fitted, training.data, config=settings, goal=goal, progress=progress))

    def _tuned(self, original: LoadedModel, tuned: FineTuneResult) -> Trained:
        trained = Trained(model=tuned.model, fine_tuned=True, history=history_of(tuned), seconds=tuned.seconds, warnings=warnings_of(tuned))
        if self._training.evaluate is not None:
            # What the loop scored is a user's score, no share of right answers.
            plain = tuple({**epoch, "accuracy_validation": None} for epoch in trained.history)
            return self._judged(original, replace(trained, history=plain))
        assert self._training.data is not None
        validation = self._training.data.validation
        before = accuracy(original.model, validation, gate=untimed) if original.trained and validation is not None else None
        return replace(trained, baseline_validation=before, accuracy_validation=tuned.accuracy_validation)

    def _judged(self, original: LoadedModel, trained: Trained) -> Trained:
        evaluate = self._training.evaluate
        if evaluate is None:
            return trained
        with torch.no_grad():
            before, after = float(evaluate(original.model)), float(evaluate(trained.model))
        return replace(trained, score_before=before, score=after)


def _trained_by(train: Callable[[nn.Module], nn.Module | None], fitted: nn.Module) -> nn.Module:
    shapes = _shapes(fitted)
    returned = train(fitted)
    model = fitted if returned is None else returned
    if not isinstance(model, nn.Module):
        raise UsageError(f"`train` must return a module or nothing, got {type(model).__name__}")
    if _shapes(model) != shapes:
        raise UsageError("`train` must return a network with the same tensors as it was given; what was measured was that one")
    return model.eval()


def _shapes(model: nn.Module) -> dict[str, Any]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
