"""How much each channel matters, and which of them to keep."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from edgewise._core.errors import PlanError, UsageError
from edgewise.ir import TiePlan, WidthPlan
from edgewise.trace.surgery import check_plan
from edgewise.trace.traced import Site, Traced

Kind = Literal["l2", "batch_norm", "taylor"]
"""Ways to score channels."""
Scores = dict[str, npt.NDArray[np.float64]]
"""For each tie the score of every unit; higher: keep."""


def score_channels(
    model: nn.Module,
    traced: Traced,
    *,
    kind: Kind,
    batches: Iterable[tuple[Any, Any]] | None = None,
    loss: Callable[[Any, Any], Tensor] | None = None,
) -> Scores:
    """The importance of every unit of every tie, all its weights taken together.

    * ``l2``: the sum over all weights that write or read the unit of its squared weights,
      each tensor divided by its mean over channels, so that layers of any size count alike.
    * ``batch_norm``: the sum of its absolute batch-norm scales, each norm divided by its
      mean (Liu et al. 2017, Network Slimming); a tie without batch norm is scored by ``l2``.
    * ``taylor``: the absolute first-order change of the loss if the unit were removed: the
      sum of weight times gradient over all its weights (Molchanov et al. 2019).

    Args:
        model: The traced network.
        traced: Its trace.
        kind: How to score.
        batches: Pairs of inputs (a tensor or a tuple of them) and targets, for ``taylor``.
        loss: Takes outputs and targets and returns a scalar, for ``taylor``.

    Returns:
        Per tie an array as long as its width; not negative.

    Raises:
        UsageError: An unknown kind, or ``taylor`` without batches or loss.
    """
    if kind == "taylor":
        if batches is None or loss is None:
            raise UsageError("`kind` 'taylor' needs `batches` and `loss`, got none")
        tensors = _weight_times_gradient(model, traced, batches=batches, loss=loss)
        return _by_tie(traced, np.abs(_summed(traced, tensors, roles=("write", "read", "scale", "each"))))
    if kind not in ("l2", "batch_norm"):
        raise UsageError(f"`kind` must be 'l2', 'batch_norm' or 'taylor', got {kind!r}")
    weights = dict(model.named_parameters(remove_duplicate=False))
    squares = {name: tensor.detach().double() ** 2 for name, tensor in weights.items()}
    by_weight = _by_tie(traced, _summed(traced, squares, roles=("write", "read"), relative=True))
    if kind == "l2":
        return by_weight
    sizes = {name: tensor.detach().double().abs() for name, tensor in weights.items()}
    by_scale = _by_tie(traced, _summed(traced, sizes, roles=("scale",), relative=True))
    return {name: scores if scores.any() else by_weight[name] for name, scores in by_scale.items()}


def choose_channels(traced: Traced, widths: Mapping[str, int], scores: Mapping[str, npt.NDArray[np.float64]]) -> WidthPlan:
    """The plan that reaches the widths with the best-scored units kept, and new ones where a tie grows.

    Args:
        traced: The trace.
        widths: Wanted width of each tie to change; 0 for all ties of a block that is left out.
        scores: Score of every unit; for ties that only grow, or go, none is needed.

    Returns:
        A plan; ties whose width stays are left out. Among equal scores the first units stay.

    Raises:
        PlanError: An unknown tie, a width it cannot have, or scores missing or of the wrong length.
    """
    plans = []
    for name, width in widths.items():
        tie = traced.net.tie(name)
        if width == tie.width:
            continue
        keep = tuple(range(tie.width))
        if width == 0:
            keep = ()
        elif width < tie.width:
            found = scores.get(name)
            if found is None or len(found) != tie.width:
                raise PlanError(f"`scores` must hold {tie.width} values for tie {name!r}, got {0 if found is None else len(found)}")
            keep = tuple(sorted(np.argsort(-found, kind="stable")[:width].tolist()))
        plans.append(TiePlan(tie=name, keep=keep, grow=max(0, width - tie.width)))
    plan = WidthPlan(ties=tuple(plans))
    traced.net.with_widths(widths)
    check_plan(plan, traced)
    return plan


def _summed(traced: Traced, tensors: Mapping[str, Tensor], *, roles: tuple[str, ...], relative: bool = False) -> npt.NDArray[np.float64]:
    """For every unit the sum over its places in all tensors."""
    totals = np.zeros(sum(tie.width for tie in traced.net.ties), dtype=np.float64)
    for site in traced.sites:
        if site.role not in roles or site.parameter not in tensors:
            continue
        line = _along(tensors[site.parameter], site)
        if relative and line.mean() > 0:
            line = line / line.mean()
        belongs = site.units >= 0
        np.add.at(totals, site.units[belongs], line[belongs])
    return totals


def _along(tensor: Tensor, site: Site) -> npt.NDArray[np.float64]:
    """The tensor summed over all axes but the site's."""
    rows = tensor.movedim(site.axis, 0).reshape(tensor.shape[site.axis], -1).sum(dim=1)
    return rows.detach().cpu().double().numpy()


def _by_tie(traced: Traced, totals: npt.NDArray[np.float64]) -> Scores:
    return {tie.name: totals[traced.starts[tie.name] : traced.starts[tie.name] + tie.width] for tie in traced.net.ties}


def _weight_times_gradient(
    model: nn.Module, traced: Traced, *, batches: Iterable[tuple[Any, Any]], loss: Callable[[Any, Any], Tensor]
) -> dict[str, Tensor]:
    """The sum over all batches of weight times gradient; the model's own gradients and mode stay as they are."""
    wanted = {site.parameter for site in traced.sites}
    weights = {name: tensor for name, tensor in model.named_parameters(remove_duplicate=False) if name in wanted}
    leaves = {name: tensor.detach().clone().requires_grad_() for name, tensor in weights.items() if tensor.is_floating_point()}
    totals = {name: torch.zeros_like(tensor, dtype=torch.float64) for name, tensor in leaves.items()}
    training = {name: module.training for name, module in model.named_modules()}
    model.eval()
    try:
        for given, target in batches:
            outputs = torch.func.functional_call(model, leaves, given if isinstance(given, tuple) else (given,))
            gradients = torch.autograd.grad(loss(outputs, target), list(leaves.values()), allow_unused=True)
            for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
                totals[name] += 0.0 if gradient is None else (leaf * gradient).detach().double()
    finally:
        for name, module in model.named_modules():
            module.training = training[name]
    return totals
