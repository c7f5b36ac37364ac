"""The width problem: which of its candidate widths every channel dimension takes.

A network's latency, parameters, multiply-accumulates and worth are sums of small tables
over one or two channel dimensions (a layer's price depends on its input and its output
width), so that choosing the widths is a factor graph over categorical variables. Nothing
here knows a network or a device: the tables say it all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float

from edgewise._core.errors import SpecError
from edgewise.widths.solution import METRICS, TOLERANCE, Limits, Solution, Totals, UnreachableError, unreachable

__all__ = [
    "IMPOSSIBLE_S",
    "METRICS",
    "TOLERANCE",
    "Factor",
    "Limits",
    "Link",
    "Order",
    "Solution",
    "Totals",
    "UnreachableError",
    "Variable",
    "WidthProblem",
    "params_value",
    "unreachable",
]


IMPOSSIBLE_S = 1e3
"""A latency that marks options which cannot go together; no network takes so long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Variable:
    """A channel dimension and the widths it may take.

    Attributes:
        name: Unique name, usually a tie's.
        values: Candidate widths, ascending. For a bin: a width that stands for each bin.
        present: Index of the present width in ``values``; ``None`` for the total of a link.
        lows: For a bin only: smallest total width of each option.
        highs: For a bin only: largest total width of each option, inclusive.
        off_step: Values that are no right edge of a latency step, typically the present
            width; ``rounding`` avoids them, the other solvers may use them.
    """

    name: str
    values: tuple[int, ...]
    present: int | None = None
    lows: tuple[int, ...] | None = None
    highs: tuple[int, ...] | None = None
    off_step: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Checks order, the present index, and that bins are disjoint and ascending."""
        if not self.values or list(self.values) != sorted(set(self.values)):
            raise SpecError(f"`values` of {self.name!r} must be ascending widths, each once, at least one, got {self.values}")
        if self.present is not None and not 0 <= self.present < len(self.values):
            raise SpecError(f"`present` of {self.name!r} must be an index below {len(self.values)}, got {self.present}")
        if not set(self.off_step) <= set(self.values):
            raise SpecError(f"`off_step` of {self.name!r} must be among its values {self.values}, got {self.off_step}")
        if (self.lows is None) != (self.highs is None):
            raise SpecError(f"a bin needs `lows` and `highs`, got one of them for {self.name!r}")
        if self.lows is not None and self.highs is not None:
            bounds = [bound for pair in zip(self.lows, self.highs, strict=False) for bound in pair]
            gaps = zip(self.highs, self.lows[1:], strict=False)
            if len(bounds) != 2 * len(self.values) or bounds != sorted(bounds) or any(high >= low for high, low in gaps):
                raise SpecError(f"bins of {self.name!r} must be ascending and disjoint, one per value, got {self.lows} to {self.highs}")

    @property
    def is_bin(self) -> bool:
        """Options are ranges of a total width, not widths."""
        return self.lows is not None

    def option_of(self, width: int) -> int | None:
        """Index of the option that a width is or falls into; ``None`` where there is none.

        Example:
            >>> Variable(name="cat", values=(16, 32), lows=(1, 17), highs=(16, 32)).option_of(20)
            1
            >>> Variable(name="conv", values=(16, 32)).option_of(20) is None
            True
        """
        if self.lows is None or self.highs is None:
            return self.values.index(width) if width in self.values else None
        return next((k for k, (low, high) in enumerate(zip(self.lows, self.highs, strict=True)) if low <= width <= high), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """``width(total) = fixed + sum(times * width(term))``; a bin takes the option it falls into.

    Attributes:
        total: The variable that follows from the others.
        terms: Pairs of an exact variable's name and how often it counts.
        fixed: Channels that do not change.
    """

    total: str
    terms: tuple[tuple[str, int], ...]
    fixed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """``width(larger) - width(smaller) >= at_least``: a zero-padded shortcut cannot lose channels."""

    larger: str
    smaller: str
    at_least: int = 0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Factor:
    """What one layer adds to the totals, for every option of its one or two variables.

    Attributes:
        name: Usually the layer's.
        variables: One or two names; axis ``k`` of each table belongs to the k-th.
        latency_s: Seconds; :data:`IMPOSSIBLE_S` where the options cannot go together.
        params: Learnt parameters.
        macs: Multiply-accumulates.
        value: Worth to be made large, in any unit.
    """

    name: str
    variables: tuple[str, ...]
    latency_s: Float[np.ndarray, "*options"]
    params: Float[np.ndarray, "*options"]
    macs: Float[np.ndarray, "*options"]
    value: Float[np.ndarray, "*options"]

    def __post_init__(self) -> None:
        """Copies the tables to read-only floats and checks shapes and finiteness."""
        if len(self.variables) not in (1, 2) or len(set(self.variables)) != len(self.variables):
            raise SpecError(f"factor {self.name!r} must have one or two different variables, got {self.variables}")
        for metric in METRICS:
            table = np.array(getattr(self, metric), dtype=np.float64)
            if not np.isfinite(table).all():
                raise SpecError(f"`{metric}` of factor {self.name!r} must be finite everywhere, got {table.tolist()}")
            table.setflags(write=False)
            object.__setattr__(self, metric, table)

    def stacked(self) -> Float[np.ndarray, "4 ..."]:
        """The four tables in the order of :data:`METRICS`."""
        return np.stack([getattr(self, metric) for metric in METRICS])


@dataclass(frozen=True, kw_only=True, eq=False)
class WidthProblem:
    """Variables, how they hang together, and what every choice costs and is worth.

    Attributes:
        variables: Channel dimensions; totals of links are among them.
        links: Sums; each total is derived once, and its terms are no bins.
        orders: Inequalities between exact variables.
        factors: Tables that add up.
        constant: What is added whatever is chosen.

    Example:
        >>> costs = np.array([1.0, 2.0])
        >>> layer = Factor(name="a", variables=("a",), latency_s=costs, params=costs, macs=costs, value=costs)
        >>> problem = WidthProblem(variables=(Variable(name="a", values=(16, 32), present=1),), factors=(layer,))
        >>> problem.evaluate(problem.present()).latency_s
        2.0
    """

    variables: tuple[Variable, ...]
    links: tuple[Link, ...] = ()
    orders: tuple[Order, ...] = ()
    factors: tuple[Factor, ...] = ()
    constant: Totals = field(default_factory=Totals)

    def __post_init__(self) -> None:
        """Checks names, shapes, and that links lead from exact variables to totals not used before."""
        if len(self.by_name) != len(self.variables):
            raise SpecError(f"variables must have different names, got {[variable.name for variable in self.variables]}")
        _check_links(self)
        for order in self.orders:
            for name in (order.larger, order.smaller):
                if self.variable(name).is_bin:
                    raise SpecError(f"an order must hold between exact variables, got bin {name!r}")
        for factor in self.factors:
            shape = tuple(len(self.variable(name).values) for name in factor.variables)
            if any(getattr(factor, metric).shape != shape for metric in METRICS):
                raise SpecError(f"tables of factor {factor.name!r} must have shape {shape}, got {factor.latency_s.shape} for its latency")

    @cached_property
    def by_name(self) -> dict[str, Variable]:
        """Variables by name."""
        return {variable.name: variable for variable in self.variables}

    @cached_property
    def decisions(self) -> tuple[Variable, ...]:
        """Variables that are no link's total, in order: what a solver decides."""
        totals = {link.total for link in self.links}
        return tuple(variable for variable in self.variables if variable.name not in totals)

    def variable(self, name: str) -> Variable:
        """The variable of that name.

        Raises:
            SpecError: There is none.
        """
        try:
            return self.by_name[name]
        except KeyError:
            raise SpecError(f"the problem must hold every variable it names, got {name!r}") from None

    def complete(self, decisions: Mapping[str, int]) -> dict[str, int] | None:
        """Adds the options that links derive; ``None`` where a total has no such option.

        Args:
            decisions: Option index of every deciding variable (derived ones are replaced).
        """
        assignment = {variable.name: decisions[variable.name] for variable in self.decisions}
        for link in self.links:
            width = link.fixed + sum(times * self.by_name[name].values[assignment[name]] for name, times in link.terms)
            option = self.by_name[link.total].option_of(width)
            if option is None:
                return None
            assignment[link.total] = option
        return assignment

    def is_feasible(self, assignment: Mapping[str, int]) -> bool:
        """Whether every link and order holds (limits are :meth:`Limits.allow`'s)."""
        completed = self.complete(assignment)
        if completed is None or any(assignment.get(name) != option for name, option in completed.items()):
            return False
        width = {name: self.by_name[name].values[option] for name, option in completed.items()}
        return all(width[order.larger] - width[order.smaller] >= order.at_least for order in self.orders)

    def feasible(self, decisions: Mapping[str, int]) -> dict[str, int] | None:
        """:meth:`complete`, and ``None`` also where an order is broken."""
        completed = self.complete(decisions)
        return completed if completed is not None and self.is_feasible(completed) else None

    def evaluate(self, assignment: Mapping[str, int]) -> Totals:
        """Sums of all tables at an assignment of every variable."""
        sums = self.constant.as_array()
        for place in range(len(self.factors)):
            sums += self.factor_sums(place, assignment)
        return Totals.from_array(sums)

    def factor_sums(self, place: int, assignment: Mapping[str, int]) -> Float[np.ndarray, "4"]:
        """What the factor at ``place`` of :attr:`factors` adds, in the order of :data:`METRICS`."""
        tables, names = self._stacked[place], self.factors[place].variables
        row = tables[:, assignment[names[0]]]
        return row if len(names) == 1 else np.asarray(row[:, assignment[names[1]]])

    def widths(self, assignment: Mapping[str, int]) -> dict[str, int]:
        """Width of every deciding variable."""
        return {variable.name: variable.values[assignment[variable.name]] for variable in self.decisions}

    def assignment_of(self, widths: Mapping[str, int]) -> dict[str, int]:
        """The assignment with these widths of the deciding variables.

        Raises:
            SpecError: A width is missing or no candidate, or a total has no option for it.
        """
        options = {variable.name: variable.option_of(widths.get(variable.name, -1)) for variable in self.decisions}
        wrong = {name: widths.get(name) for name, option in options.items() if option is None}
        assignment = None if wrong else self.complete({name: option for name, option in options.items() if option is not None})
        if assignment is None:
            raise SpecError(f"widths must be candidates of the problem, got {wrong or dict(widths)}")
        return assignment

    def present(self) -> dict[str, int]:
        """The assignment of the present widths.

        Raises:
            SpecError: A deciding variable has no present option, or a total none for the sum, or an order is broken.
        """
        missing = [variable.name for variable in self.decisions if variable.present is None]
        assignment = None if missing else self.complete({v.name: v.present for v in self.decisions if v.present is not None})
        if assignment is None:
            raise SpecError(f"present widths must be candidates, but have no option for {missing or 'a total'}")
        if not self.is_feasible(assignment):
            raise SpecError(f"present widths must keep every order, got {self.widths(assignment)}")
        return assignment

    @cached_property
    def _stacked(self) -> tuple[np.ndarray, ...]:
        return tuple(factor.stacked() for factor in self.factors)


def params_value(problem: WidthProblem) -> WidthProblem:
    """The same problem with millions of parameters as the worth."""
    factors = tuple(replace(factor, value=factor.params / 1e6) for factor in problem.factors)
    return replace(problem, factors=factors, constant=replace(problem.constant, value=problem.constant.params / 1e6))


def _check_links(problem: WidthProblem) -> None:
    pending = {link.total for link in problem.links}
    if len(pending) != len(problem.links):
        raise SpecError(f"each total must be derived by one link, got {[link.total for link in problem.links]}")
    for link in problem.links:
        problem.variable(link.total)
        for name, times in link.terms:
            if problem.variable(name).is_bin or times < 1:
                raise SpecError(f"terms of link {link.total!r} must be exact and count at least once, got {name!r} {times} times")
            if name in pending:
                raise SpecError(f"links must stand in the order they derive, but {link.total!r} reads {name!r} before its link")
        pending.discard(link.total)
    loose = [variable.name for variable in problem.decisions if variable.is_bin]
    if loose:
        raise SpecError(f"every bin must be the total of a link, got {loose}")
