"""A dynamic network as an ONNX file of standard operators."""

import copy
from pathlib import Path

import torch
from torch import nn

from edgewise.deploy.onnx_export import export_onnx as export_module
from edgewise.dynamic.running.torch_module import active_gates, mask_rest, traced
from edgewise.ir import NetSpec
from edgewise.ir.gates import GatePlan


def export_onnx(model: nn.Module, net: NetSpec, plan: GatePlan, path: Path, *, batch: int = 1) -> None:
    """Writes the network with its gates as TopK, ScatterElements and Mul: right everywhere, faster nowhere.

    Args:
        model: The network; exported as it computes in eval mode, and left as it was.
        net: The same network as hardware sees it.
        plan: Gates and ratios.
        path: The .onnx file to make.
        batch: Images of a run.

    Raises:
        ExportError: An operation cannot be written.
        PlanError: The plan is of another network.
    """
    gates = active_gates(model, plan)
    subject: nn.Module = copy.deepcopy(model).eval()
    if gates:
        module = traced(subject)
        mask_rest(module, gates)
        subject = module.eval()
    export_module(subject, example_inputs(net, batch), path)


def example_inputs(net: NetSpec, batch: int) -> tuple[torch.Tensor, ...]:
    """Zeros of the network's input shapes with the given batch."""
    return tuple(torch.zeros(batch, *shape[1:]) for shape in net.input_shapes)
