"""What a network costs on a chip, under one of the accountings."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgewise._core.errors import DeviceError, UnknownLayerError
from edgewise.cost.chip.activity import Activity, count_activity
from edgewise.cost.chip.converters import line_rule
from edgewise.cost.chip.mapping import DIGITAL_OPS, MAPPED_OPS, LayerMapping, map_layer
from edgewise.cost.chip.masks import LayerMask, Masks, often_kept_first
from edgewise.cost.chip.records import Chip
from edgewise.cost.chip.replication import replicate
from edgewise.cost.chip.results import ChipCost, LayerCost
from edgewise.cost.chip.settings import ChipSettings
from edgewise.ir import LayerSpec, NetSpec
from edgewise.ir.gates import GatePlan

Floats = npt.NDArray[np.float64]
NO_GATES = GatePlan(gates=())


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """One layer with what is stored of it and what is known of its input."""

    layer: LayerSpec
    channels: int
    outputs: int
    mask: LayerMask | None
    order: npt.NDArray[np.int64] | None
    gated_values: int


def price_network(net: NetSpec, chip: Chip, settings: ChipSettings, *, plan: GatePlan = NO_GATES, masks: Masks | None = None) -> ChipCost:
    """Prices a network on a chip.

    Args:
        net: The network.
        chip: The chip.
        settings: Accounting, schedule, layout.
        plan: Gates and their ratios, of which static accountings take what is removed.
        masks: What is kept of each gated input; read by every accounting but ``dense``.

    Returns:
        Means over the images of the masks; the dense network's cost is that of one input.

    Raises:
        UnknownLayerError: A layer does not run on a crossbar chip, and is not to be skipped.
        DeviceError: The network needs more tiles than the chip has.
    """
    layers, skipped = mapped_layers(net, settings)
    jobs = [_job(layer, settings, plan=plan, masks=masks or {}) for layer in layers]
    mappings = _mappings(jobs, chip, settings, dense=layers)
    arrays, imas = _packed(mappings, chip, settings)
    tiles = math.ceil(imas / chip.imas_per_tile)
    if tiles > chip.tiles:
        raise DeviceError(
            f"{net.name} needs {tiles} tiles ({arrays:,} arrays) with --accounting {settings.accounting}, {chip.name} has {chip.tiles}; "
            "use fewer bits, more pruning, or --accounting reload"
        )
    priced = [_priced(job, mapping, chip, settings) for job, mapping in zip(jobs, mappings, strict=True)]
    latency = _total_latency([times for _, times in priced], settings)
    return ChipCost(
        accounting=settings.accounting,
        layers=tuple(cost for cost, _ in priced),
        arrays=arrays,
        imas=imas,
        tiles=tiles,
        latency_s=latency,
        energy_by_component=_total_energy([cost for cost, _ in priced], chip, latency),
        area_mm2=_area(chip, tiles),
        static_w=chip.static_w,
        utilisation=_utilisation([cost for cost, _ in priced], chip),
        n_images=max((job.mask.n_images for job in jobs if job.mask is not None), default=1),
        skipped=skipped,
    )


def mapped_layers(net: NetSpec, settings: ChipSettings) -> tuple[tuple[LayerSpec, ...], tuple[tuple[str, str], ...]]:
    """Layers that run on arrays, and those left out with the reason.

    Raises:
        UnknownLayerError: A layer runs neither on arrays nor in a tile's digital logic, and is not to be skipped.
    """
    wanted = MAPPED_OPS - {"linear"} if settings.convolutions_only else MAPPED_OPS
    skipped = [(layer.name, f"{layer.op} runs neither on arrays nor in a tile's logic") for layer in net.layers if not _supported(layer)]
    if skipped and not settings.skip_unsupported:
        names = ", ".join(f"{name} ({reason.split()[0]})" for name, reason in skipped[:3])
        more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        raise UnknownLayerError(f"a crossbar chip does not run {names}{more} of {net.name}; --skip-unsupported prices the rest")
    layers = tuple(layer for layer in net.layers if layer.op in wanted)
    if not layers:
        raise UnknownLayerError(f"{net.name} has no layer that runs on a crossbar chip")
    return layers, tuple(skipped)


def _supported(layer: LayerSpec) -> bool:
    return layer.op in MAPPED_OPS or (not layer.priced and layer.op in DIGITAL_OPS)


def _job(layer: LayerSpec, settings: ChipSettings, *, plan: GatePlan, masks: Masks) -> _Job:
    """What is stored of a layer, and which mask still acts while it runs."""
    mask = None if settings.accounting == "dense" else masks.get(layer.name)
    gate = next((one for one in plan.gates if one.consumer == layer.name), None)
    gated = 0 if gate is None or settings.accounting == "dense" else math.prod(gate.hw) * gate.channels
    passes = 0 if gate is None else (gate.channel_ratio > 0) + (gate.spatial_ratio > 0)
    channels, outputs, order = layer.in_channels, layer.out_channels, None
    if settings.accounting == "gating":
        order = often_kept_first(mask) if settings.sort_channels and mask is not None and layer.groups == 1 else None
        return _Job(layer=layer, channels=channels, outputs=outputs, mask=mask, order=order, gated_values=gated * passes)
    if settings.accounting == "reload" and mask is not None:
        channels = max(1, int(mask.channels.sum(1).max()))
    if settings.accounting in ("static", "static-both") and gate is not None:
        channels = gate.kept_channels
        passes = int(gate.spatial_ratio > 0)
    if settings.accounting == "static-both":
        channels, outputs = _both_sides(layer, plan, channels=channels)
    left = None if mask is None or mask.positions is None else _without_channels(mask, channels)
    if mask is not None and not mask.channels.any():
        left = LayerMask(channels=np.zeros((mask.n_images, channels), dtype=bool), positions=mask.positions)
    return _Job(layer=layer, channels=channels, outputs=outputs, mask=left, order=None, gated_values=gated * passes)


def _both_sides(layer: LayerSpec, plan: GatePlan, *, channels: int) -> tuple[int, int]:
    """Input and output channels left when what nobody reads is not computed either."""
    kept_of = {gate.producer: gate.kept_channels for gate in plan.gates}
    ratio_of = {gate.block: gate for gate in plan.gates}
    for head, producer, block in plan.heads:
        gate = ratio_of.get(block)
        if gate is None:
            continue
        share = gate.kept_channels / gate.channels
        if layer.name == producer and producer not in kept_of:
            kept_of[producer] = round(layer.out_channels * share)
        if layer.name == head:
            channels = round(layer.in_channels * share)
    return channels, kept_of.get(layer.name, layer.out_channels)


def _without_channels(mask: LayerMask, channels: int) -> LayerMask:
    return LayerMask(channels=np.ones((mask.n_images, channels), dtype=bool), positions=mask.positions)


def _mappings(jobs: Sequence[_Job], chip: Chip, settings: ChipSettings, *, dense: Sequence[LayerSpec]) -> tuple[LayerMapping, ...]:
    once = tuple(map_layer(job.layer, chip, settings.rules, channels=job.channels, outputs=job.outputs) for job in jobs)
    if settings.replication.isdigit():
        return tuple(mapping.with_copies(int(settings.replication)) for mapping in once)
    budget = chip.arrays
    if settings.replication == "freed":
        budget = sum(map_layer(layer, chip, settings.rules).arrays for layer in dense)
    if settings.accounting == "reload":
        return tuple(replicate((mapping,), budget=budget, schedule="pipelined")[0] for mapping in once)
    if not settings.shared_imas:
        budget -= len(once) * (chip.arrays_per_ima - 1)
    return replicate(once, budget=budget, schedule=settings.schedule)


def _packed(mappings: Sequence[LayerMapping], chip: Chip, settings: ChipSettings) -> tuple[int, int]:
    """Arrays and IMAs in use; with reloading those of the largest layer."""
    counts = [mapping.arrays for mapping in mappings]
    arrays = max(counts) if settings.accounting == "reload" else sum(counts)
    if settings.shared_imas or settings.accounting == "reload":
        return arrays, math.ceil(arrays / chip.arrays_per_ima)
    return arrays, sum(math.ceil(count / chip.arrays_per_ima) for count in counts)


def _priced(job: _Job, mapping: LayerMapping, chip: Chip, settings: ChipSettings) -> tuple[LayerCost, Floats | None]:
    activity = count_activity(
        job.layer,
        mapping,
        job.mask,
        mechanisms=settings.mechanisms,
        line_rule=line_rule(settings.adc_rule, chip),
        order=job.order,
    )
    written = settings.accounting == "reload"
    times = _times(activity, mapping, chip, settings)
    dense_macs = job.layer.macs
    cost = LayerCost(
        mapping=mapping,
        latency_s=None if times is None else float(times.mean()),
        energy_by_component=_energy(job, mapping, chip, activity=activity, written=written),
        ops_dense=2 * dense_macs,
        ops_executed=2 * mapping.macs * float(activity.kept_share.mean()),
        reads=float(activity.reads.mean()),
        drives=float(activity.drives.mean()),
        conversions=float(activity.conversions.mean()),
        positions=float(activity.positions.mean()),
        cells=mapping.cells_used(chip.slices) * mapping.copies,
    )
    return cost, times


def _times(activity: Activity, mapping: LayerMapping, chip: Chip, settings: ChipSettings) -> Floats | None:
    """Time of each image: products in sequence, and writing where weights are reloaded."""
    if chip.mvm_s is None:
        return None
    steps = np.ceil(activity.positions / mapping.copies)
    if settings.adc_rule == "puma":
        # puma-simulator's ADC takes time in proportion to its bits.
        steps = steps * np.divide(activity.slowest_share, activity.positions, out=np.ones_like(steps), where=activity.positions > 0)
    times: Floats = steps * chip.mvm_s
    if settings.accounting == "reload":
        if chip.write_row_s is None:
            return None
        rows = min(chip.rows, mapping.taps * (mapping.channels // mapping.groups) * mapping.packed)
        times = times + rows * chip.write_row_s
    return times


def _energy(job: _Job, mapping: LayerMapping, chip: Chip, *, activity: Activity, written: bool) -> dict[str, float] | None:
    """Joules by part; none where a part's power is unpublished."""
    counts = {
        "conversion": float(activity.conversions.mean()),
        "wordline": float(activity.drives.mean()),
        "array": float(activity.reads.mean()),
        "tile": float(activity.reads.mean()),
        "none": 0.0,
    }
    shared = float((activity.conversions * activity.bit_share).mean())
    found: dict[str, float] = {}
    for component in chip.components:
        event_j = chip.event_j(component)
        if event_j is None:
            return None
        if component.follows != "none":
            count = shared if component.name == "adc" else counts[component.follows]
            found[component.name] = event_j * count * chip.input_cycles
    if job.gated_values:
        if chip.add_j is None:
            return None
        found["attention"] = chip.add_j * job.gated_values
    if written:
        if chip.write_cell_j is None:
            return None
        found["write"] = chip.write_cell_j * mapping.cells_used(chip.slices) * mapping.copies
    return found


