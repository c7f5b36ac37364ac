"""``edgewise crossbar``: what a network costs on a ReRAM chip, dense and pruned, and what accuracy is left there."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgewise._core.errors import EdgewiseError, UsageError
from edgewise._core.files import write_text
from edgewise._core.progress import Progress, SilentProgress
from edgewise.cost.chip.mapping import MappingRules
from edgewise.cost.chip.masks import LayerMask, draw_masks
from edgewise.cost.chip.pricing import price_network
from edgewise.cost.chip.reading import load_chip
from edgewise.cost.chip.records import Chip
from edgewise.cost.chip.results import ChipCost, LayerCost
from edgewise.cost.chip.settings import ChipSettings
from edgewise.dynamic import GateRules, place_gates, record_masks
from edgewise.ir import NetSpec
from edgewise.ir.gates import GatePlan
from edgewise.measure.host import provenance
from edgewise.recipes import crossbar_kept as kept
from edgewise.recipes.crossbar_accuracy import Judge, Judged, Pruning
from edgewise.recipes.crossbar_request import CrossbarRequest
from edgewise.recipes.neurosim import export_neurosim
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.runs import REPORT_FILE, append_log, is_finished, load_request, load_run, prepare_folder, write_run
from edgewise.recipes.showing import crossbar_card
from edgewise.recipes.unfinished import check_same
from edgewise.report.crossbar import render_crossbar
from edgewise.trace import trace
from edgewise.train.data import Dataset, DataSpec, open_data

DRAWN_IMAGES = 64
"""Images that masks are drawn for where none are recorded."""


@dataclass(frozen=True, kw_only=True)
class CrossbarResult:
    """What ``crossbar`` found.

    Attributes:
        value: All figures as JSON values.
        cost: The pruned network on the chip; none for a finished run that was read again.
        dense: The unpruned one, under the same way of running.
    """

    value: Mapping[str, Any]
    cost: ChipCost | None = None
    dense: ChipCost | None = None

    @property
    def latency_s(self) -> float | None:
        """Simulated seconds of an image; none where the chip's times are unpublished."""
        found: float | None = self.value["latency_s"]
        return found

    @property
    def energy_j(self) -> float | None:
        """Simulated joules of an image; none where the chip's energies are unpublished."""
        found: float | None = self.value["energy_j"]
        return found

    @property
    def accuracy(self) -> float | None:
        """Mean accuracy of the chips drawn, at the last noise; none without data."""
        return None if self.value["accuracy"] is None else float(self.value["accuracy"]["mean"])

    def __repr__(self) -> str:
        """The result as people read it."""
        return crossbar_card(self.to_json()).text()

    def _repr_html_(self) -> str:
        return crossbar_card(self.to_json()).html()

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON values."""
        return dict(self.value)


def run_crossbar(
    request: CrossbarRequest, *, loaded: LoadedModel | None = None, data: Dataset | None = None, progress: Progress | None = None
) -> CrossbarResult:
    """Prices a network on a chip and, with data, judges it there.

    Args:
        request: The network, the chip, what is pruned.
        loaded: The model where it is in memory already; the request's own is then not read.
        data: The data where it is in memory already; the request's is then not opened.
        progress: Is told how far it is.

    Raises:
        EdgewiseError: Of the kind that says what is wrong: the chip file, a layer, a size, a ratio.
    """
    watcher = progress or SilentProgress()
    chip, out = load_chip(request.chip).with_bits(**dict(request.layout.bits)), request.out
    chip_settings(request)
    if out is not None:
        prepare_folder(out, resume=request.resume)
    try:
        given = load_request(request.model, loaded=loaded, gates=True)
        if out is not None and request.resume and is_finished(out):
            return _finished(request, given, out, progress=watcher)
        return _run(request, given, chip, images=data, progress=watcher)
    except EdgewiseError:
        if out is not None and out.is_dir() and not any(out.iterdir()):
            out.rmdir()
        raise


def _run(request: CrossbarRequest, given: LoadedModel, chip: Chip, *, images: Dataset | None, progress: Progress) -> CrossbarResult:
    start_s = time.monotonic()
    settings, identity = chip_settings(request), kept.settings_of(request, given)
    loaded = given.without_gates()
    net = trace(loaded.model, loaded.inputs(), name=loaded.name, verify=False).net
    plan = plan_of(net, request, given.gates)
    data = None if request.data is None else images or _opened(request, progress)
    rules = gate_rules(request, plan, chip, net)
    masks = masks_of(request, loaded, plan, rules=rules, data=data, progress=progress)
    dense = price_network(net, chip, replace(settings, accounting="reload" if settings.accounting == "reload" else "dense"))
    cost = price_network(net, chip, settings, plan=plan, masks=masks)
    value = _value(request, chip, net, plan=plan, costs=(dense, cost))
    chips = kept.KeptChips(request.out, identity, resume=request.resume)
    if request.out is not None:
        append_log(request.out, {"event": "priced", "arrays": cost.arrays, "energy_j": cost.energy_j})
    judged = Judged(value={"accuracy": None, "accuracy_by_noise": []})
    if data is not None:
        pruning = Pruning(plan=plan, rules=rules, masks=masks)
        judged = Judge(request, loaded, chip=chip, pruning=pruning, data=data, kept=chips).run(progress)
    value.update(judged.value)
    if request.neurosim is not None and data is not None:
        value["neurosim"] = export_neurosim(
            request.neurosim, loaded.model, net, plan=plan, rules=rules, images=next(iter(data.test))[0][:1]
        )
    value.update(settings=identity, seconds=time.monotonic() - start_s)
    _write(request, loaded, judged, value)
    chips.forget()
    return CrossbarResult(value=_placed(value, request.out), cost=cost, dense=dense)


def _write(request: CrossbarRequest, loaded: LoadedModel, judged: Judged, value: Mapping[str, Any]) -> None:
    """Fills the run folder; the network in it is the tuned one where it was tuned."""
    if request.out is None:
        return
    model = judged.tuned or loaded.model
    record = replace(loaded.record, trained=loaded.trained or judged.tuned is not None)
    write_run(request.out, model, record=record, result=value)
    write_text(request.out / REPORT_FILE, render_crossbar(value))


def _finished(request: CrossbarRequest, loaded: LoadedModel, folder: Path, *, progress: Progress) -> CrossbarResult:
    """The run that is there already, if it is the one asked for."""
    value = load_run(folder).result
    check_same(folder, value.get("settings") or {}, kept.settings_of(request, loaded))
    if not (folder / REPORT_FILE).exists():
        write_text(folder / REPORT_FILE, render_crossbar(value))
    progress.note(f"the run in {folder} is finished already")
    return CrossbarResult(value=_placed(value, folder))


def _placed(value: Mapping[str, Any], folder: Path | None) -> dict[str, Any]:
    """The result, and where the run and its report lie."""
    return {**value, **({} if folder is None else {"run": str(folder), "report": str(folder / REPORT_FILE)})}


def chip_settings(request: CrossbarRequest) -> ChipSettings:
    """How the network runs on the chip."""
    layout = request.layout
    return ChipSettings(
        accounting=request.accounting.strip().lower(),
        schedule=layout.schedule,
        replication=layout.replication,
        rules=MappingRules(row_order=layout.row_order, aligned=layout.aligned),  # type: ignore[arg-type]
        mechanisms=frozenset(layout.mechanisms),
        adc_rule=layout.adc_rule,
        sort_channels=layout.sort_channels,
        convolutions_only=layout.convolutions_only,
        skip_unsupported=layout.skip_unsupported,
    )


def plan_of(net: NetSpec, request: CrossbarRequest, own: GatePlan | None = None) -> GatePlan:
    """The gates, at the ratios given or drawn; without those the gates that the network was trained with.

    Raises:
        UsageError: The network has gates of its own, and ratios are given too.
    """
    drawn = request.pruning.drawn()
    channels, spatial = request.pruning.channel_ratios, request.pruning.spatial_ratios
    if own is not None:
        if channels or spatial or (drawn is not None and not math.isnan(drawn[0])):
            raise UsageError(f"{net.name} brings the ratios that it was trained with; leave out ratios and --masks random:R")
        return own
    if drawn is not None and not math.isnan(drawn[0]):
        channels = (drawn[0],) if drawn[1] in ("channels", "both") else ()
        spatial = (drawn[0],) if drawn[1] in ("positions", "both") else ()
    return place_gates(net, channel_ratios=channels, spatial_ratios=spatial)


def gate_rules(request: CrossbarRequest, plan: GatePlan, chip: Chip, net: NetSpec) -> GateRules:
    """How masks are chosen; groups of the array's size where asked for."""
    group = request.pruning.channel_group
    if group == "array":
        taps = max((math.prod(net.layer(gate.consumer).kernel) for gate in plan.gates), default=1)
        size = chip.rows if request.layout.row_order == "taps" else max(1, chip.rows // taps)
    else:
        size = int(group)
    ranking = "attention" if request.pruning.drawn() is None else "random"
    return GateRules(ranking=ranking, channel_group=size, spatial_block=request.pruning.spatial_block)


def masks_of(
    request: CrossbarRequest, loaded: LoadedModel, plan: GatePlan, *, rules: GateRules, data: Dataset | None, progress: Progress
) -> dict[str, LayerMask]:
    """Masks recorded from validation images through the gated network or, without data or where asked for, drawn."""
    if not any(gate.channel_ratio or gate.spatial_ratio for gate in plan.gates):
        return {}
    if data is None or request.pruning.drawn() is not None:
        n_images = DRAWN_IMAGES if data is None else request.analog.images
        return draw_masks(plan, n_images=n_images, seed=request.seed, channel_group=rules.channel_group, spatial_block=rules.spatial_block)
    batches = data.validation.first(request.analog.images)
    progress.start("recording masks", len(batches))
    return record_masks(loaded.model, plan, batches, rules=rules, seed=request.seed, progress=progress)


def _opened(request: CrossbarRequest, progress: Progress) -> Dataset:
    assert request.data is not None
    spec = DataSpec(text=request.data.data, mean=request.data.mean, std=request.data.std, seed=request.seed, batch_size=50)
    return open_data(spec, progress=progress)


def _value(request: CrossbarRequest, chip: Chip, net: NetSpec, *, plan: GatePlan, costs: tuple[ChipCost, ChipCost]) -> dict[str, Any]:
    dense, cost = costs
    drawn = request.pruning.drawn() is not None or request.data is None
    pruned = any(gate.channel_ratio or gate.spatial_ratio for gate in plan.gates)
    return {
        "model": net.name,
        "chip": chip.name,
        "kind": "simulated",
        "accounting": cost.accounting,
        "schedule": "serial" if cost.accounting == "reload" else request.layout.schedule,
        "masks": "none" if not pruned else "drawn" if drawn else "recorded",
        "images": cost.n_images,
        **cost_to_json(cost),
        "layers": [layer_to_json(layer) for layer in cost.layers],
        "dense": {**cost_to_json(dense), "accounting": dense.accounting, "layers": [layer_to_json(layer) for layer in dense.layers]},
        "ratios": _ratios(plan),
        "peak": peak_to_json(chip),
        "skipped": [{"name": name, "reason": reason} for name, reason in cost.skipped],
        "sources": {**chip.sources, **{f"component {part.name}": part.source for part in chip.components}},
        "published": [{"name": name, "value": value, "source": source} for name, value, source in chip.published],
        "provenance": provenance(seed=request.seed),
    }


def cost_to_json(cost: ChipCost) -> dict[str, Any]:
    """The figures of a network on a chip as JSON values; efficiency counts the operations executed."""
    by_op: dict[str, int] = {}
    for layer in cost.layers:
        by_op[layer.mapping.op] = by_op.get(layer.mapping.op, 0) + layer.mapping.arrays
    return {
        "arrays": cost.arrays,
        "arrays_by_op": by_op,
        "imas": cost.imas,
        "tiles": cost.tiles,
        "latency_s": cost.latency_s,
        "energy_j": cost.energy_j,
        "energy_by_component": None if cost.energy_by_component is None else dict(cost.energy_by_component),
        "area_mm2": cost.area_mm2,
        "power_w": cost.power_w,
        "utilisation": cost.utilisation,
        "ops_dense": cost.ops_dense,
        "ops_executed": cost.ops_executed,
        "ops_counted": "executed, 1 multiply-accumulate = 2 operations",
        "gops_per_mm2": cost.gops_per_mm2(cost.ops_executed),
        "gops_per_w": cost.gops_per_w(cost.ops_executed),
        "gops_per_mm2_dense_ops": cost.gops_per_mm2(cost.ops_dense),
        "gops_per_w_dense_ops": cost.gops_per_w(cost.ops_dense),
    }


def layer_to_json(layer: LayerCost) -> dict[str, Any]:
    """One layer's figures as JSON values."""
    return {
        "name": layer.mapping.name,
        "op": layer.mapping.op,
        "arrays": layer.mapping.arrays,
        "copies": layer.mapping.copies,
        "latency_s": layer.latency_s,
        "energy_j": layer.energy_j,
        "array_reads": layer.reads,
        "wordline_drives": layer.drives,
        "conversions": layer.conversions,
        "positions": layer.positions,
        "ops_dense": layer.ops_dense,
        "ops_executed": layer.ops_executed,
    }


def peak_to_json(chip: Chip) -> dict[str, float | None]:
    """The chip with every array busy, from the sums of its parts."""
    power, area, gops = chip.sum_of("power_w", per="chip"), chip.sum_of("area_mm2", per="chip"), chip.peak_gops
    known = power is not None and area is not None and gops is not None
    return {
        "gops": gops,
        "power_w": power,
        "area_mm2": area,
        "gops_per_w": gops / power if known and gops is not None and power else None,
        "gops_per_mm2": gops / area if known and gops is not None and area else None,
    }


def _ratios(plan: GatePlan) -> dict[str, list[float]]:
    blocks = {gate.block: gate for gate in plan.gates}
    return {
        "channel": [blocks[block].channel_ratio for block in sorted(blocks)],
        "spatial": [blocks[block].spatial_ratio for block in sorted(blocks)],
    }
