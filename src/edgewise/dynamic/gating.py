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
    modules = dict(model.named_modules())
    missing = [gate.consumer for gate in plan.gates if gate.consumer not in modules]
    if missing:
        raise PlanError(f"the network has no module {missing[0]!r} to gate; was the plan made for another network?")
    generator = torch.Generator().manual_seed(seed)
    hooks = []
    for gate in plan.gates:
        if gate.channel_ratio == 0 and gate.spatial_ratio == 0:
            continue
        hook = _pruner(gate, rules or GateRules(), None if fixed is None else fixed.get(gate.consumer), watch, generator)
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


def _pruner(
    gate: Gate, rules: GateRules, fixed: Tensor | None, watch: Watch | None, generator: torch.Generator
) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
    def prune(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        maps = inputs[0]
        channels, positions = gate_masks(maps, gate, rules, generator=generator)
        if fixed is not None:
            channels = fixed.to(maps.device).expand(len(maps), -1)
        if watch is not None:
            watch(gate, channels, positions)
        return (maps * channels[:, :, None, None] * positions[:, None], *inputs[1:])

    return prune
