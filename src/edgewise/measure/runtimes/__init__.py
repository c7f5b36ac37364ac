"""Runtimes by name. Each is imported when it is asked for, since most are optional."""

from collections.abc import Callable
from importlib.util import find_spec

from edgewise._core.errors import unknown_name
from edgewise.measure.runtimes.base import Runtime, missing_package
from edgewise.measure.settings import EXEC_PREFIX, MEASURED_DEVICES, RuntimeSettings

__all__ = ["Runtime", "open_runtime"]


def open_runtime(settings: RuntimeSettings) -> Runtime:
    """The runtime that the settings name.

    Raises:
        UnknownNameError: No such device.
        DeviceError: Its package or its hardware is missing.
    """
    openers: dict[str, Callable[[RuntimeSettings], Runtime]] = {
        "onnxruntime-cpu": _open_onnxruntime,
        "openvino-cpu": _open_openvino,
        "torch-cpu": _open_torch,
        "torch-compile-cpu": _open_torch_compile,
        "cuda": _open_cuda,
    }
    if settings.device.startswith(EXEC_PREFIX):
        return _open_exec(settings)
    if settings.device not in openers:
        raise unknown_name("device", settings.device, (*MEASURED_DEVICES, "exec:CMD"))
    return openers[settings.device](settings)


def _open_onnxruntime(settings: RuntimeSettings) -> Runtime:
    _require(settings.device, ("onnxruntime", "onnx", "onnxscript"), extra="onnx")
    from edgewise.measure.runtimes.onnxruntime_cpu import OnnxRuntimeCpu

    return OnnxRuntimeCpu(settings)


def _open_openvino(settings: RuntimeSettings) -> Runtime:
    _require(settings.device, ("openvino",), extra="openvino")
    _require(settings.device, ("onnx", "onnxscript"), extra="onnx")  # its models come through ONNX
    from edgewise.measure.runtimes.openvino_cpu import OpenVinoCpu

    return OpenVinoCpu(settings)


def _open_torch(settings: RuntimeSettings) -> Runtime:
    from edgewise.measure.runtimes.torch_cpu import TorchCpu

    return TorchCpu(settings)


def _open_torch_compile(settings: RuntimeSettings) -> Runtime:
    from edgewise.measure.runtimes.torch_compile_cpu import TorchCompileCpu

    return TorchCompileCpu(settings)


def _open_cuda(settings: RuntimeSettings) -> Runtime:
    from edgewise.measure.runtimes.cuda import Cuda

    return Cuda(settings)


def _open_exec(settings: RuntimeSettings) -> Runtime:
    _require(settings.device, ("onnx", "onnxscript"), extra="onnx")
    from edgewise.measure.runtimes.exec_command import ExecCommand

    return ExecCommand(settings)


def _require(device: str, packages: tuple[str, ...], *, extra: str) -> None:
    for package in packages:
        if find_spec(package) is None:
            raise missing_package(device, package, extra)
