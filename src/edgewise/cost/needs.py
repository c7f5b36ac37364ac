"""Which kernel calls a network may need at the widths it may take, and which of them to time.

The widths between a floor and a ceiling number thousands; the calls to time are a few
tens for each kind of layer: its present widths, the right edges along its output width
(the staircase that people see), a coarse grid over both widths, a few widths off the
edges, and a few pairs held out to check the fit.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from edgewise.cost.lowering import Lowering
from edgewise.cost.workload import INPUT_LAYOUT, Workload
from edgewise.ir import Dim, NetSpec

CEILING = 1.25
"""Largest share of the present width that is considered."""
_LINE_EDGES = 8
_ALIGNED = 16


@dataclass(kw_only=True, slots=True)
class Need:
    """One kind of kernel call (a family) and the widths at which a network may call it.

    Attributes:
        family: The call without its widths.
        lowest: Smallest input and output width.
        highest: Largest input and output width.
        present: Pairs of widths that the network has now, or would have with every width rounded to a block.
        off_step: The family is only called at widths off the blocks (slow kernels, changes of layout).
    """

    family: Workload
    lowest: tuple[int, int]
    highest: tuple[int, int]
    present: set[tuple[int, int]] = field(default_factory=set)
    off_step: bool = True

    def widen(self, lowest: tuple[int, int], highest: tuple[int, int]) -> None:
        """Takes in a further range of widths."""
        self.lowest = (min(self.lowest[0], lowest[0]), min(self.lowest[1], lowest[1]))
        self.highest = (max(self.highest[0], highest[0]), max(self.highest[1], highest[1]))


def need_around(workload: Workload) -> Need:
    """A need for one call and widths within a factor of two of it."""
    pair = (workload.in_channels, workload.out_channels)
    lowest = (max(pair[0] // 2, 1), max(pair[1] // 2, 1))
    return Need(family=workload.family, lowest=lowest, highest=(2 * pair[0], 2 * pair[1]), present={pair})


def width_range(dim: Dim, net: NetSpec, *, floor: float) -> tuple[int, int]:
    """Smallest and largest width of a dimension: ``floor`` and 1.25 times each free tie.

    Args:
        dim: The dimension.
        net: The network that has it.
        floor: Smallest share of a tie's present width.
    """
    low = {tie.name: max(1, math.floor(tie.width * floor)) if tie.free else tie.width for tie in net.ties}
    high = {tie.name: highest_width(tie.width) if tie.growable else tie.width for tie in net.ties}
    return dim.width(low), dim.width(high)


def highest_width(width: int, *, step: int = _ALIGNED) -> int:
    """Largest width considered: 1.25 times the present one, or the next right edge where that is wider.

    Example:
        >>> highest_width(140), highest_width(9)
        (175, 16)
    """
    return max(math.floor(width * CEILING), (width // step + 1) * step)


def needs_of(net: NetSpec, lowering: Lowering, *, floor: float) -> list[Need]:
    """All kinds of kernel calls that the network makes between the floor and the ceiling, in running order."""
    assignments = _trial_widths(net, floor=floor)
    found: dict[Workload, Need] = {}
    for group in lowering.groups:
        (low_in, high_in), (low_out, high_out) = (width_range(dim, net, floor=floor) for dim in (group.head.in_dim, group.last.out_dim))
        for place, (widths, on_step) in enumerate(assignments):
            for work in lowering.workloads(group, widths):
                one = work.one_width
                lowest = (low_out if one else low_in, low_out)
                highest = (high_out if one else high_in, high_out)
                if work.kernel == INPUT_LAYOUT:
                    lowest = highest = (work.in_channels, work.out_channels)
                need = found.setdefault(work.family, Need(family=work.family, lowest=lowest, highest=highest))
                need.widen(lowest, highest)
                need.off_step = need.off_step and not on_step
                if place < 2:
                    need.present.add((work.in_channels, work.out_channels))
    return list(found.values())


def _trial_widths(net: NetSpec, *, floor: float) -> list[tuple[dict[str, int], bool]]:
    """Assignments that between them bring out every kernel: present, on blocks, multiples of 4, odd; and whether on blocks."""
    present = net.widths
    free = {tie.name: tie for tie in net.ties if tie.free}

    def trial(change: Mapping[str, int]) -> dict[str, int]:
        return {**present, **change}

    def rounded(name: str, share: float) -> int:
        tie = free[name]
        width = max(_ALIGNED, _ALIGNED * round(tie.width * share / _ALIGNED))
        return width if tie.growable or width <= tie.width else tie.width

    aligned = {name: rounded(name, 1.0) for name in free}
    small = {name: rounded(name, max(floor, 0.3)) for name in free}
    fours = {name: max(width - 4, 4) for name, width in aligned.items()}
    odd = {name: max(width - 3, 1) for name, width in aligned.items()}
    above = {name: width + 1 for name, width in aligned.items() if free[name].growable or width < free[name].width}
    tiny = {name: max(1, math.floor(tie.width * floor)) for name, tie in free.items()}
    # Every other tie odd: where plain results meet blocked readers.
    mixed = [{name: (odd if place % 2 == turn else aligned)[name] for place, name in enumerate(free)} for turn in (0, 1)]
    return [
        (present, False),
        (trial(aligned), True),
        (trial(small), True),
        (trial(fours), False),
        (trial(odd), False),
        (trial(above), False),
        *((trial(change), False) for change in mixed),
        (trial(tiny), False),
    ]


def edges_between(low: int, high: int, *, step: int, present: Iterable[int], most: int = _LINE_EDGES) -> list[int]:
    """Right edges to look at: multiples of the step, evenly spread by ratio, and those next to the present widths.

    Args:
        low: Smallest width.
        high: Largest width.
        step: Step of the staircase.
        present: Present widths: they and the nearest edge on each side are always among the result.
        most: Number of edges beyond the always present ones, at most.

    Example:
        >>> edges_between(35, 175, step=16, present=[140], most=3)
        [48, 96, 128, 140, 144, 160]
    """
    edges = list(range(-(-low // step) * step, high + 1, step))
    chosen: set[int] = set()
    for width in present:
        chosen |= {width}
        chosen |= {
            max((edge for edge in edges if edge < width), default=width),
            min((edge for edge in edges if edge > width), default=width),
        }
    if edges:
        count = min(most, len(edges))
        wanted = [edges[0] * (edges[-1] / edges[0]) ** (place / max(count - 1, 1)) for place in range(count)]
        chosen |= {min(edges, key=lambda edge: abs(math.log(edge / want))) for want in wanted}
    return sorted(width for width in chosen if width >= 1)


def grid_pairs(need: Need, *, in_step: int, out_step: int, levels: int) -> list[tuple[int, int]]:
    """A coarse grid of width pairs on the edges, ``levels`` for each side, over the whole range."""
    outs = edges_between(need.lowest[1], need.highest[1], step=out_step, present=(), most=levels) or [need.highest[1]]
    if need.family.one_width:
        return [(width, width) for width in outs]
    ins = edges_between(need.lowest[0], need.highest[0], step=max(in_step, 1), present=(), most=levels) or [need.highest[0]]
    return [(read, written) for read in ins for written in outs]


def fitting(need: Need, pairs: Iterable[tuple[int, int]], *, block: int = _ALIGNED) -> list[tuple[int, int]]:
    """The pairs moved to the nearest widths at which the family's kernel really runs, doubles dropped.

    ONNX Runtime's kernels are called at some widths only: blocked ones at input widths that are
    multiples of 4, ``nchwc_first`` below a block, ``im2col`` at widths that are no multiple of 4;
    grouped ones at whole blocks for each group, or not, on both sides.
    """
    kernel, one = need.family.kernel, need.family.one_width

    def legal(width: int) -> int:
        if kernel == "nchwc_first":
            return min(width, block - 1)
        if kernel == "nchwc" and (need.family.groups in (0, 1)):
            return max(width // 4 * 4, 4 if one else block)
        if kernel == "im2col" and need.family.groups in (0, 1) and need.family.op == "conv2d":
            return max(width + 1 if width % 4 == 0 else width, 1 if one else block + 1)
        if kernel == "reorder_in":
            return max(width // 4 * 4, 4)
        if kernel == "blocked":
            return max(width // block * block, block)
        return width

    if need.family.groups > 1:
        return list(dict.fromkeys(_grouped(pair, groups=need.family.groups, kernel=kernel, block=block) for pair in pairs))
    return list(dict.fromkeys((legal(read), legal(written) if one else written) for read, written in pairs))


def _grouped(pair: tuple[int, int], *, groups: int, kernel: str, block: int) -> tuple[int, int]:
    """The nearest pair at which a grouped convolution runs in this kernel."""
    whole = groups * block if kernel == "nchwc" else groups
    read, written = (max(width // whole * whole, whole) for width in pair)
    if kernel == "im2col" and read % (groups * block) == 0 and written % (groups * block) == 0:
        read -= groups  # one channel less in each group: blocks are no longer whole
    return read, written


def at(need: Need, pair: tuple[int, int]) -> Workload:
    """The family's call at a pair of widths."""
    return replace(need.family, in_channels=pair[0], out_channels=pair[1])
