"""ONNX Runtime's CPU provider: where it uses its blocked NCHWc layout, and where it cannot.

The rules, read off the graphs that ONNX Runtime 1.32 makes of convolutions of every
width (``block`` is 16 channels with AVX-512, else 8):

* fewer than ``block`` input channels: the blocked kernel reads the plain layout directly;
* input channels a multiple of 4: blocked kernel, channels padded to whole blocks;
* otherwise: im2col and a matrix product in the plain layout (much slower);
* depthwise: blocked where channels are a multiple of 4; grouped: where each group has whole blocks;
* an addition runs inside a blocked convolution whose other addend is blocked too, hard swish inside any
  blocked one; behind im2col both are calls of their own;
* pooling stays blocked where its input is, and channels are whole blocks; concatenation where
  every source is blocked and has whole blocks; most single-value operations stay in the layout they find,
  a batch norm without a convolution before it as a depthwise one;
  a global average is exported as a mean, which is plain;
* a blocked result read by a plain operation is reordered once, and the reverse.
"""

from collections.abc import Mapping
from dataclasses import replace

from edgewise.cost.lowering.generic import group_workload
from edgewise.cost.lowering.groups import FusionRules, Group, fused_groups, readers_of
from edgewise.cost.workload import Workload
from edgewise.ir import LayerSpec, NetSpec
from edgewise.ir.layers import CONV_OPS

ONNXRUNTIME_RULES = FusionRules(
    norm=True,
    norm_after_linear=True,
    add=True,
    conv_activations=frozenset({"relu", "relu6", "leaky_relu", "sigmoid", "tanh", "hardsigmoid", "hardswish", "hardtanh", "clamp"}),
    linear_activations=frozenset({"relu", "leaky_relu", "sigmoid", "tanh", "elu"}),
)

_POOLS = frozenset({"max_pool2d", "avg_pool2d"})
_BLOCKED_SINGLES = frozenset({"relu", "sigmoid", "tanh", "hardsigmoid", "hardswish", "silu", "gelu", "add", "mul", "batch_norm"})
"""Operations on single values that run on blocked data as it lies."""
_RENAMES = frozenset({"dropout", "identity", "detach", "contiguous"})
_ALIGNMENT = 4


class OnnxRuntimeLowering:
    """A network cut the way ONNX Runtime's CPU provider runs it."""

    def __init__(self, net: NetSpec, *, block: int = 16) -> None:
        self._block = block
        self._groups = fused_groups(net, ONNXRUNTIME_RULES)
        self._readers = readers_of(net)
        self._layers = {layer.name: layer for layer in net.layers}
        self._group_of = {name: group for group in self._groups for name in group.names}
        self._outputs = frozenset(net.outputs)

    @property
    def groups(self) -> tuple[Group, ...]:
        """The fused groups, in running order."""
        return self._groups

    def workloads(self, group: Group, widths: Mapping[str, int]) -> tuple[Workload, ...]:
        """The kernel call of the group, calls that do not fuse at these widths, and the changes of layout of its result."""
        layouts = _Layouts(self._layers, self._group_of, widths, block=self._block)
        blocked = layouts.blocked(group.last.name)
        if group.head.op == "batch_norm" and blocked:
            calls = [_scaling(group, widths, self._behind(group.head))]
        elif group.head.op == "relu" and blocked and self._runs_in_norm(group.head):
            calls = []
        elif group.head.op not in CONV_OPS:
            calls = [group_workload(group, widths, kernel="blocked" if blocked else "plain")]
        else:
            calls = self._conv_calls(group, widths, layouts)
        return (*calls, *self._reorders(group.last, widths, layouts, blocked=blocked))

    def _conv_calls(self, group: Group, widths: Mapping[str, int], layouts: "_Layouts") -> list[Workload]:
        kernel = layouts.kernel(group.head)
        alone = layouts.unfused(group)
        ops = {layer.op for layer in alone}
        fused = replace(group, activation="" if group.activation in ops else group.activation, adds="" if "add" in ops else group.adds)
        calls = [group_workload(fused, widths, kernel=kernel)]
        if kernel != "im2col" and alone:
            calls.append(_reorder(group.head, widths, "reorder_out"))
        return calls + [group_workload(Group(head=layer, layers=(layer,)), widths, kernel="plain") for layer in alone]

    def _behind(self, norm: LayerSpec) -> str:
        """The activation that runs inside a blocked batch norm, or ``""``."""
        readers = self._readers[norm.name]
        return "relu" if len(readers) == 1 and readers[0].op == "relu" and norm.name not in self._outputs else ""

    def _runs_in_norm(self, relu: LayerSpec) -> bool:
        source = self._layers[relu.inputs[0]]
        group = self._group_of.get(source.name)
        return source.op == "batch_norm" and group is not None and group.head is source and self._behind(source) == "relu"

    def _reorders(self, last: LayerSpec, widths: Mapping[str, int], layouts: "_Layouts", *, blocked: bool) -> tuple[Workload, ...]:
        if not last.out_hw:
            return ()
        takes = [layouts.takes_blocked(reader, name) for reader, name in self._real_readers(last.name)]
        if blocked and (not all(takes) or not takes or last.name in self._outputs):
            return (_reorder(last, widths, "reorder_out"),)
        return (_reorder(last, widths, "reorder_in"),) if not blocked and any(takes) else ()

    def _real_readers(self, name: str) -> list[tuple[LayerSpec, str]]:
        """Layers that read a result, past those that only rename it, each with the name it knows the result by."""
        found: list[tuple[LayerSpec, str]] = []
        for reader in self._readers[name]:
            if reader.op in _RENAMES and reader.out_hw:
                found.extend(self._real_readers(reader.name))
            else:
                found.append((reader, name))
        return found


