"""From a network and a device to a width problem: variables, links, and a table for each fused layer."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from edgewise._core.errors import PlanError
from edgewise.cost.lowering import Group, Lowering
from edgewise.cost.workload import Workload
from edgewise.ir import Block, Dim, NetSpec
from edgewise.widths.blocks import removable_blocks, together
from edgewise.widths.problem import IMPOSSIBLE_S, Factor, Link, Order, Variable, WidthProblem
from edgewise.widths.solution import Totals

PriceWorkload = Callable[[Workload], float]
"""Seconds of one kernel call."""
Announce = Callable[[Sequence[Workload]], object]
"""Is told of the calls that will be priced next, so that a device can price them at once."""
Worth = Callable[[str, int], float]
"""Worth of a tie at a width: importance kept, or 0 where only parameters count."""
_BINS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Pricing:
    """What tables are made from.

    Attributes:
        net: The network.
        lowering: The network cut for the device.
        price: Seconds of a kernel call.
        per_call_s: Overhead of each call, in seconds.
        scale: Factor on the sum of calls.
        start_s: Overhead of the network, in seconds.
        announce: Is told of the calls of each table before they are priced; none where that saves nothing.
    """

    net: NetSpec
    lowering: Lowering
    price: PriceWorkload
    per_call_s: float = 0.0
    scale: float = 1.0
    start_s: float = 0.0
    announce: Announce | None = None

    def group_s(self, group: Group, widths: Mapping[str, int]) -> float:
        """Seconds of a fused group and its share of the overheads, at these widths."""
        calls = self.lowering.workloads(group, widths)
        return sum(self.scale * self.price(call) + self.per_call_s for call in calls)


@dataclass(frozen=True, kw_only=True)
class Structure:
    """How a network's ties become variables.

    Attributes:
        plain: Free ties that are variables by themselves, in tie widths.
        nested: For each free tie that widens another dimension (a zero-padded shortcut): that
            dimension's own variable, whose widths are totals.
        dims: The dimension whose total a nested tie's variable is.
        frozen: Free ties whose part is too intricate to choose, with the reason.
        blocks: Blocks that may be left out: all of their ties are plain. A width of 0 for all of them says so.
    """

    plain: tuple[str, ...]
    nested: Mapping[str, str]
    dims: Mapping[str, Dim]
    frozen: Mapping[str, str]
    blocks: tuple[Block, ...] = ()

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of all variables that are chosen."""
        return (*self.plain, *self.nested)


def structure_of(net: NetSpec, chosen: frozenset[str]) -> Structure:
    """Sorts the ties that may change into variables.

    Args:
        net: The network.
        chosen: Free ties whose widths are to be chosen.
    """
    dims: dict[str, Dim] = {}
    for layer in net.priced:
        for name in layer.out_dim.ties:
            if name in chosen and (name not in dims or len(layer.out_dim.terms) < len(dims[name].terms)):
                dims[name] = layer.out_dim
    plain = [tie.name for tie in net.ties if tie.name in dims and _moving(dims[tie.name], chosen) == (tie.name,)]
    nested: dict[str, str] = {}
    frozen: dict[str, str] = {}
    for tie in net.ties:
        if tie.name not in chosen or tie.name in plain:
            continue
        base = _base_of(tie.name, dims.get(tie.name), plain, nested, dims=dims, chosen=chosen)
        if base is None:
            frozen[tie.name] = "its channels lie among those of several other layers in a way that the solver does not handle"
        else:
            nested[tie.name] = base
    blocks = removable_blocks(net, frozenset(plain), chosen)
    return Structure(plain=tuple(plain), nested=nested, dims=dims, frozen=frozen, blocks=blocks)


def _moving(dim: Dim, chosen: frozenset[str]) -> tuple[str, ...]:
    return tuple(tie for tie in dim.ties if tie in chosen)


def _base_of(
    tie: str, dim: Dim | None, plain: list[str], nested: Mapping[str, str], *, dims: Mapping[str, Dim], chosen: frozenset[str]
) -> str | None:
    """The variable whose dimension this tie extends: all of its ties, once each, and this one."""
    if dim is None or any(term.times != 1 for term in dim.terms):
        return None
    rest = set(_moving(dim, chosen)) - {tie}
    for other in (*plain, *nested):
        if set(_moving(dims[other], chosen)) == rest and all(term.times == 1 for term in dims[other].terms):
            return other
    return None