def _total_latency(times: Sequence[Floats | None], settings: ChipSettings) -> float | None:
    known = [one for one in times if one is not None]
    if len(known) < len(times):
        return None
    n_images = max(len(one) for one in known)
    stacked = np.stack([np.broadcast_to(one, (n_images,)) for one in known])
    in_sequence = settings.schedule == "serial" or settings.accounting == "reload"
    return float((stacked.sum(0) if in_sequence else stacked.max(0)).mean())


def _total_energy(costs: Sequence[LayerCost], chip: Chip, latency_s: float | None) -> Mapping[str, float] | None:
    total: dict[str, float] = {}
    for cost in costs:
        if cost.energy_by_component is None or chip.static_w is None or latency_s is None:
            return None
        for name, joules in cost.energy_by_component.items():
            total[name] = total.get(name, 0.0) + joules
    if chip.static_w and latency_s:
        total["static"] = chip.static_w * latency_s
    return total


def _area(chip: Chip, tiles: int) -> float | None:
    tile = chip.sum_of("area_mm2", per="tile")
    return None if tile is None else tile * tiles


def _utilisation(costs: Sequence[LayerCost], chip: Chip) -> float:
    return sum(cost.cells for cost in costs) / (sum(cost.mapping.arrays for cost in costs) * chip.rows * chip.columns)
