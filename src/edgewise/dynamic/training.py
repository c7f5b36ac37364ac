"""Training with the masks on: targeted dropout with rising ratios, and one set of weights for a range of ratios."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgewise._core.errors import UsageError
from edgewise.dynamic.network import GatedNetwork
from edgewise.ir.gates import GatePlan
from edgewise.train.hints import HINT_WEIGHT, Hints, hint_loss, recorded_inputs
from edgewise.train.objective import distillation
from edgewise.train.sharding import unwrapped

RAMP = 0.2
"""Share of the steps over which ratios rise to their targets, then to be held."""
LEAK = 0.5
"""Share of the gradient that what gates drop in training gets."""
ONE_FOR_ALL_RATE = 3.0
"""Times the rate that one network's training takes, for one set of weights: a step's loss is a mean over four networks, of which each
moves the weights a quarter as far (ResNet-20, two epochs: 73.3 against 69.0 % at the largest ratios, 87.6 against 88.1 % dense)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RatioAscent:
    """Targeted dropout: the least important entries of every map are dropped in training as they will be in use.

    Ratios rise linearly over the first steps, then stay. Kept entries are not scaled up, and nothing is trained afterwards.
    The tutorial prints neither schedule nor settings: the ramp is ours, and so is the leak. With a mask that is a constant to the
    gradient, what is dropped hears nothing of how it would have served; the leak tells it, and ranks change sooner.

    Attributes:
        plan: The ratios to arrive at.
        ramp: Share of the steps in which they are reached, in [0, 1]; 0 for the full ratios from the first step.
        leak: Share of the gradient that dropped entries get, in [0, 1]: 0 for a mask that is a constant, 1 for a straight-through
            estimator.
    """

    plan: GatePlan
    ramp: float = RAMP
    leak: float = LEAK

    def __post_init__(self) -> None:
        """Checks ramp and leak."""
        if not 0 <= self.ramp <= 1:
            raise UsageError(f"the ramp must lie in [0, 1], got {self.ramp:g}")
        _check_leak(self.leak)

    @property
    def identity(self) -> str:
        """Target, ramp and leak."""
        return f"ratio ascent over {self.ramp:g} with leak {self.leak:g} to {_digest(self.plan)}"

    def share(self, step: int, n_steps: int) -> float:
        """Share of the target ratios in a step.

        Example:
            >>> ascent = RatioAscent(plan=GatePlan(gates=()), ramp=0.5)
            >>> [ascent.share(step, 8) for step in (0, 1, 3, 7)]
            [0.25, 0.5, 1.0, 1.0]
        """
        rising = self.ramp * n_steps
        return 1.0 if rising <= 0 else min(1.0, (step + 1) / rising)

    def begin_step(self, model: nn.Module, *, step: int, n_steps: int) -> None:
        """Sets the ratios of the step, and the leak."""
        share = self.share(step, n_steps)
        network = _gated(model)
        network.set_ratios(self.plan if share == 1 else self.plan.scaled(share))
        network.set_leak(self.leak)

    def begin_scoring(self, model: nn.Module) -> None:
        """Sets the ratios to arrive at, without a leak."""
        _finish(model, self.plan)

    def loss(self, model: nn.Module, run: Callable[[], Any], plain: Callable[[Any], Tensor]) -> Tensor:
        """The plain loss at the ratios of the step."""
        return plain(run())


