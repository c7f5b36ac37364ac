"""What the GPU tables share: a network simulated, its widths optimised, and both beside the published figures."""

from collections.abc import Mapping
from dataclasses import dataclass

from edgewise._core.errors import TargetError
from edgewise._core.progress import Progress
from edgewise._core.units import LatencyTarget
from edgewise.ir import NetSpec
from edgewise.models.published_counts import thop_operations
from edgewise.recipes.requests import DeviceRequest, FitRequest, ModelRequest, ProfileRequest
from edgewise.recipes.runs import load_request
from edgewise.recipes.simulated.opening import open_simulated
from edgewise.recipes.simulated.profile import SimulatedProfile, profile_simulated
from edgewise.recipes.simulated.simulate import Simulation, simulate_net
from edgewise.recipes.simulated.solving import SimulatedSolver
from edgewise.recipes.solving import Judged
from edgewise.recipes.tables import Row

FLOOR = 0.7
"""The tutorial changes widths slightly: none below 0.7x of what it was."""
_JUST_ABOVE = 1.002


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A published baseline and one optimised network beside it.

    Attributes:
        model: Our name of the baseline.
        label: The published row.
        params_m: Parameters in millions, before and after.
        flops_m: "#FLOPs" (multiply-accumulates, with extras) in millions, before and after; none where not printed.
        flops_per_s: "FLOP/s" as printed, before and after.
        accuracy: Per cent, before and after.
        time_s: Seconds, before and after.
        change: Change of the time as printed, such as -0.177.
        params_at_least: Share of the baseline's parameters that ours must keep: 1.0 unless the published one has fewer.
        note: What to know of the baseline.
    """

    model: str
    label: str
    params_m: tuple[float, float]
    flops_m: tuple[float | None, float | None] = (None, None)
    flops_per_s: tuple[float, float]
    accuracy: tuple[float, float]
    time_s: tuple[float, float]
    change: float
    params_at_least: float = 1.0
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Optimised:
    """A network before and after the exact solver.

    Attributes:
        profile: The network as it came, on its device.
        before: Simulated as it came.
        after: Simulated at the widths found.
        net: The network at the widths found.
        reached: The change asked for was reached; otherwise ``after`` is the fastest there is.
    """

    profile: SimulatedProfile
    before: Simulation
    after: Simulation
    net: NetSpec
    reached: bool

    @property
    def change(self) -> float:
        """Relative change of the latency, below 0 where it fell."""
        return self.after.latency_s / self.before.latency_s - 1


def simulated_at(model: str, device: str, *, batch: int, widths: Mapping[str, int] | None = None) -> tuple[NetSpec, Simulation]:
    """A built-in network, at other widths where given, on a simulated device."""
    from edgewise.trace import trace

    loaded = load_request(ModelRequest(model=model))
    net = trace(loaded.model, loaded.inputs(), name=model).net.with_widths(widths or {})
    return net, simulate_net(net, open_simulated(DeviceRequest(device=device, batch=batch)))


def optimised(model: str, device: str, *, batch: int, change: float | None, params_at_least: float = 1.0, progress: Progress) -> Optimised:
    """Runs the exact solver for a relative change of the latency, or for the fastest where that is out of reach.

    Args:
        model: The network, as a command names it.
        device: A simulated device.
        batch: Images at once.
        change: Such as -0.177; none for the fastest network.
        params_at_least: Share of the parameters to keep.
        progress: Is told how far it is.
    """
    asked = DeviceRequest(device=device, batch=batch)
    profile = profile_simulated(
        load_request(ModelRequest(model=model)),
        ProfileRequest(model=ModelRequest(model=model), device=asked, width_floor=FLOOR),
        progress=progress,
    )

    def solver(target: LatencyTarget) -> SimulatedSolver:
        request = FitRequest(
            model=ModelRequest(model=model), latency=target, device=asked, width_floor=FLOOR, params_at_least=params_at_least
        )
        return SimulatedSolver(request, profile, judged=Judged(objective="params"), floor=FLOOR, progress=progress)

    first = solver(LatencyTarget(ratio=1 + change) if change is not None else LatencyTarget(ratio=1.0))
    reached = change is not None
    try:
        widths = first.run()[1] if change is not None else solver(LatencyTarget(absolute_s=first.fastest_s() * _JUST_ABOVE)).run()[1]
    except TargetError:
        reached = False
        widths = solver(LatencyTarget(absolute_s=first.fastest_s() * _JUST_ABOVE)).run()[1]
    net = profile.net.with_widths(widths)
    after = simulate_net(net, profile.gpu)
    reached = reached and after.latency_s <= first.target_s * (1 + 1e-9)
    return Optimised(profile=profile, before=profile.simulation, after=after, net=net, reached=reached)


def pair_rows(table: str, published: Published, *, device: str, batch: int, progress: Progress, flop_note: str) -> list[Row]:
    """The rows of a baseline and of the optimised network beside it."""
    found = optimised(
        published.model, device, batch=batch, change=published.change, params_at_least=published.params_at_least, progress=progress
    )
    ours = f"{published.label} optimised"
    rows = [_time_row(table, published.label, quoted_s=published.time_s[0], simulated_s=found.before.latency_s, note=published.note)]
    rows += _counts(table, published.label, place=0, published=published, net=found.profile.net)
    rows += _counts(table, ours, place=1, published=published, net=found.net)
    rows.append(_time_row(table, ours, quoted_s=published.time_s[1], simulated_s=found.after.latency_s))
    rows.append(
        Row(
            table=table,
            row=ours,
            column="change of time",
            quoted=published.change,
            simulated=round(found.change, 4),
            note=_how_close(found),
        )
    )
    for place, row in enumerate((published.label, ours)):
        rows.append(Row(table=table, row=row, column="FLOP/s", quoted=published.flops_per_s[place], note=flop_note))
        rows.append(
            Row(table=table, row=row, column="accuracy, %", quoted=published.accuracy[place], note="quoted only: nothing was trained here")
        )
    return rows


def recovered_rows(table: str, device: str, *, batch: int, quoted_ms: float, quoted_change: float) -> list[Row]:
    """The published optimised VGG-16 of 2.04M, at the widths recovered from its counts."""
    net, base = simulated_at("vgg16-hrank", device, batch=batch)
    names = [layer.name for layer in net.priced if layer.op == "conv2d"]
    _, after = simulated_at("vgg16-hrank", device, batch=batch, widths=dict(zip(names, RECOVERED, strict=True)))
    row = "VGG16 optimised, recovered widths"
    note = "32,32,64,64,128x8,512: the plateau of multiples of 32 that fits 2.04M; inferred, not confirmed by the authors"
    return [
        _time_row(table, row, quoted_s=quoted_ms / 1e3, simulated_s=after.latency_s, note=note),
        Row(
            table=table, row=row, column="change of time", quoted=quoted_change,
            simulated=round(after.latency_s / base.latency_s - 1, 4), note="difference in percentage points: see both columns",
        ),
    ]  # fmt: skip


RECOVERED = (32, 32, 64, 64, *[128] * 8, 512)
"""Widths of the 13 convolutions of the optimised VGG-16 of 2.04M parameters (inferred)."""


def _counts(table: str, row: str, *, place: int, published: Published, net: NetSpec) -> list[Row]:
    kept = "counted" if place == 0 else f"counted; ours keeps at least {published.params_at_least:g}x of the baseline's"
    rows = [
        Row(table=table, row=row, column="parameters, M", quoted=published.params_m[place], simulated=round(net.params / 1e6, 3), note=kept)
    ]
    flops = published.flops_m[place]
    if flops is not None:
        counted = round(thop_operations(net) / 1e6, 2)
        rows.append(
            Row(table=table, row=row, column="#FLOPs, M", quoted=flops, simulated=counted, note="multiply-accumulates with extras; counted")
        )
    return rows


def _time_row(table: str, row: str, *, quoted_s: float, simulated_s: float, note: str = "") -> Row:
    apart = f"simulated is {simulated_s / quoted_s - 1:+.1%} off"
    return Row(
        table=table,
        row=row,
        column="time, ms",
        quoted=round(quoted_s * 1e3, 4),
        simulated=round(simulated_s * 1e3, 4),
        note=f"{apart}; {note}" if note else apart,
    )


def _how_close(found: Optimised) -> str:
    return "reached at no fewer parameters" if found.reached else "the fastest that --width-floor 0.7x and the parameters allow"
