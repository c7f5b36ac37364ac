"""The mixed-integer program of a width problem: columns, rows, and the way back to options."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from edgewise.widths._tables import Tables, merge
from edgewise.widths.problem import IMPOSSIBLE_S, Link, Order, WidthProblem
from edgewise.widths.solution import METRICS, TOLERANCE, Limits

_ROW_RANGE = 1e3  # a limit's row is scaled so that HiGHS' 1e-6 is 1e-9 of what the tables can add up to


@dataclass(frozen=True, kw_only=True, eq=False)
class Program:
    """Columns: one binary per option of each variable, then one per cell of each pair's table.

    Attributes:
        problem: Where it came from.
        starts: First column of each variable.
        pair_starts: First column of each pair ``(i, j)`` of variable indices.
        metrics: Shape ``(4, columns)``: what each column adds to each total, least option at 0.
        base: What is added whatever is chosen, shape ``(4,)``.
        allowed: 1 for each column that may be chosen, 0 for options that cannot go together: their price would be so far
            from all others that HiGHS, which keeps a row to a share of its largest numbers, could not tell these apart.
        integrality: 1 for binaries, 0 for pair columns.
        rows: Structure: one option each, marginals, links, orders.
        lower: Lower bound of each row.
        upper: Upper bound of each row.
    """

    problem: WidthProblem
    starts: tuple[int, ...]
    pair_starts: dict[tuple[int, int], int]
    metrics: np.ndarray
    base: np.ndarray
    allowed: np.ndarray
    integrality: np.ndarray
    rows: sparse.csr_array
    lower: np.ndarray
    upper: np.ndarray

    def metric(self, name: str) -> np.ndarray:
        """What each column adds to one total."""
        return np.asarray(self.metrics[METRICS.index(name)])

    def spread(self, name: str) -> float:
        """An upper bound on how far apart two assignments' totals can lie."""
        blocks = [*self.starts, *self.pair_starts.values()]
        return float(np.maximum.reduceat(self.metric(name), sorted(blocks)).sum())

    def rows_with_limits(self, limits: Limits) -> tuple[sparse.csr_array, np.ndarray, np.ndarray]:
        """The structure rows and one scaled row for each finite limit."""
        rows, lower, upper = [self.rows], [self.lower], [self.upper]
        for name, low, high in (
            ("latency_s", -np.inf, limits.latency_s * (1 + TOLERANCE)),
            ("params", -np.inf if limits.params_at_least is None else limits.params_at_least * (1 - TOLERANCE), np.inf),
            ("macs", -np.inf, np.inf if limits.macs_at_most is None else limits.macs_at_most * (1 + TOLERANCE)),
        ):
            if np.isinf(low) and np.isinf(high):
                continue
            scale = _ROW_RANGE / (self.spread(name) or 1.0)
            base = self.base[METRICS.index(name)]
            rows.append(sparse.csr_array(self.metric(name)[None, :] * scale))
            lower.append(np.array([(low - base) * scale]))
            upper.append(np.array([(high - base) * scale]))
        return sparse.vstack(rows, format="csr"), np.concatenate(lower), np.concatenate(upper)

    def with_cuts(
        self, rows: sparse.csr_array, lower: np.ndarray, upper: np.ndarray, cuts: Sequence[np.ndarray]
    ) -> tuple[sparse.csr_array, np.ndarray, np.ndarray]:
        """Adds one row per assignment to forbid: not all of its columns at once."""
        if not cuts:
            return rows, lower, upper
        places = (np.repeat(np.arange(len(cuts)), [len(cut) for cut in cuts]), np.concatenate(cuts))
        cut_rows = sparse.csr_array((np.ones(len(places[0])), places), shape=(len(cuts), rows.shape[1]))
        most = np.array([len(cut) - 1.0 for cut in cuts])
        return (
            sparse.vstack([rows, cut_rows], format="csr"),
            np.concatenate([lower, np.full(len(cuts), -np.inf)]),
            np.concatenate([upper, most]),
        )

    def assignment(self, solution: np.ndarray) -> dict[str, int]:
        """The options that a solution vector chose."""
        return {
            variable.name: int(np.argmax(solution[start : start + len(variable.values)]))
            for variable, start in zip(self.problem.variables, self.starts, strict=True)
        }

    def columns_of(self, assignment: dict[str, int]) -> np.ndarray:
        """The binaries that are 1 in an assignment."""
        return np.array([start + assignment[v.name] for v, start in zip(self.problem.variables, self.starts, strict=True)])

    def pair_columns_of(self, assignment: dict[str, int]) -> np.ndarray:
        """The pair columns that are 1 in an assignment."""
        chosen = [assignment[variable.name] for variable in self.problem.variables]
        width = [len(variable.values) for variable in self.problem.variables]
        return np.array([start + chosen[i] * width[j] + chosen[j] for (i, j), start in self.pair_starts.items()], dtype=np.intp)


