"""Which parts of a network's graph are steps of a chain: convolutions with what follows them, and shortcuts."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from edgewise.models.resnet import ZeroPadShortcut

_RELUS = (F.relu, torch.relu, torch.relu_)
_ADDS = (operator.add, operator.iadd, torch.add)
_NOTHING = (nn.Identity, nn.Dropout, nn.Dropout2d)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Found:
    """A step found in a graph.

    Attributes:
        output: The node whose value it writes.
        nodes: All nodes that it computes.
        source: The node whose value it reads.
        residual: The node whose value it adds.
        conv: Name of the convolution; empty for a shortcut.
        weight: Of the convolution, with the batch norm folded in.
        bias: The same.
        geometry: Stride, padding and dilation of the convolution, each down and across.
        shortcut: The shortcut.
        relu: It ends with a ReLU (before pooling).
        pool: It ends with a 2x2 max pooling.
        alone: Of a convolution with a residual: the same without the sum and what follows it.
    """

    output: fx.Node
    nodes: frozenset[fx.Node]
    source: fx.Node
    residual: fx.Node | None = None
    conv: str = ""
    weight: Tensor | None = None
    bias: Tensor | None = None
    geometry: tuple[tuple[int, int], tuple[int, int], tuple[int, int]] | None = None
    shortcut: ZeroPadShortcut | None = None
    relu: bool = False
    pool: bool = False
    alone: "Found | None" = None


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, ZeroPadShortcut) or super().is_leaf_module(m, module_qualified_name)


def graph_of(model: nn.Module) -> fx.GraphModule:
    """The network's graph, with operations of no effect in eval mode left out."""
    tracer = _Tracer()
    graph = tracer.trace(model)
    module = fx.GraphModule(tracer.root, graph)
    for node in list(module.graph.nodes):
        if node.op == "call_module" and isinstance(module.get_submodule(str(node.target)), _NOTHING):
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
    module.recompile()
    return module


def find_steps(module: fx.GraphModule) -> list[Found]:
    """All steps of a graph in running order; a node belongs to one at most."""
    modules = dict(module.named_modules())
    taken: set[fx.Node] = set()
    found = []
    for node in reversed(list(module.graph.nodes)):
        if node in taken:
            continue
        step = _match(node, modules)
        if step is not None and not step.nodes & taken:
            found.append(step)
            taken |= step.nodes
    order = {node: place for place, node in enumerate(module.graph.nodes)}
    return sorted(found, key=lambda step: order[step.output])


def _match(node: fx.Node, modules: Mapping[str, nn.Module]) -> Found | None:
    """The step that ends with a node, read backwards: pooling, ReLU, sum, batch norm, convolution."""
    module = _module(node, modules)
    if isinstance(module, ZeroPadShortcut):
        return Found(output=node, nodes=frozenset({node}), source=_first(node), shortcut=module)
    nodes = [node]
    pool = _is_pool(node, modules)
    if pool:
        nodes.append(_first(node))
    relu = _is_relu(nodes[-1], modules)
    if relu:
        nodes.append(_first(nodes[-1]))
    if any(len(each.users) != 1 for each in nodes[1:]):
        return None
    if _is_add(nodes[-1]):
        return _match_sum(nodes, modules, relu=relu, pool=pool)
    return _match_conv(nodes, modules, relu=relu, pool=pool, residual=None)


def _match_sum(nodes: list[fx.Node], modules: Mapping[str, nn.Module], *, relu: bool, pool: bool) -> Found | None:
    left, right = nodes[-1].args[:2]
    if not isinstance(left, fx.Node) or not isinstance(right, fx.Node) or left is right:
        return None
    for one, other in ((left, right), (right, left)):
        if len(one.users) == 1:
            found = _match_conv([*nodes, one], modules, relu=relu, pool=pool, residual=other)
            if found is not None:
                return replace(found, alone=_match_conv([one], modules, relu=False, pool=False, residual=None))
    return None


def _match_conv(
    nodes: list[fx.Node], modules: Mapping[str, nn.Module], *, relu: bool, pool: bool, residual: fx.Node | None
) -> Found | None:
    norm = _module(nodes[-1], modules)
    folded = norm if isinstance(norm, nn.BatchNorm2d) and norm.track_running_stats else None
    if folded is not None:
        nodes = [*nodes, _first(nodes[-1])]
        if len(nodes[-1].users) != 1:
            return None
    conv = _module(nodes[-1], modules)
    if not isinstance(conv, nn.Conv2d) or not _is_plain(conv):
        return None
    weight, bias = _folded(conv, folded)
    return Found(
        output=nodes[0],
        nodes=frozenset(nodes),
        source=_first(nodes[-1]),
        residual=residual,
        conv=str(nodes[-1].target),
        weight=weight,
        bias=bias,
        geometry=(_pair(conv.stride), _pair(conv.padding), _pair(conv.dilation)),
        relu=relu,
        pool=pool,
    )


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor]:
    weight = conv.weight.detach().double()
    bias = torch.zeros(conv.out_channels, dtype=torch.float64) if conv.bias is None else conv.bias.detach().double()
    if norm is not None:
        assert norm.running_mean is not None and norm.running_var is not None
        scale = 1 / torch.sqrt(norm.running_var.double() + norm.eps)
        shift = torch.zeros_like(scale)
        if norm.affine:
            scale, shift = scale * norm.weight.detach().double(), norm.bias.detach().double()
        weight = weight * scale[:, None, None, None]
        bias = (bias - norm.running_mean.double()) * scale + shift
    return weight.float().contiguous(), bias.float().contiguous()


def _pair(value: object) -> tuple[int, int]:
    assert isinstance(value, tuple)
    down, across = value
    return int(down), int(across)


def _is_plain(conv: nn.Conv2d) -> bool:
    return conv.groups == 1 and conv.padding_mode == "zeros" and not isinstance(conv.padding, str) and conv.weight.dtype == torch.float32


def _is_pool(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    pool = _module(node, modules)
    return (
        isinstance(pool, nn.MaxPool2d)
        and not pool.ceil_mode
        and not pool.return_indices
        and _sizes(pool) == ((2, 2), (2, 2), (0, 0), (1, 1))
    )


def _sizes(pool: nn.MaxPool2d) -> tuple[tuple[int, int], ...]:
    return tuple(
        (value, value) if isinstance(value, int) else tuple(value)  # type: ignore[misc]
        for value in (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
    )


def _is_relu(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    if node.op == "call_function":
        return node.target in _RELUS
    if node.op == "call_method":
        return node.target in ("relu", "relu_")
    return isinstance(_module(node, modules), nn.ReLU)


def _is_add(node: fx.Node) -> bool:
    if node.op == "call_function" and node.target in _ADDS:
        return not node.kwargs
    return node.op == "call_method" and node.target in ("add", "add_") and not node.kwargs


def _module(node: fx.Node, modules: Mapping[str, nn.Module]) -> nn.Module | None:
    return modules.get(str(node.target)) if node.op == "call_module" else None


def _first(node: fx.Node) -> fx.Node:
    source = node.args[0]
    assert isinstance(source, fx.Node)
    return source
