"""A dynamic network as a torch module over this project's operator."""

import copy
from collections.abc import Mapping, Sequence
from typing import no_type_check

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from edgewise._core.errors import PlanError, SpecError
from edgewise.dynamic.running.masking import MaskGate
from edgewise.dynamic.running.segments import Segment, find_segments, program_of, weights_of
from edgewise.dynamic.running.steps import find_steps, graph_of
from edgewise.dynamic.running.torch_operator import sparse_chain
from edgewise.ir import NetSpec
from edgewise.ir.gates import Gate, GatePlan
from edgewise.kernels import Program


class SparseChain(nn.Module):
    """A part of a network that one operator computes.

    Attributes:
        program: What is computed.
        convolutions: Names of the convolutions in the network it came from.
    """

    def __init__(self, program: Program, weights: Sequence[Tensor], biases: Sequence[Tensor], *, convolutions: Sequence[str]) -> None:
        """Takes the weights as buffers."""
        super().__init__()
        sparse_chain()
        self.program = program
        self.convolutions = tuple(convolutions)
        self._ints = program.ints()
        self._count = len(weights)
        for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            self.register_buffer(f"weight{number}", weight)
            self.register_buffer(f"bias{number}", bias)

    @no_type_check  # torch.compile and torch.export call it with stand-ins for tensors
    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k p q"]:
        """The chain's output."""
        weights = [getattr(self, f"weight{number}") for number in range(self._count)]
        biases = [getattr(self, f"bias{number}") for number in range(self._count)]
        if torch.onnx.is_in_onnx_export():
            shape = (maps.shape[0], *self.program.shapes()[-1])
            return torch.onnx.ops.symbolic(
                "edgewise::SparseChain", (maps, *weights, *biases), {"program": self._ints}, dtype=maps.dtype, shape=shape, version=1
            )
        return torch.ops.edgewise.sparse_chain(maps, weights, biases, self._ints)


def as_torch(model: nn.Module, net: NetSpec, plan: GatePlan) -> nn.Module:
    """The network with its gated parts as ``torch.ops.edgewise.sparse_chain``, in eval mode.

    Works under ``torch.compile`` and ``torch.export``. A plan that prunes nothing gives a copy of the network. What
    no chain can compute is masked, which saves no time.

    Args:
        model: The network; it is left as it was.
        net: The same network as hardware sees it.
        plan: Gates and ratios.

    Raises:
        PlanError: The plan is of another network.
        SpecError: The network's code cannot be read.
    """
    gates = active_gates(model, plan)
    subject = copy.deepcopy(model).eval()
    if not gates:
        return subject
    module = traced(subject)
    _find_shapes(module, net)
    segments = _gated_segments(module, gates)
    for number, segment in enumerate(segments):
        _replace(module, segment, gates, name=f"sparse_chain{number}")
    mask_rest(module, _outside(segments, gates))
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()
    return module.eval()


def masked_gates(model: nn.Module, plan: GatePlan) -> tuple[str, ...]:
    """Convolutions whose gates no chain computes, in the plan's order: :func:`as_torch` masks them, which saves no time.

    Raises:
        PlanError: The plan is of another network.
        SpecError: The network's code cannot be read.
    """
    gates = active_gates(model, plan)
    if not gates:
        return ()
    return tuple(_outside(_gated_segments(traced(copy.deepcopy(model).eval()), gates), gates))


def active_gates(model: nn.Module, plan: GatePlan) -> dict[str, Gate]:
    """Gates that prune something, by consumer.

    Raises:
        PlanError: The network has no such convolution, or one of other channels.
    """
    modules = dict(model.named_modules())
    gates = {gate.consumer: gate for gate in plan.gates if gate.channel_ratio or gate.spatial_ratio}
    for name, gate in gates.items():
        conv = modules.get(name)
        if not isinstance(conv, nn.Conv2d) or conv.in_channels != gate.channels:
            found = f"{conv.in_channels} channels" if isinstance(conv, nn.Conv2d) else "none"
            raise PlanError(
                f"the plan gates a convolution {name!r} of {gate.channels} channels, the network has {found}; was it made for another?"
            )
    return gates


def traced(model: nn.Module) -> fx.GraphModule:
    """The network's graph.

    Raises:
        SpecError: Its code depends on values.
    """
    try:
        return graph_of(model)
    except Exception as error:  # a user's module may fail in any way
        text = " ".join(str(error).split())[:160]
        raise SpecError(f"a dynamic network must be readable by torch.fx, got {type(error).__name__}: {text}") from error


def mask_rest(module: fx.GraphModule, gates: Mapping[str, Gate]) -> None:
    """Puts masks of plain operations before convolutions that no chain computes."""
    for node in list(module.graph.nodes):
        gate = gates.get(str(node.target)) if node.op == "call_module" else None
        if gate is None:
            continue
        name = f"mask_{str(node.target).replace('.', '_')}"
        module.add_submodule(name, MaskGate(gate))
        with module.graph.inserting_before(node):
            node.update_arg(0, module.graph.call_module(name, (node.args[0],)))
    module.recompile()


def _gated_segments(module: fx.GraphModule, gates: Mapping[str, Gate]) -> list[Segment]:
    return [segment for segment in find_segments(find_steps(module)) if any(name in gates for name in segment.convolutions)]


def _outside(segments: Sequence[Segment], gates: Mapping[str, Gate]) -> dict[str, Gate]:
    inside = {name for segment in segments for name in segment.convolutions}
    return {name: gate for name, gate in gates.items() if name not in inside}


def _find_shapes(module: fx.GraphModule, net: NetSpec) -> None:
    inputs = [torch.zeros(shape) for shape in net.input_shapes]
    with torch.no_grad():
        ShapeProp(module).propagate(*inputs)


def _replace(module: fx.GraphModule, segment: Segment, gates: Mapping[str, Gate], *, name: str) -> None:
    _, channels, height, width = segment.source.meta["tensor_meta"].shape
    program = program_of(segment, gates, (channels, height, width))
    weights, biases = weights_of(segment)
    module.add_submodule(name, SparseChain(program, weights, biases, convolutions=segment.convolutions))
    with module.graph.inserting_after(segment.output):
        made = module.graph.call_module(name, (segment.source,))
    segment.output.replace_all_uses_with(made)
