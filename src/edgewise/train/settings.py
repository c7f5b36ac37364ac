"""How to fine-tune, and towards what."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from edgewise._core.errors import UsageError
from edgewise.train.gate import Gate
from edgewise.train.hints import Hints
from edgewise.train.objective import Loss
from edgewise.train.precision import Bf16
from edgewise.train.regime import Regime


@dataclass(frozen=True, kw_only=True, slots=True)
class FineTune:
    """How to fine-tune; the defaults suit a pruned network for CIFAR or ImageNet in batches of about 128.

    Attributes:
        epochs: Passes over the training batches, perhaps with a fraction; 0 leaves the weights alone.
        lr: Largest learning rate of the cycle; positive. Half of what such networks are trained with from scratch.
        weight_decay: L2 penalty on weights of two dimensions and more; not negative.
        momentum: Nesterov momentum, in (0, 1).
        label_smoothing: Share of the target spread over all classes, in [0, 1); built-in loss only.
        distill_weight: Share of the distillation term in [0, 1], the loss having the rest; it needs a teacher.
        temperature: Softening of both networks' logits in distillation; positive.
        bf16: Train under bf16 autocast: yes, no, or ``auto`` for where the processor computes in it.
        seed: Seed of what the network and a user's loader draw at random; not negative.

    Raises:
        UsageError: A number is out of its range.
    """

    epochs: float = 10.0
    lr: float = 0.05
    weight_decay: float = 5e-4
    momentum: float = 0.9
    label_smoothing: float = 0.0
    distill_weight: float = 0.0
    temperature: float = 4.0
    bf16: Bf16 = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks every number."""
        rules = (
            ("epochs", self.epochs, 0 <= self.epochs < math.inf, "finite and not negative"),
            ("lr", self.lr, 0 < self.lr < math.inf, "positive and finite"),
            ("weight_decay", self.weight_decay, 0 <= self.weight_decay < math.inf, "finite and not negative"),
            ("momentum", self.momentum, 0 < self.momentum < 1, "in (0, 1)"),
            ("label_smoothing", self.label_smoothing, 0 <= self.label_smoothing < 1, "in [0, 1)"),
            ("distill_weight", self.distill_weight, 0 <= self.distill_weight <= 1, "in [0, 1]"),
            ("temperature", self.temperature, 0 < self.temperature < math.inf, "positive and finite"),
            ("seed", self.seed, self.seed >= 0, "0 or more"),
        )
        for name, value, holds, rule in rules:
            if not holds:
                raise UsageError(f"{name} must be {rule}, got {value}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """What training aims at, where it is not the class of an image, and what it gives way to.

    Attributes:
        loss: Scalar loss from the model's output and the target; none for cross entropy.
        evaluate: Score of a model, higher is better; none for the accuracy on the validation batches.
        teacher: Network to distil from, by custom the one before its widths changed; not changed.
        hints: Where maps inside learn from the teacher's, too; none for its outputs alone.
        regime: What changes the network from step to step; none for a network that stays as it is.
        gate: Passed before every step and every batch that is scored, so that training can give way to a timing;
            none to give way to nothing. It changes no result. ``evaluate`` passes it itself, if at all.
        score_before: Score of the network as given, where it is known already; none to score it first.
    """

    loss: Loss | None = None
    evaluate: Callable[[nn.Module], float] | None = None
    teacher: nn.Module | None = None
    hints: Hints | None = None
    regime: Regime | None = None
    gate: Gate | None = None
    score_before: float | None = None
