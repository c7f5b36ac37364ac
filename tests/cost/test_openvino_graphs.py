"""The fused groups we foretell are the nodes of the graphs that OpenVINO's plug-in runs."""

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import nn

from cost import nets
from edgewise.cost.lowering import lowering_for
from edgewise.cost.lowering.lower import pieces_of
from edgewise.cost.workload import INPUT_LAYOUT
from edgewise.deploy.onnx_export import onnx_bytes
from edgewise.deploy.openvino_core import openvino_core
from edgewise.measure.runtimes.openvino_cpu import OpenVinoCpu
from edgewise.measure.settings import RuntimeSettings
from edgewise.trace import trace

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

_FREE = {"Input", "Output", "Parameter", "Result", "Const", "Constant", "Reorder", "Reshape"}
_NAMES = {
    "max_pool2d": "Pooling",
    "avg_pool2d": "Pooling",
    "adaptive_avg_pool2d": "Reduce",
    "mean": "Reduce",
    "linear": "FullyConnected",
    "cat": "Concatenation",
    "mul": "Eltwise",
    "add": "Eltwise",
    "batch_norm": "Eltwise",
    "relu": "Eltwise",
    "hardsigmoid": "Eltwise",
    "conv2d": "Convolution",
}


def foretold(model: nn.Module, image: torch.Tensor) -> Counter[str]:
    net = trace(model, (image,), name="net").net
    calls = [piece.workload for piece in pieces_of(lowering_for("openvino-cpu", net), net.widths)]
    return Counter(_NAMES[call.op] for call in calls if call.kernel != INPUT_LAYOUT)


def made(model: nn.Module, image: torch.Tensor) -> Counter[str]:
    read = openvino_core().read_model(onnx_bytes(model, (image,)))
    compiled = OpenVinoCpu(RuntimeSettings(device="openvino-cpu")).compile(read)
    kinds = [node.get_rt_info()["layerType"].astype(str) for node in compiled.get_runtime_model().get_ops()]
    # Operations on single values are one kind, by whichever engine they run.
    return Counter("Eltwise" if kind in ("Subgraph", "Math") else kind for kind in kinds if kind not in _FREE)


@pytest.mark.parametrize(
    ("build", "widths"),
    [
        (nets.chain, (17, 24, 31)),
        (nets.pooled, (32, 33, 40)),
        (nets.residual, (24, 40, 36)),
        (nets.residual, (17, 23, 31)),
        (nets.inverted, (16, 90, 24)),
        (nets.gated, (24, 90, 23)),
        (nets.grouped, (64, 4)),
        (nets.concat, (24, 16, 17)),
    ],
    ids=lambda one: one.__name__ if callable(one) else "-".join(map(str, one)),
)
def test_same_nodes_at_any_widths(build: Callable[..., nn.Module], widths: tuple[int, ...]) -> None:
    model, image = build(*widths).eval(), torch.zeros(1, 3, 16, 16)
    assert foretold(model, image) == made(model, image)


class _TwoReaders(nn.Module):
    """An image that two convolutions read."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.left, self.right = (nn.Conv2d(channels, 16, 3, padding=1) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.left(x)) + torch.sigmoid(self.right(x))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("two", [False, True])
def test_an_image_is_brought_into_the_layout_once(channels: int, two: bool) -> None:
    model = _TwoReaders(channels) if two else nn.Sequential(nn.Conv2d(channels, 16, 3, padding=1), nn.ReLU())
    image = torch.zeros(1, channels, 64, 64)
    net = trace(model.eval(), (image,), name="net").net
    calls = [piece.workload for piece in pieces_of(lowering_for("openvino-cpu", net), net.widths)]
    compiled = OpenVinoCpu(RuntimeSettings(device="openvino-cpu")).compile(openvino_core().read_model(onnx_bytes(model, (image,))))
    nodes = compiled.get_runtime_model().get_ops()
    changed = [
        node
        for node in nodes
        if node.get_rt_info()["layerType"].astype(str) == "Reorder"
        and node.input_value(0).get_node().get_rt_info()["layerType"].astype(str) == "Input"
    ]
    assert len(changed) == sum(call.kernel == INPUT_LAYOUT for call in calls) == 1
