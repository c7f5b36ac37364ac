"""The gates of a network and their ratios: as given, or chosen for a target."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import Any

from edgewise._core.errors import PlanError, SpecError, TargetError
from edgewise._core.progress import Progress, SilentProgress
from edgewise.dynamic import GatedNetwork, place_gates
from edgewise.dynamic.accounting import count_macs, macs_by_block
from edgewise.dynamic.choosing import Choice, choose_ratios
from edgewise.dynamic.refining import PlanCost, refine_ratios
from edgewise.dynamic.removing import widths_left
from edgewise.dynamic.sensitivity import Sensitivity, SweepPoint, sweep_blocks
from edgewise.ir import NetSpec
from edgewise.ir.gates import GatePlan
from edgewise.measure.lock import untimed
from edgewise.recipes.sparsify.latency import DenseTimes, SideBySide, time_side_by_side
from edgewise.recipes.sparsify.request import RatioRequest, SparsifyRequest
from edgewise.recipes.sparsify.settling import settle
from edgewise.recipes.sparsify.start import Start, held_out
from edgewise.recipes.timing import reached_of
from edgewise.recipes.training import lessons_of
from edgewise.train.batches import JudgedData, first_images
from edgewise.train.calibrate import recalibrate_batch_norm
from edgewise.train.evaluate import mean_cross_entropy

GRID = (0.2, 0.4, 0.6, 0.8, 0.9)
"""Ratios tried of each block and side where they are chosen."""
MOST_CORRECTIONS = 3
_STATISTICS_BATCHES = 4
_BISECTIONS = 12
_NEAR, _AIM = 0.95, 0.98
"""A network faster than the first share of its target prunes more than it has to; corrections aim at the second."""
_PLAIN = ("target", "predicted_loss", "predicted", "met", "corrections")


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """Ratios chosen for a target, and what they were chosen by.

    Attributes:
        plan: The gates.
        target: The target as typed.
        predicted_loss: Sum of what the blocks lose alone.
        predicted: Share of the multiply-accumulates, or seconds, that the choice expects.
        met: Whether the target holds: counted, or as measured.
        corrections: Choices after the first.
        sensitivity: What the blocks lose.
        refined: Cross entropy before and after all ratios were improved together, and plans judged; none where they were not.
    """

    plan: GatePlan
    target: str
    predicted_loss: float
    predicted: float
    met: bool
    corrections: int
    sensitivity: Sensitivity
    refined: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """All but the plan as JSON values."""
        refined = None if self.refined is None else dict(self.refined)
        return {**{name: getattr(self, name) for name in _PLAIN}, "sensitivity": self.sensitivity.to_json(), "refined": refined}

    @staticmethod
    def from_json(plan: GatePlan, value: Mapping[str, Any]) -> "Chosen":
        """What :meth:`to_json` wrote."""
        sweep = value["sensitivity"]
        points = tuple(SweepPoint(**point) for point in sweep["points"])
        sensitivity = Sensitivity(points=points, dense=sweep["dense"], n_images=sweep["images"], n_blocks=sweep["n_blocks"])
        return Chosen(plan=plan, sensitivity=sensitivity, refined=value["refined"], **{name: value[name] for name in _PLAIN})


def gates_of(net: NetSpec, request: RatioRequest) -> GatePlan:
    """The gates at the ratios given; where they are to be chosen, at 0.

    Raises:
        SpecError: The network has nothing to gate.
        PlanError: The number of ratios, or of shares that may change, is not that of the blocks.
    """
    plan = place_gates(net, channel_ratios=request.channels, spatial_ratios=request.positions, block_outputs=request.block_outputs)
    if not plan.gates:
        raise SpecError(f"{net.name} has nothing to gate: no map is written by one convolution and read by one other alone")
    if len(request.changing) not in (1, plan.n_blocks):
        raise PlanError(f"--changing needs 1 share or {plan.n_blocks} (one for each block), got {len(request.changing)}")
    return plan


def choose_for_macs(request: RatioRequest, net: NetSpec, plan: GatePlan, sensitivity: Sensitivity) -> Chosen:
    """The ratios that lose least at a share of the multiply-accumulates, as the tutorial counts them (with removal: as executed).

    Raises:
        TargetError: It is out of reach.
    """
    assert request.macs_at_most is not None
    cost, total = _macs_cost(request, net), count_macs(net, plan).macs
    least = cost(plan.with_ratios([GRID[-1]] * plan.n_blocks, [GRID[-1]] * plan.n_blocks)) / total
    if request.macs_at_most < least:
        remedies = [flag for flag, given in (("--block-outputs", request.block_outputs), ("--remove", request.remove)) if not given]
        remedy = f"ask for more, or add {' or '.join(remedies)}" if remedies else "ask for more"
        raise TargetError(
            f"--macs-at-most {request.macs_at_most:g}x is out of reach: {least:.3f}x is the least that gates can leave; {remedy}"
        )
    choice = _choice_for_macs(request, net, plan, sensitivity)
    return Chosen(
        plan=choice.plan,
        target=f"{request.macs_at_most:g}x MACs",
        predicted_loss=choice.loss,
        predicted=cost(choice.plan) / total,
        met=True,
        corrections=0,
        sensitivity=sensitivity,
    )


def _choice_for_macs(request: RatioRequest, net: NetSpec, plan: GatePlan, sensitivity: Sensitivity) -> Choice:
    """The ratios that lose least; with removal, those of the dearest of several limits on what gates alone leave that is still met.

    What removal saves depends on the blocks on both sides of a layer, so that blocks have no prices of their own.
    """
    assert request.macs_at_most is not None
    blocks, cost, total = macs_by_block(net, plan), _macs_cost(request, net), count_macs(net, plan).macs

    def price(block: int, channels: float, positions: float) -> float:
        return blocks[block] * (1 - channels) * (1 - positions)

    def choice_at(share: float) -> Choice:
        return choose_ratios(plan, sensitivity, price, limit=share * total - (total - sum(blocks)), ratios=GRID)

    if not request.remove:
        return choice_at(request.macs_at_most)
    found, low, high = choice_at(request.macs_at_most), request.macs_at_most, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        choice = choice_at(middle)
        if cost(choice.plan) <= request.macs_at_most * total:
            found, low = choice, middle
        else:
            high = middle
    return found


def refined_for_macs(request: SparsifyRequest, start: Start, chosen: Chosen, *, progress: Progress) -> Chosen:
    """The same share of the multiply-accumulates with better ratios: all blocks judged together, statistics measured anew."""
    ratios, data = request.ratios, start.data
    assert ratios.macs_at_most is not None and data is not None
    cost, total = _macs_cost(ratios, start.net), count_macs(start.net, chosen.plan).macs
    batches = list(first_images(held_out(data), ratios.images))
    made = _settled_networks(request, start, data) if ratios.remove else _balanced_networks(start, data)

    def judge(plan: GatePlan) -> float:
        return mean_cross_entropy(made(plan), batches, gate=untimed)

    found = refine_ratios(chosen.plan, judge, cost, limit=ratios.macs_at_most * total, progress=progress)
    progress.note(f"ratios of all blocks together: cross entropy {found.loss_before:.3f} -> {found.loss:.3f} before training")
    return replace(chosen, plan=found.plan, predicted=cost(found.plan) / total, refined=found.to_json())


def _balanced_networks(start: Start, data: JudgedData) -> Callable[[GatePlan], GatedNetwork]:
    """Makes the network at the ratios of a plan, with statistics measured anew."""
    train = list(islice(data.train, _STATISTICS_BATCHES))

    def made(plan: GatePlan) -> GatedNetwork:
        network = GatedNetwork(start.balanced.model, plan)
        recalibrate_batch_norm(network, train, gate=untimed)
        return network

    return made


def _settled_networks(request: SparsifyRequest, start: Start, data: JudgedData) -> Callable[[GatePlan], GatedNetwork]:
    """Makes the network at the ratios of a plan as it will be trained: channels removed, layers refitted."""
    lessons = lessons_of(data)

    def made(plan: GatePlan) -> GatedNetwork:
        ready = settle(start.loaded, start.traced, plan, lessons=lessons, remove=True, changing=request.ratios.changing)
        network, _ = ready.gated(lessons=lessons, progress=SilentProgress())
        return network

    return made


def _macs_cost(request: RatioRequest, net: NetSpec) -> PlanCost:
    """Multiply-accumulates of all convolutions at the ratios of a plan: as the tutorial counts, or with removal as executed.

    What is removed are whole channels, and so a target should not be met by ratios of small maps that prune nothing when rounded.
    """

    def cost(plan: GatePlan) -> float:
        if request.remove:
            return count_macs(*widths_left(net, plan, request.changing)).macs_executed
        return count_macs(net, plan).macs_counted

    return cost


def choose_for_latency(
    request: SparsifyRequest, start: Start, sensitivity: Sensitivity, *, dense: DenseTimes, progress: Progress
) -> Chosen:
    """The ratios that lose least at a latency on this machine: predicted from kernels, then measured and corrected.

    Raises:
        TargetError: It is out of reach.
    """
    target, dense_s = request.ratios.latency, dense.best.latency_s
    assert target is not None
    prices = _kernel_prices(request, start, progress=progress)
    fixed_s, limit_s, tried = dense_s - sum(prices.values_at(0.0, 0.0)), target.seconds(dense_s), list[_Tried]()
    while len(tried) <= MOST_CORRECTIONS:
        choice = _choice(start.plan, sensitivity, prices, limit=limit_s - fixed_s)
        if any(choice.plan == one.choice.plan for one in tried):
            break
        timing = _timed_at(request, start, choice.plan, progress=progress)
        sample = timing.dynamic[-1]
        one = _Tried(choice=choice, predicted_s=choice.cost + fixed_s, reached=reached_of(target, sample, baseline=timing.dense.best))
        progress.note(
            f"predicted {one.predicted_s * 1e3:.3f} ms, measured {sample.latency_s * 1e3:.3f} ms, {one.reached:.3f} of the target"
        )
        tried.append(one)
        if _NEAR <= one.reached <= 1:
            break
        limit_s = one.predicted_s * _AIM / one.reached
    found = _best(tried)
    return Chosen(
        plan=found.choice.plan,
        target=str(target),
        predicted_loss=found.choice.loss,
        predicted=found.predicted_s,
        met=found.reached <= 1,
        corrections=len(tried) - 1,
        sensitivity=sensitivity,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tried:
    """Ratios that were timed: what was predicted, and the latency as a share of the target."""

    choice: Choice
    predicted_s: float
    reached: float


def _best(tried: Sequence[_Tried]) -> _Tried:
    """Of those that meet the target the one that loses least; where none does, the fastest."""
    meeting = [one for one in tried if one.reached <= 1]
    return min(meeting, key=lambda one: one.choice.loss) if meeting else min(tried, key=lambda one: one.reached)


def _timed_at(request: SparsifyRequest, start: Start, plan: GatePlan, *, progress: Progress) -> SideBySide:
    """What the network takes at some ratios; weights have no say in it."""
    ready = settle(start.loaded, start.traced, plan, lessons=None, remove=request.ratios.remove, changing=request.ratios.changing)
    network, _ = ready.gated(lessons=None, progress=progress)
    return time_side_by_side(request, start.loaded, start.loaded, [network], progress=progress)  # what is left without gates is not asked


def sensitivity_of(request: SparsifyRequest, start: Start, *, progress: Progress) -> Sensitivity:
    """What the blocks lose, on validation images."""
    assert start.data is not None
    batches = list(first_images(held_out(start.data), request.ratios.images))
    return sweep_blocks(start.balanced.model, start.plan, batches, ratios=GRID, progress=progress)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Prices:
    """Measured seconds of each block's gated convolutions at every pair of ratios."""

    seconds: Mapping[tuple[int, float, float], float]

    def __call__(self, block: int, channels: float, positions: float) -> float:
        return self.seconds[(block, channels, positions)]

    def values_at(self, channels: float, positions: float) -> list[float]:
        """Of all blocks at one pair."""
        return [value for (_, c, s), value in self.seconds.items() if (c, s) == (channels, positions)]


