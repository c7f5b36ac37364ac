"""``edgewise simulate``: what a network costs on a GPU that is not here, layer by layer, and why."""

from dataclasses import dataclass
from typing import Any

from edgewise._core.progress import Progress, SilentProgress
from edgewise.cost import Piece
from edgewise.cost.blocks import LutDevice, is_lut
from edgewise.cost.gpu.device import GpuDevice, LayerCost
from edgewise.ir import NetSpec
from edgewise.recipes.requests import DeviceRequest, ModelRequest
from edgewise.recipes.runs import load_request
from edgewise.recipes.simulated.lut import TableSimulation, open_table, price_by_table
from edgewise.recipes.simulated.opening import open_simulated
from edgewise.trace import trace


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedLayer:
    """One layer and its cost."""

    name: str
    op: str
    in_channels: int
    out_channels: int
    cost: LayerCost

    def to_json(self) -> dict[str, Any]:
        """The layer as JSON values."""
        cost = self.cost
        return {
            "name": self.name,
            "op": self.op,
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "latency_s": cost.latency_s,
            "family": cost.family,
            "blocks": cost.blocks,
            "waves": cost.waves,
            "utilisation": cost.utilisation,
            "tile_utilisation": cost.tile_utilisation,
            "throughput_macs_per_s": cost.throughput_macs_per_s,
            "bound_by": cost.bound_by,
            "extrapolated": cost.extrapolated,
        }


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """A network on a simulated GPU.

    Attributes:
        model: What people call the network.
        device: The GPU.
        batch: Images at once.
        latency_s: Of one batch: the sum of the layers, and the start.
        macs: Multiply-accumulates for one input.
        params: Learnt parameters.
        layers: In running order.
        fitted: The coefficients were fitted to this very GPU.
    """

    model: str
    device: str
    batch: int
    latency_s: float
    macs: int
    params: int
    layers: tuple[SimulatedLayer, ...]
    fitted: bool

    @property
    def extrapolated_share(self) -> float:
        """Share of the latency in layers that the traces hold nothing like."""
        return sum(layer.cost.latency_s for layer in self.layers if layer.cost.extrapolated) / self.latency_s

    def to_json(self) -> dict[str, Any]:
        """The simulation as JSON values."""
        return {
            "model": self.model,
            "device": self.device,
            "batch": self.batch,
            "precision": "fp32",
            "latency_s": self.latency_s,
            "kind": "simulated",
            "coefficients": "fitted" if self.fitted else "transferred",
            "extrapolated_share": self.extrapolated_share,
            "macs": self.macs,
            "params": self.params,
            "layers": [layer.to_json() for layer in self.layers],
        }


def run_simulate(
    model: ModelRequest, device: DeviceRequest, *, residual: bool = False, progress: Progress | None = None
) -> Simulation | TableSimulation:
    """Simulates a network.

    Args:
        model: The network.
        device: A simulated device and the batch, or a table of blocks.
        residual: Correct what the traces cover by the learned residual.
        progress: Is told how far it is.

    Raises:
        EdgewiseError: The model or the device is wrong; the text says why.
    """
    priced_by = open_table(device) if is_lut(device.device) else open_simulated(device, residual=residual)
    loaded = load_request(model)
    watcher = progress or SilentProgress()
    watcher.start(f"pricing {loaded.name}", 0)
    net = trace(loaded.model, loaded.inputs(), name=loaded.name).net
    return price_by_table(net, priced_by) if isinstance(priced_by, LutDevice) else simulate_net(net, priced_by)


def simulate_net(net: NetSpec, gpu: GpuDevice) -> Simulation:
    """Simulates a traced network."""
    pieces = gpu.pieces(net)
    layers = tuple(_layer(piece, cost) for piece, cost in zip(pieces, gpu.costs([piece.workload for piece in pieces]), strict=True))
    return Simulation(
        model=net.name,
        device=gpu.name,
        batch=gpu.batch,
        latency_s=gpu.total(pieces, gpu.estimate(pieces)).latency_s,
        macs=net.macs,
        params=net.params,
        layers=layers,
        fitted=gpu.fitted,
    )


def _layer(piece: Piece, cost: LayerCost) -> SimulatedLayer:
    work = piece.workload
    return SimulatedLayer(name=piece.position, op=work.op, in_channels=work.in_channels, out_channels=work.out_channels, cost=cost)
