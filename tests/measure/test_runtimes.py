import builtins
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgewise._core.errors import DeviceError, ExportError, UnknownNameError, UsageError
from edgewise.deploy.onnx_export import export_onnx, onnx_bytes
from edgewise.deploy.openvino_export import export_openvino
from edgewise.measure.runtimes import Runtime, open_runtime
from edgewise.measure.runtimes.base import batched, random_feed
from edgewise.measure.sampling import Schedule, measure_interleaved
from edgewise.measure.session import Session
from edgewise.measure.settings import RuntimeSettings

QUICK = Schedule(warmup=1, repeats=3, min_seconds=0.0, max_seconds=0.2)
IN_PROCESS = ("onnxruntime-cpu", "openvino-cpu", "torch-cpu", "torch-compile-cpu")
FILE_READERS = {"onnxruntime-cpu": ("model.onnx",), "openvino-cpu": ("model.onnx", "model.xml")}


class Broken(nn.Module):
    """A network that cannot be run."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise ArithmeticError("cannot\nbe run")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one network as ONNX and as OpenVINO IR."""
    folder = tmp_path_factory.mktemp("exported")
    model, inputs = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval(), (torch.zeros(1, 3, 8, 8),)
    export_onnx(model, inputs, folder / "model.onnx")
    export_openvino(model, inputs, folder / "model.xml")
    return folder


def opened(device: str, **settings: int) -> Runtime:
    return open_runtime(RuntimeSettings(device=device, **settings))


@pytest.mark.parametrize("device", IN_PROCESS)
def test_a_module_is_timed(device: str, network: nn.Module, image: tuple[torch.Tensor]) -> None:
    runtime = opened(device)
    session = runtime.load_module(network, image)
    assert isinstance(runtime, Runtime)
    assert isinstance(session, Session)
    (sample,) = measure_interleaved([session], QUICK)
    assert 0 < sample.min_s <= sample.latency_s < 1
    session.close()
    session.close()
    with pytest.raises(DeviceError, match="session is closed"):
        session.run()


@pytest.mark.parametrize("device", IN_PROCESS)
def test_the_module_is_left_as_it_was(device: str, network: nn.Module, image: tuple[torch.Tensor]) -> None:
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    opened(device).load_module(network, image).run()
    assert all(module.training for module in network.modules())
    assert all(bool(torch.equal(before[name], value)) for name, value in network.state_dict().items())


@pytest.mark.parametrize("device", IN_PROCESS)
def test_identity_names_device_version_and_settings(device: str) -> None:
    runtime = opened(device, threads=2, batch=3)
    identity = runtime.identity()
    assert (identity.device, identity.threads, identity.batch, identity.precision) == (device, 2, 3, "fp32")
    assert identity.version == runtime.version
    assert identity.version[0].isdigit()
    assert identity.cpu


@pytest.mark.parametrize(("device", "file"), [(device, file) for device, names in FILE_READERS.items() for file in names])
def test_a_file_is_timed(device: str, file: str, files: Path) -> None:
    session = opened(device).load_file(files / file)
    assert session.time_once_s() > 0


@pytest.mark.parametrize("device", ["onnxruntime-cpu", "openvino-cpu"])
@pytest.mark.parametrize("length", [0, 10, 500, -3])
def test_a_truncated_file_is_refused_in_one_line(
    device: str, length: int, files: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.onnx"
    cut.write_bytes((files / "model.onnx").read_bytes()[:length])
    with pytest.raises(DeviceError, match=r"cut\.onnx") as caught:
        opened(device).load_file(cut)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("xml_length", "bin_length"), [(0, None), (400, None), (-3, None), (None, 10), (None, 0)])
