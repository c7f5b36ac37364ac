"""From fused groups and widths to the kernel calls of a runtime."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from edgewise.cost.lowering.generic import GENERIC_RULES, PlainLowering
from edgewise.cost.lowering.groups import Group
from edgewise.cost.lowering.onnxruntime import OnnxRuntimeLowering
from edgewise.cost.lowering.openvino import OpenVinoLowering
from edgewise.cost.protocol import Piece
from edgewise.cost.workload import Workload
from edgewise.ir import NetSpec


@runtime_checkable
class Lowering(Protocol):
    """A network cut for one runtime, ready to be asked for its kernel calls at any widths."""

    @property
    def groups(self) -> tuple[Group, ...]:
        """The fused groups, in running order."""
        ...

    def workloads(self, group: Group, widths: Mapping[str, int]) -> tuple[Workload, ...]:
        """The kernel calls of a group when the ties have these widths, layout changes of its result included.

        They depend on the widths of the dimensions that the group reads and writes, and on no others
        (where a layout is decided further back, the usual case is assumed).
        """
        ...


def lowering_for(device: str, net: NetSpec, *, block: int = 16) -> Lowering:
    """The lowering that describes a measured device.

    Args:
        device: Name of the device, such as ``openvino-cpu``.
        net: The network to cut.
        block: Channels in a block of the runtime's blocked layout: 16 with AVX-512, else 8.
    """
    if device == "onnxruntime-cpu":
        return OnnxRuntimeLowering(net, block=block)
    if device == "openvino-cpu":
        return OpenVinoLowering(net)
    return PlainLowering(net, rules=GENERIC_RULES)


def pieces_of(lowering: Lowering, widths: Mapping[str, int]) -> tuple[Piece, ...]:
    """All kernel calls of a network at the given widths, in running order."""
    return tuple(
        Piece(position=group.head.name, layers=group.names, workload=workload)
        for group in lowering.groups
        for workload in lowering.workloads(group, widths)
    )
