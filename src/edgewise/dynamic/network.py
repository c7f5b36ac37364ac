"""A network with gates built in: what training works on, and what a run folder gives back."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

from edgewise._core.errors import UsageError
from edgewise.dynamic.attention import gate_masks
from edgewise.dynamic.gating import apply_masks, consumers_of
from edgewise.ir.gates import Budget, Gate, GatePlan

_STATISTICS = ("running_mean", "running_var")


class _Gate:
    """Prunes what one convolution reads; its ratios may change between two runs."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.leak = 0.0

    def __call__(self, _module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        gate = self.gate
        if gate.channel_ratio == 0 and gate.spatial_ratio == 0:
            return inputs
        return (apply_masks(inputs[0], gate, *gate_masks(inputs[0], gate), leak=self.leak), *inputs[1:])


class _BudgetTables(nn.Module):
    """Batch-norm statistics for each budget, as buffers."""

    def __init__(self, norms: list[_BatchNorm], n_budgets: int) -> None:
        super().__init__()
        for budget in range(n_budgets):
            for place, norm in enumerate(norms):
                for name in _STATISTICS:
                    self.register_buffer(_buffer(budget, place, name), norm.get_buffer(name).clone())


class GatedNetwork(nn.Module):
    """A network that prunes its feature maps for each input, and computes with masks what a sparse kernel skips.

    Masked convolutions multiply the zeros too, so this is not faster than the dense network; it is what training
    and judging use. :mod:`edgewise.dynamic.running` runs the same network without the skipped work.

    Args:
        network: The network without gates; copied.
        plan: Gates, their ratios and, of a one-for-all network, its budgets.

    Raises:
        PlanError: The network has no module of a consumer's name.

    Example:
        >>> gate = Gate(consumer="2", producer="0", block=0, channels=2, hw=(1, 1), channel_ratio=0.5)
        >>> plain = nn.Sequential(nn.Identity(), nn.ReLU(), nn.Conv2d(2, 1, 1, bias=False))
        >>> _ = nn.init.ones_(plain[2].weight)
        >>> network = GatedNetwork(plain, GatePlan(gates=(gate,), n_blocks=1))
        >>> network(torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1)).item()   # the smaller channel is pruned
        4.0
    """

    def __init__(self, network: nn.Module, plan: GatePlan) -> None:
        super().__init__()
        self.network = deepcopy(network)
        self.full_plan = plan
        self._gates = [_Gate(gate) for gate in plan.gates]
        self._handles: list[RemovableHandle] = []
        self._open()
        self.budget: int | None = None
        if plan.budgets:
            self.tables = _BudgetTables(self._norms(), len(plan.budgets))
            self.budget = len(plan.budgets) - 1

    def forward(self, *inputs: Tensor) -> Any:  # noqa: ANN401 - any network's outputs
        """The network's outputs with its gates at work."""
        return self.network(*inputs)

    @property
    def plan(self) -> GatePlan:
        """The gates with the ratios that they have now."""
        return replace(self.full_plan, gates=tuple(each.gate for each in self._gates))

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """What :meth:`switch` takes; empty for a network with one set of ratios."""
        return self.full_plan.budgets

    def set_ratios(self, plan: GatePlan) -> None:
        """Gives every gate the ratios of a plan with the same gates; batch norms are left alone."""
        for own, gate in zip(self._gates, plan.gates, strict=True):
            own.gate = gate

    def set_leak(self, leak: float) -> None:
        """Sets the share of its gradient that an entry gets which a gate prunes, in [0, 1]; 0 is what a new network has."""
        for own in self._gates:
            own.leak = leak

    def switch(self, budget: int) -> None:
        """Changes to one of the budgets: its ratios, and the batch-norm statistics that belong to it.

        Args:
            budget: Place in :attr:`budgets`.

        Raises:
            UsageError: There is no such budget.
        """
        if not 0 <= budget < len(self.budgets):
            raise UsageError(f"`budget` must lie in [0, {len(self.budgets)}), got {budget}")
        self.set_ratios(self.full_plan.scaled(self.budgets[budget].share))
        with torch.no_grad():
            for place, norm in enumerate(self._norms()):
                for name in _STATISTICS:
                    norm.get_buffer(name).copy_(self.tables.get_buffer(_buffer(budget, place, name)))
        self.budget = budget

    def switch_to_latency(self, seconds: float) -> Budget:
        """Changes to the budget that prunes least among those that are fast enough, as measured.

        Args:
            seconds: Longest time for one batch.

        Returns:
            The budget chosen.

        Raises:
            UsageError: Nothing was measured, or no budget is that fast; says the fastest.
        """
        known = [(place, budget) for place, budget in enumerate(self.budgets) if budget.latency_s is not None]
        if not known:
            raise UsageError("the network's budgets have no measured latency; measure them by `edgewise sparsify --one-for-all`")
        fitting = [(place, budget) for place, budget in known if budget.latency_s is not None and budget.latency_s <= seconds]
        if not fitting:
            fastest = min(budget.latency_s for _, budget in known if budget.latency_s is not None)
            raise UsageError(f"no budget is as fast as {seconds:g} s; the fastest takes {fastest:g} s")
        place, budget = min(fitting, key=lambda each: each[1].share)
        self.switch(place)
        return budget

    def keep_statistics(self, budget: int) -> None:
        """Writes the batch norms' present statistics into the table of a budget."""
        with torch.no_grad():
            for place, norm in enumerate(self._norms()):
                for name in _STATISTICS:
                    self.tables.get_buffer(_buffer(budget, place, name)).copy_(norm.get_buffer(name))

    def plain(self) -> nn.Module:
        """A copy of the network without its gates, with its present weights and statistics."""
        self._close()
        try:
            return deepcopy(self.network)
        finally:
            self._open()

    def with_budgets(self, budgets: tuple[Budget, ...]) -> "GatedNetwork":
        """The same network with other figures for its budgets, or with budgets for the first time."""
        same = [one.share for one in budgets] == [one.share for one in self.budgets]
        network = GatedNetwork(self.plain(), replace(self.full_plan, budgets=budgets))
        if same and budgets:
            network.tables.load_state_dict(self.tables.state_dict())
        network.set_ratios(self.plan)
        network.budget = self.budget if same else network.budget
        return network.train(self.training)

    def _norms(self) -> list[_BatchNorm]:
        return [module for module in self.network.modules() if isinstance(module, _BatchNorm) and module.running_mean is not None]

    def _open(self) -> None:
        consumers = consumers_of(self.network, self.full_plan)
        self._handles = [consumers[each.gate.consumer].register_forward_pre_hook(each) for each in self._gates]

    def _close(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []


def _buffer(budget: int, place: int, name: str) -> str:
    return f"budget{budget}_norm{place}_{name}"
