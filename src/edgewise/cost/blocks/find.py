"""Inverted-residual blocks in a traced network: expand, depthwise, squeeze-and-excitation, project."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from edgewise.ir import LayerSpec, NetSpec

_POOLS = frozenset({"adaptive_avg_pool2d", "avg_pool2d", "mean", "adaptive_max_pool2d", "max_pool2d"})


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundBlock:
    """A block of a network.

    Attributes:
        name: Its depthwise convolution.
        layers: Names of its layers, in running order.
        in_channels: Channels read.
        mid_channels: Channels of the depthwise convolution.
        out_channels: Channels written.
        kernel: Side of the depthwise kernel.
        stride: Its stride.
        in_hw: Height and width read.
        out_hw: Height and width written.
        reduced: Channels inside its squeeze-and-excitation; 0 for none.
        residual: Its output is added to something.
    """

    name: str
    layers: tuple[str, ...]
    in_channels: int
    mid_channels: int
    out_channels: int
    kernel: int
    stride: int
    in_hw: tuple[int, ...]
    out_hw: tuple[int, ...]
    reduced: int = 0
    residual: bool = False

    @property
    def expansion(self) -> float:
        """Inner channels for each input channel."""
        return self.mid_channels / self.in_channels

    @property
    def se(self) -> float:
        """Channels of squeeze-and-excitation for each input channel."""
        return self.reduced / self.in_channels


def find_blocks(net: NetSpec) -> tuple[FoundBlock, ...]:
    """The blocks of a network, in running order.

    A block is a depthwise convolution, the pointwise convolution that reads it, and the pointwise convolution
    before it, unless that one ends another block or there is none (expansion 1).

    Args:
        net: A traced network; one without depthwise convolutions has no blocks.
    """
    graph = _Graph(net)
    found: list[FoundBlock] = []
    ends: set[str] = set()
    for layer in net.layers:
        project = graph.project_of(layer) if _is_depthwise(layer) else None
        if project is not None:
            before = graph.producer_of(layer)
            expand = before if before is not None and _is_pointwise(before) and before.name not in ends else None
            ends.add(project.name)
            found.append(graph.block(layer, project, expand))
    return tuple(found)


class _Graph:
    """A network with the way from each layer to those that read it."""

    def __init__(self, net: NetSpec) -> None:
        self._net = net
        self._order = {layer.name: place for place, layer in enumerate(net.layers)}
        self._readers: dict[str, list[LayerSpec]] = {}
        for layer in net.layers:
            for name in layer.inputs:
                self._readers.setdefault(name, []).append(layer)

    def producer_of(self, layer: LayerSpec) -> LayerSpec | None:
        """The convolution that writes what a layer reads, through norms and activations; none behind an addition."""
        while layer.inputs:
            layer = self._net.layer(layer.inputs[0])
            if layer.priced:
                return layer
            if len(layer.inputs) > 1:
                return None
        return None

    def project_of(self, depthwise: LayerSpec) -> LayerSpec | None:
        """The pointwise convolution that reads a depthwise one, not through pooling."""
        return next((layer for layer in self._reached(depthwise) if _is_pointwise(layer) and layer.in_hw == depthwise.out_hw), None)

    def block(self, depthwise: LayerSpec, project: LayerSpec, expand: LayerSpec | None) -> FoundBlock:
        """The block around a depthwise convolution."""
        first, last = self._order[(expand or depthwise).name], self._order[project.name]
        squeezed = [
            layer.out_channels
            for layer in self._net.layers[self._order[depthwise.name] + 1 : last]
            if layer.priced and layer is not project
        ]
        end = next((place for place in range(last + 1, len(self._order)) if self._net.layers[place].priced), len(self._order))
        head = expand or depthwise
        return FoundBlock(
            name=depthwise.name,
            layers=tuple(layer.name for layer in self._net.layers[first:end]),
            in_channels=head.in_channels,
            mid_channels=depthwise.out_channels,
            out_channels=project.out_channels,
            kernel=depthwise.kernel[0],
            stride=depthwise.stride[0],
            in_hw=head.in_hw,
            out_hw=project.out_hw,
            reduced=squeezed[0] if squeezed else 0,
            residual=any(layer.op == "add" for layer in self._net.layers[last:end]),
        )

    def _reached(self, start: LayerSpec) -> Iterator[LayerSpec]:
        """Layers that read a layer's output through operations without weights, pooling apart, the nearest first."""
        queue, seen = deque(self._readers.get(start.name, [])), set()
        while queue:
            layer = queue.popleft()
            if layer.name in seen:
                continue
            seen.add(layer.name)
            yield layer
            if not layer.priced and layer.op not in _POOLS and layer.op != "add":
                queue.extend(self._readers.get(layer.name, []))


def _is_depthwise(layer: LayerSpec) -> bool:
    return layer.op == "conv2d" and layer.groups == layer.in_channels == layer.out_channels and layer.groups > 1


def _is_pointwise(layer: LayerSpec) -> bool:
    return layer.op == "conv2d" and layer.groups == 1 and layer.kernel == (1, 1)
