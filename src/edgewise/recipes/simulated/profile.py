"""``edgewise profile`` on a simulated device: staircases with utilisation and waves."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgewise._core.errors import UsageError
from edgewise._core.progress import Progress, SilentProgress
from edgewise.cost.gpu.device import GpuDevice
from edgewise.cost.lowering import Group, Lowering
from edgewise.cost.needs import width_range
from edgewise.ir import NetSpec
from edgewise.recipes.profile import chosen_ties, nothing_to_choose
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.requests import ProfileRequest
from edgewise.recipes.showing import profile_card
from edgewise.recipes.simulated.candidates import Choices, choices_of, few_of, jumps
from edgewise.recipes.simulated.chip import ChipRow, chip_row
from edgewise.recipes.simulated.opening import SimulatedDevice, open_simulated, precision_of
from edgewise.recipes.simulated.simulate import INTERVAL, Simulation, simulate_net
from edgewise.recipes.staircases import DEFAULT_FLOOR, layer_widths
from edgewise.trace import Traced, trace
from edgewise.widths.candidates import envelope
from edgewise.widths.tables import Pricing, Structure, structure_of

_MOST_WIDTHS = 96


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedRow:
    """A layer's staircase over its output width, its input width held, with what the GPU does at each width.

    Attributes:
        name: The layer.
        tie: The tie that its output width is known by.
        in_width: Input width held.
        widths: Output widths, ascending.
        latency_s: Monotone envelope of the latencies.
        latency_raw_s: Latencies as simulated.
        utilisation: Share of the places of all waves that blocks fill.
        tile_utilisation: Share of the tiles' products that were asked for.
        throughput_macs_per_s: Multiply-accumulates per second.
        waves: Waves of thread blocks.
        blocks: Thread blocks.
        family: Kernel family.
        candidates: Widths of the layer at its tie's candidates.
        extrapolated: The traces hold nothing like it.
    """

    name: str
    tie: str
    in_width: int
    widths: tuple[int, ...]
    latency_s: tuple[float, ...]
    latency_raw_s: tuple[float, ...]
    utilisation: tuple[float, ...]
    tile_utilisation: tuple[float, ...]
    throughput_macs_per_s: tuple[float, ...]
    waves: tuple[int, ...]
    blocks: tuple[int, ...]
    family: tuple[str, ...]
    candidates: tuple[int, ...]
    extrapolated: bool

    def to_json(self) -> dict[str, Any]:
        """The row as JSON values."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()} | {"candidates_of": self.tie}


@dataclass(frozen=True, kw_only=True)
class SimulatedProfile:
    """A network on a simulated device: what ``profile`` shows, and what ``fit`` solves with.

    Attributes:
        loaded: The model.
        traced: Its trace.
        gpu: The device.
        structure: Its ties as variables.
        choices: Candidate widths of each variable.
        rows: Staircases.
        simulation: The whole network.
        seconds: Time taken.
        warnings: What a person should know.
    """

    loaded: LoadedModel
    traced: Traced
    gpu: SimulatedDevice
    structure: Structure
    choices: Mapping[str, Choices]
    rows: tuple[SimulatedRow | ChipRow, ...]
    simulation: Simulation
    seconds: float
    warnings: tuple[str, ...] = ()

    @property
    def net(self) -> NetSpec:
        """The network as hardware sees it."""
        return self.traced.net

    @property
    def candidates(self) -> dict[str, tuple[int, ...]]:
        """Candidate widths of each variable."""
        return few_of(self.choices)

    def pricing(self) -> Pricing:
        """Where width problems take their seconds from."""
        return Pricing(
            net=self.net,
            lowering=self.gpu.lowering(self.net),
            price=self.gpu.price_s,
            start_s=self.gpu.start_s,
            announce=self.gpu.costs,
        )

    def __repr__(self) -> str:
        """The result as people read it."""
        return profile_card(self.to_json()).text()

    def _repr_html_(self) -> str:
        return profile_card(self.to_json(), pictures=True).html()

    def to_json(self) -> dict[str, Any]:
        """The profile as JSON values."""
        return {
            "model": self.loaded.name,
            "device": self.gpu.name,
            "batch": self.gpu.batch,
            "precision": precision_of(self.gpu),
            "kind": "simulated",
            "coefficients": self.simulation.coefficients,
            "layers": [row.to_json() for row in self.rows],
            "network": {
                "simulated_s": self.simulation.latency_s,
                "extrapolated_share": self.simulation.extrapolated_share,
                **self.simulation.figures(),
            },
            "left_alone": [{"name": one.name, "reason": one.reason} for one in self.net.left_alone],
            "probes": 0,
            "probes_cached": 0,
            "seconds": self.seconds,
            "warnings": list(self.warnings),
        }


