"""Compiles the C++ sources. Imports nothing of edgewise, since it also runs while edgewise is being installed."""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCES = Path(__file__).parent / "native"
"""The folder of the C++ sources."""
LIBRARY = "libedgewise_kernels.so"
"""File name of the kernels."""
EXTENSION = "libedgewise_openvino.so"
"""File name of OpenVINO's operator; the kernels lie beside it."""

_VARIANT_FLAGS = {
    "variant_avx2.cpp": ("-mavx2", "-mfma"),
    "variant_avx512.cpp": ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"),
}
_OPERATOR = "openvino_extension.cpp"
_FLAGS = ("-std=c++17", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra")
_COMPILERS = ("c++", "g++", "clang++")
_X86 = frozenset({"x86_64", "amd64"})


class CompileError(RuntimeError):
    """There is no compiler, or it fails."""


def find_compiler() -> str | None:
    """The C++ compiler: ``$CXX``, or the first of c++, g++ and clang++ that is there; none if there is none."""
    named = os.environ.get("CXX")
    for name in (named,) if named else _COMPILERS:
        found = shutil.which(name)
        if found:
            return found
    return None


def sources_digest() -> str:
    """Digest of the kernels' sources, which a library made from them holds: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.glob("*")):
        if path.suffix in (".cpp", ".h") and path.name != _OPERATOR:
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def kernel_sources() -> tuple[Path, ...]:
    """The files that make the library on this processor, without OpenVINO's operator."""
    left_out = {_OPERATOR} | (set() if platform.machine().lower() in _X86 else set(_VARIANT_FLAGS))
    return tuple(path for path in sorted(SOURCES.glob("*.cpp")) if path.name not in left_out)


def compile_kernels(folder: Path, *, flags: Sequence[str] = ("-O3",)) -> Path:
    """Compiles the library; takes some seconds.

    Args:
        folder: Where it goes; made where it is missing. The library appears there whole or not at all.
        flags: Optimisation, or sanitizers.

    Raises:
        CompileError: There is no compiler, or it fails.
    """
    compiler = _compiler()
    define = f'-DEW_SOURCES="{sources_digest()}"'
    with _workshop(folder) as made:
        objects = {source: f"{made}/{source.stem}.o" for source in kernel_sources()}
        with ThreadPoolExecutor(os.cpu_count()) as workers:
            done = [
                workers.submit(
                    _call, [compiler, *_FLAGS, *flags, *_VARIANT_FLAGS.get(source.name, ()), define, "-c", str(source), "-o", made_of_it]
                )
                for source, made_of_it in sorted(objects.items(), key=lambda each: each[0].name not in _VARIANT_FLAGS)  # the longest first
            ]
            for each in done:
                each.result()
        _call([compiler, *flags, "-shared", "-o", f"{made}/{LIBRARY}", *objects.values(), "-lpthread"])
        return put(Path(made) / LIBRARY, folder / LIBRARY)


def compile_operator(folder: Path, *, openvino: Path, kernels: Path) -> Path:
    """Compiles OpenVINO's operator against the headers that its wheel ships, with the kernels beside it.

    Args:
        folder: Where both go.
        openvino: The folder of the installed package.
        kernels: The library of the kernels.

    Raises:
        CompileError: There is no compiler, it fails, or the package ships no headers.
    """
    compiler = _compiler()
    libraries = [next((openvino / "libs").glob(f"{name}.so.*"), None) for name in ("libopenvino", "libopenvino_onnx_frontend", "libtbb")]
    if not (openvino / "include").is_dir() or None in libraries:
        raise CompileError("OpenVINO's wheel must ship headers and libraries; reinstall openvino")
    folder.mkdir(parents=True, exist_ok=True)
    with _workshop(folder) as made:
        put(kernels, folder / LIBRARY)
        link = [str(folder / LIBRARY), *map(str, libraries), f"-Wl,-rpath,$ORIGIN:{openvino / 'libs'}"]
        source = str(SOURCES / _OPERATOR)
        _call([compiler, *_FLAGS[:3], "-O2", f"-I{openvino / 'include'}", "-shared", source, "-o", f"{made}/{EXTENSION}", *link])
        return put(Path(made) / EXTENSION, folder / EXTENSION)


def put(made: Path, goal: Path) -> Path:
    """Copies a file to its place, whole at once: another process may load it at any time."""
    if goal.exists() and made.samefile(goal):
        return goal
    with tempfile.TemporaryDirectory(prefix=".copy-", dir=goal.parent) as beside:
        Path(shutil.copyfile(made, Path(beside) / goal.name)).replace(goal)
    return goal


def _compiler() -> str:
    found = find_compiler()
    if found is None or sys.platform != "linux":
        raise CompileError("there is no C++ compiler on Linux here; install g++, or set CXX")
    return found


def _workshop(folder: Path) -> "tempfile.TemporaryDirectory[str]":
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix=".build-", dir=folder)


def _call(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CompileError(f"the C++ compiler must start, got {error}; set CXX to another") from error
    if done.returncode != 0:
        reason = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()[:200])
        raise CompileError(f"the C++ compiler must accept the sources, got: {reason.strip()}; set CXX to g++ 10 or clang 14 or newer")
