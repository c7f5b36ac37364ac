"""OpenVINO on the processor."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import openvino
from torch import Tensor, nn

from edgewise._core.errors import DeviceError, ExportError
from edgewise.deploy.inspect_onnx import read_onnx
from edgewise.deploy.onnx_export import onnx_bytes
from edgewise.deploy.openvino_core import needs_extension, openvino_core, with_extension
from edgewise.deploy.reasons import one_line
from edgewise.measure.host import DeviceIdentity, cpu_identity
from edgewise.measure.runtimes.base import batched, random_feed, readable_file
from edgewise.measure.session import clock_s
from edgewise.measure.settings import RuntimeSettings

_IR_END = b"</net>"
_HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoSession:
    """A network in OpenVINO with one request, whose inputs are set once.

    Attributes:
        request: The request, for its counters.
    """

    def __init__(self, compiled: openvino.CompiledModel, feeds: Sequence[np.ndarray]) -> None:
        self.request = request = compiled.create_infer_request()
        self._tensors = [openvino.Tensor(np.ascontiguousarray(values)) for values in feeds]
        for place, tensor in enumerate(self._tensors):
            request.set_input_tensor(place, tensor)
        # Shared outputs: a copy of the results is the caller's business, not the network's.
        self._run: Callable[[], object] = lambda: request.infer(share_outputs=True)

    def run(self) -> None:
        """One inference."""
        self._run()

    def time_once_s(self) -> float:
        """Seconds of one inference by our clock."""
        return clock_s(self._run)

    def close(self) -> None:
        """Drops the network, which frees it."""
        self._tensors = []
        self._run = _closed
        self.__dict__.pop("request", None)


class OpenVinoCpu:
    """OpenVINO's processor backend, tuned for latency, one stream."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self._settings = settings
        self._core = openvino_core()
        offered = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if settings.precision == "bf16" and "BF16" not in offered:
            raise DeviceError(f"`precision` bf16 needs a processor that has it; OpenVINO offers {', '.join(offered)} here; use fp32")

    @property
    def settings(self) -> RuntimeSettings:
        """Device, threads, batch and precision."""
        return self._settings

    @property
    def version(self) -> str:
        """Version of the package, without its build."""
        return str(openvino.__version__).split("-")[0]

    def identity(self) -> DeviceIdentity:
        """What samples of this runtime belong to."""
        return cpu_identity(self._settings, runtime="openvino", version=self.version)

    def load_module(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> OpenVinoSession:
        """Exports the network to ONNX and loads that, fed with the inputs given."""
        fed = batched(inputs, self._settings.batch)
        return self.load_bytes(onnx_bytes(model, fed), [tensor.detach().numpy() for tensor in fed])

    def load_file(self, path: Path) -> OpenVinoSession:
        """Loads an OpenVINO IR (.xml beside its .bin) or an ONNX file, fed with random numbers."""
        _check_whole(readable_file(path, ".xml", ".onnx"))
        if needs_extension(path):
            with_extension()
        model = self._read(str(path), what=str(path))
        return self.load_ov_model(model, [self._feed(port) for port in model.inputs])

    def load_bytes(self, content: bytes, feeds: Sequence[np.ndarray]) -> OpenVinoSession:
        """Loads the content of an ONNX file, fed with the arrays in the order of its inputs."""
        return self.load_ov_model(self._read(content, what="the model"), feeds)

    def load_ov_model(self, model: openvino.Model, feeds: Sequence[np.ndarray]) -> OpenVinoSession:
        """Loads a model built in memory, fed with the arrays in the order of its inputs."""
        compiled = self.compile(model)
        try:
            loaded = OpenVinoSession(compiled, feeds)
            loaded.run()
        except Exception as error:  # its errors share no base class
            raise DeviceError(f"OpenVINO cannot run the network: {one_line(error)}") from error
        return loaded

    def compile(self, model: openvino.Model, *, counters: bool = False) -> openvino.CompiledModel:
        """The model as this runtime runs it; ``get_runtime_model`` of the result shows what was fused.

        Args:
            model: A model built in memory.
            counters: Keep times per node, for ``profiling_info`` of its requests.
        """
        try:
            return self._core.compile_model(model, "CPU", {**self._configuration(), "PERF_COUNT": counters})
        except Exception as error:
            raise DeviceError(f"OpenVINO refuses the network: {one_line(error)}") from error

    def _configuration(self) -> dict[str, str | int | bool]:
        return {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": _HINTS[self._settings.precision],  # left alone, it takes bf16 where the processor has it
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": self._settings.threads,
            # Every session of an interleaved run would be pinned to the same first core, whoever else is on it.
            "ENABLE_CPU_PINNING": False,
        }

    def _read(self, source: str | bytes, *, what: str) -> openvino.Model:
        try:
            return self._core.read_model(source)
        except Exception as error:
            raise DeviceError(f"OpenVINO cannot read {what}: {one_line(error)}") from error

    def _feed(self, port: openvino.Output) -> np.ndarray:
        sizes = [None if size.is_dynamic else int(size.get_length()) for size in port.get_partial_shape()]
        name = next(iter(port.get_names()), "input")
        return random_feed(sizes, np.dtype(port.get_element_type().to_dtype()).name, batch=self._settings.batch, name=name)


def _check_whole(path: Path) -> None:
    # OpenVINO tries every format it knows on a broken file, and their parsers write to standard error.
    if path.suffix.lower() == ".onnx":
        try:
            read_onnx(path)
        except ExportError as error:
            raise DeviceError(str(error)) from error
        return
    with path.open("rb") as content:
        content.seek(max(0, path.stat().st_size - len(_IR_END) - 16))
        if not content.read().rstrip().endswith(_IR_END):
            raise DeviceError(f"{path} must be a whole OpenVINO IR file ending with {_IR_END.decode()}; export it again")


def _closed() -> None:
    raise DeviceError("this session is closed; load the network again")
