"""``edgewise export``: a file for a runtime, proven to compute the same, and measured."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgewise._core.errors import UsageError
from edgewise._core.files import sha256_of
from edgewise._core.progress import Progress, SilentProgress
from edgewise.deploy.onnx_export import export_onnx
from edgewise.deploy.parity import Parity, check_parity
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.runtimes import open_runtime
from edgewise.measure.sampling import Sample
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.requests import ExportRequest, ModelRequest
from edgewise.recipes.runs import load_request
from edgewise.recipes.showing import export_card
from edgewise.recipes.timing import TimingJob, runtime_settings, time_together

_SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}
_RUNTIMES = {"onnx": "onnxruntime-cpu", "openvino": "openvino-cpu"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportResult:
    """What ``export`` wrote and found.

    Attributes:
        model: As the command named it.
        format: ``onnx`` or ``openvino``.
        file: The file that a runtime loads.
        n_bytes: Size of all files written.
        sha256: Of ``file``.
        parity: How near it comes to the network.
        device: Where the file was measured.
        sample: Its timings there.
    """

    model: str
    format: str
    file: Path
    n_bytes: int
    sha256: str
    parity: Parity
    device: str
    sample: Sample

    def __repr__(self) -> str:
        """The result as people read it."""
        return export_card(self.to_json()).text()

    def _repr_html_(self) -> str:
        return export_card(self.to_json()).html()

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "model": self.model,
            "format": self.format,
            "file": str(self.file),
            "bytes": self.n_bytes,
            "sha256": self.sha256,
            "max_abs_diff": self.parity.max_abs_diff,
            "relative_diff": self.parity.relative_diff,
            "convolutions_checked": self.parity.convolutions_checked,
            "device": self.device,
            "kind": "measured",
            "latency_s": self.sample.latency_s,
            "min_s": self.sample.min_s,
            "q1_s": self.sample.q1_s,
            "q3_s": self.sample.q3_s,
            "noisy": self.sample.noisy,
        }


def run_export(request: ExportRequest, *, loaded: LoadedModel | None = None, progress: Progress | None = None) -> ExportResult:
    """Writes the file, compares its outputs with the network's, and times the file itself.

    Args:
        request: The model, the format and the file; of its device, threads, batch and precision count.
        loaded: The model where it is in memory already; the request's own is then not read.
        progress: Is told how far it is.

    Raises:
        UsageError: The file's suffix is not the format's.
        ExportError: The network cannot be written, or the file computes something else.
        EdgewiseError: The model cannot be loaded, or the runtime is missing.
    """
    watcher = progress or SilentProgress()
    runtime = open_runtime(runtime_settings(replace(request.device, device=_RUNTIMES[request.format])))
    path = _checked_path(request)
    loaded = load_request(request.model, loaded=loaded, gates=True)
    path = path or Path(_file_name(loaded, _SUFFIXES[request.format]))
    watcher.start(f"writing {path}", 0)
    _write(loaded, path, request)
    parity = _parity(loaded, path, request)
    job = TimingJob(loaded=loaded, runtime=runtime, file=path)
    with LatencyDatabase(request.device.db, progress=watcher) as database:
        (sample,) = time_together([job], database=database, progress=watcher)
    return ExportResult(
        model=loaded.name,
        format=request.format,
        file=path,
        n_bytes=sum(part.stat().st_size for part in (path, path.with_suffix(".bin")) if part == path or request.format == "openvino"),
        sha256=sha256_of(path),
        parity=parity,
        device=runtime.settings.device,
        sample=sample,
    )


def write_and_check(loaded: LoadedModel, file: Path) -> Parity:
    """Writes a network as the kind of file that its suffix says, and checks that it computes the same.

    Raises:
        UsageError: The suffix is neither ``.onnx`` nor ``.xml``.
        ExportError: The network cannot be written so, or the file computes something else.
    """
    formats = {suffix: name for name, suffix in _SUFFIXES.items()}
    if file.suffix.lower() not in formats:
        raise UsageError(f"`file` must end with {' or '.join(formats)}, got {file}")
    request = ExportRequest(model=ModelRequest(model=loaded.name), format=formats[file.suffix.lower()], out=file)
    _write(loaded, file, request)
    return _parity(loaded, file, request)


def _checked_path(request: ExportRequest) -> Path | None:
    suffix = _SUFFIXES[request.format]
    if request.out is not None and request.out.suffix.lower() != suffix:
        raise UsageError(f"--out of an export to {request.format} must end with {suffix}, got {request.out}")
    return request.out


def _file_name(loaded: LoadedModel, suffix: str) -> str:
    """A file name made of the model's: ``timm:resnet18`` gives ``timm-resnet18.onnx``."""
    stem = Path(loaded.name).name if Path(loaded.name).is_dir() else loaded.source.label
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-") + suffix


def _parity(loaded: LoadedModel, path: Path, request: ExportRequest) -> Parity:
    inputs = loaded.inputs(batch=request.device.batch)
    if loaded.gates is None or request.format == "onnx":
        return check_parity(loaded.model, path, inputs)
    from edgewise.recipes.dynamic_files import check_dynamic_parity

    return check_dynamic_parity(loaded.model, path, inputs[0], threads=request.device.threads)


def _write(loaded: LoadedModel, path: Path, request: ExportRequest) -> None:
    if loaded.gates is not None:
        from edgewise.recipes.dynamic_files import write_dynamic

        write_dynamic(loaded, path, request)
        return
    inputs = loaded.inputs(batch=request.device.batch)
    if request.format == "onnx":
        export_onnx(loaded.model, inputs, path)
        return
    from edgewise.deploy.openvino_export import export_openvino  # imports OpenVINO, which is optional

    export_openvino(loaded.model, inputs, path)
