"""A dynamic network as OpenVINO IR with this project's operator."""

from pathlib import Path

from torch import nn

from edgewise.ir import NetSpec
from edgewise.ir.gates import GatePlan


def export_openvino(model: nn.Module, net: NetSpec, plan: GatePlan, folder: Path, *, batch: int, threads: int) -> Path:
    """Writes ``model.xml`` and ``model.bin`` whose gated parts are one operator of edgewise's extension each.

    A plan that prunes nothing writes the plain network.

    Args:
        model: The network; exported as it computes in eval mode, and left as it was.
        net: The same network as hardware sees it.
        plan: Gates and ratios.
        folder: Where to write; made where it is missing.
        batch: Images of a run.
        threads: Threads that ways of computing are chosen for.

    Returns:
        The .xml file.

    Raises:
        ExportError: An operation cannot be written.
        DeviceError: OpenVINO or a compiler for its extension is missing.
        PlanError: The plan is of another network.
    """
    raise NotImplementedError
