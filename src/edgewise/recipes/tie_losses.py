"""What each tie loses when it is narrowed, and each block when it is left out, measured: the loss of the whole network on a few batches."""

import time
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from edgewise._core.progress import Progress
from edgewise.ir import Block
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
_SECONDS = 90.0
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
    """What the network's loss rises by, with one tie narrowed and all others as they are, or with blocks left out.

    Attributes:
        widths: Widths of each tie that it was judged at, ascending; the last is the present one.
        rises: Rise of the loss at each of them; not negative, never higher at a larger width, 0 at the last.
        at_zero: For each tie of a block that may be left out, what the loss rises by without the block, counted at the first
            of its ties.
    """

    widths: Mapping[str, tuple[int, ...]]
    rises: Mapping[str, tuple[float, ...]]
    at_zero: Mapping[str, float] = field(default_factory=dict)

    def worth(self) -> Worth:
        """Worth of a tie at a width: the loss that the width saves, linear between the widths judged, as measured at 0.

        A tie that doubles is worth a tenth of what it loses when it is halved: new channels compute nothing yet.
        What was not judged is worth nothing at any width.
        """

        def worth(tie: str, width: int) -> float:
            if width == 0 and tie in self.at_zero:
                return -self.at_zero[tie]
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


def measure_tie_losses(
    given: Given, lessons: Lessons, ties: Iterable[str], *, blocks: Sequence[Block] = (), progress: Progress
) -> TieLosses | None:
    """Narrows one tie after the other, leaves one block after the other out, and judges the network each time.

    The layers that read a narrowed tie, and all behind a block left out, are refitted first, as those of the fitted network
    will be, and batch norms go by the batches' own statistics. As many of the lessons' images are looked at as fit into
    a minute or two. A classifier's loss is taken against its own answers before: what it rises by is then the divergence of
    the answers, which is known from far fewer images than what the loss against labels rises by.

    Args:
        given: The trained network; not changed.
        lessons: Batches and loss.
        ties: Ties to judge.
        blocks: Blocks to judge, too.
        progress: Is told how far it is.

    Returns:
        The losses; none where even a few images would take more than ten minutes.
    """
    widths = {name: _judged_widths(given.traced.net.tie(name).width) for name in ties}
    n_networks = 1 + sum(len(each) - 1 for each in widths.values()) + 2 * len(blocks)
    progress.start("judging layers", n_networks)
    unchanged = deepcopy(given.model)
    batches = _affordable(unchanged, lessons, n_networks=n_networks)
    if not batches:
        progress.note("layers are judged by the importance of their channels: measuring what each loses would take over 10 minutes")
        return None
    judged = _own_answers(unchanged, lessons, batches)
    judge = _Judge(given, lessons, judged, before=_loss_of(unchanged, lessons, judged), progress=progress)
    rises = {name: _falling((*(judge.rise({name: width}) for width in each[:-1]), 0.0)) for name, each in widths.items()}
    return TieLosses(widths=widths, rises=rises, at_zero=_at_zero(blocks, judge))


class _Judge:
    """Makes networks of one network, and tells how much more they lose.

    Args:
        given: The network as it came.
        lessons: The loss, and images to refit by.
        batches: What the loss is measured on.
        before: The loss of the network as it came.
        progress: Is told of the network as it came, and of each other.
    """

    def __init__(self, given: Given, lessons: Lessons, batches: Sequence[Sequence[Any]], *, before: float, progress: Progress) -> None:
        self._given, self._lessons, self._batches, self._before, self._progress = given, lessons, batches, before, progress
        self._refitter = Refitter(given.model, given.traced, Lessons(batches=batches[:1], loss=lessons.loss))
        progress.advance()

    def rise(self, widths: Mapping[str, int]) -> float:
        """What the loss rises by at these widths, 0 for the ties of blocks left out."""
        given = self._given
        plan = choose_channels(given.traced, widths, given.scores)
        changed = apply_plan(given.model, plan, given.traced)
        self._refitter.refit(changed, plan, drifted=0 in widths.values(), neighbours=False)
        self._progress.advance()
        return _loss_of(changed, self._lessons, self._batches) - self._before


def _at_zero(blocks: Sequence[Block], judge: _Judge) -> dict[str, float]:
    """What leaving each block out costs, where those that cost less are out already.

    Blocks make up for each other, so that leaving out two costs more than each alone. They are left out one after the other,
    by what each costs alone, and a block counts what the loss rises by then; never less than a block before it, so that a
    sum over blocks does not fall short of what they cost together.
    """
    alone = {block.name: judge.rise(dict.fromkeys(block.ties, 0)) for block in blocks}
    gone: dict[str, int] = {}
    costs: dict[str, float] = {}
    together, least = 0.0, 0.0
    for block in sorted(blocks, key=lambda block: alone[block.name]):
        gone.update(dict.fromkeys(block.ties, 0))
        now = judge.rise(gone)
        least = max(least, now - together, alone[block.name])
        together = now
        costs.update({tie: least if tie == block.ties[0] else 0.0 for tie in block.ties})
    return costs


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
    """The first batches, as many as a minute or two allow; a few images where one batch takes longer; none where these do, too."""
    batches = [*lessons.batches]
    _loss_of(model, lessons, batches[:1])  # the first run of a network takes longer
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


def _own_answers(model: nn.Module, lessons: Lessons, batches: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
    """The batches with what the network makes of them in place of labels, where the loss is cross entropy of classes."""
    if lessons.loss is not functional.cross_entropy:
        return batches
    found: list[Sequence[Any]] = []
    for inputs, target in batches:
        answer = _answer(model, inputs)
        if not isinstance(answer, Tensor) or target.shape != answer.shape[:1]:
            return batches
        found.append((inputs, answer.softmax(dim=1)))
    return found


def _answer(model: nn.Module, inputs: Any) -> Any:  # noqa: ANN401 - any model's inputs and outputs
    """What a network says of a batch, batch norms by its own statistics."""
    model.eval()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.train()
    with torch.no_grad(), passing(untimed):
        return call(model, to_device(inputs, device_of(model)))


def _loss_of(model: nn.Module, lessons: Lessons, batches: Sequence[Sequence[Any]]) -> float:
    """The mean loss over the batches, batch norms by each batch's own statistics; the model is a copy, and these change in it."""
    device, total = device_of(model), 0.0
    for inputs, target in batches:
        output = _answer(model, inputs)
        with torch.no_grad():
            total += float(lessons.loss(output, to_device(target, device)))
    return total / len(batches)
