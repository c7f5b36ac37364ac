"""Steps put together to chains: parts of a network with one map in and one out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, fx

from edgewise.dynamic.running.steps import Found
from edgewise.ir.gates import Gate
from edgewise.kernels import CONV, SHORTCUT, Program, Step


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Segment:
    """A part of a graph that one operator computes.

    Attributes:
        source: The node whose value goes in.
        steps: In running order; the last one's output is the only value used elsewhere.
    """

    source: fx.Node
    steps: tuple[Found, ...]

    @property
    def output(self) -> fx.Node:
        """The node whose value comes out."""
        return self.steps[-1].output

    @property
    def convolutions(self) -> tuple[str, ...]:
        """Names of the convolutions in it, in order."""
        return tuple(step.conv for step in self.steps if step.conv)


def find_segments(steps: Sequence[Found]) -> list[Segment]:
    """Cuts the steps of a graph into parts with one value in and one value out, as long as they can be."""
    segments = []
    left = list(steps)
    while left:
        first = left[0] = _with_one_source(left[0])
        source = first.source
        inside, values = [first], {source, first.output}
        for step in left[1:]:
            if step.source in values and (step.residual is None or step.residual in values):
                inside.append(step)
                values.add(step.output)
        inside = _closed(inside)
        segments.append(Segment(source=source, steps=tuple(inside)))
        used = set(map(id, inside))
        left = [step for step in left if id(step) not in used]
    return segments


def _with_one_source(step: Found) -> Found:
    """The step; without its sum where that adds a value from elsewhere: two values would go in, so the host adds them."""
    if step.residual is None or step.residual is step.source:
        return step
    assert step.alone is not None
    return step.alone


def _closed(steps: Sequence[Found]) -> list[Found]:
    """The longest beginning of which only the last value is used elsewhere."""
    for count in range(len(steps), 1, -1):
        part = steps[:count]
        nodes = {node for step in part for node in step.nodes}
        used = [step for step in part if any(user not in nodes for user in step.output.users)]
        if used == [part[-1]]:
            return list(part)
    return list(steps[:1])


def program_of(segment: Segment, gates: Mapping[str, Gate], shape: tuple[int, int, int]) -> Program:
    """What the kernels compute for a segment.

    Args:
        segment: The part of the graph.
        gates: Gates by consumer.
        shape: Channels, height and width of what goes in.
    """
    maps = {segment.source: 0}
    shapes = [shape]
    steps: list[Step] = []
    for found in segment.steps:
        channels, height, width = shapes[maps[found.source]]
        made = _step(found, maps, gates.get(found.conv) if found.conv else None, (channels, height, width))
        steps.append(made)
        program = Program(channels=shape[0], height=shape[1], width=shape[2], steps=tuple(steps))
        shapes.append(program.shapes()[-1])
        maps[found.output] = len(steps)
    return program


def _step(found: Found, maps: Mapping[fx.Node, int], gate: Gate | None, shape: tuple[int, int, int]) -> Step:
    channels, height, width = shape
    if found.shortcut is not None:
        short = found.shortcut
        out = channels + short.before + short.after
        return Step(
            kind=SHORTCUT,
            source=maps[found.source],
            out_channels=out,
            stride=(short.stride, short.stride),
            kept_channels=channels,
            kept_positions=height * width,
            before=short.before,
        )
    assert found.weight is not None and found.geometry is not None
    stride, padding, dilation = found.geometry
    return Step(
        kind=CONV,
        source=maps[found.source],
        residual=-1 if found.residual is None else maps[found.residual],
        out_channels=found.weight.shape[0],
        kernel=(found.weight.shape[2], found.weight.shape[3]),
        stride=stride,
        padding=padding,
        dilation=dilation,
        relu=int(found.relu),
        pool=int(found.pool),
        kept_channels=channels if gate is None else gate.kept_channels,
        kept_positions=height * width if gate is None else gate.kept_positions,
    )


def weights_of(segment: Segment) -> tuple[list[Tensor], list[Tensor]]:
    """Weights and biases of a segment's convolutions, batch norms folded in."""
    weights = [step.weight for step in segment.steps if step.weight is not None]
    biases = [step.bias for step in segment.steps if step.bias is not None]
    return weights, biases