def test_a_truncated_ir_is_refused_in_one_line(
    xml_length: int | None, bin_length: int | None, files: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cut.xml").write_bytes((files / "model.xml").read_bytes()[:xml_length])
    (tmp_path / "cut.bin").write_bytes((files / "model.bin").read_bytes()[:bin_length])
    with pytest.raises(DeviceError, match=r"cut\.xml") as caught:
        opened("openvino-cpu").load_file(tmp_path / "cut.xml")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_files_that_are_missing_or_of_another_kind(files: Path) -> None:
    with pytest.raises(DeviceError, match="no such model file"):
        opened("onnxruntime-cpu").load_file(files / "none.onnx")
    with pytest.raises(DeviceError, match=r"must end with \.onnx or \.ort, got 'model\.xml'"):
        opened("onnxruntime-cpu").load_file(files / "model.xml")
    with pytest.raises(DeviceError, match="runs networks, not files"):
        opened("torch-cpu").load_file(files / "model.onnx")


def test_a_file_of_another_batch_is_refused(files: Path) -> None:
    with pytest.raises(DeviceError, match="has a batch of 1, asked for 4; use --batch 1"):
        opened("onnxruntime-cpu", batch=4).load_file(files / "model.onnx")


def test_bytes_are_loaded_with_the_feeds_given() -> None:
    model = nn.Conv2d(3, 4, 3).eval()
    content = onnx_bytes(model, (torch.zeros(2, 3, 8, 8),))
    from edgewise.measure.runtimes.onnxruntime_cpu import OnnxRuntimeCpu
    from edgewise.measure.runtimes.openvino_cpu import OpenVinoCpu

    feed = np.zeros((2, 3, 8, 8), np.float32)
    assert OnnxRuntimeCpu(RuntimeSettings(device="onnxruntime-cpu")).load_bytes(content, {"input": feed}).time_once_s() > 0
    assert OpenVinoCpu(RuntimeSettings(device="openvino-cpu")).load_bytes(content, [feed]).time_once_s() > 0
    with pytest.raises(DeviceError, match="OpenVINO cannot run the network"):
        OpenVinoCpu(RuntimeSettings(device="openvino-cpu")).load_bytes(content, [feed[:, :2]])
    with pytest.raises(DeviceError, match="ONNX Runtime cannot run the network"):
        OnnxRuntimeCpu(RuntimeSettings(device="onnxruntime-cpu")).load_bytes(content, {"input": feed[:, :2]})
    with pytest.raises(DeviceError, match="ONNX Runtime cannot run the network"):
        OnnxRuntimeCpu(RuntimeSettings(device="onnxruntime-cpu")).load_bytes(content, {"no such input": feed})


def test_convolutions_norms_and_activations_are_fused_as_deployed(network: nn.Module, image: tuple[torch.Tensor], tmp_path: Path) -> None:
    from edgewise.deploy.inspect_onnx import onnx_op_counts
    from edgewise.measure.runtimes.onnxruntime_cpu import OnnxRuntimeCpu

    OnnxRuntimeCpu(RuntimeSettings(device="onnxruntime-cpu")).optimised_onnx(onnx_bytes(network, image), tmp_path / "fused.onnx")
    counts = onnx_op_counts(tmp_path / "fused.onnx")
    assert counts["Conv"] == 1 or counts["FusedConv"] == 1
    assert not {"BatchNormalization", "Relu"} & set(counts)


@pytest.mark.parametrize("device", ["torch-cpu", "onnxruntime-cpu"])
def test_a_network_that_fails_is_refused_in_one_line(device: str, image: tuple[torch.Tensor]) -> None:
    with pytest.raises((DeviceError, ExportError)) as caught:
        opened(device).load_module(Broken(), image)
    assert "cannot" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_torch_threads_are_restored(network: nn.Module, image: tuple[torch.Tensor]) -> None:
    before = torch.get_num_threads()
    session = opened("torch-cpu", threads=before + 1).load_module(network, image)
    session.time_once_s()
    session.run()
    assert torch.get_num_threads() == before


def test_torch_runs_a_copy_in_bf16(network: nn.Module, image: tuple[torch.Tensor]) -> None:
    session = open_runtime(RuntimeSettings(device="torch-cpu", precision="bf16")).load_module(network, image)
    assert session.time_once_s() > 0
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_many_networks_of_one_class_are_all_compiled() -> None:
    from edgewise.measure.runtimes.torch_compile_cpu import _own_function

    compilations = []

    def backend(graph: torch.fx.GraphModule, example: list[torch.Tensor]) -> object:
        compilations.append(graph)
        return graph.forward

    for width in range(1, 12):  # torch gives up after 8 versions of one function
        network = nn.Conv2d(3, width, 1).eval()
        torch.compile(_own_function(network), backend=backend, dynamic=False)(torch.zeros(1, 3, 4, 4))
    assert len(compilations) == 11


def test_inputs_are_repeated_to_the_batch() -> None:
    one, four = torch.arange(3.0).reshape(1, 3), torch.zeros(4, 2)
    first, second = batched((one, four), 4)
    assert first.tolist() == [[0.0, 1.0, 2.0]] * 4
    assert second is four
    with pytest.raises(UsageError, match=r"batch of 1 or of 4, got shape \(2, 3\)"):
        batched((torch.zeros(2, 3),), 4)
    with pytest.raises(UsageError, match="batch axis"):
        batched((torch.tensor(1.0),), 1)


def test_random_feeds_have_fixed_sizes() -> None:
    assert random_feed([None, 3], "float32", batch=2, name="x").shape == (2, 3)
    assert random_feed([2, 3], "int64", batch=2, name="x").tolist() == [[0, 0, 0]] * 2
    with pytest.raises(DeviceError, match="must have fixed sizes"):
        random_feed([1, None], "float32", batch=1, name="x")


def test_unknown_devices_and_absent_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="unknown device"):
        opened("toaster")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="needs an NVIDIA GPU"):
        opened("cuda")


