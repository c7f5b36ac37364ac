"""PyTorch on the processor, compiled by ``torch.compile``."""

import types
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from edgewise.deploy.quiet import quietly
from edgewise.measure.host import DeviceIdentity, cpu_identity
from edgewise.measure.runtimes.torch_cpu import TorchCpuSession, no_files, own_network, started
from edgewise.measure.settings import RuntimeSettings


class TorchCompileCpu:
    """``torch.compile`` with its default backend and mode, for fixed shapes. Needs a C++ compiler."""

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
        return cpu_identity(self._settings, runtime="torch-compile", version=self.version)

    def load_module(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> TorchCpuSession:
        """Compiles a copy of the network in eval mode; takes seconds to minutes."""
        network, fed = own_network(model, inputs, self._settings)
        compiled = torch.compile(_own_function(network), dynamic=False)
        with quietly():
            return started(TorchCpuSession(compiled, fed, threads=self._settings.threads))

    def load_file(self, path: Path) -> TorchCpuSession:
        """Refuses: PyTorch runs modules, not exported files."""
        raise no_files(self._settings.device, path)


def _own_function(network: nn.Module) -> Callable[..., object]:
    """Calls the network, from a code object of its own.

    torch.compile keeps what it compiled by code object, and after 8 versions of one falls
    back to eager mode without a word: several sessions of one class would not be compiled.
    """

    def call(*inputs: Tensor) -> object:
        return network(*inputs)

    return types.FunctionType(call.__code__.replace(), call.__globals__, "call", None, call.__closure__)
