"""The machine that measures: what its timings depend on."""

import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from edgewise.measure.settings import RuntimeSettings

_CPUINFO = Path("/proc/cpuinfo")
_RECORDED_PACKAGES = ("edgewise", "numpy", "onnx", "onnxruntime", "openvino", "torch")
_BASE_ISA = {"avx512f": "avx512", "avx2": "avx2", "avx": "avx", "sse4_2": "sse4.2", "sve": "sve", "asimd": "neon", "neon": "neon"}
_EXTRA_ISA = {"avx512_vnni": "vnni", "avx_vnni": "vnni", "avx512_bf16": "bf16", "bf16": "bf16", "amx_tile": "amx", "i8mm": "i8mm"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """A machine as provenance of a measurement.

    Attributes:
        cpu: Processor model; family and model numbers follow a bare trade name.
        isa: Widest vector instructions and matrix extensions, such as ``avx512+bf16+vnni``.
        cores: Processors that this process may run on.
        governor: Frequency governor of the first core; empty where it cannot be read.
        system: Operating system and its release.
        python: Version of Python.
        versions: Package and version, sorted, of what is installed.
    """

    cpu: str
    isa: str
    cores: int
    governor: str
    system: str
    python: str
    versions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceIdentity:
    """What a timing belongs to: part of the latency database's key.

    Two samples with equal identities and equal pieces may stand for each other. For
    ``exec:CMD`` the processor is unknown, and ``version`` follows the content of the script.
    """

    device: str
    cpu: str
    isa: str
    runtime: str
    version: str
    threads: int
    precision: str
    batch: int


def describe_host() -> Host:
    """The machine that this process runs on."""
    cpuinfo = _read(_CPUINFO)
    return Host(
        cpu=cpu_model(cpuinfo) or _cpu_model_elsewhere(),
        isa=instruction_set(cpu_flags(cpuinfo)) or platform.machine(),
        cores=usable_cores(),
        governor=_read(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")).strip(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        versions=installed_versions(_RECORDED_PACKAGES),
    )


def provenance(*, seed: int) -> dict[str, Any]:
    """Where a result comes from, as JSON values: the machine, the versions, the seed, the day.

    Args:
        seed: What everything random of the result followed from.
    """
    host = describe_host()
    return {
        "cpu": host.cpu,
        "isa": host.isa,
        "cores": host.cores,
        "system": host.system,
        "versions": dict(host.versions),
        "seed": seed,
        "date": time.strftime("%Y-%m-%d"),
    }


def cpu_identity(settings: RuntimeSettings, *, runtime: str, version: str) -> DeviceIdentity:
    """The identity of a runtime on this machine's processor."""
    cpuinfo = _read(_CPUINFO)
    return DeviceIdentity(
        device=settings.device,
        cpu=cpu_model(cpuinfo) or _cpu_model_elsewhere(),
        isa=instruction_set(cpu_flags(cpuinfo)) or platform.machine(),
        runtime=runtime,
        version=version,
        threads=settings.threads,
        precision=settings.precision,
        batch=settings.batch,
    )


def native_block() -> int:
    """Channels in a block of ONNX Runtime's NCHWc layout on this processor: 16 with AVX-512, else 8."""
    return 16 if instruction_set(cpu_flags(_read(_CPUINFO))).startswith("avx512") else 8


def usable_cores() -> int:
    """Processors that this process may run on (fewer than the machine has, in a container)."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_average() -> float:
    """Processes wanting to run over the last minute; a busy machine makes noisy samples."""
    return os.getloadavg()[0]


def cpu_model(cpuinfo: str) -> str:
    r"""The processor's name in the text of ``/proc/cpuinfo``, with family and model numbers; empty where unknown.

    Example:
        >>> cpu_model("model name\t: AMD EPYC\ncpu family\t: 25\nmodel\t\t: 17\n")
        'AMD EPYC (family 25 model 17)'
    """
    fields = _first_processor(cpuinfo)
    if "model name" in fields:
        numbers = [f"{word} {fields[key]}" for word, key in (("family", "cpu family"), ("model", "model")) if key in fields]
        return " ".join(fields["model name"].split()) + (f" ({' '.join(numbers)})" if numbers else "")
    if "CPU part" in fields:
        return f"ARM implementer {fields.get('CPU implementer', '?')} part {fields['CPU part']}"
    return ""


def cpu_flags(cpuinfo: str) -> frozenset[str]:
    """The instruction-set flags in the text of ``/proc/cpuinfo``."""
    fields = _first_processor(cpuinfo)
    return frozenset((fields.get("flags") or fields.get("Features") or "").split())


def instruction_set(flags: frozenset[str]) -> str:
    """The widest vector instructions with the extensions that runtimes have kernels for; empty without flags.

    Example:
        >>> instruction_set(frozenset({"avx", "avx2", "avx512f", "avx512_vnni"}))
        'avx512+vnni'
    """
    base = next((name for flag, name in _BASE_ISA.items() if flag in flags), "")
    extras = sorted({name for flag, name in _EXTRA_ISA.items() if flag in flags})
    return "+".join([base, *extras]) if base else ""


def installed_versions(packages: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Name and version of those of the packages that are installed, in the order given."""
    found = ((name, installed_version(name)) for name in packages)
    return tuple((name, version) for name, version in found if version is not None)


def installed_version(package: str) -> str | None:
    """The version of an installed distribution, or none; imports nothing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _first_processor(cpuinfo: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in re.split(r"\n\s*\n", cpuinfo.strip())[0].splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return fields


def _cpu_model_elsewhere() -> str:
    if platform.system() == "Darwin":
        asked = subprocess.run(["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False)
        if asked.returncode == 0 and asked.stdout.strip():
            return asked.stdout.strip()
    return platform.processor() or platform.machine()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
