"""From traces to coefficients with their held-out errors."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from edgewise._core.errors import DataError
from edgewise._core.progress import Progress, SilentProgress
from edgewise._core.rng import make_rng
from edgewise.cost.gpu.fitting import Errors, Traced, errors_of, fit_model
from edgewise.cost.gpu.model import GpuModel
from edgewise.cost.gpu.shapes import Many
from edgewise.cost.gpu.terms import Machine
from edgewise.cost.gpu.traces import TraceTable

FOLDS = 5
LEAST_ROWS = 120
"""Rows that a calibration needs: what is held out must say something too."""


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """A fitted model and how far it errs on rows that it was not fitted to.

    Attributes:
        model: Fitted to all rows.
        analytic: Held-out errors of the analytic form, kernel family not told.
        residual: The same with the residual.
        rows: Rows fitted to.
        in_families: Rows whose kernel belongs to a family of the model.
    """

    model: GpuModel
    analytic: Errors
    residual: Errors
    rows: int
    in_families: int

    def errors_json(self) -> dict[str, Any]:
        """The held-out errors as JSON values."""
        return {"folds": FOLDS, "rows": self.rows, "analytic": asdict(self.analytic), "with_residual": asdict(self.residual)}


def traced_of(tables: Sequence[TraceTable], machine: Machine, *, families_by: GpuModel | None = None) -> Traced:
    """Several trace files of one GPU as one.

    Args:
        tables: The files; all must hold measured times.
        machine: The GPU.
        families_by: Guesses the kernel family of files that name no kernels; the fit needs some family for a row.
    """
    parts = []
    for table in tables:
        if table.latency_s is None:
            raise DataError(f"{table.path} has no measured times to fit to")
        families = table.families
        if not table.named and families_by is not None:
            place = families_by.choose(table.shapes, machine).place
            families = tuple(families_by.families[index].family for index in place)
        parts.append(Traced(shapes=table.shapes, latency_s=table.latency_s, families=families, machine=machine))
    return joined(parts)


def joined(parts: Sequence[Traced]) -> Traced:
    """Traces of one GPU, one behind the other."""
    names = parts[0].shapes.__dataclass_fields__
    shapes = replace(
        parts[0].shapes, **{name: np.concatenate([np.asarray(getattr(part.shapes, name)) for part in parts]) for name in names}
    )
    return Traced(
        shapes=shapes,
        latency_s=np.concatenate([part.latency_s for part in parts]),
        families=tuple(family for part in parts for family in part.families),
        machine=parts[0].machine,
    )


def calibrate(trace: Traced, *, seed: int = 0, progress: Progress | None = None) -> Calibrated:
    """Fits a model, and scores such fits on rows held out, five times a fifth.

    Args:
        trace: Measured convolutions of one GPU.
        seed: Seed of the folds and the trees.
        progress: Is told how far it is.

    Raises:
        DataError: Too few rows.
    """
    if len(trace) < LEAST_ROWS:
        raise DataError(f"a fit needs at least {LEAST_ROWS} rows, got {len(trace)}; measure more convolutions")
    watcher = progress or SilentProgress()
    watcher.start("fitting", FOLDS + 1)
    fold = make_rng(seed, "held-out").integers(0, FOLDS, len(trace))
    analytic, corrected = np.zeros(len(trace)), np.zeros(len(trace))
    for turn in range(FOLDS):
        model = fit_model([trace.chosen(fold != turn)], seed=seed)
        held = fold == turn
        analytic[held], corrected[held] = _both(model, trace.chosen(held))
        watcher.advance()
    model = fit_model([trace], seed=seed)
    watcher.advance()
    kept = {fit.family for fit in model.families}
    return Calibrated(
        model=model,
        analytic=errors_of(analytic, trace.latency_s),
        residual=errors_of(corrected, trace.latency_s),
        rows=len(trace),
        in_families=sum(family in kept for family in trace.families),
    )


def _both(model: GpuModel, trace: Traced) -> tuple[Many, Many]:
    choice = model.choose(trace.shapes, trace.machine, residual=True)
    return choice.analytic_s, choice.latency_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """How far coefficients err on a GPU that they were not fitted to.

    Attributes:
        sources: GPUs fitted to.
        target: The GPU predicted, from its data sheet alone.
        errors: What came of it.
    """

    sources: tuple[str, ...]
    target: str
    errors: Errors


def transfers(traces: dict[str, Traced]) -> tuple[Transfer, ...]:
    """Predicts each GPU by coefficients pooled over the others.

    Args:
        traces: At least two GPUs by name.
    """
    found = []
    for target, trace in traces.items():
        sources = tuple(name for name in traces if name != target)
        model = fit_model([traces[name] for name in sources], residual=False)
        predicted = model.choose(trace.shapes, trace.machine).latency_s
        found.append(Transfer(sources=sources, target=target, errors=errors_of(predicted, trace.latency_s)))
    return tuple(found)
