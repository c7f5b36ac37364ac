"""A model ready to use, and the record by which it is built again."""

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from edgewise._core.errors import SpecError, UsageError
from edgewise.dynamic.network import GatedNetwork
from edgewise.ir import ArchPlan, WidthPlan
from edgewise.ir.gates import GatePlan
from edgewise.models.sources import ModelSource

Plan = ArchPlan | WidthPlan | GatePlan
"""What was done to a network: its choices in a space, its widths, its gates."""
_INPUT_SEED = 0


def in_memory(model: nn.Module, inputs: tuple[Tensor, ...], *, name: str, trained: bool = True) -> "LoadedModel":
    """A copy of a module made in Python as a model that recipes can work on; no run folder can build it again.

    Args:
        model: The network; it stays as it is, its modes included.
        inputs: What it is called with, each with a batch of one.
        name: What people call it.
        trained: Whether its weights are more than initial draws.

    Raises:
        UsageError: The inputs are none, or not tensors with a batch of one.
        SpecError: The module refuses to be copied.
    """
    if not inputs or any(tensor.ndim == 0 or tensor.shape[0] != 1 for tensor in inputs):
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in inputs) or "none"
        raise UsageError(f"`inputs` must be tensors with a batch of one, got {shapes}; `batch` is for more at once")
    try:
        subject = copy.deepcopy(model).eval()
    except Exception as error:  # a user's module may refuse in any way
        raise SpecError(f"`model` must allow copy.deepcopy, got {' '.join(str(error).split())}") from error
    record = ModelRecord(source=ModelSource(kind="memory", name=name), input_shape=tuple(inputs[0].shape), trained=trained)
    return LoadedModel(model=subject, record=record, name=name, example=inputs)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRecord:
    """How to build a model again, tensors apart.

    Attributes:
        source: Where the original comes from.
        input_shape: Shape of its input with a batch of one.
        plans: What was done to the original, in order.
        trained: Its tensors come from a file, a zoo or training, not from initial draws.
    """

    source: ModelSource
    input_shape: tuple[int, ...]
    plans: tuple[Plan, ...] = ()
    trained: bool = False

    def followed_by(self, plan: Plan, *, trained: bool) -> "ModelRecord":
        """The record after one more plan; ``trained`` as in the attributes."""
        return replace(self, plans=(*self.plans, plan), trained=trained)


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedModel:
    """A model ready to use, in evaluation mode, with the record of where it comes from.

    Attributes:
        model: The network.
        record: How to build it again.
        name: What people called it: a name, or the path of a run folder.
        example: Inputs with a batch of one, where one image of ``input_shape`` does not describe them; else empty.
    """

    model: nn.Module
    record: ModelRecord
    name: str
    example: tuple[Tensor, ...] = ()

    def __repr__(self) -> str:
        """What it is, in a line."""
        shapes = ", ".join("x".join(map(str, shape)) for shape in self.input_shapes)
        params = sum(tensor.numel() for tensor in self.model.parameters())
        plans = "".join(f", {type(plan).__name__}" for plan in self.plans)
        return f"{self.name}: inputs {shapes}, {params:,} parameters, {'trained' if self.trained else 'not trained'}{plans}"

    @property
    def source(self) -> ModelSource:
        """Where the original comes from."""
        return self.record.source

    @property
    def plans(self) -> tuple[Plan, ...]:
        """What was done to the original, in order."""
        return self.record.plans

    @property
    def gates(self) -> GatePlan | None:
        """Its gates with their present ratios, where it prunes its maps while it runs."""
        return self.model.plan if isinstance(self.model, GatedNetwork) else None

    def without_gates(self) -> "LoadedModel":
        """The same network without gates, as the methods on dense networks take it; itself where it has none."""
        if not isinstance(self.model, GatedNetwork):
            return self
        plans = tuple(plan for plan in self.plans if not isinstance(plan, GatePlan))
        return replace(self, model=self.model.plain(), record=replace(self.record, plans=plans))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the (first) input with a batch of one."""
        return self.record.input_shape

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each input with a batch of one."""
        return tuple(tuple(tensor.shape) for tensor in self.example) or (self.input_shape,)

    @property
    def trained(self) -> bool:
        """Whether its tensors are more than initial draws."""
        return self.record.trained

    def inputs(self, *, batch: int = 1) -> tuple[Tensor, ...]:
        """Example inputs for tracing, export and timing: those given, or normal numbers from a fixed seed.

        Args:
            batch: Inputs at once; at least 1.
        """
        if self.example:
            return self.example if batch == 1 else tuple(torch.cat([tensor] * batch) for tensor in self.example)
        return example_inputs(self.input_shape, batch=batch)


def example_inputs(shape: tuple[int, ...], *, batch: int = 1) -> tuple[Tensor, ...]:
    """Inputs of a shape whose batch of one is replaced by ``batch``: normal numbers from a fixed seed."""
    generator = torch.Generator().manual_seed(_INPUT_SEED)
    return (torch.randn((batch, *shape[1:]), generator=generator),)
