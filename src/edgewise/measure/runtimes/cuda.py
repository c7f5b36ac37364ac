"""PyTorch on an NVIDIA GPU, timed by CUDA events.

Written and reviewed, but not run where edgewise is developed: there is no GPU there.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from edgewise._core.errors import DeviceError
from edgewise.deploy.reasons import one_line
from edgewise.measure.host import DeviceIdentity
from edgewise.measure.runtimes.torch_cpu import no_files, own_network
from edgewise.measure.settings import RuntimeSettings

_MILLI = 1e-3


class CudaSession:
    """A network on the GPU. A timing lies between two events on the stream, so that launching ahead is not mistaken for work done."""

    def __init__(self, network: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._network: nn.Module | None = network
        self._inputs = inputs
        self._start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self._end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]

    def run(self) -> None:
        """One inference, finished when this returns."""
        self._infer()
        torch.cuda.synchronize()

    def time_once_s(self) -> float:
        """Seconds between the events before and after one inference."""
        torch.cuda.synchronize()
        self._start.record()
        self._infer()
        self._end.record()
        self._end.synchronize()
        return float(self._start.elapsed_time(self._end)) * _MILLI

    def close(self) -> None:
        """Drops the network, which frees it."""
        self._network = None
        self._inputs = ()

    def _infer(self) -> None:
        if self._network is None:
            raise DeviceError("this session is closed; load the network again")
        with torch.inference_mode():
            self._network(*self._inputs)


class Cuda:
    """PyTorch's eager mode on the first GPU."""

    def __init__(self, settings: RuntimeSettings) -> None:
        if not torch.cuda.is_available():
            raise DeviceError("device cuda needs an NVIDIA GPU and a torch built for it, found none; use --device onnxruntime-cpu")
        self._settings = settings

    @property
    def settings(self) -> RuntimeSettings:
        """Device, threads, batch and precision; threads mean nothing here."""
        return self._settings

    @property
    def version(self) -> str:
        """Versions of torch and CUDA."""
        return f"{torch.__version__} cuda {torch.version.cuda}"

    def identity(self) -> DeviceIdentity:
        """What samples of this GPU belong to; ``cpu`` holds its model, ``isa`` its compute capability."""
        major, minor = torch.cuda.get_device_capability()
        return DeviceIdentity(
            device=self._settings.device,
            cpu=torch.cuda.get_device_name(),
            isa=f"sm_{major}{minor}",
            runtime="torch-cuda",
            version=self.version,
            threads=self._settings.threads,
            precision=self._settings.precision,
            batch=self._settings.batch,
        )

    def load_module(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> CudaSession:
        """Loads a copy of the network in eval mode onto the GPU."""
        try:
            session = CudaSession(*own_network(model, inputs, self._settings, device="cuda"))
            session.run()
        except Exception as error:  # out of memory, or any error of the user's own module
            raise DeviceError(f"the GPU cannot run the network: {one_line(error)}") from error
        return session

    def load_file(self, path: Path) -> CudaSession:
        """Refuses: PyTorch runs modules, not exported files."""
        raise no_files(self._settings.device, path)
