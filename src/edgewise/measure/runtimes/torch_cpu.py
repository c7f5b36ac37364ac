"""PyTorch on the processor, as written: one operation after the other."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn

from edgewise._core.errors import DeviceError
from edgewise.deploy.reasons import one_line
from edgewise.measure.host import DeviceIdentity, cpu_identity
from edgewise.measure.runtimes.base import own_inputs
from edgewise.measure.session import clock_s
from edgewise.measure.settings import RuntimeSettings


class TorchCpuSession:
    """A network in PyTorch on the processor, its inputs in memory."""

    def __init__(self, call: Callable[..., object], inputs: tuple[Tensor, ...], *, threads: int) -> None:
        self._call = call
        self._inputs = inputs
        self._threads = threads

    def run(self) -> None:
        """One inference."""
        with torch_threads(self._threads), torch.inference_mode():
            self._call(*self._inputs)

    def time_once_s(self) -> float:
        """Seconds of one inference by our clock; setting the threads is not timed."""
        call, inputs = self._call, self._inputs
        with torch_threads(self._threads), torch.inference_mode():
            return clock_s(lambda: call(*inputs))

    def close(self) -> None:
        """Drops the network, which frees it."""
        self._call = _closed
        self._inputs = ()


class TorchCpu:
    """PyTorch's eager mode: channels first, inference mode, nothing fused."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self._settings = settings

    @property
    def settings(self) -> RuntimeSettings:
        """Device, threads, batch and precision."""
        return self._settings

    @property
    def version(self) -> str:
        """Version of the package."""
        return str(torch.__version__)

    def identity(self) -> DeviceIdentity:
        """What samples of this runtime belong to."""
        return cpu_identity(self._settings, runtime="torch", version=self.version)

    def load_module(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> TorchCpuSession:
        """Loads a copy of the network in eval mode."""
        network, fed = own_network(model, inputs, self._settings)
        return started(TorchCpuSession(network, fed, threads=self._settings.threads))

    def load_file(self, path: Path) -> TorchCpuSession:
        """Refuses: PyTorch runs modules, not exported files."""
        raise no_files(self._settings.device, path)


def own_network(
    model: nn.Module, inputs: tuple[Tensor, ...], settings: RuntimeSettings, *, device: str = "cpu"
) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A copy of the network in eval mode and of its inputs, both in the settings' precision on a device."""
    network = deepcopy(model).eval().to(device)
    fed = own_inputs(inputs, batch=settings.batch, device=device)
    if settings.precision == "bf16":
        network = network.to(torch.bfloat16)
        fed = tuple(tensor.to(torch.bfloat16) if tensor.is_floating_point() else tensor for tensor in fed)
    return network, fed


def started(session: TorchCpuSession) -> TorchCpuSession:
    """The session after a first run.

    Raises:
        DeviceError: The run fails.
    """
    try:
        session.run()
    except Exception as error:  # any error of the user's own module
        raise DeviceError(f"PyTorch cannot run the network: {one_line(error)}") from error
    return session


def no_files(device: str, path: Path) -> DeviceError:
    """The error for an exported file given to PyTorch."""
    return DeviceError(f"device {device} runs networks, not files such as {path.name!r}; use onnxruntime-cpu or openvino-cpu for that file")


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Lets torch use that many threads inside the block, and as many as before after it."""
    before = torch.get_num_threads()
    if before == threads:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _closed(*inputs: Tensor) -> object:
    raise DeviceError("this session is closed; load the network again")
