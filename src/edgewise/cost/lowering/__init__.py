"""How a runtime cuts a network into kernel calls: which layers it fuses, which kernels and layouts it picks.

Nothing here runs the runtime. The rules are checked in tests against the graphs that the
runtimes themselves make of the same networks.
"""

from edgewise.cost.lowering.groups import Group, fused_groups
from edgewise.cost.lowering.lower import Lowering, lowering_for

__all__ = ["Group", "Lowering", "fused_groups", "lowering_for"]
