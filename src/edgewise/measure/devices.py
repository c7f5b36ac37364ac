"""What can measure on this machine. Imports no runtime: listing must be fast."""

import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from edgewise.measure.host import installed_version

_DRIVER = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundDevice:
    """A device by name, and whether it can be used here.

    Attributes:
        name: As ``--device`` takes it.
        kind: ``measured``.
        available: Everything it needs was found.
        version: Of the runtime; empty where it is missing or unknown.
        note: What is missing with the remedy, or what to know.
    """

    name: str
    kind: str
    available: bool
    version: str
    note: str


def list_devices() -> list[FoundDevice]:
    """The devices that are measured, usable ones and others, in the order of the documentation."""
    return [
        _packaged("onnxruntime-cpu", ("onnxruntime", "onnx", "onnxscript"), extra="onnx", note="the default"),
        _packaged("openvino-cpu", ("openvino", "onnx", "onnxscript"), extra="openvino,onnx"),
        _packaged("torch-cpu", ("torch",), extra="all"),
        _compiled(),
        _cuda(),
        FoundDevice(
            name="exec:CMD",
            kind="measured",
            available=True,
            version="",
            note="runs CMD model.onnx and reads seconds from the last line it prints",
        ),
    ]


def _packaged(name: str, packages: tuple[str, ...], *, extra: str, note: str = "") -> FoundDevice:
    missing = [package for package in packages if find_spec(package) is None]
    version = installed_version(packages[0]) or ""
    if missing:
        note = f"{' and '.join(missing)} missing: pip install 'edgewise[{extra}]'"
    return FoundDevice(name=name, kind="measured", available=not missing, version=version, note=note)


def _compiled() -> FoundDevice:
    has_compiler = any(shutil.which(name) for name in ("g++", "c++", "clang++"))
    note = "" if has_compiler else "torch.compile needs a C++ compiler: install g++"
    version = installed_version("torch") or ""
    return FoundDevice(name="torch-compile-cpu", kind="measured", available=bool(version) and has_compiler, version=version, note=note)


def _cuda() -> FoundDevice:
    # torch alone can tell for sure, and takes seconds to import; the driver's file says enough.
    found = _DRIVER.is_file()
    version = installed_version("torch") or "" if found else ""
    return FoundDevice(name="cuda", kind="measured", available=found, version=version, note="" if found else "no NVIDIA driver found")
