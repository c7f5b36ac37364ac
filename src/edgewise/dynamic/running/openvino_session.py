"""A dynamic network loaded in OpenVINO."""

import time
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from edgewise._core.errors import DeviceError, UsageError
from edgewise.deploy.reasons import one_line

Array = npt.NDArray[np.float32]


class OpenVinoDynamicSession:
    """An exported dynamic network in OpenVINO, ready to run and to be timed."""

    def __init__(self, path: Path, *, threads: int) -> None:
        """Loads the file and the extension it needs, packs weights, and measures ways of computing by first runs.

        Args:
            path: The .xml file that :func:`export_openvino` wrote.
            threads: Threads of OpenVINO and of the operator; at least 1.

        Raises:
            DeviceError: The file is missing or broken, or its extension cannot be had.
        """
        if threads < 1:
            raise UsageError(f"`threads` must be at least 1, got {threads}")
        if not path.is_file():
            raise DeviceError(f"no such model file: {path}")
        core = _core()
        try:
            compiled = core.compile_model(core.read_model(str(path)), "CPU", _configuration(threads))
            self._request: Any = compiled.create_infer_request()
            self._shape = tuple(int(size) for size in compiled.input(0).get_partial_shape().to_shape())
            self._images = np.zeros(self._shape, np.float32)
            self._request.set_input_tensor(0, _tensor(self._images))
            self._request.infer(share_outputs=True)
        except Exception as error:  # its errors share no base class
            raise DeviceError(f"OpenVINO cannot run {path.name}: {one_line(error)}") from error

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the images it takes."""
        return self._shape

    def run(self, images: Array | None = None) -> Array:
        """Outputs for a batch of images, or of the images given last.

        Raises:
            UsageError: Images of another shape or type.
            DeviceError: The session is closed.
        """
        if images is not None:
            if images.shape != self._shape or images.dtype != np.float32:
                raise UsageError(f"`images` must be float32 of shape {self._shape}, got {images.dtype} of {images.shape}")
            np.copyto(self._images, images)
        self._infer()
        return np.array(self._request.get_output_tensor(0).data)

    def time_once_s(self) -> float:
        """Seconds of one inference of the images given last."""
        start_ns = time.perf_counter_ns()
        self._infer()
        return (time.perf_counter_ns() - start_ns) * 1e-9

    def close(self) -> None:
        """Frees the network; may be called twice."""
        self._request = None

    def __enter__(self) -> "OpenVinoDynamicSession":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _infer(self) -> None:
        if self._request is None:
            raise DeviceError("this session is closed; load the network again")
        self._request.infer(share_outputs=True)


def _core() -> Any:  # noqa: ANN401 - openvino has no types
    try:
        from edgewise.deploy.openvino_core import openvino_core, with_extension
    except ImportError as error:
        raise DeviceError("a dynamic network in OpenVINO needs the package openvino; pip install 'edgewise[openvino]'") from error
    with_extension()
    return openvino_core()


def _configuration(threads: int) -> dict[str, str | int | bool]:
    """What networks are timed with elsewhere in edgewise, so that comparisons are fair."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",  # left alone, it takes bf16 where the processor has it
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
    }


def _tensor(images: Array) -> Any:  # noqa: ANN401 - openvino has no types
    import openvino

    return openvino.Tensor(images, shared_memory=True)
