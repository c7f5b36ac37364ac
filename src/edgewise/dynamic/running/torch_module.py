"""A dynamic network as a torch module over this project's operator."""

from torch import nn

from edgewise.ir import NetSpec
from edgewise.ir.gates import GatePlan


def as_torch(model: nn.Module, net: NetSpec, plan: GatePlan) -> nn.Module:
    """The network with its gated parts as ``torch.ops.edgewise.sparse_chain``, in eval mode.

    Works under ``torch.compile`` and ``torch.export``. A plan that prunes nothing gives a copy of the network.

    Args:
        model: The network; it is left as it was.
        net: The same network as hardware sees it.
        plan: Gates and ratios.

    Raises:
        PlanError: The plan is of another network.
        SpecError: The network's code cannot be read.
    """
    raise NotImplementedError
