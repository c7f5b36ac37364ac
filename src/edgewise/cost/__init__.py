"""What a piece of a network costs on a device. No torch."""

from edgewise.cost.protocol import Device, Estimate, Kind, Piece
from edgewise.cost.workload import Workload

__all__ = ["Device", "Estimate", "Kind", "Piece", "Workload"]
