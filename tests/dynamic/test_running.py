"""Whole dynamic networks in PyTorch, OpenVINO and as ONNX, against the masked network."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from edgewise._core.errors import DeviceError, ExportError, PlanError, SpecError, UsageError
from edgewise.dynamic import gated, place_gates
from edgewise.dynamic.running import OpenVinoDynamicSession, as_torch, export_onnx, export_openvino, kernel_costs, masked_gates
from edgewise.dynamic.running.masking import MaskGate
from edgewise.dynamic.running.torch_module import SparseChain
from edgewise.ir import NetSpec
from edgewise.ir.gates import Gate, GatePlan
from edgewise.kernels import variants
from edgewise.models.resnet import resnet
from edgewise.trace import trace

needs_kernels = pytest.mark.skipif(not variants(), reason="no C++ compiler here")


def _randomised(model: nn.Module) -> nn.Module:
    """Batch norms as after training, so that folding them matters."""
    generator = torch.Generator().manual_seed(3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in ((module.weight, 0.5, 1.5), (module.bias, -0.2, 0.2)):
                nn.init.uniform_(tensor, low, high, generator=generator)
            module.running_mean.uniform_(-0.3, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return model.eval()


class _Projected(nn.Module):
    """A residual block whose shortcut is a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.conv1 = nn.Conv2d(8, 12, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(12)
        self.conv2 = nn.Conv2d(12, 16, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.down = nn.Sequential(nn.Conv2d(8, 16, 1, stride=2, bias=False), nn.BatchNorm2d(16))
        self.head = nn.Linear(16, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.relu(self.stem(images))
        added = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(maps)))))
        return self.head(torch.relu(added + self.down(maps)).mean((2, 3)))


def _plain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 24, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(24, 20, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(20, 4),
    )


class _Silu(nn.Module):
    """A residual block whose activation the kernels do not know: the sum has two maps from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.SiLU())
        self.conv1, self.norm1 = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.conv2, self.norm2 = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 4)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.stem(images)
        inner = torch.nn.functional.silu(self.norm1(self.conv1(maps)))
        maps = torch.relu(maps + self.norm2(self.conv2(inner)))
        return self.head(maps.mean((2, 3)))


def _grouped() -> nn.Module:
    """Its second convolution has groups, which no chain computes."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1, groups=4), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(8 * 36, 4),
    )  # fmt: skip


_NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "plain": _plain,
    "resnet8": lambda: resnet(8),
    "projected": _Projected,
    "grouped": _grouped,
    "silu": _Silu,
}


def _prepared(name: str, *, side: int = 8, channels: float = 0.4, positions: float = 0.5) -> tuple[nn.Module, NetSpec, GatePlan, Tensor]:
    torch.manual_seed(0)
    model = _randomised(_NETWORKS[name]())
    images = torch.rand(3, 3, side, side, generator=torch.Generator().manual_seed(1))
    net = trace(model, (images[:1],), name=name, verify=False).net
    plan = place_gates(net, channel_ratios=(channels,), spatial_ratios=(positions,))
    assert plan.gates
    return model, net, plan, images


def _masked(model: nn.Module, plan: GatePlan, images: Tensor) -> Tensor:
    with gated(model, plan), torch.no_grad():
        return model(images)


