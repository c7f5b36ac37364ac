"""ONNX Runtime on the processor."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnxruntime
from torch import Tensor, nn

from edgewise._core.errors import DeviceError
from edgewise.deploy.onnx_export import onnx_bytes
from edgewise.deploy.reasons import one_line
from edgewise.measure.host import DeviceIdentity, cpu_identity
from edgewise.measure.runtimes.base import batched, random_feed, readable_file
from edgewise.measure.session import clock_s
from edgewise.measure.settings import RuntimeSettings

_NUMPY_TYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}


class OnnxRuntimeSession:
    """A network in ONNX Runtime, its inputs and outputs bound to memory once."""

    def __init__(self, session: onnxruntime.InferenceSession, feeds: Mapping[str, np.ndarray]) -> None:
        binding = session.io_binding()
        for name, values in feeds.items():
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(values)))
        for output in session.get_outputs():
            binding.bind_output(output.name, "cpu")
        self._session: onnxruntime.InferenceSession | None = session
        self._binding = binding
        self._run: Callable[[], object] = lambda: session.run_with_iobinding(binding)

    def run(self) -> None:
        """One inference."""
        self._run()

    def time_once_s(self) -> float:
        """Seconds of one inference by our clock."""
        return clock_s(self._run)

    def close(self) -> None:
        """Drops the network, which frees it."""
        self._session = self._binding = None
        self._run = _closed


class OnnxRuntimeCpu:
    """ONNX Runtime's processor backend, one inference at a time, all graph optimisations on."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self._settings = settings

    @property
    def settings(self) -> RuntimeSettings:
        """Device, threads, batch and precision."""
        return self._settings

    @property
    def version(self) -> str:
        """Version of the package."""
        return str(onnxruntime.__version__)

    def identity(self) -> DeviceIdentity:
        """What samples of this runtime belong to."""
        return cpu_identity(self._settings, runtime="onnxruntime", version=self.version)

    def load_module(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> OnnxRuntimeSession:
        """Exports the network and loads it, fed with the inputs given."""
        fed = batched(inputs, self._settings.batch)
        session = self._session(onnx_bytes(model, fed), what=type(model).__name__)
        names = [node.name for node in session.get_inputs()]
        return _bound(session, {name: tensor.detach().numpy() for name, tensor in zip(names, fed, strict=True)})

    def load_file(self, path: Path) -> OnnxRuntimeSession:
        """Loads an ONNX file and feeds it random numbers."""
        session = self._session(str(readable_file(path, ".onnx", ".ort")), what=str(path))
        return _bound(session, {node.name: self._feed(node) for node in session.get_inputs()})

    def load_bytes(self, content: bytes, feeds: Mapping[str, np.ndarray]) -> OnnxRuntimeSession:
        """Loads the content of an ONNX file, fed with the arrays given by the names of its inputs."""
        return _bound(self._session(content, what="the model"), feeds)

    def optimised_onnx(self, content: bytes, path: Path) -> None:
        """Writes the graph as this runtime runs it, after fusion, to an ONNX file."""
        options = self._options()
        options.optimized_model_filepath = str(path)
        _opened(content, options, what="the model")

    def _session(self, source: bytes | str, *, what: str) -> onnxruntime.InferenceSession:
        return _opened(source, self._options(), what=what)

    def _options(self) -> onnxruntime.SessionOptions:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._settings.threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 4  # failures come as exceptions; warnings tell of fused layouts
        # Threads may spin while an inference runs, as they do by default, but not afterwards:
        # there they would take the processor from the next session of an interleaved run.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        return options

    def _feed(self, node: onnxruntime.NodeArg) -> np.ndarray:
        if node.type not in _NUMPY_TYPES:
            raise DeviceError(f"the file's input {node.name!r} has the type {node.type}; known: {', '.join(sorted(_NUMPY_TYPES))}")
        sizes = [size if isinstance(size, int) else None for size in node.shape]
        return random_feed(sizes, _NUMPY_TYPES[node.type], batch=self._settings.batch, name=node.name)


def _opened(source: bytes | str, options: onnxruntime.SessionOptions, *, what: str) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no base class
        raise DeviceError(f"ONNX Runtime refuses {what}: {one_line(error)}") from error


def _bound(session: onnxruntime.InferenceSession, feeds: Mapping[str, np.ndarray]) -> OnnxRuntimeSession:
    try:
        loaded = OnnxRuntimeSession(session, feeds)
        loaded.run()
    except Exception as error:
        raise DeviceError(f"ONNX Runtime cannot run the network: {one_line(error)}") from error
    return loaded


def _closed() -> None:
    raise DeviceError("this session is closed; load the network again")
