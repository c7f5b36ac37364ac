"""The compiled kernels, found or made, and called through ctypes."""

import ctypes
import hashlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from edgewise._core.errors import DeviceError
from edgewise._core.folders import cache_folder
from edgewise.kernels.compiling import EXTENSION, LIBRARY, SOURCES, CompileError, compile_kernels, compile_operator, sources_digest

PATHS = ("auto", "dense", "channels", "scatter")
"""Ways of computing a gated convolution, by their numbers in the C interface."""


@cache
def kernel_file() -> Path | None:
    """The library of the kernels: ``$EDGEWISE_KERNELS``, the installed one if it fits these sources, or one compiled now.

    Returns:
        The file; none where it neither is nor can be compiled (no compiler, another system, ``$EDGEWISE_KERNELS=none``).
    """
    named = os.environ.get("EDGEWISE_KERNELS")
    if named == "none" or sys.platform != "linux":
        return None
    if named:
        return Path(named)
    for folder in _folders():
        if (folder / LIBRARY).is_file() and _fits(folder / LIBRARY):
            return folder / LIBRARY
    try:
        return compile_kernels(_built_folder())
    except (CompileError, OSError):
        return None


@cache
def kernel_library() -> ctypes.CDLL | None:
    """The library with its functions declared; none where there is none, which is said once on standard error."""
    path = kernel_file()
    if path is None:
        sys.stderr.write(
            "edgewise: no compiled kernels for dynamic networks here (install g++, then run again); computing with PyTorch, slower\n"
        )
        return None
    return _declared(ctypes.CDLL(str(path)))


@cache
def extension_file() -> Path:
    """OpenVINO's operator for the installed OpenVINO, compiled at first use and kept by its version.

    Raises:
        DeviceError: OpenVINO, the kernels or a compiler are missing.
    """
    named = os.environ.get("EDGEWISE_OPENVINO_EXTENSION")
    if named:
        return Path(named)
    try:
        import openvino
    except ImportError as error:
        raise DeviceError("a dynamic network in OpenVINO needs the package openvino; pip install 'edgewise[openvino]'") from error
    kernels = kernel_file()
    if kernels is None:
        raise DeviceError("OpenVINO's operator for dynamic networks needs the compiled kernels; install g++ (or clang++), then run again")
    version = str(openvino.__version__).split("-")[0]
    folder = _built_folder() / f"openvino-{version}-{_operator_digest()}"
    name = folder / EXTENSION
    if name.is_file() and (folder / LIBRARY).is_file():
        return name
    try:
        return compile_operator(folder, openvino=Path(openvino.__file__).parent, kernels=kernels)
    except (CompileError, OSError) as error:
        raise DeviceError(f"OpenVINO's operator for dynamic networks must be compiled once: {error}") from error


def variants() -> tuple[str, ...]:
    """Variants of the kernels that this processor can run, best first; empty without compiled kernels."""
    library = kernel_library()
    return () if library is None else tuple(library.ew_variants().decode().split(","))


def _folders() -> Sequence[Path]:
    """Where a library may lie: beside this package, where the wheel put it, where an earlier run compiled it."""
    folders = [SOURCES.parent]
    try:
        files = importlib.metadata.files("edgewise") or []
        folders += [Path(str(file.locate())).parent for file in files if file.name == LIBRARY]
    except importlib.metadata.PackageNotFoundError:
        pass
    return [*folders, _built_folder()]


def _built_folder() -> Path:
    """Where libraries compiled at first use are kept: one folder for each state of the sources and family of processors."""
    return cache_folder() / "kernels" / f"{sources_digest()}-{platform.machine().lower()}"


def _operator_digest() -> str:
    return hashlib.sha256((SOURCES / "openvino_extension.cpp").read_bytes()).hexdigest()[:8]


def _fits(path: Path) -> bool:
    """Whether a library was made from these sources: it holds their digest."""
    try:
        return sources_digest().encode() in path.read_bytes()
    except OSError:
        return False


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    signatures: dict[str, tuple[type | None, list[type]]] = {
        "ew_variants": (ctypes.c_char_p, []),
        "ew_sources": (ctypes.c_char_p, []),
        "ew_chain_create": (pointer, [pointer, integer, pointer, pointer, ctypes.c_char_p, pointer, integer]),
        "ew_chain_destroy": (None, [pointer]),
        "ew_chain_shape": (None, [pointer, integer, pointer]),
        "ew_chain_bytes": (ctypes.c_int64, [pointer]),
        "ew_chain_path": (integer, [pointer, integer]),
        "ew_chain_set_path": (integer, [pointer, integer, integer]),
        "ew_chain_tune": (integer, [pointer, integer, pointer, integer]),
        "ew_chain_run": (integer, [pointer, pointer, pointer, integer, pointer]),
        "ew_chain_run_masks": (integer, [pointer, pointer, pointer, integer, pointer, pointer]),
        "ew_chain_run_timed": (integer, [pointer, pointer, pointer, integer, pointer, pointer]),
        "ew_pool_create": (pointer, [integer]),
        "ew_pool_destroy": (None, [pointer]),
        "ew_pool_host": (pointer, [pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
