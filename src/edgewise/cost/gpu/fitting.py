"""Fitting the latency model to traces of measured convolutions.

Coefficients: non-negative least squares on relative error, re-weighted towards the mean
absolute relative error. Handicaps: coordinate descent on the error of the chosen family's
time. Residual: trees on what is left, grown on predictions of rows not fitted to.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls

from edgewise._core.errors import DataError
from edgewise._core.rng import make_rng
from edgewise.cost.gpu.families import Family
from edgewise.cost.gpu.model import FamilyFit, GpuModel, features_of
from edgewise.cost.gpu.residual import Boosting, grow_trees
from edgewise.cost.gpu.shapes import ConvShapes, Many
from edgewise.cost.gpu.terms import Machine, Terms, terms_of

LEAST_ROWS = 60
"""Rows that a fit needs; fewer leave the coefficients to chance."""
LEAST_FAMILY_ROWS = 25
_ROUNDS = 20
_FLOOR = 0.02
_STEPS = (-0.3, -0.2, -0.1, -0.05, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
_SWEEPS = 4
_FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class Traced:
    """Measured convolutions of one GPU.

    Attributes:
        shapes: What was run.
        latency_s: What it took.
        families: Family of each row, none where it belongs to none or is not known.
        machine: The GPU.
    """

    shapes: ConvShapes
    latency_s: Many
    families: tuple[Family | None, ...]
    machine: Machine

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.shapes)

    def chosen(self, mask: np.ndarray) -> "Traced":
        """The rows where the mask is true."""
        kept = tuple(family for family, keep in zip(self.families, mask, strict=True) if keep)
        return replace(self, shapes=self.shapes[mask], latency_s=self.latency_s[mask], families=kept)


def fit_model(traces: Sequence[Traced], *, boosting: Boosting | None = None, seed: int = 0, residual: bool = True) -> GpuModel:
    """The model of one GPU, or of several whose coefficients are to be shared.

    Args:
        traces: One for each GPU.
        boosting: How the residual is grown.
        seed: Seed of the folds and of the trees.
        residual: Grow one; it needs a single GPU.

    Raises:
        DataError: Too few rows, or no kernel family with enough of them.
    """
    total = sum(len(trace) for trace in traces)
    if total < LEAST_ROWS:
        raise DataError(f"a fit needs at least {LEAST_ROWS} rows, got {total}; measure more convolutions")
    analytic = _fit_analytic(traces)
    if not residual or len(traces) != 1:
        return analytic
    (trace,) = traces
    rows, logs = _left_over(trace, make_rng(seed, "folds"))
    trees = grow_trees(rows, logs, rng=make_rng(seed, "trees"), boosting=boosting)
    return replace(analytic, residual=trees)


def _fit_analytic(traces: Sequence[Traced], *, families: Sequence[Family] | None = None) -> GpuModel:
    known = Counter(family for trace in traces for family in trace.families if family is not None)
    wanted = families or sorted((family for family, rows in known.items() if rows >= LEAST_FAMILY_ROWS), key=lambda one: one.name)
    if not wanted:
        counts = ", ".join(f"{one.name} {rows}" for one, rows in known.items())
        raise DataError(f"a fit needs a kernel family with at least {LEAST_FAMILY_ROWS} rows, got {counts or 'none'}")
    fits = tuple(_fit_family(family, traces, rows=known[family]) for family in wanted)
    model = GpuModel(families=fits, launch_s=min(float(trace.latency_s.min()) for trace in traces))
    times = np.concatenate([model.choose(trace.shapes, trace.machine).times_s for trace in traces], axis=1)
    measured = np.concatenate([trace.latency_s for trace in traces])
    handicaps = fit_handicaps(times, measured)
    return replace(model, families=tuple(replace(fit, handicap=float(h)) for fit, h in zip(fits, handicaps, strict=True)))


def _fit_family(family: Family, traces: Sequence[Traced], *, rows: int) -> FamilyFit:
    terms, measured = [], []
    for trace in traces:
        for own in sorted({one for one in trace.families if one is not None and _alike(one, family)}, key=lambda one: one.name):
            mask = np.array([one == own for one in trace.families])
            terms.append(terms_of(own, trace.shapes[mask], trace.machine))
            measured.append(trace.latency_s[mask])
    coefficients = fit_coefficients(np.concatenate(terms), np.concatenate(measured))
    return FamilyFit(family=family, coefficients=tuple(float(one) for one in coefficients), handicap=1.0, rows=rows)


def _alike(one: Family, other: Family) -> bool:
    """Whether two families share coefficients: fused Winograd is one kernel, whatever images and positions its tile takes."""
    return one == other or one.kind == other.kind == "fw"


def fit_coefficients(terms: Terms, latency_s: Many) -> Float[np.ndarray, " terms"]:
    """Coefficients, none negative, with the least mean absolute relative error.

    Args:
        terms: Seconds of each term, one row a measurement.
        latency_s: Measured seconds.

    Example:
        >>> terms = np.abs(np.sin(np.arange(200.0))).reshape(40, 5)
        >>> true = np.arange(5) / 10
        >>> bool(np.allclose(fit_coefficients(terms, terms @ true), true, atol=1e-3))
        True
    """
    scale = terms.max(axis=0)
    scale[scale == 0] = 1.0
    relative = terms / scale / latency_s[:, None]
    weights = np.ones(len(latency_s))
    solution = np.zeros(terms.shape[1])
    for _ in range(_ROUNDS):
        solution, _ = nnls(relative * weights[:, None], weights, maxiter=50 * terms.shape[1])
        # Squares weighted by the inverse of the error sum up to the absolute error.
        weights = 1 / np.sqrt(np.maximum(np.abs(relative @ solution - 1), _FLOOR))
    return np.asarray(solution / scale)


def fit_handicaps(times_s: Float[np.ndarray, "fam n"], latency_s: Many) -> Float[np.ndarray, " fam"]:
    """Factors on the families' times that make the cheapest one's time err least."""
    logs = np.log(times_s)
    here = np.arange(times_s.shape[1])

    def error(handicaps: Float[np.ndarray, " fam"]) -> float:
        place = (logs + handicaps[:, None]).argmin(axis=0)
        return float(np.abs(times_s[place, here] / latency_s - 1).mean())

    handicaps = np.zeros(len(times_s))
    best = error(handicaps)
    for _ in range(_SWEEPS):
        for family in range(len(times_s)):
            for step in _STEPS:
                trial = handicaps.copy()
                trial[family] += step
                found = error(trial)
                if found < best - 1e-6:
                    best, handicaps = found, trial
    return np.asarray(np.exp(handicaps - handicaps.min()))


def _left_over(trace: Traced, rng: np.random.Generator) -> tuple[Float[np.ndarray, "n f"], Many]:
    """Features, and log of measured over analytic, each row priced by a model that was not fitted to it."""
    wanted = [fit.family for fit in _fit_analytic([trace]).families]
    fold = rng.integers(0, _FOLDS, len(trace))
    rows: np.ndarray | None = None
    logs = np.zeros(len(trace))
    for turn in range(_FOLDS):
        model = _fit_analytic([trace.chosen(fold != turn)], families=wanted)
        held = fold == turn
        choice = model.choose(trace.shapes[held], trace.machine)
        found = features_of(trace.shapes[held], choice.times_s, choice.analytic_s)
        rows = np.zeros((len(trace), found.shape[1])) if rows is None else rows
        rows[held] = found
        logs[held] = np.log(trace.latency_s[held] / choice.analytic_s)
    assert rows is not None
    return rows, logs


@dataclass(frozen=True, kw_only=True, slots=True)
class Errors:
    """How far predictions lie from measurements.

    Attributes:
        rows: Rows scored.
        mean: Mean absolute relative error.
        median: Median of it.
        p90: Its 90th percentile.
        spearman: Rank correlation of predicted and measured.
    """

    rows: int
    mean: float
    median: float
    p90: float
    spearman: float


def errors_of(predicted_s: Many, measured_s: Many) -> Errors:
    """The errors of predictions.

    Example:
        >>> errors_of(np.array([1.1, 2.2, 3.3]), np.array([1.0, 2.0, 3.0])).spearman
        1.0
    """
    relative = np.abs(predicted_s / measured_s - 1)
    ranks = [np.argsort(np.argsort(values)) for values in (predicted_s, measured_s)]
    spearman = float(np.corrcoef(ranks[0], ranks[1])[0, 1]) if len(relative) > 1 else 1.0
    return Errors(
        rows=len(relative),
        mean=float(relative.mean()),
        median=float(np.median(relative)),
        p90=float(np.quantile(relative, 0.9)),
        spearman=round(spearman, 6),
    )
