"""Runtimes whose layout does not depend on widths: one kernel call for each fused group."""

from collections.abc import Mapping

from edgewise.cost.lowering.groups import ACTIVATIONS, FusionRules, Group, fused_groups
from edgewise.cost.workload import Workload
from edgewise.ir import LayerSpec, NetSpec

GENERIC_RULES = FusionRules(norm=True, norm_after_linear=True, add=True, conv_activations=ACTIVATIONS, linear_activations=ACTIVATIONS)
"""For a runtime that nothing is known of: convolution, norm, addition and activation are timed as one."""


class PlainLowering:
    """One kernel call for each fused group, with the network's own widths."""

    def __init__(self, net: NetSpec, *, rules: FusionRules) -> None:
        self._groups = fused_groups(net, rules)

    @property
    def groups(self) -> tuple[Group, ...]:
        """The fused groups, in running order."""
        return self._groups

    def workloads(self, group: Group, widths: Mapping[str, int]) -> tuple[Workload, ...]:
        """The one kernel call of the group."""
        return (group_workload(group, widths, kernel="fused"),)


def group_workload(group: Group, widths: Mapping[str, int], *, kernel: str) -> Workload:
    """The kernel call that carries out a whole group.

    Args:
        group: The fused group.
        widths: Width of every tie.
        kernel: Name of the implementation, see :class:`Workload`.
    """
    head = group.head
    return Workload(
        kernel=kernel,
        op=head.op,
        in_channels=head.in_dim.width(widths),
        out_channels=head.out_dim.width(widths),
        groups=0 if head.depthwise and head.in_dim == head.out_dim else _groups(head, widths),
        in_hw=head.in_hw,
        out_hw=head.out_hw,
        window=head.kernel,
        stride=head.stride,
        padding=head.padding,
        dilation=head.dilation,
        activation=group.activation,
        adds=bool(group.adds),
        bias=head.bias or any(layer.op == "batch_norm" for layer in group.layers),
        repeats=head.repeats,
        attributes=(*head.attributes, *(("inputs", len(head.inputs)),) * (len(head.inputs) > 1)),
    )


def _groups(head: LayerSpec, widths: Mapping[str, int]) -> int:
    return head.in_dim.width(widths) if head.depthwise else head.groups