class TableBuilder:
    """Builds width problems for one network on one device, at any candidates.

    Args:
        pricing: Where the seconds come from.
        structure: How ties become variables.
        worth: Worth of a tie at a width; ``None`` makes the worth the number of parameters.
    """

    def __init__(self, pricing: Pricing, structure: Structure, worth: Worth | None) -> None:
        self._pricing, self._structure, self._worth = pricing, structure, worth
        self._net = pricing.net
        self._present = self._net.widths
        self._block_ties = {name: block.ties for block in structure.blocks for name in block.layers}
        self._prices: dict[tuple[str, tuple[tuple[str, int], ...]], tuple[float, float, float]] = {}

    def present_width(self, variable: str) -> int:
        """Present width of a variable: of its tie, or of the dimension that a nested tie completes."""
        nested = variable in self._structure.nested
        return self._structure.dims[variable].width(self._present) if nested else self._present[variable]

    def tie_widths(self, widths: Mapping[str, int]) -> dict[str, int]:
        """Widths of the ties, from widths of the variables.

        Raises:
            PlanError: A nested dimension would be no wider than what it contains.
        """
        made = {**self._present, **{name: width for name, width in widths.items() if name in self._structure.plain}}
        for tie in self._structure.nested:
            if tie in widths:
                inner = self._structure.dims[tie].width({**made, tie: 0})
                if widths[tie] <= inner:
                    raise PlanError(f"the width of {tie!r} must exceed the {inner} channels that its shortcut brings, got {widths[tie]}")
                made[tie] = widths[tie] - inner
        return made

    def problem(self, candidates: Mapping[str, tuple[int, ...]], off_step: Mapping[str, tuple[int, ...]] | None = None) -> WidthProblem:
        """The problem over these candidate widths.

        Args:
            candidates: For each variable its widths, ascending; the present width need not be among them.
            off_step: For each variable those that are no right edge.
        """
        variables = {
            name: Variable(
                name=name,
                values=values,
                present=values.index(self.present_width(name)) if self.present_width(name) in values else None,
                off_step=tuple(width for width in (off_step or {}).get(name, ()) if width in values),
            )
            for name, values in candidates.items()
        }
        links: dict[Dim, Link] = {}
        factors: list[Factor] = []
        constant = np.zeros(4)
        constant[0] = self._pricing.start_s
        for group in self._pricing.lowering.groups:
            names = self._names(group, variables, links)
            constant += self._group_factors(group, names, variables, factors)
        factors += self._worth_factors(variables)
        factors += [factor for block in self._structure.blocks for factor in together(block, variables)]
        orders = tuple(
            Order(larger=tie, smaller=base, at_least=1)
            for tie, base in self._structure.nested.items()
            if tie in variables and base in variables
        )
        return WidthProblem(
            variables=tuple(variables.values()),
            links=tuple(links.values()),
            orders=orders,
            factors=tuple(factors),
            constant=Totals.from_array(constant),
        )

    def _names(self, group: Group, variables: dict[str, Variable], links: dict[Dim, Link]) -> tuple[str, ...]:
        """Variables of a group's input and output dimension; makes a bin for a sum of several."""
        found = []
        for dim in (group.head.in_dim, group.last.out_dim):
            name = self._name(dim, variables, links)
            if name is not None and name not in found:
                found.append(name)
        ties = self._ties_of(group)
        if ties and not set(found) & set(ties) and any(0 in variables[tie].values for tie in ties if tie in variables):
            found.insert(0, ties[0])  # its block may be left out
        return tuple(found)

    def _ties_of(self, group: Group) -> tuple[str, ...]:
        """The ties of the block that a group lies in."""
        return self._block_ties.get(group.head.name, ())

    def _name(self, dim: Dim, variables: dict[str, Variable], links: dict[Dim, Link]) -> str | None:
        moving = [tie for tie in dim.ties if tie in variables]
        if not moving:
            return None
        for tie in reversed(list(self._structure.nested)):
            if tie in moving and self._structure.dims[tie].terms == dim.terms:
                return tie
        if len(moving) == 1 and moving[0] in self._structure.plain:
            return moving[0]
        if dim not in links:
            links[dim] = self._bins(dim, moving, variables)
        return links[dim].total

    def _bins(self, dim: Dim, moving: list[str], variables: dict[str, Variable]) -> Link:
        terms = tuple((tie, dim.times(tie)) for tie in moving)
        fixed = dim.width({**self._present, **dict.fromkeys(moving, 0)})
        low = fixed + sum(times * variables[tie].values[0] for tie, times in terms)
        high = fixed + sum(times * variables[tie].values[-1] for tie, times in terms)
        stride = 16 * max(1, math.ceil((high - low + 1) / 16 / _BINS))
        starts = [low, *range((low // stride + 1) * stride + 1, high + 1, stride)]
        ends = [*(start - 1 for start in starts[1:]), high]
        name = "sum of " + ", ".join(moving)
        while name in variables:
            name += "'"
        variables[name] = Variable(name=name, values=tuple(ends), lows=tuple(starts), highs=tuple(ends))
        return Link(total=name, terms=terms, fixed=fixed)

    def _group_factors(self, group: Group, names: tuple[str, ...], variables: Mapping[str, Variable], factors: list[Factor]) -> np.ndarray:
        if not names:
            latency_s, params, macs = self._cost(group, {}, {})
            return np.array([latency_s, params, macs, 0.0 if self._worth else params])
        shape = tuple(len(variables[name].values) for name in names)
        tables = np.zeros((3, *shape))
        options = {
            place: {name: variables[name].values[option] for name, option in zip(names, place, strict=True)} for place in np.ndindex(*shape)
        }
        self._announce(group, list(options.values()), variables)
        for place, chosen in options.items():
            tables[(slice(None), *place)] = self._cost(group, chosen, variables)
        value = np.zeros(shape) if self._worth else tables[1]
        factors.append(Factor(name=group.head.name, variables=names, latency_s=tables[0], params=tables[1], macs=tables[2], value=value))
        return np.zeros(4)

    def _announce(self, group: Group, options: Sequence[Mapping[str, int]], variables: Mapping[str, Variable]) -> None:
        """Tells the device of all calls of a group's table."""
        if self._pricing.announce is None:
            return
        calls: list[Workload] = []
        for chosen in options:
            if 0 in chosen.values():
                continue
            with suppress(PlanError):
                calls += self._pricing.lowering.workloads(group, self._widths_for(group, chosen, variables))
        self._pricing.announce(calls)

    def _cost(self, group: Group, chosen: Mapping[str, int], variables: Mapping[str, Variable]) -> tuple[float, float, float]:
        """Seconds, parameters and MACs of a group at these widths of its variables."""
        inner = [chosen[tie] for tie in self._ties_of(group) if tie in chosen]
        if 0 in inner:
            return (IMPOSSIBLE_S, 0.0, 0.0) if any(inner) else (0.0, 0.0, 0.0)
        key = (group.head.name, tuple(sorted(chosen.items())))
        if key not in self._prices:
            try:
                widths = self._widths_for(group, chosen, variables)
            except PlanError:
                self._prices[key] = (IMPOSSIBLE_S, 0.0, 0.0)
            else:
                layers = [layer.with_widths(widths) for layer in group.layers]
                seconds = self._pricing.group_s(group, widths)
                self._prices[key] = (seconds, float(sum(one.params for one in layers)), float(sum(one.macs for one in layers)))
        return self._prices[key]

    def _widths_for(self, group: Group, chosen: Mapping[str, int], variables: Mapping[str, Variable]) -> dict[str, int]:
        direct = {name: width for name, width in chosen.items() if not variables[name].is_bin}
        widths = self.lenient_widths(direct)
        for name, total in chosen.items():
            if variables[name].is_bin:
                dim = next(
                    dim
                    for dim in (group.head.in_dim, group.last.out_dim)
                    if len(dim.terms) > 1 and name.startswith(f"sum of {self._first(dim)}")
                )
                widths = spread(dim, total, widths, frozenset(direct))
        return widths

    def _first(self, dim: Dim) -> str:
        return next(tie for tie in dim.ties if tie in self._structure.variables)

    def lenient_widths(self, direct: Mapping[str, int]) -> dict[str, int]:
        """Tie widths for totals whose inner ties are not chosen here: the inner ones give way."""
        given = dict(direct)
        for tie, base in self._structure.nested.items():
            if tie in given and base not in given:
                given[base] = max(1, min(self.present_width(base), given[tie] - 1))
        # Bases of bases: chosen above from the outermost in, resolved from the innermost out.
        for tie, base in reversed(list(self._structure.nested.items())):
            if tie in given and base not in given:
                given[base] = max(1, min(self.present_width(base), given[tie] - 1))
        return self.tie_widths(given)

    def _worth_factors(self, variables: Mapping[str, Variable]) -> list[Factor]:
        if self._worth is None:
            return []
        made = []
        for name, variable in variables.items():
            if variable.is_bin:
                continue
            base = self._structure.nested.get(name)
            if base is None or base not in variables:
                value = np.array([self._worth(name, self._own(name, width, None)) for width in variable.values])
                made.append(_worth_factor(name, (name,), value))
                continue
            inner = variables[base].values
            value = np.array([[self._worth(name, max(self._own(name, width, low), 1)) for width in variable.values] for low in inner])
            made.append(_worth_factor(name, (base, name), value))
        return made

    def _own(self, name: str, width: int, inner: int | None) -> int:
        if name not in self._structure.nested:
            return width
        known = self.present_width(self._structure.nested[name]) if inner is None else inner
        return width - known


def spread(dim: Dim, total: int, widths: Mapping[str, int], held: frozenset[str]) -> dict[str, int]:
    """Widths whose dimension sums to about ``total``, in proportion to what they are now.

    Args:
        dim: A dimension of several ties.
        total: The channels wanted.
        widths: Present widths of all ties.
        held: Ties that keep theirs.
    """
    moving = [term for term in dim.terms if term.tie not in held]
    rest = dim.width({**widths, **{term.tie: 0 for term in moving}})
    share = max(total - rest, len(moving)) / max(sum(term.times * widths[term.tie] for term in moving), 1)
    made = {**widths, **{term.tie: max(1, math.floor(widths[term.tie] * share)) for term in moving}}
    single = next((term for term in moving if term.times == 1), None)
    if single is not None:
        made[single.tie] = max(1, made[single.tie] + total - dim.width(made))
    return made


def _worth_factor(name: str, variables: tuple[str, ...], value: np.ndarray) -> Factor:
    zeros = np.zeros(value.shape)
    return Factor(name=f"worth of {name}", variables=variables, latency_s=zeros, params=zeros, macs=zeros, value=value)