def _kernel_prices(request: SparsifyRequest, start: Start, *, progress: Progress) -> _Prices:
    from edgewise.dynamic.running import kernel_costs  # needs the compiled kernels

    grid, plan = (0.0, *GRID), start.plan
    progress.start("measuring kernels", len(grid) ** 2)
    found: dict[tuple[int, float, float], float] = {}
    for channels, positions in product(grid, grid):
        at = plan.with_ratios([channels] * plan.n_blocks, [positions] * plan.n_blocks)
        net, at = widths_left(start.net, at, request.ratios.changing) if request.ratios.remove else (start.net, at)
        costs = kernel_costs(net, at, threads=request.device.threads, batch=request.device.batch)
        for block in range(plan.n_blocks):
            gates = [gate.consumer for gate in plan.gates if gate.block == block]
            found[(block, channels, positions)] = sum(costs[name].dynamic_s for name in gates)
        progress.advance()
    return _Prices(seconds=found)


def _choice(plan: GatePlan, sensitivity: Sensitivity, prices: _Prices, *, limit: float) -> Choice:
    try:
        return choose_ratios(plan, sensitivity, prices, limit=limit, ratios=GRID)
    except TargetError as error:
        raise TargetError(f"the latency is out of reach on this machine by pruning maps alone ({error}, in seconds of kernels)") from error
