"""All figures of a sparsify run as JSON values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgewise._core.progress import Progress
from edgewise._core.showing import counted
from edgewise.dynamic import record_masks
from edgewise.dynamic.accounting import MacCount, count_macs, macs_by_block, macs_of
from edgewise.dynamic.redundancy import redundancy_of
from edgewise.dynamic.removing import Removal
from edgewise.ir import NetSpec
from edgewise.ir.gates import Gate, GatePlan
from edgewise.measure.host import provenance
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.sparsify.latency import SideBySide
from edgewise.recipes.sparsify.ratios import Chosen
from edgewise.recipes.sparsify.request import SparsifyRequest
from edgewise.recipes.sparsify.training import Judged
from edgewise.train.batches import JudgedData, first_images

_MASK_IMAGES = 500


@dataclass(frozen=True, kw_only=True)
class Found:
    """All that a run knows when it is done.

    Attributes:
        loaded: The dense network.
        net: The same as hardware sees it.
        plan: The gates and their ratios, of the dense network.
        chosen: How the ratios were chosen, or none where they were given.
        balanced: Layers whose maps were scaled, for attention to rank by their weights, too.
        judged: The gated network and the accuracies.
        data: What it was trained with.
        timing: What dense and dynamic network take.
    """

    loaded: LoadedModel
    net: NetSpec
    plan: GatePlan
    chosen: Chosen | None
    balanced: tuple[str, ...]
    judged: Judged
    data: JudgedData | None
    timing: SideBySide | None = None


def result_value(
    request: SparsifyRequest, found: Found, *, settings: Mapping[str, Any], seconds: float, progress: Progress
) -> dict[str, Any]:
    """The content of ``result.json``; ``macs`` counts convolutions alone, as the tutorial does."""
    judged, timing, removal = found.judged, found.timing, found.judged.removal
    left = found.net.with_widths(removal.widths.widths)
    count = count_macs(left, removal.gates, given=found.net)
    fastest = None if timing is None else timing.dense.best
    last = None if timing is None else timing.dynamic[-1]
    return {
        "command": "sparsify",
        "model": found.loaded.name,
        "device": None if timing is None else timing.runtime,
        "threads": request.device.threads,
        "batch": request.device.batch,
        "precision": "fp32",
        "kind": "measured",
        "baseline": {
            "accuracy": judged.baseline,
            "accuracy_validation": judged.baseline_validation,
            "macs": count.macs,
            "macs_with_linear": found.net.macs,
            "params": found.net.params,
            "latency_s": None if fastest is None else fastest.latency_s,
            "min_s": None if fastest is None else fastest.min_s,
        },
        "result": {
            "accuracy": judged.accuracy,
            "accuracy_validation": judged.accuracy_validation,
            "untrained_validation": judged.untrained_validation,
            "macs": count.macs_executed,
            "macs_counted": count.macs_counted,
            "macs_executed": count.macs_executed,
            "reduction": count.reduction,
            "reduction_executed": count.reduction_executed,
            "reduction_removed": count.reduction_removed,
            "params": left.params,
            "latency_s": None if last is None else last.latency_s,
            "min_s": None if last is None else last.min_s,
        },
        "ratios": {
            "channel": list(found.plan.channel_ratios),
            "spatial": list(found.plan.spatial_ratios),
            "removed": removed_ratios(found.plan, removal),
        },
        "latency": None if timing is None else timing.to_json(ideal=count.ideal_speedup),
        "accounting": _accounting(count),
        "blocks": _blocks(found, left),
        "widths": removal.widths.widths,
        "gates": [_gate(gate, now) for gate, now in zip(found.plan.gates, removal.gates.gates, strict=True)],
        "budgets": _budgets(found),
        "redundancy": _redundancy(found, progress=progress),
        "chosen": None if found.chosen is None else found.chosen.to_json(),
        "balanced": list(found.balanced),
        "refitted": list(judged.refitted),
        "fine_tune": {"history": list(judged.history), "seconds": judged.seconds} if judged.fine_tuned else None,
        "warnings": [*judged.warnings, *_masked(found)],
        "settings": dict(settings),
        "provenance": provenance(seed=request.seed),
        "seconds": seconds,
    }


def _masked(found: Found) -> list[str]:
    """A warning where gates save no time, since the kernels do not take what they prune."""
    if found.timing is None:
        return []
    from edgewise.dynamic.running import masked_gates  # loads what runs networks

    masked = masked_gates(found.judged.model.plain(), found.judged.removal.gates)
    if not masked:
        return []
    return [
        f"{counted(len(masked), 'gate')} (the first before {masked[0]}) are masked and save no time: the kernels take plain fp32 "
        "convolutions with a batch norm, ReLU, sum or 2x2 max pooling behind them"
    ]


def _accounting(count: MacCount) -> dict[str, Any]:
    return {
        **count.to_json(),
        "counted": "convolutions only, each gated one on its input side, ratios not rounded; attention and top-k not counted",
        "executed": "whole channels and positions; attention_adds, ranked and packed_bytes are what choosing the masks costs",
    }


def removed_ratios(plan: GatePlan, removal: Removal) -> list[float]:
    """Share of the channels of each block's gated maps that are removed for good.

    Args:
        plan: The gates of the network as it was.
        removal: What was removed.
    """
    before, after = [0] * plan.n_blocks, [0] * plan.n_blocks
    for gate, now in zip(plan.gates, removal.gates.gates, strict=True):
        before[gate.block] += gate.channels
        after[gate.block] += now.channels
    return [1 - left / max(all_, 1) for all_, left in zip(before, after, strict=True)]


def _blocks(found: Found, left: NetSpec) -> list[dict[str, Any]]:
    removal = found.judged.removal
    macs, removed = macs_by_block(found.net, found.plan), removed_ratios(found.plan, removal)
    rows = []
    for block in range(found.plan.n_blocks):
        gates = [gate for gate in found.plan.gates if gate.block == block]
        rows.append(
            {
                "block": block,
                "hw": list(found.net.layer(gates[0].producer).out_hw),
                "gates": len(gates),
                "macs": macs[block],
                "macs_counted": sum(macs_of(left, gate) for gate in removal.gates.gates if gate.block == block),
                "channel_ratio": gates[0].channel_ratio,
                "spatial_ratio": gates[0].spatial_ratio,
                "removed_ratio": removed[block],
            }
        )
    return rows


def _gate(gate: Gate, now: Gate) -> dict[str, Any]:
    return {
        "consumer": gate.consumer,
        "producer": gate.producer,
        "block": gate.block,
        "channels": gate.channels,
        "channels_left": now.channels,
        "kept_channels": now.kept_channels,
        "positions": math.prod(gate.hw),
        "kept_positions": now.kept_positions,
    }


def _budgets(found: Found) -> list[dict[str, Any]]:
    rows = []
    for place, budget in enumerate(found.judged.model.budgets):
        plan = found.plan.scaled(budget.share)
        count = count_macs(found.net, plan)
        rows.append(
            {
                "share": budget.share,
                "channel": list(plan.channel_ratios),
                "spatial": list(plan.spatial_ratios),
                "macs_counted": count.macs_counted,
                "macs_executed": count.macs_executed,
                "reduction": count.reduction,
                "accuracy": found.judged.by_budget[place] if found.judged.by_budget else None,
                "latency_s": budget.latency_s,
            }
        )
    return rows


def _redundancy(found: Found, *, progress: Progress) -> list[dict[str, Any]]:
    if found.data is None or found.data.validation is None:
        return []
    batches = list(first_images(found.data.validation, _MASK_IMAGES))
    progress.start("recording masks", len(batches))
    removal = found.judged.removal
    masks = record_masks(found.judged.model.plain(), removal.gates, batches, progress=progress)
    return [row.to_json() for row in redundancy_of(found.plan, removal.masks_before(found.plan, masks))]