class _Rows:
    """Collects sparse rows; used only while a program is built."""

    def __init__(self) -> None:
        self.columns: list[np.ndarray] = []
        self.weights: list[np.ndarray] = []
        self.bounds: list[tuple[float, float]] = []

    def add(self, columns: np.ndarray, weights: np.ndarray, low: float, high: float) -> None:
        """One row ``low <= weights @ x[columns] <= high``."""
        self.columns.append(columns)
        self.weights.append(weights)
        self.bounds.append((low, high))

    def matrix(self, n_columns: int) -> sparse.csr_array:
        """All rows as one matrix."""
        places = np.repeat(np.arange(len(self.columns)), [len(columns) for columns in self.columns])
        content = (np.concatenate(self.weights), (places, np.concatenate(self.columns)))
        return sparse.csr_array(content, shape=(len(self.columns), n_columns))


def build_program(problem: WidthProblem) -> Program:
    """The program of a problem, without limits or objective."""
    tables = merge(problem)
    sizes = [len(variable.values) for variable in problem.variables]
    starts = tuple(int(start) for start in np.cumsum([0, *sizes[:-1]]))
    n_columns = sum(sizes)
    pair_starts = {}
    for i, j in tables.pairs:
        pair_starts[i, j] = n_columns
        n_columns += sizes[i] * sizes[j]
    metrics, base, allowed = _metrics(tables, problem.constant.as_array())
    rows = _Rows()
    for start, size in zip(starts, sizes, strict=True):
        rows.add(np.arange(start, start + size), np.ones(size), 1.0, 1.0)
    for (i, j), start in pair_starts.items():
        cells = np.arange(start, start + sizes[i] * sizes[j]).reshape(sizes[i], sizes[j])
        _add_marginals(rows, cells, starts[i])
        _add_marginals(rows, cells.T, starts[j])
    columns = {v.name: np.arange(start, start + size) for v, start, size in zip(problem.variables, starts, sizes, strict=True)}
    for link in problem.links:
        _add_link(rows, problem, link, columns)
    for order in problem.orders:
        _add_order(rows, problem, order, columns)
    lower, upper = np.array(rows.bounds, dtype=np.float64).T
    integrality = np.concatenate([np.ones(sum(sizes)), np.zeros(n_columns - sum(sizes))])
    return Program(
        problem=problem,
        starts=starts,
        pair_starts=pair_starts,
        metrics=metrics,
        base=base,
        allowed=allowed,
        integrality=integrality,
        rows=rows.matrix(n_columns),
        lower=lower,
        upper=upper,
    )


def _metrics(tables: Tables, constant: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tables as one row of columns per metric, each table shifted so that its least entry is 0; the base; the columns allowed.

    One cell of each table is chosen whatever happens, so a shift only moves the base; it
    keeps the numbers that HiGHS sees as small as the differences that matter.
    """
    base, parts, allowed = constant.copy(), [], []
    for table in [*tables.unary, *tables.pairs.values()]:
        flat = table.reshape(len(METRICS), -1)
        possible = flat[METRICS.index("latency_s")] < IMPOSSIBLE_S
        least = flat[:, possible].min(axis=1, initial=np.inf)
        least[np.isinf(least)] = 0.0
        base += least
        parts.append(np.where(possible, flat - least[:, None], 0.0))
        allowed.append(possible)
    return np.concatenate(parts, axis=1), base, np.concatenate(allowed).astype(np.float64)


def _add_marginals(rows: _Rows, cells: np.ndarray, start: int) -> None:
    """Cells of one option add up to that option's binary."""
    for option, columns in enumerate(cells):
        rows.add(np.append(columns, start + option), np.append(np.ones(len(columns)), -1.0), 0.0, 0.0)


def _add_link(rows: _Rows, problem: WidthProblem, link: Link, columns: dict[str, np.ndarray]) -> None:
    """The chosen option's lowest total <= sum of the terms <= its highest total (equal where exact)."""
    total = problem.variable(link.total)
    terms = np.concatenate([columns[name] for name, _ in link.terms])
    widths = np.concatenate([times * np.array(problem.variable(name).values, dtype=np.float64) for name, times in link.terms])
    places = np.concatenate([terms, columns[link.total]])
    for bounds, low, high in ((total.lows or total.values, 0.0, np.inf), (total.highs or total.values, -np.inf, 0.0)):
        weights = np.concatenate([widths, link.fixed - np.array(bounds, dtype=np.float64)])
        rows.add(places, weights, low, high)


def _add_order(rows: _Rows, problem: WidthProblem, order: Order, columns: dict[str, np.ndarray]) -> None:
    """For each option of the smaller: that option or a wider one only with a wide enough larger."""
    smaller, larger = problem.variable(order.smaller), problem.variable(order.larger)
    for option, width in enumerate(smaller.values):
        enough = columns[order.larger][np.array(larger.values) >= width + order.at_least]
        least = columns[order.smaller][option:]
        rows.add(np.concatenate([least, enough]), np.concatenate([np.ones(len(least)), -np.ones(len(enough))]), -np.inf, 0.0)
