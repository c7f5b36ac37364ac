"""Masks at work: a network whose maps are pruned while it runs, and the masks recorded."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn

from edgewise._core.errors import PlanError
from edgewise._core.progress import Progress, SilentProgress
from edgewise.cost.chip.masks import LayerMask
from edgewise.dynamic.attention import GateRules, gate_masks
from edgewise.dynamic.rankings import oracle_scores, static_channels
from edgewise.ir.gates import Gate, GatePlan

Watch = Callable[[Gate, Bool[Tensor, "b c"], Bool[Tensor, "b h w"]], None]
"""Is told what each gate kept."""


@contextmanager
def gated(
    model: nn.Module,
    plan: GatePlan,
    rules: GateRules | None = None,
    *,
    fixed: Mapping[str, Bool[Tensor, " c"]] | None = None,
    watch: Watch | None = None,
    seed: int = 0,
) -> Iterator[nn.Module]:
    """Prunes the inputs of the plan's consumers for the time being; the network itself is left as it was.

    Args:
        model: The network, or one of the same module names.
        plan: Gates and their ratios.
        rules: How masks are chosen.
        fixed: Channels kept whatever the input, by consumer, in place of its channel mask (static pruning).
        watch: Is told what each gate kept.
        seed: Seed of a ``random`` ranking.

    Yields:
        The network.

    Raises:
        PlanError: The network has no module of a consumer's name.
    """
    rules = rules or GateRules()
    modules = consumers_of(model, plan)
    if rules.ranking == "static" and fixed is None:
        fixed = static_channels(model, plan)
    generator = torch.Generator().manual_seed(seed)
    hooks = []
    for gate in plan.gates:
        if gate.channel_ratio == 0 and gate.spatial_ratio == 0:
            continue
        hook = _pruner(gate, rules, None if fixed is None else fixed.get(gate.consumer), watch, generator)
        hooks.append(modules[gate.consumer].register_forward_pre_hook(hook))
    try:
        yield model
    finally:
        for handle in hooks:
            handle.remove()


def record_masks(
    model: nn.Module,
    plan: GatePlan,
    batches: Iterable[Sequence[Any]],
    *,
    rules: GateRules | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, LayerMask]:
    """Masks of every gate, recorded while the network runs on real inputs with its gates at work.

    Args:
        model: The network; evaluated in evaluation mode.
        plan: Gates and their ratios.
        batches: Batches whose first item are images.
        rules: How masks are chosen.
        seed: Seed of a ``random`` ranking.
        progress: Is told of every batch.

    Returns:
        Masks by consumer, of gates whose ratios are not both 0.
    """
    watcher = progress or SilentProgress()
    kept: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}

    def watch(gate: Gate, channels: Tensor, positions: Tensor) -> None:
        kept.setdefault(gate.consumer, []).append((channels.cpu().numpy(), positions.cpu().numpy()))

    was_training = model.training
    model.eval()
    with gated(model, plan, rules, watch=watch, seed=seed), torch.no_grad():
        for batch in batches:
            model(batch[0])
            watcher.advance()
    model.train(was_training)
    ratios = {gate.consumer: gate.spatial_ratio for gate in plan.gates}
    return {
        name: LayerMask(
            channels=np.concatenate([channels for channels, _ in pairs]),
            positions=np.concatenate([positions for _, positions in pairs]) if ratios[name] else None,
        )
        for name, pairs in kept.items()
    }


def consumers_of(model: nn.Module, plan: GatePlan) -> dict[str, nn.Module]:
    """The modules whose inputs the plan prunes, by name.

    Raises:
        PlanError: The network has no module of a consumer's name.
    """
    modules = dict(model.named_modules())
    missing = [gate.consumer for gate in plan.gates if gate.consumer not in modules]
    if missing:
        raise PlanError(f"the network has no module {missing[0]!r} to gate; was the plan made for another network?")
    return {gate.consumer: modules[gate.consumer] for gate in plan.gates}


def apply_masks(maps: Tensor, gate: Gate, channels: Tensor, positions: Tensor, *, leak: float = 0.0) -> Tensor:
    """The map with what is not kept set to zero; a ratio of 0 multiplies nothing.

    Args:
        maps: The map (b, c, h, w).
        gate: Its ratios.
        channels: Which channels are kept (b, c).
        positions: Which positions are kept (b, h, w).
        leak: Share of the gradient that what is not kept gets, in [0, 1].
    """
    if not (gate.spatial_ratio or gate.channel_ratio):
        return maps
    mask = _joined_mask(maps, channels, positions) if gate.spatial_ratio else channels[:, :, None, None]
    if leak and torch.is_grad_enabled() and maps.requires_grad:
        masked: Tensor = _LeakyMask.apply(maps, mask, leak)
        return masked
    return maps * mask


class _LeakyMask(torch.autograd.Function):
    """A mask of zeros and ones whose zeros let a share of the gradient through (a straight-through estimator for a share of 1)."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, mask: Tensor, leak: float) -> Tensor:  # noqa: ANN401 - torch's context
        ctx.save_for_backward(mask)
        ctx.leak = leak
        return maps * mask

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401 - torch's context
        (mask,) = ctx.saved_tensors
        return gradient * mask.to(gradient.dtype).clamp(min=ctx.leak), None, None


def _joined_mask(maps: Tensor, channels: Tensor, positions: Tensor) -> Tensor:
    """Both masks as one of the map's type, shape and order in memory.

    Multiplying 16 channels, last in memory, by a mask of positions takes torch ten times as long as by a whole one.
    """
    n_images, n_channels, height, width = maps.shape
    rows, columns = positions.flatten(1).to(maps.dtype), channels.to(maps.dtype)
    if maps.is_contiguous(memory_format=torch.channels_last):
        joined = torch.bmm(rows[:, :, None], columns[:, None])
        return joined.reshape(n_images, height, width, n_channels).permute(0, 3, 1, 2)
    return torch.bmm(columns[:, :, None], rows[:, None]).reshape(maps.shape)


def _pruner(
    gate: Gate, rules: GateRules, fixed: Tensor | None, watch: Watch | None, generator: torch.Generator
) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
    def prune(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        maps = inputs[0]
        scores = None
        if rules.ranking == "oracle" and isinstance(module, nn.Conv2d):
            scores = oracle_scores(maps, module, positions=gate.spatial_ratio > 0)
        channels, positions = gate_masks(maps, gate, rules, generator=generator, scores=scores)
        if fixed is not None:
            channels = fixed.to(maps.device).expand(len(maps), -1)
        if watch is not None:
            watch(gate, channels, positions)
        return (apply_masks(maps, gate, channels, positions), *inputs[1:])

    return prune
