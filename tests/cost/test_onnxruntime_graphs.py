"""The kernel calls we foretell are those of the graphs that ONNX Runtime itself makes."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from cost import nets
from edgewise.cost.lowering import lowering_for
from edgewise.cost.lowering.lower import pieces_of
from edgewise.deploy.onnx_export import onnx_bytes
from edgewise.ir import NetSpec
from edgewise.measure.host import native_block
from edgewise.measure.runtimes.onnxruntime_cpu import OnnxRuntimeCpu
from edgewise.measure.settings import RuntimeSettings
from edgewise.models.catalog import BUILT_IN
from edgewise.trace import trace

pytestmark = [
    pytest.mark.skipif(native_block() != 16, reason="the rules are checked where blocks have 16 channels"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]

_NAMES = {
    "max_pool2d": "MaxPool",
    "avg_pool2d": "AveragePool",
    "adaptive_avg_pool2d": "ReduceMean",
    "mean": "ReduceMean",
    "linear": "Gemm",
    "add": "Add",
    "mul": "Mul",
    "cat": "Concat",
    "silu": "QuickGelu",
    "gelu": "Gelu",
    "elu": "Elu",
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "hardsigmoid": "HardSigmoid",
    "relu6": "Clip",
    "hardtanh": "Clip",
    "leaky_relu": "LeakyRelu",
    "batch_norm": "BatchNormalization",
    "slice": "Slice",
    "pad": "Pad",
}
_PARTS = {"hardswish": ("HardSigmoid", "Mul"), "mish": ("Softplus", "Tanh", "Mul"), "softplus": ("Greater", "Softplus", "Where")}
_FREE = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Constant", "Shape"}


def foretold(net: NetSpec) -> Counter[str]:
    counts: Counter[str] = Counter()
    for piece in pieces_of(lowering_for("onnxruntime-cpu", net), net.widths):
        work = piece.workload
        if work.op == "reorder":
            counts["ReorderInput" if work.kernel == "reorder_in" else "ReorderOutput"] += 1
        elif work.op.startswith("conv"):
            counts["plain Conv" if work.kernel == "im2col" else "blocked Conv"] += 1
        else:
            layout = "blocked " if work.op == "max_pool2d" and work.kernel == "blocked" else ""
            counts.update(layout + name for name in _PARTS.get(work.op, (_NAMES.get(work.op, work.op),)))
    return counts


def made(model: nn.Module, image: torch.Tensor, folder: Path) -> Counter[str]:
    """Kernels of the graph after ONNX Runtime's own optimisation."""
    runtime = OnnxRuntimeCpu(RuntimeSettings(device="onnxruntime-cpu"))
    runtime.optimised_onnx(onnx_bytes(model, (image,)), folder / "optimised.onnx")
    counts: Counter[str] = Counter()
    for node in onnx.load(folder / "optimised.onnx").graph.node:
        name = node.op_type.removeprefix("Fused")
        blocked = node.domain.endswith("nchwc")
        if name == "Conv":
            name = "blocked Conv" if blocked else "plain Conv"
        elif name == "MaxPool" and blocked:
            name = "blocked MaxPool"
        if name not in _FREE:
            counts[name] += 1
    return counts


def agree(model: nn.Module, folder: Path, size: int = 16) -> bool:
    image = torch.zeros(1, 3, size, size)
    model = model.eval()
    assert foretold(trace(model, (image,), name="net").net) == made(model, image, folder)
    return True


def cases(build: Callable[..., nn.Module], *widths: tuple[int, ...]) -> list[object]:
    return [pytest.param(build, each, id=f"{build.__name__}-{'-'.join(map(str, each))}") for each in widths]


@pytest.mark.parametrize(
    ("build", "widths"),
    [
        *cases(nets.chain, (12, 6, 30, 33, 24)),
        *cases(nets.pooled, (32, 48, 64), (24, 40, 36), (17, 23, 31)),
        *cases(nets.residual, (24, 40, 36), (17, 23, 31), (16, 8, 12), (31, 32, 48)),
        *cases(nets.inverted, (16, 96, 24), (24, 98, 32)),
        *cases(nets.gated, (16, 64, 16), (24, 90, 23)),
        *cases(nets.grouped, (64, 4), (64, 8)),
        *cases(nets.concat, (32, 16, 32), (32, 20, 28)),
        *cases(nets.dense, (32, 16), (24, 12)),
        *cases(nets.strided, (30, 40)),
        *cases(nets.averaged, (32, 48)),
    ],
)
def test_same_kernels_at_any_widths(build: Callable[..., nn.Module], widths: tuple[int, ...], tmp_path: Path) -> None:
    assert agree(build(*widths), tmp_path)


ACTIVATIONS = {
    "fused": [nn.ReLU6, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh],
    "apart": [nn.SiLU, nn.GELU, nn.ELU, nn.Mish, nn.Softplus],
}


@pytest.mark.parametrize("width", [32, 31])
@pytest.mark.parametrize("kind", list(ACTIVATIONS))
def test_same_kernels_with_every_activation(kind: str, width: int, tmp_path: Path) -> None:
    layers = [nets.conv(width, width, activation=activation) for activation in ACTIVATIONS[kind]]
    assert agree(nn.Sequential(nets.conv(3, width), *layers, *nets.head(width)), tmp_path)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.LeakyReLU()], ids=lambda one: type(one).__name__)
def test_same_kernels_where_an_activation_stands_alone(activation: nn.Module, tmp_path: Path) -> None:
    assert agree(nets.twice(32, activation), tmp_path)


def test_products_of_equal_shapes_stay_blocked(tmp_path: Path) -> None:
    assert agree(nets.twice(24, nn.Tanh(), multiply=True), tmp_path)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Hardswish])
def test_same_kernels_behind_a_flatten(activation: type[nn.Module], tmp_path: Path) -> None:
    assert agree(nets.perceptron(24, activation, norm=True), tmp_path)


@pytest.mark.parametrize("name", ["resnet20", "vgg16-hrank"])
def test_same_kernels_for_networks_that_edgewise_brings_along(name: str, tmp_path: Path) -> None:
    assert agree(BUILT_IN[name].build(), tmp_path, size=32)
