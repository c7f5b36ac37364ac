"""Narrowed networks whose layers make up for the channels that are gone, as far as a few images tell how."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from edgewise._core.progress import Progress
from edgewise._core.showing import counted
from edgewise.dynamic import GatedNetwork
from edgewise.ir import WidthPlan
from edgewise.measure.lock import untimed
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.training import Lessons
from edgewise.trace import Traced
from edgewise.trace.reader_scores import score_by_readers
from edgewise.trace.readers import Readers, record_readers, refit_readers
from edgewise.trace.scores import Scores
from edgewise.train.batches import call, device_of, to_device
from edgewise.train.gate import passing

_MOST_IMAGES = 512
_LEAST_IMAGES = 32
_PIXELS = 64 * 224 * 224
"""Pixels of all images together, so that what a network holds while it runs fits into memory."""


class Refitter:
    """Refits narrowed copies of one network.

    Args:
        model: The network as it is.
        traced: Its trace.
        lessons: Whose images are looked at, never their labels; none to leave all copies as they are.
    """

    def __init__(self, model: nn.Module, traced: Traced, lessons: Lessons | None) -> None:
        self._model, self._traced = model, traced
        self._forward = forward_of(lessons)

    def refit(self, changed: nn.Module, plan: WidthPlan, *, drifted: bool = True, neighbours: bool = True) -> tuple[str, ...]:
        """Refits a copy, in place.

        Args:
            changed: What the plan made of the network.
            plan: The plan.
            drifted: Also refit layers that lost no channel themselves, behind those that did.
            neighbours: Solve for all taps of a kernel; better, and several times slower.

        Returns:
            The layers refitted, in order; none where the plan removes no channel, or there are no images.
        """
        narrows = any(len(tie.keep) < self._traced.net.tie(tie.tie).width for tie in plan.ties)
        if not narrows or self._forward is None:
            return ()
        return refit_readers(changed, self._readers, plan, drifted=drifted, neighbours=neighbours)

    def refit_gated(self, gated: GatedNetwork, plan: WidthPlan) -> tuple[str, ...]:
        """Refits a copy with its gates at work, in place: what its layers read of each image they make the best of.

        Args:
            gated: The network with gates, at the ratios that it is to have.
            plan: What was done to its widths before.

        Returns:
            The layers refitted, in order; none where there are no images.
        """
        if self._forward is None:
            return ()
        pruned = {gate.consumer for gate in gated.plan.gates if gate.channel_ratio or gate.spatial_ratio}
        return refit_readers(gated.network, self._readers, plan, pruned=pruned)

    def scores(self) -> Scores:
        """What the layers that read each unit lose without it, refitted; none of a tie without such a layer, or without images."""
        return {} if self._forward is None else score_by_readers(self._readers)

    @cached_property
    def _readers(self) -> Readers:
        assert self._forward is not None
        return record_readers(self._model, self._traced, self._forward)


def forward_of(lessons: Lessons | None) -> Callable[[nn.Module], object] | None:
    """What calls a network on the first images of the lessons; none where there are none."""
    inputs = None if lessons is None else _inputs_of(lessons.batches)
    if inputs is None:
        return None

    def forward(model: nn.Module) -> object:
        with passing(untimed):
            return call(model, to_device(inputs, device_of(model)))

    return forward


def refit_fitted(
    loaded: LoadedModel, traced: Traced, fitted: nn.Module, plan: WidthPlan, *, lessons: Lessons | None, progress: Progress
) -> tuple[str, ...]:
    """Refits a fitted network in place, before it is trained.

    Args:
        loaded: The network as it came; where it was never trained, there is nothing to make up for.
        traced: Its trace.
        fitted: What the plan made of it.
        plan: The plan.
        lessons: Whose images are looked at; none to change nothing.
        progress: Is told.

    Returns:
        The layers refitted, in order.
    """
    return _shown(loaded, traced, lambda refitter: refitter.refit(fitted, plan), lessons=lessons, progress=progress)


def refit_pruned(
    dense: LoadedModel, traced: Traced, network: GatedNetwork, plan: WidthPlan, *, lessons: Lessons | None, progress: Progress
) -> tuple[str, ...]:
    """Refits a network to what its gates leave, in place, before it is trained.

    Args:
        dense: The network without gates; where it was never trained, there is nothing to make up for.
        traced: Its trace.
        network: The same with gates, at the ratios that it is to have.
        plan: What was done to its widths before.
        lessons: Whose images are looked at; none to change nothing.
        progress: Is told.

    Returns:
        The layers refitted, in order.
    """
    return _shown(dense, traced, lambda refitter: refitter.refit_gated(network, plan), lessons=lessons, progress=progress)


def _shown(
    loaded: LoadedModel, traced: Traced, refit: Callable[[Refitter], tuple[str, ...]], *, lessons: Lessons | None, progress: Progress
) -> tuple[str, ...]:
    if lessons is None or not loaded.trained:
        return ()
    progress.start("refitting layers", 1)
    refitted = refit(Refitter(loaded.model, traced, lessons))
    progress.advance()
    if refitted:
        progress.note(f"{counted(len(refitted), 'layer')} refitted to what is left to read")
    return refitted


def _inputs_of(batches: Sequence[Sequence[Any]]) -> Any:  # noqa: ANN401 - any model's inputs
    """Inputs of the first batches together: up to 512 images, fewer of large ones; of several tensors those of the first batch."""
    first = next((inputs for inputs, _ in batches), None)
    if not isinstance(first, Tensor) or first.ndim < 2:
        return first
    left = max(_LEAST_IMAGES, min(_MOST_IMAGES, _PIXELS // first[0, 0].numel()))
    found: list[Tensor] = []
    for inputs, _ in batches:
        if left > 0 and isinstance(inputs, Tensor) and inputs.shape[1:] == first.shape[1:]:
            found.append(inputs[:left])
            left -= len(found[-1])
    return torch.cat(found)
