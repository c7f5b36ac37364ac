"""What each tie loses when it is narrowed, measured: the loss of the whole network on a few batches, tie by tie."""

import time
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgewise._core.progress import Progress
from edgewise.measure.lock import untimed
from edgewise.recipes.refitting import Refitter
from edgewise.recipes.training import Lessons
from edgewise.recipes.worth import GROWTH_WORTH
from edgewise.trace import Traced, apply_plan, choose_channels
from edgewise.train.batches import call, device_of, to_device
from edgewise.train.gate import passing
from edgewise.widths.tables import Worth

SHARES = (0.25, 0.5, 0.75)
"""Shares of its width that each tie is judged at."""
_SECONDS = 60.0
"""Time that judging all ties should take."""
_MOST_SECONDS = 600.0
_LEAST_IMAGES = 32
_REFITTING = 1
"""Batches that refitting a network takes as long as."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """A network as it came, and what its channels are worth among each other.

    Attributes:
        model: The network.
        traced: Its trace.
        scores: Importance of each unit of each tie: where a tie is narrowed, the best stay.
    """

    model: nn.Module
    traced: Traced
    scores: Mapping[str, Float[np.ndarray, " units"]]


@dataclass(frozen=True, kw_only=True, slots=True)
class TieLosses:
    """What the network's loss rises by, with one tie narrowed and all others as they are.

    Attributes:
        widths: Widths of each tie that it was judged at, ascending; the last is the present one.
        rises: Rise of the loss at each of them; not negative, never higher at a larger width, 0 at the last.
    """

    widths: Mapping[str, tuple[int, ...]]
    rises: Mapping[str, tuple[float, ...]]

    def worth(self) -> Worth:
        """Worth of a tie at a width: the loss that the width saves, linear between the widths judged.

        A tie that doubles is worth a tenth of what it loses when it is halved: new channels compute nothing yet.
        What was not judged is worth nothing at any width.
        """

        def worth(tie: str, width: int) -> float:
            if tie not in self.widths:
                return 0.0
            widths, rises = self.widths[tie], self.rises[tie]
            full = widths[-1]
            if width > full:
                return float(GROWTH_WORTH * np.interp(full / 2, widths, rises) * np.log2(width / full))
            if width < widths[0]:
                slope = (rises[0] - rises[1]) / (widths[1] - widths[0])
                return -(rises[0] + slope * (widths[0] - width))
            return -float(np.interp(width, widths, rises))

        return worth


def measure_tie_losses(given: Given, lessons: Lessons, ties: Iterable[str], *, progress: Progress) -> TieLosses | None:
    """Narrows one tie after the other, and judges the network each time.

    The layers that read a narrowed tie are refitted first, as those of the fitted network will be, and batch norms go by the
    batches' own statistics. As many of the lessons' images are looked at as fit into about a minute.

    Args:
        given: The trained network; not changed.
        lessons: Batches and loss.
        ties: Ties to judge.
        progress: Is told how far it is.

    Returns:
        The losses; none where even a few images would take more than ten minutes.
    """
    widths = {name: _judged_widths(given.traced.net.tie(name).width) for name in ties}
    n_networks = 1 + sum(len(each) - 1 for each in widths.values())
    progress.start("judging layers", n_networks)
    unchanged = deepcopy(given.model)
    batches = _affordable(unchanged, lessons, n_networks=n_networks)
    if not batches:
        progress.note("layers are judged by the importance of their channels: measuring what each loses would take over 10 minutes")
        return None
    before = _loss_of(unchanged, lessons, batches)
    refitter = Refitter(given.model, given.traced, Lessons(batches=batches[:1], loss=lessons.loss))
    progress.advance()
    rises: dict[str, tuple[float, ...]] = {}
    for name, each in widths.items():
        found = []
        for width in each[:-1]:
            plan = choose_channels(given.traced, {name: width}, given.scores)
            narrowed = apply_plan(given.model, plan, given.traced)
            refitter.refit(narrowed, plan, drifted=False)
            found.append(_loss_of(narrowed, lessons, batches) - before)
            progress.advance()
        rises[name] = _falling((*found, 0.0))
    return TieLosses(widths=widths, rises=rises)


def _judged_widths(width: int) -> tuple[int, ...]:
    """Widths that a tie is judged at, the present one last."""
    return tuple(sorted({max(1, round(share * width)) for share in SHARES} | {width}))


def _falling(rises: Sequence[float]) -> tuple[float, ...]:
    """Rises by ascending width made monotone: a wider layer is not worse, and no narrower one better than the network as it is.

    Example:
        >>> _falling((0.5, 0.25, 0.375, -0.125, 0.0))
        (0.5, 0.375, 0.375, 0.0, 0.0)
    """
    return tuple(float(rise) for rise in np.maximum.accumulate(np.maximum(rises, 0.0)[::-1])[::-1])


def _affordable(model: nn.Module, lessons: Lessons, *, n_networks: int) -> list[Sequence[Any]]:
    """The first batches, as many as about a minute allows; a few images where one batch takes longer; none where these do, too."""
    batches = [*lessons.batches]
    start_s = time.monotonic()
    _loss_of(model, lessons, batches[:1])
    whole_s = (time.monotonic() - start_s) * n_networks
    if whole_s <= _SECONDS:
        return batches[: max(1, int(_SECONDS / whole_s) - _REFITTING)]
    inputs, target = batches[0]
    if isinstance(inputs, Tensor) and isinstance(target, Tensor):
        n_images = min(len(inputs), max(_LEAST_IMAGES, int(len(inputs) * _SECONDS / whole_s)))
        whole_s *= n_images / len(inputs)
        inputs, target = inputs[:n_images], target[:n_images]
    return [(inputs, target)] if whole_s <= _MOST_SECONDS else []


def _loss_of(model: nn.Module, lessons: Lessons, batches: Sequence[Sequence[Any]]) -> float:
    """The mean loss over the batches, batch norms by each batch's own statistics; the model is a copy, and these change in it."""
    model.eval()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.train()
    device, total = device_of(model), 0.0
    with torch.no_grad():
        for inputs, target in batches:
            with passing(untimed):
                output = call(model, to_device(inputs, device))
            total += float(lessons.loss(output, to_device(target, device)))
    return total / len(batches)
