"""OpenVINO's CPU plug-in: channels-last throughout, batch norm, addition and activation inside the convolution.

Read off the plug-in's run-time graphs (2026.4) of VGG-16, ResNet-56 and MobileNetV2: every
convolution is one ``brgconv`` primitive with its batch norm, residual addition and
activation as post-operations, and no layout change stands between two convolutions; the
network's input alone is brought into that layout. Hard sigmoid alone is run by itself,
behind convolutions and behind linear layers.
"""

from collections.abc import Mapping

from edgewise.cost.lowering.generic import PlainLowering
from edgewise.cost.lowering.groups import ACTIVATIONS, FusionRules, Group
from edgewise.cost.workload import INPUT_LAYOUT, Workload
from edgewise.ir import NetSpec

_FUSED_ACTIVATIONS = ACTIVATIONS - {"hardsigmoid"}
_RULES = FusionRules(
    norm=True,
    norm_after_linear=True,
    add=True,
    conv_activations=_FUSED_ACTIVATIONS,
    linear_activations=_FUSED_ACTIVATIONS,
)


class OpenVinoLowering(PlainLowering):
    """One kernel call for each fused group, and a change of layout where an image comes in."""

    def __init__(self, net: NetSpec) -> None:
        super().__init__(net, rules=_RULES)
        images = [layer.name for layer in net.layers if layer.op == "input"]
        readers = [(name, layer.name) for layer in net.layers if layer.op == "conv2d" for name in layer.inputs if name in images]
        # An image that several convolutions read is brought into their layout once.
        self._first = {reader for _, reader in dict(reversed(readers)).items()}

    def workloads(self, group: Group, widths: Mapping[str, int]) -> tuple[Workload, ...]:
        """The kernel call of the group, behind the change of its input's layout if that is the network's."""
        calls = super().workloads(group, widths)
        head = group.head
        if head.name not in self._first:
            return calls
        read = head.in_dim.width(widths)
        return (
            Workload(kernel=INPUT_LAYOUT, op="reorder", in_channels=read, out_channels=read, in_hw=head.in_hw, out_hw=head.in_hw),
            *calls,
        )
