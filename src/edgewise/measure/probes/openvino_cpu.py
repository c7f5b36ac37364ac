"""Probes in OpenVINO: copies of a fused layer, each result cut down to one value.

What is not the layer is taken off the clock's time: bringing the input into the plug-in's layout by
the plug-in's own counters, which know microseconds; starting, cutting and making addends, a microsecond
each, by graphs that have little else, since the counters take them for nothing.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import openvino
from openvino import opset13 as ops

from edgewise.cost import Workload
from edgewise.cost.workload import INPUT_LAYOUT, plain_conv
from edgewise.measure.lock import timing_lock
from edgewise.measure.probes.copies import CopiesSession, WeightPool, bytes_beside, copy_count
from edgewise.measure.runtimes.openvino_cpu import OpenVinoCpu, OpenVinoSession
from edgewise.measure.sampling import Schedule, measure_interleaved
from edgewise.measure.settings import RuntimeSettings

_WARM, _COUNTED, _TRIES = 3, 6, 4
_HELD_UP = 2.0
"""Times the fastest run beside it that a run takes which something else held up."""
_FIXED_SCHEDULE = Schedule(warmup=_WARM, repeats=40, min_seconds=0.0, max_seconds=0.05)
_LAYOUTS = frozenset({"Reorder"})
_READERS = frozenset({"Slice", "StridedSlice", "Parameter", "Result", "Input", "Output", "Convolution"})
"""What is not a change of layout in its probe."""
_FEW, _MANY = 8, 24
_FED_CHANNELS = 8
_SMALL = plain_conv("fused", 8, 8, 4, activation="relu")
"""A layer that takes next to nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fixed:
    """What every probe costs beside its layers.

    Attributes:
        start_s: Seconds of a run of no nodes.
        cut_s: Seconds of cutting one result down, and of handing it out.
    """

    start_s: float
    cut_s: float


