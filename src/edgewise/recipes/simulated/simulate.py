"""``edgewise simulate``: what a network costs on a GPU or chip that is not here, layer by layer, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgewise._core.progress import Progress, SilentProgress
from edgewise.cost import Piece
from edgewise.cost.blocks import LutDevice, is_lut
from edgewise.cost.chip.device import PieceCost
from edgewise.cost.gpu.device import GpuDevice, LayerCost
from edgewise.ir import NetSpec
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.requests import DeviceRequest, ModelRequest
from edgewise.recipes.runs import load_request
from edgewise.recipes.showing import simulate_card
from edgewise.recipes.simulated.lut import TableSimulation, open_table, price_by_table
from edgewise.recipes.simulated.opening import SimulatedDevice, open_simulated, precision_of
from edgewise.trace import trace

INTERVAL = "interval between images of a pipeline whose layers are copied in proportion to their work until the chip is full"
"""What ``latency_s`` is on a crossbar chip."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedLayer:
    """One layer and its cost."""

    name: str
    op: str
    in_channels: int
    out_channels: int
    cost: LayerCost | PieceCost

    def to_json(self) -> dict[str, Any]:
        """The layer as JSON values."""
        names = ("name", "op", "in_channels", "out_channels")
        return {**{name: getattr(self, name) for name in names}, **_cost_to_json(self.cost)}


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """A network on a simulated device.

    Attributes:
        model: What people call the network.
        device: The GPU or chip.
        batch: Images at once.
        latency_s: Of one batch: the sum of the layers, and the start. On a chip the interval between batches.
        macs: Multiply-accumulates for one input.
        params: Learnt parameters.
        layers: In running order.
        fitted: The coefficients were fitted to this very GPU.
        precision: In what numbers it computes.
        energy_j: Energy of one batch, or none where unknown.
        chip: Arrays, tiles, area and further latencies on a crossbar chip; empty on a GPU.
    """

    model: str
    device: str
    batch: int
    latency_s: float
    macs: int
    params: int
    layers: tuple[SimulatedLayer, ...]
    fitted: bool
    precision: str = "fp32"
    energy_j: float | None = None
    chip: Mapping[str, float] = field(default_factory=dict)

    @property
    def extrapolated_share(self) -> float:
        """Share of the latency in layers that the traces hold nothing like."""
        return sum(layer.cost.latency_s for layer in self.layers if layer.cost.extrapolated) / self.latency_s

    @property
    def coefficients(self) -> str:
        """Where the model's numbers come from: ``fitted`` to the device, ``transferred`` to it, or its chip's ``file``."""
        return "file" if self.chip else "fitted" if self.fitted else "transferred"

    def figures(self) -> dict[str, Any]:
        """What is known of a network on a chip beside its latency; empty on a GPU."""
        return {"latency_is": INTERVAL, "energy_j": self.energy_j, "chip": dict(self.chip)} if self.chip else {}

    def __repr__(self) -> str:
        """The result as people read it."""
        return simulate_card(self.to_json()).text()

    def _repr_html_(self) -> str:
        return simulate_card(self.to_json()).html()

    def to_json(self) -> dict[str, Any]:
        """The simulation as JSON values."""
        return {
            "model": self.model,
            "device": self.device,
            "batch": self.batch,
            "precision": self.precision,
            "latency_s": self.latency_s,
            "kind": "simulated",
            **self.figures(),
            "coefficients": self.coefficients,
            "extrapolated_share": self.extrapolated_share,
            "macs": self.macs,
            "params": self.params,
            "layers": [layer.to_json() for layer in self.layers],
        }


def run_simulate(
    model: ModelRequest,
    device: DeviceRequest,
    *,
    residual: bool = False,
    loaded: LoadedModel | None = None,
    progress: Progress | None = None,
) -> Simulation | TableSimulation:
    """Simulates a network.

    Args:
        model: The network.
        device: A simulated device and the batch, or a table of blocks.
        residual: Correct what the traces cover by the learned residual.
        loaded: The model where it is in memory already; `model` is then not read.
        progress: Is told how far it is.

    Raises:
        EdgewiseError: The model or the device is wrong; the text says why.
    """
    priced_by = open_table(device) if is_lut(device.device) else open_simulated(device, residual=residual)
    network = load_request(model, loaded=loaded)
    watcher = progress or SilentProgress()
    watcher.start(f"pricing {network.name}", 0)
    net = trace(network.model, network.inputs(), name=network.name).net
    return price_by_table(net, priced_by) if isinstance(priced_by, LutDevice) else simulate_net(net, priced_by)


def simulate_net(net: NetSpec, gpu: SimulatedDevice) -> Simulation:
    """Simulates a traced network."""
    pieces = gpu.pieces(net)
    calls = [piece.workload for piece in pieces]
    costs: Sequence[LayerCost | PieceCost] = gpu.costs(calls)
    layers = tuple(_layer(piece, cost) for piece, cost in zip(pieces, costs, strict=True))
    total = gpu.total(pieces, gpu.estimate(pieces))
    return Simulation(
        model=net.name,
        device=gpu.name,
        batch=gpu.batch,
        latency_s=total.latency_s,
        macs=net.macs,
        params=net.params,
        layers=layers,
        fitted=gpu.fitted,
        precision=precision_of(gpu),
        energy_j=total.energy_j,
        chip={} if isinstance(gpu, GpuDevice) else {name: float(value) for name, value in total.detail},
    )


def _layer(piece: Piece, cost: LayerCost | PieceCost) -> SimulatedLayer:
    work = piece.workload
    return SimulatedLayer(name=piece.position, op=work.op, in_channels=work.in_channels, out_channels=work.out_channels, cost=cost)


def _cost_to_json(cost: LayerCost | PieceCost) -> dict[str, Any]:
    if isinstance(cost, PieceCost):
        names: tuple[str, ...] = ("latency_s", "energy_j", "arrays", "positions", "utilisation")
    else:
        names = ("latency_s", "family", "blocks", "waves", "utilisation", "tile_utilisation", "throughput_macs_per_s", "bound_by")
    return {**{name: getattr(cost, name) for name in names}, "extrapolated": cost.extrapolated}
