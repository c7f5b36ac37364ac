"""A dynamic network as an ONNX file of standard operators."""

from pathlib import Path

from torch import nn

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
    raise NotImplementedError