class OpenVinoProber:
    """Builds probe graphs for OpenVINO's CPU plug-in."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self._settings = settings
        self._runtime = OpenVinoCpu(settings)
        self._pool = WeightPool()
        self._fixed: _Fixed | None = None

    def load(self, workload: Workload, *, footprint_bytes: int) -> CopiesSession:
        """A session that times the fused layer."""
        copies = copy_count(workload, footprint_bytes=footprint_bytes, batch=self._settings.batch)
        fixed = self._fixed_cost()
        cuts_s = fixed.start_s + copies * fixed.cut_s
        if workload.adds:
            cuts_s = max(cuts_s, self._usual_s(self._writer(workload).addends(copies)))
        session = self._open(self._writer(workload).model(copies))
        layouts_s = _counted_once_warm_s(session, _READERS if workload.kernel == INPUT_LAYOUT else _LAYOUTS)
        beside = bytes_beside(workload, copies, footprint_bytes=footprint_bytes)
        return CopiesSession(session, copies=copies, other_s=cuts_s + layouts_s, beside_bytes=beside)

    def _fixed_cost(self) -> _Fixed:
        """Copies of a small layer side by side, each cut, against as many in a chain that is cut once."""
        if self._fixed is None:
            few_s, many_s = (self._usual_s(self._writer(_SMALL).chain(copies)) for copies in (_FEW, _MANY))
            cut_each_s = self._usual_s(self._writer(_SMALL).model(_MANY))
            cut_s = max(cut_each_s - many_s, 0.0) / (_MANY - 1)
            layer_s = max(many_s - few_s, 0.0) / (_MANY - _FEW)
            self._fixed = _Fixed(start_s=max(few_s - _FEW * layer_s - cut_s, 0.0), cut_s=cut_s)
        return self._fixed

    def _usual_s(self, model: openvino.Model) -> float:
        """The median of some runs of a graph."""
        session = self._open(model)
        (sample,) = measure_interleaved([session], _FIXED_SCHEDULE)
        session.close()
        return sample.latency_s

    def _writer(self, workload: Workload) -> "_GraphWriter":
        return _GraphWriter(workload, batch=self._settings.batch, pool=self._pool)

    def _open(self, model: openvino.Model) -> OpenVinoSession:
        return OpenVinoSession(self._runtime.compile(model, counters=True), [self._pool.take(*port.shape) for port in model.inputs])


def _counted_once_warm_s(session: OpenVinoSession, kinds: frozenset[str]) -> float:
    """Seconds in nodes of these kinds, once warm (the counters are averages since the first run).

    A run that something else held up would be counted as theirs, and is told by the clock: then the next runs are counted.
    """
    with timing_lock():
        for _ in range(_WARM):
            session.run()
        early_s, done, least_s = _counted_s(session.request, kinds) * _WARM, _WARM, math.inf
        for _ in range(_TRIES):
            runs_s = [session.time_once_s() for _ in range(_COUNTED)]
            done += _COUNTED
            late_s = _counted_s(session.request, kinds) * done
            least_s, early_s = min(least_s, (late_s - early_s) / _COUNTED), late_s
            if max(runs_s) < _HELD_UP * min(runs_s):
                break
    return max(least_s, 0.0)


def _counted_s(request: openvino.InferRequest, kinds: frozenset[str]) -> float:
    executed = openvino.ProfilingInfo.Status.EXECUTED
    nodes = [info for info in request.profiling_info if info.status == executed and info.node_type in kinds]
    return float(sum(info.real_time.total_seconds() for info in nodes))


class _GraphWriter:
    """Writes copies of one workload that read shared inputs."""

    def __init__(self, workload: Workload, *, batch: int, pool: WeightPool) -> None:
        self._work, self._batch, self._pool = workload, batch, pool
        self._inputs: dict[str, openvino.Node] = {}
        self._shortcut: openvino.Node | None = None

    def model(self, copies: int) -> openvino.Model:
        """The graph of that many copies, every result cut down to one value."""
        results = [ops.result(_cut(self._copy(copy))) for copy in range(copies)]
        return openvino.Model(results, list(self._inputs.values()), "probe")

    def chain(self, copies: int) -> openvino.Model:
        """The graph of that many copies, each reading the one before; its channels stay as they are."""
        made = first = self._input("x", self._batch, self._work.in_channels, *self._work.in_hw)
        for copy in range(copies):
            self._inputs["x"] = made
            made = self._finished(self._conv(), copy)
        return openvino.Model([ops.result(_cut(made))], [first], "probe")

    def addends(self, copies: int) -> openvino.Model:
        """The graph without its layers: every copy's addend, cut down to one value."""
        results = [ops.result(_cut(self._addend(copy))) for copy in range(copies)]
        return openvino.Model(results, list(self._inputs.values()), "probe")

    def _addend(self, copy: int) -> openvino.Node:
        if self._shortcut is None:
            self._shortcut = self._laid_out() if self._work.out_hw else self._input("z", self._batch, self._work.out_channels)
        return ops.multiply(self._shortcut, ops.constant(np.float32(1.01 + copy / 100)))

    def _laid_out(self) -> openvino.Node:
        """A map in the layout of convolutions, as a shortcut is: an input as it comes would be laid out anew for each copy."""
        ones, none = [1 for _ in self._work.out_hw], [0 for _ in self._work.out_hw]
        fed = self._input("z", self._batch, _FED_CHANNELS, *self._work.out_hw)
        return ops.convolution(fed, self._constant(self._work.out_channels, _FED_CHANNELS, *ones), ones, none, none, ones)

    def _input(self, name: str, *shape: int) -> openvino.Node:
        if name not in self._inputs:
            self._inputs[name] = ops.parameter(list(shape), np.float32, name=name)
        return self._inputs[name]

    def _constant(self, *shape: int) -> openvino.Node:
        return ops.constant(self._pool.take(*shape))

    def _copy(self, copy: int) -> openvino.Node | openvino.Output:
        work = self._work
        if work.op.startswith("conv"):
            return self._finished(self._conv(), copy)
        if work.op == "linear":
            fed = self._input("x", self._batch * work.repeats, work.in_channels)
            product = ops.matmul(fed, self._constant(work.out_channels, work.in_channels), False, True)
            return self._finished(ops.add(product, self._constant(1, work.out_channels)), copy)
        return self._single(copy)

    def _conv(self) -> openvino.Node:
        work = self._work
        fed = self._input("x", self._batch, work.in_channels, *work.in_hw)
        groups = work.in_channels if work.groups == 0 else work.groups
        window = (list(work.stride), list(work.padding), list(work.padding), list(work.dilation))
        if work.op.startswith("conv_transpose"):
            weight = self._constant(work.in_channels, work.out_channels // groups, *work.window)
            made = ops.convolution_backprop_data(fed, weight, strides=window[0], pads_begin=window[1], pads_end=window[2])
        elif groups == 1:
            made = ops.convolution(fed, self._constant(work.out_channels, work.in_channels, *work.window), *window)
        else:
            weight = self._constant(groups, work.out_channels // groups, work.in_channels // groups, *work.window)
            made = ops.group_convolution(fed, weight, *window)
        return ops.add(made, self._constant(1, work.out_channels, *(1 for _ in work.out_hw)))

    def _finished(self, made: openvino.Node, copy: int) -> openvino.Node:
        work = self._work
        if work.adds:
            # An addition fuses only where nobody else reads its other input: each copy makes its own.
            made = ops.add(made, self._addend(copy))
        return _activated(made, work.activation)

    def _single(self, copy: int) -> openvino.Node | openvino.Output:
        """An operation without weights, or for an unknown one an operation on single values.

        Each copy reads inputs of its own: the plug-in merges equal operations on one input.
        """
        work = self._work
        if work.op == "cat":
            half = self._input(f"h{copy}", self._batch, max(work.in_channels // 2, 1), *work.in_hw)
            return ops.concat([half, half], 1)
        hw = work.out_hw if work.op in _TWO_SIDED else work.in_hw
        fed = self._input(f"x{copy}", self._batch, work.in_channels, *hw)
        if work.op in _TWO_SIDED:
            return _TWO_SIDED[work.op](fed, self._input(f"z{copy}", self._batch, work.in_channels, *hw))
        spatial = list(range(2, 2 + len(work.in_hw)))
        if work.kernel == INPUT_LAYOUT:
            # A convolution that reads little of the image asks for the layout all the same.
            weight, far, none = self._constant(16, work.in_channels, *(1 for _ in spatial)), [16 for _ in spatial], [0 for _ in spatial]
            return ops.convolution(fed, weight, far, none, none, [1 for _ in spatial])
        if work.op == "max_pool2d":
            ones = [1] * len(work.window)
            return ops.max_pool(fed, list(work.stride), ones, list(work.padding), list(work.padding), list(work.window)).output(0)
        if work.op == "avg_pool2d":
            return ops.avg_pool(fed, list(work.stride), list(work.padding), list(work.padding), list(work.window), False)
        if work.op in ("mean", "adaptive_avg_pool2d") and spatial:
            return ops.reduce_mean(fed, ops.constant(np.array(spatial)), True)
        if work.op in ("softmax", "log_softmax"):
            return ops.softmax(fed, -1)
        return _activated(fed, work.op if work.op in _ACTIVATED else "relu")


def _cut(node: openvino.Node | openvino.Output) -> openvino.Node:
    axes = len(node.shape if isinstance(node, openvino.Output) else node.output(0).shape)
    bounds = [ops.constant(np.full(axes, value)) for value in (0, 1, 1)]
    return ops.slice(node, *bounds)


_TWO_SIDED: dict[str, Callable[[openvino.Node, openvino.Node], openvino.Node]] = {
    "add": lambda left, right: ops.add(left, right),
    "mul": lambda left, right: ops.multiply(left, right),
    "sub": lambda left, right: ops.subtract(left, right),
    "div": lambda left, right: ops.divide(left, right),
}

_ACTIVATED: dict[str, Callable[[openvino.Node], openvino.Node]] = {
    "relu": lambda node: ops.relu(node),
    "relu6": lambda node: ops.clamp(node, 0.0, 6.0),
    "hardtanh": lambda node: ops.clamp(node, -1.0, 1.0),
    "clamp": lambda node: ops.clamp(node, 0.0, 6.0),
    "hardswish": lambda node: ops.hswish(node),
    "hardsigmoid": lambda node: ops.hard_sigmoid(node, ops.constant(np.float32(1 / 6)), ops.constant(np.float32(0.5))),
    "silu": lambda node: ops.swish(node),
    "gelu": lambda node: ops.gelu(node, "erf"),
    "sigmoid": lambda node: ops.sigmoid(node),
    "tanh": lambda node: ops.tanh(node),
    "elu": lambda node: ops.elu(node, 1.0),
    "mish": lambda node: ops.mish(node),
    "softplus": lambda node: ops.softplus(node),
    "leaky_relu": lambda node: ops.prelu(node, ops.constant(np.full(1, 0.01, np.float32))),
}


def _activated(node: openvino.Node, name: str) -> openvino.Node:
    return _ACTIVATED[name](node) if name else node