class _Layouts:
    """Which results lie in the blocked layout when the ties have certain widths."""

    def __init__(self, layers: Mapping[str, LayerSpec], group_of: Mapping[str, Group], widths: Mapping[str, int], *, block: int) -> None:
        self._layers, self._group_of, self._widths, self._block = layers, group_of, widths, block
        self._known: dict[str, bool] = {}

    def kernel(self, conv: LayerSpec) -> str:
        """The implementation that runs a convolution."""
        if conv.op != "conv2d":
            return "im2col"
        read, written = conv.in_dim.width(self._widths), conv.out_dim.width(self._widths)
        if conv.depthwise and conv.in_dim == conv.out_dim:
            return "nchwc" if read % _ALIGNMENT == 0 else "im2col"
        if conv.groups > 1 or conv.depthwise:
            groups = read if conv.depthwise else conv.groups
            whole = (read // groups) % self._block == 0 and (written // groups) % self._block == 0
            return "nchwc" if whole else "im2col"
        if read < self._block:
            return "nchwc_first"
        return "nchwc" if read % _ALIGNMENT == 0 else "im2col"

    def unfused(self, group: Group) -> tuple[LayerSpec, ...]:
        """Layers of a convolution's group that do not run inside it at these widths."""
        plain = self.kernel(group.head) == "im2col"
        if group.adds and (plain or not self.blocked(group.adds)):
            place = next(place for place, layer in enumerate(group.layers) if layer.op == "add")
            return group.layers[place:]
        return group.layers[-1:] if plain and group.activation == "hardswish" else ()

    def blocked(self, name: str) -> bool:
        """Whether the result of a layer lies in the blocked layout."""
        if name not in self._known:
            self._known[name] = self._is_blocked(name)
        return self._known[name]

    def _is_blocked(self, name: str) -> bool:
        layer, group = self._layers[name], self._group_of.get(name)
        if group is not None and group.head.op in CONV_OPS:
            return self.kernel(group.head) != "im2col" and not self.unfused(group)
        if not layer.inputs or not layer.in_hw or not layer.out_hw:
            return False
        whole = layer.out_dim.width(self._widths) % self._block == 0
        if layer.op in _POOLS:
            return whole and self.blocked(layer.inputs[0])
        if layer.op == "cat":
            return all(self._layers[one].out_dim.width(self._widths) % self._block == 0 and self.blocked(one) for one in layer.inputs)
        if layer.op in _BLOCKED_SINGLES or layer.op in _RENAMES:
            return all(self._layers[one].out_hw == layer.out_hw and self.blocked(one) for one in layer.inputs)
        return False

    def takes_blocked(self, reader: LayerSpec, name: str) -> bool:
        """Whether a reader takes the result called ``name`` in the blocked layout."""
        group = self._group_of.get(reader.name)
        if group is not None and group.head.op in CONV_OPS:
            if reader is group.head:
                return self.kernel(reader) == "nchwc"
            return reader not in self.unfused(group)
        return self.blocked(reader.name)


def _scaling(group: Group, widths: Mapping[str, int], activation: str) -> Workload:
    """A blocked batch norm by itself: ONNX Runtime makes a depthwise convolution of one position of it."""
    call = group_workload(group, widths, kernel="nchwc")
    one = (1,) * len(call.in_hw)
    none = (0,) * len(call.in_hw)
    return replace(call, op="conv2d", groups=0, window=one, stride=one, padding=none, dilation=one, activation=activation, bias=True)


def _reorder(layer: LayerSpec, widths: Mapping[str, int], kernel: str) -> Workload:
    width = layer.out_dim.width(widths)
    return Workload(kernel=kernel, op="reorder", in_channels=width, out_channels=width, in_hw=layer.out_hw, out_hw=layer.out_hw)