@pytest.mark.parametrize("name", _NETWORKS)
def test_torch_equals_the_masked_network(name: str) -> None:
    model, net, plan, images = _prepared(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    dynamic = as_torch(model, net, plan)
    chains = [module for module in dynamic.modules() if isinstance(module, SparseChain)]
    assert chains and all(any(chain.program.gated(place) for place in range(len(chain.program.steps))) for chain in chains)
    with torch.no_grad():
        torch.testing.assert_close(dynamic(images), _masked(model, plan, images), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_a_residual_network_is_one_operator() -> None:
    model, net, plan, _ = _prepared("resnet8")
    chains = [module for module in as_torch(model, net, plan).modules() if isinstance(module, SparseChain)]
    assert len(chains) == 1 and len(chains[0].convolutions) == 7 and len(chains[0].program.steps) == 9


def test_nothing_pruned_is_the_dense_network_bit_for_bit(tmp_path: Path) -> None:
    model, net, plan, images = _prepared("plain", channels=0.0, positions=0.0)
    dynamic = as_torch(model, net, plan)
    with torch.no_grad():
        assert torch.equal(dynamic(images), model(images))
    assert "SparseChain" not in export_openvino(model, net, plan, tmp_path, batch=3, threads=1).read_text()


@needs_kernels
def test_torch_compile_and_export_keep_the_operator() -> None:
    model, net, plan, images = _prepared("plain")
    dynamic = as_torch(model, net, plan)
    wanted = _masked(model, plan, images)
    with torch.no_grad():
        exported = torch.export.export(dynamic, (images,))
        assert any("sparse_chain" in str(node.target) for node in exported.graph.nodes)
        torch.testing.assert_close(exported.module()(images), wanted, rtol=1e-4, atol=1e-5)
        compiled = torch.compile(dynamic, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(images), wanted, rtol=1e-4, atol=1e-5)


@needs_kernels
def test_changed_weights_are_packed_again() -> None:
    model, net, plan, images = _prepared("plain")
    dynamic = as_torch(model, net, plan)
    (chain,) = (module for module in dynamic.modules() if isinstance(module, SparseChain))
    with torch.no_grad():
        before = dynamic(images)
        chain.get_buffer("weight0").mul_(-1)
        assert not torch.allclose(dynamic(images), before)


@pytest.mark.parametrize("name", _NETWORKS)
def test_onnx_holds_standard_operators_only(name: str, tmp_path: Path) -> None:
    import onnxruntime

    model, net, plan, images = _prepared(name)
    export_onnx(model, net, plan, tmp_path / "model.onnx", batch=3)
    graph = onnx.load(str(tmp_path / "model.onnx"))
    assert {node.domain for node in graph.graph.node} <= {""} and "TopK" in {node.op_type for node in graph.graph.node}
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    np.testing.assert_allclose(found, _masked(model, plan, images).numpy(), rtol=1e-4, atol=1e-5)


@needs_kernels
@pytest.mark.parametrize("name", _NETWORKS)
def test_openvino_gives_the_same_outputs(name: str, tmp_path: Path) -> None:
    model, net, plan, images = _prepared(name)
    path = export_openvino(model, net, plan, tmp_path, batch=3, threads=2)
    assert path.read_text().count('type="SparseChain" version="edgewise"') >= 1
    with OpenVinoDynamicSession(path, threads=2) as session:
        found = session.run(images.numpy())
        np.testing.assert_allclose(found, _masked(model, plan, images).numpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(session.run(), found)
        assert session.time_once_s() > 0
        with pytest.raises(UsageError, match="`images` must be float32 of shape"):
            session.run(images[:1].numpy())
    with pytest.raises(DeviceError, match="this session is closed"):
        session.run()


@needs_kernels
def test_a_model_opened_without_the_extension_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, net, plan, _ = _prepared("plain")
    path = export_openvino(model, net, plan, tmp_path, batch=3, threads=1)
    monkeypatch.setattr("edgewise.deploy.openvino_core.extension_file", _no_extension)
    with pytest.raises(DeviceError, match=r"needs the compiled kernels; install g\+\+"):
        OpenVinoDynamicSession(path, threads=1)
    with pytest.raises(DeviceError, match="no such model file"):
        OpenVinoDynamicSession(tmp_path / "other.xml", threads=1)


def _no_extension() -> Path:
    raise DeviceError("OpenVINO's operator for dynamic networks needs the compiled kernels; install g++ (or clang++), then run again")


def test_plans_of_other_networks_are_refused() -> None:
    model, net, _, _ = _prepared("plain")
    other = GatePlan(gates=(Gate(consumer="3", producer="0", block=0, channels=99, hw=(8, 8), channel_ratio=0.5),), n_blocks=1)
    with pytest.raises(PlanError, match=r"gates a convolution '3' of 99 channels, the network has 16 channels"):
        as_torch(model, net, other)


def test_code_that_depends_on_values_is_refused() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, images: Tensor) -> Tensor:
            return self.conv(images) if images.sum() > 0 else images

    plan = GatePlan(gates=(Gate(consumer="conv", producer="", block=0, channels=3, hw=(4, 4), channel_ratio=0.5),), n_blocks=1)
    net = NetSpec(name="branching", input_shapes=((1, 3, 4, 4),), layers=(), ties=())
    with pytest.raises(SpecError, match=r"must be readable by torch\.fx"):
        as_torch(Branching(), net, plan)


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    model, net, plan, _ = _prepared("plain")
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(ExportError, match="finite"):
        export_openvino(model, net, plan, tmp_path, batch=1, threads=1)


@needs_kernels
def test_costs_are_measured_for_every_gate() -> None:
    _, net, plan, _ = _prepared("resnet8", side=16)
    costs = kernel_costs(net, plan, threads=1)
    assert list(costs) == [gate.consumer for gate in plan.gates]
    assert all(cost.dynamic_s > 0 and cost.dense_s > 0 and cost.path in ("dense", "channels", "scatter") for cost in costs.values())
    with pytest.raises(UsageError, match="`batch` and `threads` must be at least 1, got 1 and 0"):
        kernel_costs(net, plan, threads=0)


def test_gates_that_no_chain_computes_are_named_and_masked() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, padding="same"), nn.ReLU(), nn.Conv2d(8, 4, 1)).eval()
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    net = trace(model, (images[:1],), name="same", verify=False).net
    plan = place_gates(net, channel_ratios=(0.5,))
    assert masked_gates(model, plan) == ("2",) and masked_gates(model, plan.scaled(0.0)) == ()
    with torch.no_grad():
        torch.testing.assert_close(as_torch(model, net, plan)(images), _masked(model, plan, images), rtol=1e-4, atol=1e-5)


@needs_kernels
@pytest.mark.parametrize(("channels", "positions"), [((0.5,), ()), ((0.2,), (0.22,))])
def test_gates_on_maps_that_others_read_whole(channels: tuple[float, ...], positions: tuple[float, ...], tmp_path: Path) -> None:
    """One reader sees zeros, the shortcut the whole map; all of it is still one operator."""
    model = _randomised(resnet(8))
    net = trace(model, (torch.rand(1, 3, 32, 32),), name="resnet8", verify=False).net
    plan = place_gates(net, channel_ratios=channels, spatial_ratios=positions, block_outputs=True)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    with torch.no_grad(), gated(model, plan):
        expected = model(images)
    dynamic = as_torch(model, net, plan)
    assert [len(module.convolutions) for module in dynamic.modules() if isinstance(module, SparseChain)] == [7]
    assert not any(isinstance(module, MaskGate) for module in dynamic.modules())
    with torch.no_grad():
        assert torch.allclose(dynamic(images), expected, atol=1e-4 * float(expected.abs().max()))
    session = OpenVinoDynamicSession(export_openvino(model, net, plan, tmp_path, batch=2, threads=1), threads=1)
    assert np.allclose(session.run(images.numpy()), expected.numpy(), atol=1e-4 * float(expected.abs().max()))
