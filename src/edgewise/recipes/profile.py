"""``edgewise profile``: the latency staircases of a network on a device, and the widths worth considering."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgewise._core.errors import UnknownLayerError, UsageError
from edgewise._core.progress import Progress, SilentProgress
from edgewise.cost.lowering import Lowering
from edgewise.cost.needs import highest_width
from edgewise.ir import NetSpec
from edgewise.measure.calibration import overheads_of
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.measured_device import MeasuredDevice, device_for, relative_error
from edgewise.measure.pricing import PriceBook, open_price_book
from edgewise.measure.runtimes import Runtime, open_runtime
from edgewise.measure.sampling import Sample
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.requests import DeviceRequest, ProfileRequest
from edgewise.recipes.runs import load_request
from edgewise.recipes.showing import profile_card
from edgewise.recipes.simulated.opening import is_simulated
from edgewise.recipes.staircases import DEFAULT_FLOOR, StaircaseRow, edges_of_tie, reading_step_of_tie, staircase_rows, step_of_tie
from edgewise.recipes.timing import TimingJob, runtime_settings, time_together
from edgewise.report.data import DISAGREEMENT_RATIO
from edgewise.trace import Traced, trace
from edgewise.widths.candidates import thin
from edgewise.widths.tables import Pricing, Structure, TableBuilder, structure_of

_FEW_EDGES = 2
"""With fewer right edges below the present width, those of the layers that read it are candidates too."""
if TYPE_CHECKING:
    from edgewise.recipes.simulated.profile import SimulatedProfile

_FEW_LAYERS = 30
"""Up to so many distinct layers each gets the full set of probes."""


@dataclass(frozen=True, kw_only=True)
class Profiled:
    """A network learnt on a device: what ``profile`` shows, and what ``fit`` solves with.

    Attributes:
        loaded: The model.
        traced: Its trace.
        runtime: The runtime that measures.
        device: Prices of its pieces at any widths.
        structure: Its ties as variables.
        candidates: Candidate widths of each variable.
        rows: Staircases.
        sample: The whole network, measured.
        predicted_s: The whole network, predicted.
        probes: Kernel calls needed.
        probes_cached: How many were known from before.
        seconds: Time taken.
        warnings: What a person should know.
    """

    loaded: LoadedModel
    traced: Traced
    runtime: Runtime
    device: MeasuredDevice
    structure: Structure
    candidates: Mapping[str, tuple[int, ...]]
    rows: tuple[StaircaseRow, ...]
    sample: Sample
    predicted_s: float
    probes: int
    probes_cached: int
    seconds: float
    warnings: tuple[str, ...] = ()

    @property
    def net(self) -> NetSpec:
        """The network as hardware sees it."""
        return self.traced.net

    def pricing(self) -> Pricing:
        """Where width problems take their seconds from."""
        over = self.device.overheads
        return Pricing(
            net=self.net,
            lowering=self.device.lowering(self.net),
            price=self.device.in_network_s,
            per_call_s=over.per_call_s * self.device.slowdown,
            scale=over.scale * self.device.slowdown,
            start_s=over.start_s * self.device.slowdown,
        )

    def __repr__(self) -> str:
        """The result as people read it."""
        return profile_card(self.to_json()).text()

    def _repr_html_(self) -> str:
        return profile_card(self.to_json(), pictures=True).html()

    def to_json(self) -> dict[str, Any]:
        """The profile as JSON values."""
        settings = self.runtime.settings
        return {
            "model": self.loaded.name,
            "device": settings.device,
            "threads": settings.threads,
            "batch": settings.batch,
            "precision": settings.precision,
            "kind": "measured",
            "layers": [row.to_json() for row in self.rows],
            "network": {
                "predicted_s": self.predicted_s,
                "measured_s": self.sample.latency_s,
                "min_s": self.sample.min_s,
                "q1_s": self.sample.q1_s,
                "q3_s": self.sample.q3_s,
                "noisy": self.sample.noisy,
            },
            "left_alone": [{"name": one.name, "reason": one.reason} for one in self.net.left_alone],
            "probes": self.probes,
            "probes_cached": self.probes_cached,
            "seconds": self.seconds,
            "warnings": list(self.warnings),
        }


def run_profile(
    request: ProfileRequest, *, loaded: LoadedModel | None = None, progress: Progress | None = None
) -> "Profiled | SimulatedProfile":
    """Profiles a network on a device, measured or simulated.

    Args:
        request: What to profile.
        loaded: The model where it is in memory already; the request's own is then not read.
        progress: Is told how far it is.

    Raises:
        EdgewiseError: The model, the device or a layer name is wrong.
    """
    watcher = progress or SilentProgress()
    simulated = is_simulated(request.device.device)
    network = load_request(request.model, loaded=loaded)
    if simulated:
        # It imports from here what measured and simulated profiles share.
        from edgewise.recipes.simulated.profile import profile_simulated

        return profile_simulated(network, request, progress=watcher)
    with LatencyDatabase(request.device.db, progress=watcher) as database:
        return profile_model(network, request, database=database, progress=watcher)


def profile_model(loaded: LoadedModel, request: ProfileRequest, *, database: LatencyDatabase, progress: Progress) -> Profiled:
    """Profiles a loaded model; the database stays open for what follows."""
    start_s = time.monotonic()
    floor = request.width_floor or DEFAULT_FLOOR
    runtime, book = open_device(request.device, database=database)
    traced = trace(loaded.model, loaded.inputs(), name=loaded.name)
    net = traced.net
    chosen = chosen_ties(net, keep=request.keep, only=request.only)
    if not chosen:
        raise UsageError(nothing_to_choose(net))
    device = device_for(net, runtime.settings, book)
    if request.calibrate:
        device.overheads = overheads_of(runtime, book, database, progress=progress)
    needed, cached = book.needed, book.cached
    device.learn(net, floor=floor, progress=progress, levels=_levels(device.lowering(net)))
    structure = structure_of(net, chosen)
    candidates = candidates_of(device, net, structure, floor=floor)
    rows = staircase_rows(device, net, structure, candidates)
    (sample,) = time_together([TimingJob(loaded=loaded, runtime=runtime)], database=database, progress=progress, speed=book.speed)
    device.slowdown = book.speed.now
    predicted_s = device.predict_s(net)
    return Profiled(
        loaded=loaded,
        traced=traced,
        runtime=runtime,
        device=device,
        structure=structure,
        candidates=candidates,
        rows=rows,
        sample=sample,
        predicted_s=predicted_s,
        probes=book.needed - needed,
        probes_cached=book.cached - cached,
        seconds=time.monotonic() - start_s,
        warnings=_warnings(predicted_s, sample, structure, progress),
    )


def open_device(request: DeviceRequest, *, database: LatencyDatabase) -> tuple[Runtime, PriceBook]:
    """The runtime that a command asked for, and the prices of its calls."""
    settings = runtime_settings(request)
    runtime = open_runtime(settings)
    return runtime, open_price_book(settings, runtime.identity(), database)


def chosen_ties(net: NetSpec, *, keep: tuple[str, ...], only: tuple[str, ...]) -> frozenset[str]:
    """Ties whose widths may be chosen: the free ones, less those of ``keep``, or those of ``only`` alone.

    Args:
        net: The network.
        keep: Names of layers (or of modules that hold them) whose widths stay.
        only: Names of layers whose widths alone may change; empty for all.

    Raises:
        UnknownLayerError: No layer has such a name.
    """

    def ties_of(names: tuple[str, ...]) -> set[str]:
        found: set[str] = set()
        for name in names:
            layers = [layer for layer in net.layers if layer.name == name or layer.name.startswith(f"{name}.")]
            if not layers:
                raise UnknownLayerError(f"no layer {name!r} in {net.name}; `edgewise inspect {net.name}` lists them")
            found.update(tie for layer in layers if layer.priced for tie in layer.out_dim.ties)
        return found

    free = {tie.name for tie in net.ties if tie.free}
    return frozenset((free & ties_of(only) if only else free) - ties_of(keep))


def nothing_to_choose(net: NetSpec) -> str:
    """Why no width of a network may be chosen, in words."""
    free = [tie.name for tie in net.ties if tie.free]
    if free:
        return f"--keep and --only leave no width of {net.name} to choose; free are {', '.join(free[:5])}{', ...' if len(free) > 5 else ''}"
    reasons = "; ".join(f"{one.name}: {one.reason}" for one in net.left_alone[:3])
    return f"no width of {net.name} may change ({reasons}); nothing can be fitted"


def candidates_of(
    device: MeasuredDevice, net: NetSpec, structure: Structure, *, floor: float, all_edges: bool = False
) -> dict[str, tuple[int, ...]]:
    """Candidate widths of every variable: right edges in ``[floor, 1.25]`` of the present width.

    Args:
        device: Prices, and the steps found.
        net: The network.
        structure: Its ties as variables.
        floor: Smallest share of the present width.
        all_edges: Do not thin them.
    """
    pricing = Pricing(net=net, lowering=device.lowering(net), price=device.price_s)
    builder = TableBuilder(pricing, structure, None)
    found: dict[str, tuple[int, ...]] = {}
    for name in structure.variables:
        present = builder.present_width(name)
        tie = net.tie(name)
        low = max(1, round(present * floor))
        step = step_of_tie(device, pricing.lowering, net, name)
        high = highest_width(present, step=max(step, 1)) if tie.growable else present
        edges = edges_of_tie(structure, net, name, step=step, within=(low, high))
        if len([edge for edge in edges if edge < present]) < _FEW_EDGES:
            # A narrow layer has no step of its own below it, but those that read it have finer ones.
            finer = reading_step_of_tie(device, pricing.lowering, net, name)
            edges = sorted({*edges, *edges_of_tie(structure, net, name, step=finer, within=(low, present))})
        if all_edges:
            found[name] = tuple(sorted({*edges, present}))
            continue

        def price_s(width: int, name: str = name) -> float:
            return _touched_s(pricing, builder, name, width)

        found[name] = thin(edges, present=present, price_s=price_s)
    return found


def _touched_s(pricing: Pricing, builder: TableBuilder, name: str, width: int) -> float:
    widths = builder.lenient_widths({name: width})
    touched = [group for group in pricing.lowering.groups if name in (*group.head.in_dim.ties, *group.last.out_dim.ties)]
    return max(sum(pricing.group_s(group, widths) for group in touched), 1e-9)


def _levels(lowering: Lowering) -> int:
    distinct = {
        (group.head.op, group.head.in_hw, group.head.kernel, group.head.stride, group.head.in_channels, group.head.out_channels)
        for group in lowering.groups
        if group.head.priced
    }
    return 4 if len(distinct) <= _FEW_LAYERS else 3


def _warnings(predicted_s: float, sample: Sample, structure: Structure, progress: Progress) -> tuple[str, ...]:
    warnings = []
    error = relative_error(predicted_s, sample.latency_s)
    if error > DISAGREEMENT_RATIO:
        warnings.append(
            f"predicted {predicted_s * 1e3:.3g} ms but measured {sample.latency_s * 1e3:.3g} ms ({error:.0%} apart): "
            "trust the measurement; `fit` corrects for it"
        )
    if sample.noisy:
        warnings.append("the measurement of the network is noisy; close what else runs on this machine and profile again")
    warnings += [f"{name} is left alone: {reason}" for name, reason in structure.frozen.items()]
    for warning in warnings:
        progress.note(warning)
    return tuple(warnings)