@dataclass(frozen=True, kw_only=True, slots=True)
class SandwichSampling:
    """One set of weights for all ratios up to the plan's: the densest, the sparsest and some between in each step.

    The dense network learns from the labels, all others from its outputs (in-place distillation; Yu and Huang 2019,
    universally slimmable networks) and from its maps where gates prune them (:mod:`edgewise.train.hints`). Between, every block
    has a share of its own, drawn uniformly. The loss is the mean over the networks of the step. What AntiDoteX does for this is
    not published; this recipe is ours.

    Attributes:
        plan: The largest ratios.
        n_between: Networks between the densest and the sparsest in each step; at least 0.
        temperature: Softening of the logits in distillation; positive.
        leak: Share of the gradient that dropped entries get, in [0, 1]; see :class:`RatioAscent`.
        hint_weight: Of the error of the pruned networks' maps beside that of their outputs; 0 for outputs alone.
    """

    plan: GatePlan
    n_between: int = 2
    temperature: float = 1.0
    leak: float = LEAK
    hint_weight: float = HINT_WEIGHT

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if self.n_between < 0 or self.temperature <= 0 or self.hint_weight < 0:
            numbers = f"{self.n_between}, {self.temperature:g} and {self.hint_weight:g}"
            raise UsageError(f"n_between and hint_weight must be at least 0 and temperature positive, got {numbers}")
        _check_leak(self.leak)

    @property
    def identity(self) -> str:
        """The plan and the sampling."""
        between = f"sandwich with {self.n_between} between at temperature {self.temperature:g}"
        return f"{between} with leak {self.leak:g} and hints of {self.hint_weight:g}, up to {_digest(self.plan)}"

    def begin_step(self, model: nn.Module, *, step: int, n_steps: int) -> None:
        """Sets the leak; every step sees several ratios."""
        _gated(model).set_leak(self.leak)

    def begin_scoring(self, model: nn.Module) -> None:
        """Sets the largest ratios, without a leak."""
        _finish(model, self.plan)

    def loss(self, model: nn.Module, run: Callable[[], Any], plain: Callable[[Any], Tensor]) -> Tensor:
        """The mean loss of the networks of a step."""
        names = [own for own, _ in hints_of(self.plan).modules]
        network = _gated(model)
        network.set_ratios(self.plan.scaled(0.0))
        with recorded_inputs(model, names) as maps:
            dense = run()
        losses, taught = [plain(dense)], dense.detach()
        taught_maps = [maps[name].detach() for name in names]
        for plan in (*(self._drawn() for _ in range(self.n_between)), self.plan):
            network.set_ratios(plan)
            with recorded_inputs(model, names) as maps:
                loss = distillation(run(), taught, temperature=self.temperature)
            losses.append(loss + self.hint_weight * hint_loss([maps[name] for name in names], taught_maps))
        return torch.stack(losses).mean()

    def _drawn(self) -> GatePlan:
        shares = torch.rand(self.plan.n_blocks).tolist()
        channels = [share * ratio for share, ratio in zip(shares, self.plan.channel_ratios, strict=True)]
        positions = [share * ratio for share, ratio in zip(shares, self.plan.spatial_ratios, strict=True)]
        return self.plan.with_ratios(channels, positions)


def hints_of(plan: GatePlan, *, weight: float = HINT_WEIGHT) -> Hints:
    """The maps that gates prune, before they do, taught by those of the network without gates.

    Args:
        plan: The gates of a :class:`GatedNetwork`, at least one.
        weight: Of the maps' error beside the loss of the outputs.
    """
    return Hints(modules=tuple((f"network.{gate.consumer}", gate.consumer) for gate in plan.gates), weight=weight)


def leak_for(plan: GatePlan, settled: Collection[str]) -> float:
    """The leak that suits a network: none where what is dropped is nearly the same for all images, and will not serve.

    Args:
        plan: Its gates and their ratios.
        settled: Consumers whose maps were balanced for these ratios, by what channels are worth
            (:func:`edgewise.dynamic.balancing.balance_channels`).
    """
    changing = any(gate.channel_ratio and gate.consumer not in settled for gate in plan.gates)
    return LEAK if changing or not settled else 0.0


def _check_leak(leak: float) -> None:
    if not 0 <= leak <= 1:
        raise UsageError(f"the leak must lie in [0, 1], got {leak:g}")


def _finish(model: nn.Module, plan: GatePlan) -> None:
    network = _gated(model)
    network.set_ratios(plan)
    network.set_leak(0.0)


def _gated(model: nn.Module) -> GatedNetwork:
    inner = unwrapped(model)
    if not isinstance(inner, GatedNetwork):
        raise UsageError(f"this regime trains a GatedNetwork, got {type(inner).__name__}")
    return inner


def _digest(plan: GatePlan) -> str:
    gates = plan.to_json()
    return json.dumps([gates["gates"], gates["n_blocks"]], separators=(",", ":"))
