"""Probes in ONNX Runtime: the nodes of its optimised graphs, written down directly.

Each copy's result goes into a ``Shape`` node, which reads no data, so that the result's
memory is free for the next copy. The cost of such nodes and of a call is measured
once, on a graph that has nothing else, and taken off.
"""

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from edgewise._core.errors import DeviceError
from edgewise.cost import Workload
from edgewise.measure.host import native_block
from edgewise.measure.probes.copies import CopiesSession, WeightPool, bytes_beside, copy_count
from edgewise.measure.runtimes.onnxruntime_cpu import OnnxRuntimeSession
from edgewise.measure.session import clock_s
from edgewise.measure.settings import RuntimeSettings

_NCHWC, _MICROSOFT = "com.microsoft.nchwc", "com.microsoft"
_ACTIVATIONS = {
    "relu": "Relu",
    "relu6": "Clip",
    "hardtanh": "Clip",
    "clamp": "Clip",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "leaky_relu": "LeakyRelu",
    "hardsigmoid": "HardSigmoid",
    "hardswish": "HardSwish",
}
_ACTIVATION_VALUES = {"Clip": [0.0, 6.0], "LeakyRelu": [0.01], "HardSigmoid": [1 / 6, 0.5]}
_SIMPLE = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "hardswish": "HardSwish",
    "leaky_relu": "LeakyRelu",
    "gelu": "Gelu",
    "elu": "Elu",
    "mish": "Mish",
    "softplus": "Softplus",
}
_TWO_SIDED = {"add": "Add", "mul": "Mul", "sub": "Sub", "div": "Div"}
_EMPTY_COPIES = 48


class OnnxRuntimeProber:
    """Builds probe graphs for ONNX Runtime's CPU provider."""

    def __init__(self, settings: RuntimeSettings, *, block: int | None = None) -> None:
        self._settings = settings
        self._block = block or native_block()
        self._pool = WeightPool()
        self._empty: tuple[float, float] | None = None

    def load(self, workload: Workload, *, footprint_bytes: int) -> CopiesSession:
        """A session that times the kernel call."""
        copies = copy_count(workload, footprint_bytes=footprint_bytes, batch=self._settings.batch)
        start_s, sink_s = self._empty_cost()
        node = _NodeWriter(workload, batch=self._settings.batch, block=self._block, pool=self._pool)
        nodes = [part for copy in range(copies) for part in (*node.copy(copy), _sink(copy))]
        session = self._open(nodes, node.initialisers, node.feeds)
        beside = bytes_beside(workload, copies, footprint_bytes=footprint_bytes)
        return CopiesSession(session, copies=copies, other_s=start_s + copies * sink_s, beside_bytes=beside)

    def _empty_cost(self) -> tuple[float, float]:
        """Seconds of a call that does nothing, and of one ``Shape`` node."""
        if self._empty is None:
            feeds = {"x": np.zeros((1, 4), np.float32)}
            times = []
            for copies in (1, _EMPTY_COPIES):
                nodes = [helper.make_node("Shape", ["x"], [f"s{copy}"], name=f"shape{copy}") for copy in range(copies)]
                session = self._open(nodes, [], feeds)
                times.append(min(clock_s(session.run) for _ in range(200)))
                session.close()
            sink_s = max(times[1] - times[0], 0.0) / (_EMPTY_COPIES - 1)
            self._empty = (max(times[0] - sink_s, 0.0), sink_s)
        return self._empty

    def _open(self, nodes: list[onnx.NodeProto], initialisers: list[onnx.TensorProto], feeds: dict[str, np.ndarray]) -> OnnxRuntimeSession:
        sinks = [name for node in nodes if node.op_type == "Shape" for name in node.output]
        graph = helper.make_graph(
            nodes,
            "probe",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, values.shape) for name, values in feeds.items()],
            [helper.make_tensor_value_info(name, TensorProto.INT64, None) for name in sinks],
            initialisers,
        )
        domains = [helper.make_opsetid("", 20), helper.make_opsetid(_NCHWC, 1), helper.make_opsetid(_MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=domains, ir_version=9)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._settings.threads
        options.log_severity_level = 4
        # The nodes stand as the optimiser would leave them; it must not take away copies whose results nobody reads.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            session = OnnxRuntimeSession(
                onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]), feeds
            )
            session.run()
        except Exception as error:  # its errors share no base class
            raise DeviceError(f"ONNX Runtime refuses a probe of {nodes[0].op_type}: {str(error).splitlines()[0]}") from error
        return session


def _sink(copy: int) -> onnx.NodeProto:
    return helper.make_node("Shape", [f"y{copy}"], [f"s{copy}"], name=f"sink{copy}")