def profile_simulated(loaded: LoadedModel, request: ProfileRequest, *, progress: Progress | None = None) -> SimulatedProfile:
    """Profiles a loaded model on a simulated device.

    Args:
        loaded: The model.
        request: The device, and which widths may change.
        progress: Is told how far it is.

    Raises:
        EdgewiseError: The device or a layer name is wrong, or no width may change.
    """
    start_s = time.monotonic()
    watcher = progress or SilentProgress()
    gpu = open_simulated(request.device)
    traced = trace(loaded.model, loaded.inputs(), name=loaded.name)
    net = traced.net
    chosen = chosen_ties(net, keep=request.keep, only=request.only)
    if not chosen:
        raise UsageError(nothing_to_choose(net))
    watcher.start("pricing every width", 0)
    structure = structure_of(net, chosen)
    choices = choices_of(gpu, net, structure, floor=request.width_floor or DEFAULT_FLOOR)
    simulation = simulate_net(net, gpu)
    return SimulatedProfile(
        loaded=loaded,
        traced=traced,
        gpu=gpu,
        structure=structure,
        choices=choices,
        rows=simulated_rows(gpu, net, structure=structure, candidates=few_of(choices)),
        simulation=simulation,
        seconds=time.monotonic() - start_s,
        warnings=_warnings(simulation, structure, progress=watcher),
    )


def simulated_rows(
    gpu: SimulatedDevice, net: NetSpec, *, structure: Structure, candidates: Mapping[str, tuple[int, ...]]
) -> tuple[SimulatedRow | ChipRow, ...]:
    """The staircase of every layer whose width may be chosen, in running order."""
    lowering = gpu.lowering(net)
    rows: list[SimulatedRow | ChipRow] = []
    for group in lowering.groups:
        own = net.own_tie(group.head)
        if group.head.priced and own is not None and own in candidates:
            at_candidates = layer_widths(group, net, structure, own, candidates[own])
            if isinstance(gpu, GpuDevice):
                rows.append(_row(gpu, net, lowering=lowering, group=group, tie=own, candidates=at_candidates))
            else:
                rows.append(chip_row(gpu, net, lowering=lowering, group=group, tie=own, candidates=at_candidates))
    return tuple(rows)


def _row(gpu: GpuDevice, net: NetSpec, *, lowering: Lowering, group: Group, tie: str, candidates: tuple[int, ...]) -> SimulatedRow:
    call = lowering.workloads(group, net.widths)[0]
    low, high = width_range(group.head.out_dim, net, floor=DEFAULT_FLOOR)
    swept = np.arange(low, max(high, *candidates) + 1)
    latency = gpu.staircase(call, swept.astype(float)).latency_s
    edges = swept[jumps(latency)]
    some = np.linspace(swept[0], swept[-1], min(_MOST_WIDTHS, len(swept))).round()
    widths = np.unique(np.concatenate([edges, np.minimum(edges + 1, swept[-1]), some, candidates, [group.head.out_channels]])).astype(int)
    costs = gpu.staircase(call, widths.astype(float))
    return SimulatedRow(
        name=group.head.name,
        tie=tie,
        in_width=group.head.in_channels,
        widths=tuple(widths.tolist()),
        latency_s=tuple(envelope(costs.latency_s.tolist())),
        latency_raw_s=tuple(costs.latency_s.tolist()),
        utilisation=tuple(costs.utilisation.round(5).tolist()),
        tile_utilisation=tuple(costs.tile_utilisation.round(5).tolist()),
        throughput_macs_per_s=tuple(costs.throughput_macs_per_s.tolist()),
        waves=tuple(costs.waves.astype(int).tolist()),
        blocks=tuple(costs.blocks.astype(int).tolist()),
        family=tuple(costs.family.tolist()),
        candidates=candidates,
        extrapolated=bool(costs.extrapolated.any()),
    )


def _warnings(simulation: Simulation, structure: Structure, *, progress: Progress) -> tuple[str, ...]:
    warnings = []
    if simulation.chip:
        warnings.append(f"{simulation.device}: latency is the {INTERVAL}; energy is reported, not solved for")
    elif not simulation.fitted:
        warnings.append(f"{simulation.device} is priced from its data sheet: no figure was ever measured on it")
    if simulation.extrapolated_share > 0.2:
        warnings.append(
            f"{simulation.extrapolated_share:.0%} of the time is extrapolated: the traces hold 3x3 convolutions of stride 1 only"
        )
    warnings += [f"{name} is left alone: {reason}" for name, reason in structure.frozen.items()]
    for warning in warnings:
        progress.note(warning)
    return tuple(warnings)
