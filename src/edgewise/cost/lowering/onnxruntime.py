"""ONNX Runtime's CPU provider: where it uses its blocked NCHWc layout, and where it cannot.

The rules, read off the graphs that ONNX Runtime 1.32 makes of convolutions of every
width (``block`` is 16 channels with AVX-512, else 8):

* fewer than ``block`` input channels: the blocked kernel reads the plain layout directly;
* input channels a multiple of 4: blocked kernel, channels padded to whole blocks;
* otherwise: im2col and a matrix product in the plain layout (much slower);
* depthwise: blocked where channels are a multiple of 4; grouped: where each group has whole blocks;
* pooling stays blocked where its input is, and channels are whole blocks; concatenation where
  every source is blocked and has whole blocks; single-value operations stay in the layout they find;
* a blocked result read by a plain operation is reordered once, and the reverse.
"""

from collections.abc import Mapping

from edgewise.cost.lowering.generic import group_workload
from edgewise.cost.lowering.groups import ACTIVATIONS, FREE_OPS, FusionRules, Group, fused_groups, readers_of
from edgewise.cost.workload import Workload
from edgewise.ir import LayerSpec, NetSpec
from edgewise.ir.layers import CONV_OPS

ONNXRUNTIME_RULES = FusionRules(
    norm=True,
    norm_after_linear=False,
    add=True,
    conv_activations=frozenset({"relu", "relu6", "leaky_relu", "sigmoid", "tanh", "hardsigmoid", "hardswish", "hardtanh", "clamp"}),
    linear_activations=frozenset({"relu", "leaky_relu", "sigmoid", "tanh", "elu"}),
)

_POOLS = frozenset({"max_pool2d", "avg_pool2d"})
_ELEMENTWISE = ACTIVATIONS | {"add", "batch_norm"}
_ALIGNMENT = 4


class OnnxRuntimeLowering:
    """A network cut the way ONNX Runtime's CPU provider runs it."""

    def __init__(self, net: NetSpec, *, block: int = 16) -> None:
        self._block = block
        self._groups = fused_groups(net, ONNXRUNTIME_RULES)
        self._layers = {layer.name: layer for layer in net.layers}
        self._readers = readers_of(net)
        self._group_of = {name: group for group in self._groups for name in group.names}

    @property
    def groups(self) -> tuple[Group, ...]:
        """The fused groups, in running order."""
        return self._groups

    def workloads(self, group: Group, widths: Mapping[str, int]) -> tuple[Workload, ...]:
        """The kernel call of the group and the layout change of its result, if one is needed."""
        head = group.head
        if head.op in CONV_OPS:
            kernel = self._conv_kernel(head, widths)
        elif self._blocked(head.name, widths):
            kernel = "blocked"
        else:
            kernel = "plain"
        call = group_workload(group, widths, kernel=kernel)
        blocked = kernel not in ("im2col", "plain")
        return (call, *self._reorders(group, widths, blocked=blocked))

    def _conv_kernel(self, head: LayerSpec, widths: Mapping[str, int]) -> str:
        if head.op != "conv2d":
            return "im2col"
        read, written = head.in_dim.width(widths), head.out_dim.width(widths)
        if head.depthwise and head.in_dim == head.out_dim:
            return "nchwc" if read % _ALIGNMENT == 0 else "im2col"
        if head.groups > 1 or head.depthwise:
            groups = read if head.depthwise else head.groups
            whole = (read // groups) % self._block == 0 and (written // groups) % self._block == 0
            return "nchwc" if whole else "im2col"
        if read < self._block:
            return "nchwc_first"
        return "nchwc" if read % _ALIGNMENT == 0 else "im2col"

    def _blocked(self, name: str, widths: Mapping[str, int]) -> bool:
        """Whether the result of a layer lies in the blocked layout."""
        layer = self._group_of[name].head if name in self._group_of else self._layers[name]
        if layer.op in CONV_OPS:
            return self._conv_kernel(layer, widths) != "im2col"
        if layer.op in _POOLS or (layer.op in ("adaptive_avg_pool2d", "mean") and layer.in_hw and layer.out_hw in ((), (1, 1))):
            whole = layer.in_dim.width(widths) % self._block == 0
            return whole and layer.op != "mean" and self._blocked(layer.inputs[0], widths)
        if layer.op == "cat":
            return all(self._layers[one].out_dim.width(widths) % self._block == 0 and self._blocked(one, widths) for one in layer.inputs)
        if layer.op in _ELEMENTWISE and layer.inputs and layer.in_hw:
            return all(self._layers[one].out_hw == layer.out_hw and self._blocked(one, widths) for one in layer.inputs)
        return False

    def _reorders(self, group: Group, widths: Mapping[str, int], *, blocked: bool) -> tuple[Workload, ...]:
        last = group.last
        if not last.out_hw:
            return ()
        wanted = {self._reads_blocked(reader, widths) for reader in self._real_readers(last.name)}
        wanted.discard(None)
        if blocked and (False in wanted or not wanted):
            return (self._reorder(last, widths, "reorder_out"),)
        if not blocked and True in wanted and last.out_dim.width(widths) % _ALIGNMENT == 0:
            return (self._reorder(last, widths, "reorder_in"),)
        return ()

    def _real_readers(self, name: str) -> list[LayerSpec]:
        found: list[LayerSpec] = []
        for reader in self._readers[name]:
            if reader.op in FREE_OPS and reader.out_hw:
                found.extend(self._real_readers(reader.name))
            else:
                found.append(reader)
        return found

    def _reads_blocked(self, reader: LayerSpec, widths: Mapping[str, int]) -> bool | None:
        """Whether a reader takes the blocked layout (``None``: it takes either)."""
        group = self._group_of.get(reader.name)
        if group is not None and group.head.op in CONV_OPS and reader is not group.head:
            return self._conv_kernel(group.head, widths) != "im2col"
        if reader.op in CONV_OPS:
            kernel = self._conv_kernel(reader, widths)
            return kernel == "nchwc"
        if reader.op in _POOLS or reader.op == "adaptive_avg_pool2d":
            return None if reader.in_dim.width(widths) % self._block == 0 else False
        if reader.op in _ELEMENTWISE and reader.in_hw:
            return None
        return self._blocked(reader.name, widths) if reader.op == "cat" else False

    def _reorder(self, layer: LayerSpec, widths: Mapping[str, int], kernel: str) -> Workload:
        width = layer.out_dim.width(widths)
        return Workload(kernel=kernel, op="reorder", in_channels=width, out_channels=width, in_hw=layer.out_hw, out_hw=layer.out_hw)