@pytest.mark.parametrize(("device", "package"), [("onnxruntime-cpu", "onnxruntime"), ("openvino-cpu", "openvino"), ("exec:x", "onnx")])
def test_missing_packages_come_with_the_remedy(device: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr("edgewise.measure.runtimes.find_spec", lambda name: None if name == package else real(name))
    with pytest.raises(DeviceError, match=rf"needs the package {package}; pip install 'edgewise\["):
        opened(device)


def test_bf16_needs_a_processor_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    monkeypatch.setattr(openvino.Core, "get_property", lambda *arguments: ["FP32", "INT8"])
    with pytest.raises(DeviceError, match="bf16 needs a processor that has it"):
        open_runtime(RuntimeSettings(device="openvino-cpu", precision="bf16"))


def test_listing_imports_no_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgewise.measure.devices import list_devices

    real = builtins.__import__

    def guarded(name: str, *arguments: object) -> object:
        assert name.split(".")[0] not in {"torch", "onnxruntime", "openvino", "onnx"}
        return real(name, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", guarded)
    devices = {device.name: device for device in list_devices()}
    assert list(devices) == [*IN_PROCESS, "cuda", "exec:CMD"]
    assert devices["torch-cpu"].available
    assert devices["torch-cpu"].version.startswith("2.")


def test_listing_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgewise.measure import devices

    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    found = {device.name: device for device in devices.list_devices()}
    assert not found["openvino-cpu"].available
    assert "pip install 'edgewise[openvino,onnx]'" in found["openvino-cpu"].note
    assert "install g++" in found["torch-compile-cpu"].note


def test_ctrl_c_is_an_interrupt_after_openvino_runtimes_have_come_and_gone() -> None:
    code = """
import gc, signal
import torch
from edgewise.measure.runtimes.openvino_cpu import OpenVinoCpu
from edgewise.measure.settings import RuntimeSettings

def opened():
    runtime = OpenVinoCpu(RuntimeSettings(device="openvino-cpu"))
    return runtime, runtime.load_module(torch.nn.Conv2d(3, 4, 3).eval(), (torch.zeros(1, 3, 8, 8),))

signal.signal(signal.SIGINT, signal.default_int_handler)
alive = [opened() for _ in range(4)]
while alive:
    del alive[0]
    gc.collect()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "interrupted"), done.stderr