class _NodeWriter:
    """Writes the nodes of one workload, copy after copy, and gathers its weights and inputs."""

    def __init__(self, workload: Workload, *, batch: int, block: int, pool: WeightPool) -> None:
        self._work, self._batch, self._block, self._pool = workload, batch, block, pool
        self.initialisers: list[onnx.TensorProto] = []
        self.feeds: dict[str, np.ndarray] = {}

    def copy(self, copy: int) -> list[onnx.NodeProto]:
        """The nodes of one copy; they read ``x`` (and ``z``) and write ``y{copy}``."""
        work = self._work
        if work.op.startswith("conv"):
            return [self._conv(copy)]
        if work.op == "linear":
            return self._linear(copy)
        if work.op == "reorder":
            return [self._reorder(copy)]
        return [self._single(copy)]

    def _width(self, channels: int, *, blocked: bool) -> int:
        return -(-channels // self._block) * self._block if blocked else channels

    def _feed(self, name: str, channels: int, hw: tuple[int, ...]) -> str:
        if name not in self.feeds:
            self.feeds[name] = self._pool.take(self._batch, channels, *hw)
        return name

    def _constant(self, name: str, values: np.ndarray) -> str:
        self.initialisers.append(numpy_helper.from_array(values, name))
        return name

    def _conv(self, copy: int) -> onnx.NodeProto:
        work = self._work
        blocked = work.kernel in ("nchwc", "nchwc_first")
        read = self._width(work.in_channels, blocked=work.kernel == "nchwc")
        written = self._width(work.out_channels, blocked=blocked)
        groups = read if work.groups == 0 else work.groups
        inputs = [
            self._feed("x", read, work.in_hw),
            self._constant(f"w{copy}", self._pool.take(written, read // groups, *work.window)),
            self._constant(f"b{copy}", self._pool.take(written)),
        ]
        if work.adds:
            inputs.append(self._feed("z", written, work.out_hw))
        attributes: dict[str, Any] = {
            "kernel_shape": list(work.window),
            "strides": list(work.stride),
            "pads": list(work.padding) * 2,
            "dilations": list(work.dilation),
            "group": groups,
        }
        if work.activation:
            name = _ACTIVATIONS[work.activation]
            attributes["activation"] = name
            if name in _ACTIVATION_VALUES:
                attributes["activation_params"] = _ACTIVATION_VALUES[name]
        if blocked:
            return helper.make_node("Conv", inputs, [f"y{copy}"], name=f"conv{copy}", domain=_NCHWC, **attributes)
        if work.op.startswith("conv_transpose"):
            attributes = {name: attributes[name] for name in ("kernel_shape", "strides", "pads", "dilations", "group")}
            inputs[1] = self._constant(f"t{copy}", self._pool.take(read, written // groups, *work.window))
            return helper.make_node("ConvTranspose", inputs[:3], [f"y{copy}"], name=f"conv{copy}", **attributes)
        if not work.activation and not work.adds:
            return helper.make_node("Conv", inputs, [f"y{copy}"], name=f"conv{copy}", **attributes)
        return helper.make_node("FusedConv", inputs, [f"y{copy}"], name=f"conv{copy}", domain=_MICROSOFT, **attributes)

    def _linear(self, copy: int) -> list[onnx.NodeProto]:
        work = self._work
        rows = self._batch * work.repeats
        if "x" not in self.feeds:
            self.feeds["x"] = self._pool.take(rows, work.in_channels)
        inputs = [
            "x",
            self._constant(f"w{copy}", self._pool.take(work.out_channels, work.in_channels)),
            self._constant(f"b{copy}", self._pool.take(work.out_channels)),
        ]
        if work.activation == "relu":
            return [helper.make_node("FusedGemm", inputs, [f"y{copy}"], name=f"gemm{copy}", domain=_MICROSOFT, transB=1, activation="Relu")]
        return [helper.make_node("Gemm", inputs, [f"y{copy}"], name=f"gemm{copy}", transB=1)]

    def _reorder(self, copy: int) -> onnx.NodeProto:
        work = self._work
        if work.kernel == "reorder_in":
            feed = self._feed("x", work.in_channels, work.in_hw)
            return helper.make_node("ReorderInput", [feed], [f"y{copy}"], name=f"reorder{copy}", domain=_NCHWC)
        feed = self._feed("x", self._width(work.in_channels, blocked=True), work.in_hw)
        return helper.make_node("ReorderOutput", [feed], [f"y{copy}"], name=f"reorder{copy}", domain=_NCHWC, channels=work.in_channels)

    def _single(self, copy: int) -> onnx.NodeProto:
        """An operation without weights, or (batch norm, unknown ones) one that costs the same."""
        work, result, name = self._work, [f"y{copy}"], f"op{copy}"
        blocked = work.kernel == "blocked"
        domain = _NCHWC if blocked else ""
        # A product with one value a channel may name that one first.
        hw = work.out_hw if work.op in _TWO_SIDED else work.in_hw
        feed = self._feed("x", self._width(work.in_channels, blocked=blocked), hw)
        if work.op in ("max_pool2d", "avg_pool2d"):
            kind = "MaxPool" if work.op == "max_pool2d" else "AveragePool"
            window = {"kernel_shape": list(work.window), "strides": list(work.stride), "pads": list(work.padding) * 2}
            return helper.make_node(kind, [feed], result, name=name, domain=domain, **window)
        if work.op in ("mean", "adaptive_avg_pool2d") and len(hw) == 2:
            axes = self._constant(f"a{copy}", np.array([2, 3]))
            return helper.make_node("ReduceMean", [feed, axes], result, name=name)
        if work.op in _TWO_SIDED:
            other = self._feed("z", self._width(work.in_channels, blocked=blocked), hw)
            return helper.make_node(_TWO_SIDED[work.op], [feed, other], result, name=name)
        if work.op == "batch_norm":
            values = [self._constant(f"n{copy}_{part}", np.ones(self.feeds[feed].shape[1], np.float32)) for part in range(4)]
            return helper.make_node("BatchNormalization", [feed, *values], result, name=name)
        if work.op == "cat":
            half = max(work.in_channels // 2, 1)
            return helper.make_node("Concat", [self._feed("h", half, hw)] * 2, result, name=name, axis=1)
        if work.op in ("softmax", "log_softmax"):
            return helper.make_node("Softmax", [feed], result, name=name, axis=-1)
        return helper.make_node(_SIMPLE.get(work.op, "HardSigmoid"), [feed], result, name=name)
