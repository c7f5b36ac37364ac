"""How long trials take, learnt as they go, and whether another one fits into what is left of the budget."""

import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import islice

from torch import nn

from edgewise.dynamic import GatedNetwork
from edgewise.ir.gates import GatePlan
from edgewise.train.batches import Loaders
from edgewise.train.data import Dataset
from edgewise.train.loop import FineTune, fine_tune

FORWARD_SHARE = 1 / 3
"""Time of scoring an image over that of training with it: backward does twice the multiplications."""
MEASURE_S = 8.0
"""Seconds of a measurement until one was made: two networks of at most 2 s each, and loading them."""
PRICE_S = 0.5
"""The same where the device is simulated."""
OVERHEAD_S = 1.0
"""Seconds around a rung of training until one was seen: loading and writing."""
_TIMED_BATCHES = 4
_RATIO = 0.5
"""Ratio at which training with gates is timed; its cost hardly depends on it, since masks multiply the zeros too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What training a network asks for.

    Attributes:
        macs: Its multiply-accumulates for one image, gates left out.
        epochs: Passes over the training data.
        dynamic: It is trained with gates.
        teacher_macs: Those of the network that it learns from; 0 for none.
    """

    macs: int
    epochs: float
    dynamic: bool
    teacher_macs: int = 0


@dataclass(kw_only=True)
class Pace:
    """Seconds of training for each image and multiply-accumulate, of static and dynamic networks, and seconds of the rest.

    It starts from a few steps of the given network, and follows what is seen.

    Attributes:
        n_train: Training images.
        n_validation: Validation images.
        static_s: Seconds of a training step for one image and multiply-accumulate.
        dynamic_s: The same with gates.
        measure_s: Seconds of measuring one network beside the given one.
        slots: Trainings at once.
    """

    n_train: int
    n_validation: int
    static_s: float
    dynamic_s: float
    measure_s: float
    slots: int = 1
    _seen: dict[bool, tuple[float, float]] = field(default_factory=dict)
    _measured: tuple[float, int] = (0.0, 0)
    _around: tuple[float, int] = (0.0, 0)

    def training_s(self, work: Work) -> float:
        """Seconds of training and scoring."""
        return self._units(work) * (self.dynamic_s if work.dynamic else self.static_s)

    def trial_s(self, rungs: Sequence[Work]) -> float:
        """Seconds of all rungs of a trial and of measuring it, with what lies around them."""
        seconds, count = self._around
        around_s = seconds / count if count else OVERHEAD_S
        return sum(self.training_s(rung) + around_s for rung in rungs) + self.measure_s

    def scoring_s(self, macs: int, n_images: int) -> float:
        """Seconds of judging a network by so many images."""
        return macs * n_images * FORWARD_SHARE * self.static_s

    def trained(self, work: Work, training_s: float, seconds: float) -> None:
        """Learns from a rung that was trained.

        Args:
            work: What it asked for.
            training_s: Seconds of training and scoring.
            seconds: Seconds in all.
        """
        units, known_s = self._seen.get(work.dynamic, (0.0, 0.0))
        units, known_s = units + self._units(work), known_s + training_s
        self._seen[work.dynamic] = (units, known_s)
        if units > 0 and known_s > 0:
            if work.dynamic:
                self.dynamic_s = known_s / units
            else:
                self.static_s = known_s / units
        self._around = (self._around[0] + max(0.0, seconds - training_s), self._around[1] + 1)

    def measured(self, seconds: float, networks: int) -> None:
        """Learns from a measurement of so many networks beside the given one."""
        self._measured = (self._measured[0] + seconds, self._measured[1] + networks)
        self.measure_s = self._measured[0] / self._measured[1]

    def _units(self, work: Work) -> float:
        seen, scored = work.epochs * self.n_train, (-(-work.epochs // 1) + 1) * self.n_validation
        return work.macs * (seen + scored * FORWARD_SHARE) + work.teacher_macs * seen * FORWARD_SHARE


def pace_of(model: nn.Module, macs: int, gates: GatePlan, data: Dataset, *, measure_s: float) -> Pace:
    """The pace of training here, from a few steps of the given network, without and with gates.

    Args:
        model: The network; not changed.
        macs: Its multiply-accumulates for one image.
        gates: Where it can be gated.
        data: Gives the batches.
        measure_s: Seconds of one measurement.
    """
    batches = list(islice(iter(data.train), _TIMED_BATCHES + 1))
    batches = batches if len(batches) > 1 else batches * 2
    static_s = _seconds_per_image(model, batches) / macs
    dynamic_s = static_s
    if gates.gates:
        plan = gates.with_ratios([_RATIO] * gates.n_blocks, [_RATIO] * gates.n_blocks)
        dynamic_s = _seconds_per_image(GatedNetwork(model, plan), batches) / macs
    return Pace(
        n_train=data.train.n_images,
        n_validation=data.validation.n_images,
        static_s=static_s,
        dynamic_s=dynamic_s,
        measure_s=measure_s,
    )


def _seconds_per_image(model: nn.Module, batches: Sequence[Sequence[object]]) -> float:
    """Of a step of training, the first one left out."""
    fine_tune(deepcopy(model), Loaders(train=batches[:1]), config=FineTune(epochs=1.0))
    tuned = fine_tune(deepcopy(model), Loaders(train=batches[1:]), config=FineTune(epochs=1.0, lr=1e-6))
    return 1.0 / tuned.images_per_s


class Clock:
    """The wall clock of a study, over all its sessions.

    Args:
        budget_s: Seconds that it may take; none for no end.
        before_s: Seconds spent in the sessions before.
    """

    def __init__(self, budget_s: float | None, *, before_s: float = 0.0) -> None:
        self._budget_s, self._before_s, self._start_s = budget_s, before_s, time.monotonic()

    @property
    def spent_s(self) -> float:
        """Seconds spent so far."""
        return self._before_s + time.monotonic() - self._start_s

    @property
    def left_s(self) -> float:
        """Seconds left; infinite without a budget."""
        return float("inf") if self._budget_s is None else self._budget_s - self.spent_s
