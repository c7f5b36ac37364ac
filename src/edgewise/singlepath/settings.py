"""How a superkernel decides, and how a search goes."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from edgewise._core.errors import UsageError, unknown_name
from edgewise.train.gate import Gate
from edgewise.train.precision import Bf16

Form = Literal["exact", "published"]
"""``exact``: decisions gate batch norms, so that a closed gate computes the child itself; norms are divided by their size.
``published``: decisions mask the depthwise kernel alone, norms grow with width; the authors' code."""
Runtime = Literal["table", "ratio"]
"""``table``: the sum over choices, exact at every decision. ``ratio``: the authors' form, which never reads 3x3-3."""
FORMS, RUNTIMES = ("exact", "published"), ("table", "ratio")
LOSSES = ("lagrangian", "hinge", "log")


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchSettings:
    """How a search goes.

    Attributes:
        epochs: Passes over the training part; positive.
        explore: Share of the steps in which every choice is drawn equally often and the runtime does not count, in [0, 1).
        whole: Share of the exploring steps, the first ones, in which every block does the most it can, in [0, 1]. Without,
            what is nested inside (the first half of the expanded channels) learns in every step and the rest in half of them.
        even: Share of the steps, the last ones, in which networks of the target's latency are drawn at random and thresholds stay, in
            [0, 1): the steps before favour what is likely, and weights are to judge others as fairly. 0 in the form ``published``.
        lr: Largest learning rate of the weights' cycle; positive.
        threshold_lr: Learning rate of the thresholds (Adam); positive.
        weight_decay: L2 penalty on kernels and matrices; not negative.
        loss: ``lagrangian`` lands on the target, ``hinge`` and ``log`` weigh the runtime by ``strength``.
        strength: Weight of the runtime term: lambda of ``log`` (the authors use 0.02 with milliseconds) and of ``hinge``;
            the step of the multiplier of ``lagrangian``. Positive.
        form: How decisions act; see :data:`Form`.
        runtime: Which runtime term; see :data:`Runtime`.
        label_smoothing: Share of the target spread over all classes, in [0, 1).
        bf16: As for fine-tuning.
        seed: Seed of everything drawn; not negative.
        gate: As for fine-tuning; it changes no result.

    Raises:
        UsageError: A number is out of its range.
    """

    epochs: float = 8.0
    explore: float = 0.5
    whole: float = 0.5
    even: float = 0.25
    lr: float = 0.1
    threshold_lr: float = 0.02
    weight_decay: float = 5e-5
    loss: str = "lagrangian"
    strength: float = 1.0
    form: Form = "exact"
    runtime: Runtime = "table"
    label_smoothing: float = 0.0
    bf16: Bf16 = "auto"
    seed: int = 0
    gate: Gate | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the outcome, as JSON values."""
        return {name: value for name, value in asdict(self).items() if name != "gate"}

    def __post_init__(self) -> None:
        """Checks every number."""
        rules = (
            ("--search-epochs", self.epochs, 0 < self.epochs < math.inf, "positive"),
            ("--explore", self.explore, 0 <= self.explore < 1, "in [0, 1)"),
            ("--whole", self.whole, 0 <= self.whole <= 1, "in [0, 1]"),
            ("--even", self.even, 0 <= self.even < 1, "in [0, 1)"),
            ("--explore and --even together", self.explore + self.even, self.explore + self.even < 1, "below 1"),
            ("lr", self.lr, 0 < self.lr < math.inf, "positive and finite"),
            ("threshold_lr", self.threshold_lr, 0 < self.threshold_lr < math.inf, "positive and finite"),
            ("weight_decay", self.weight_decay, 0 <= self.weight_decay < math.inf, "finite and not negative"),
            ("--strength", self.strength, 0 < self.strength < math.inf, "positive and finite"),
            ("label_smoothing", self.label_smoothing, 0 <= self.label_smoothing < 1, "in [0, 1)"),
            ("--seed", self.seed, self.seed >= 0, "0 or more"),
        )
        for name, value, holds, rule in rules:
            if not holds:
                raise UsageError(f"{name} must be {rule}, got {value:g}")
        for kind, value_, known in (("loss", self.loss, LOSSES), ("form", self.form, FORMS), ("runtime", self.runtime, RUNTIMES)):
            if value_ not in known:
                raise unknown_name(kind, value_, known)
