"""``edgewise calibrate`` and ``edgewise predict``: fitting the GPU model to traces, and scoring it on one."""

import csv
import io
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgewise._core.errors import UsageError
from edgewise._core.files import sha256_of, write_json, write_text
from edgewise._core.progress import Progress
from edgewise.cost.gpu.calibration import calibrate, traced_of
from edgewise.cost.gpu.fitting import errors_of
from edgewise.cost.gpu.library import Fit, fit_to_json, packaged_fit, sheet_of
from edgewise.cost.gpu.specs import PEAK_PER_WATT, GpuSpec, gpu_specs
from edgewise.cost.gpu.traces import read_trace

COLUMN = "predicted_ms"
"""The column that ``predict`` adds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SheetRequest:
    """Figures of a data sheet, for a GPU that edgewise does not know.

    Attributes:
        multiprocessors: SMs.
        peak_tflops: fp32 peak.
        bandwidth_gb_per_s: Memory bandwidth.
        cache_mb: Second-level cache; 0 where unknown.
    """

    multiprocessors: int | None = None
    peak_tflops: float | None = None
    bandwidth_gb_per_s: float | None = None
    cache_mb: float = 0.0

    def spec(self, name: str) -> GpuSpec:
        """The data sheet of a GPU by this name: the packaged one, unless figures are given.

        Raises:
            UsageError: The name is not known, and not all figures are given; or one is not positive.
        """
        given = {
            "--multiprocessors": self.multiprocessors,
            "--peak-tflops": self.peak_tflops,
            "--bandwidth": self.bandwidth_gb_per_s,
        }
        known = gpu_specs().get(name.strip().lower())
        if known is not None and all(value is None for value in given.values()):
            return known
        missing = [flag for flag, value in given.items() if value is None]
        if missing:
            raise UsageError(f"--device {name} is no GPU known here ({', '.join(gpu_specs())}); say what it is by {', '.join(missing)}")
        for flag, value in given.items():
            if value is None or not value > 0:
                raise UsageError(f"{flag} must be positive, got {value}")
        return GpuSpec(
            name=name.strip().lower(),
            title=name.strip(),
            architecture="unknown",
            multiprocessors=self.multiprocessors or 1,
            peak_flops_per_s=(self.peak_tflops or 0.0) * 1e12,
            bytes_per_s=(self.bandwidth_gb_per_s or 0.0) * 1e9,
            cache_bytes=self.cache_mb * 1e6,
            # What a fit to its own trace makes of throttling stands in the coefficients.
            watts=(self.peak_tflops or 0.0) * 1e12 / PEAK_PER_WATT[16],
            process_nm=16,
            sources="given on the command line",
            model="own",
            fitted=True,
        )


def run_calibrate(
    traces: Sequence[Path], *, device: str, sheet: SheetRequest, out: Path | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Fits the coefficients of one GPU to traces, with a held-out error report, and writes them to a file.

    Args:
        traces: Files of measured convolutions of that GPU.
        device: Its name.
        sheet: Its data sheet, where it is not known.
        out: File to write; by default ``NAME.gpu.json`` in this folder.
        progress: Is told how far it is.

    Returns:
        JSON values: the file, rows, held-out errors, families.

    Raises:
        DataError: A trace lacks a column, has an impossible row, or all have too few rows.
    """
    spec = replace(sheet.spec(device), model="own", fitted=True)
    tables = [read_trace(path, needs_latency=True) for path in traces]
    trace = traced_of(tables, spec.machine, families_by=packaged_fit("pooled").model)
    done = calibrate(trace, progress=progress)
    provenance = {
        "traces": [{"file": table.path.name, "sha256": sha256_of(table.path), "rows": len(table.rows)} for table in tables],
        "date": time.strftime("%Y-%m-%d"),
    }
    file = out or Path(f"{spec.name}.gpu.json")
    write_json(file, fit_to_json(Fit(model=done.model, errors=done.errors_json(), provenance=provenance), spec=spec))
    return {
        "device": f"gpu:{file}",
        "file": str(file),
        "rows": done.rows,
        "in_families": done.in_families,
        "held_out": done.errors_json(),
        "families": [{"family": fit.family.name, "rows": fit.rows} for fit in done.model.families],
    }


def run_predict(file: Path, *, device: str, out: Path, residual: bool = True) -> dict[str, Any]:
    """Adds a column of predicted milliseconds to a trace, and scores it where measured times are there.

    Args:
        file: The trace.
        device: A simulated GPU.
        out: File to write; it gets all columns of the trace.
        residual: Correct the analytic form by the learned residual, where the GPU has one.

    Returns:
        JSON values: ``device``, ``rows``, ``out``, ``kind`` and, with measured times, ``error`` {mean, median, p90, spearman}.

    Raises:
        DataError: The trace lacks a column or has an impossible row.
        UnknownNameError: No such GPU.
    """
    spec, fit = sheet_of(device)
    table = read_trace(file, needs_latency=False)
    choice = fit.model.choose(table.shapes, spec.machine, residual=residual)
    predicted_s = np.asarray(choice.latency_s)
    _write(out, (*table.header, COLUMN), [(*row, f"{value * 1e3:.6f}") for row, value in zip(table.rows, predicted_s, strict=True)])
    extrapolated = int((table.shapes.traced == 0).sum())
    measured = None if table.latency_s is None else errors_of(predicted_s, table.latency_s)
    return {
        "device": spec.name,
        "kind": "simulated",
        "coefficients": "fitted" if spec.fitted else "transferred",
        "residual": residual and fit.model.residual is not None,
        "rows": len(table.rows),
        "extrapolated_rows": extrapolated,
        "out": str(out),
        "error": None if measured is None else asdict(measured),
    }


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if path.is_dir():
        raise UsageError(f"--out needs a file to write, got the folder {path}")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    # A column of an earlier prediction gives way to the new one.
    kept = [place for place, name in enumerate(header[:-1]) if name != COLUMN]
    writer.writerow([*(header[place] for place in kept), COLUMN])
    writer.writerows([[*(row[place] for place in kept), row[-1]] for row in rows])
    write_text(path, text.getvalue())
