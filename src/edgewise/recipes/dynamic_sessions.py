"""A network that prunes its maps while it runs, loaded where it can skip the work, and ready to be timed."""

import tempfile
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from edgewise.ir import NetSpec
from edgewise.ir.gates import GatePlan
from edgewise.measure.runtimes import Runtime
from edgewise.measure.session import Session
from edgewise.measure.settings import RuntimeSettings
from edgewise.recipes.records import LoadedModel
from edgewise.trace import trace

OPENVINO = "openvino-cpu"


def load_dynamic(loaded: LoadedModel, runtime: Runtime) -> Session:
    """A gated network in a runtime: with the kernels inside OpenVINO and PyTorch, with masks of standard operators elsewhere.

    Args:
        loaded: A network with gates.
        runtime: Where it is to run.

    Raises:
        DeviceError: The runtime or a compiler for the extension is missing.
        ExportError: The network cannot be written.
    """
    dense = loaded.without_gates()
    plan = loaded.gates
    assert plan is not None
    net = net_of(dense)
    return open_dynamic(dense.model, net, plan, runtime, inputs=loaded.inputs(batch=runtime.settings.batch))


def open_dynamic(model: nn.Module, net: NetSpec, plan: GatePlan, runtime: Runtime, *, inputs: tuple[Tensor, ...]) -> Session:
    """The same from a network without gates and its plan.

    Args:
        model: The network without gates.
        net: The same as hardware sees it.
        plan: Gates and ratios.
        runtime: Where it is to run.
        inputs: What it is fed.
    """
    from edgewise.dynamic.running import as_torch, export_onnx, export_openvino  # compiles kernels at first use

    settings = runtime.settings
    if settings.device.startswith("torch"):
        return runtime.load_module(as_torch(model, net, plan), inputs)
    folder = tempfile.TemporaryDirectory(prefix="edgewise-dynamic-")
    try:
        if settings.device == OPENVINO:
            file = export_openvino(model, net, plan, Path(folder.name), batch=settings.batch, threads=settings.threads)
            return load_dynamic_file(file, settings, inputs=inputs, folder=folder)
        file = Path(folder.name) / "model.onnx"
        export_onnx(model, net, plan, file, batch=settings.batch)
        return _Kept(runtime.load_file(file), folder)
    except BaseException:
        folder.cleanup()
        raise


def load_dynamic_file(
    file: Path, settings: RuntimeSettings, *, inputs: tuple[Tensor, ...], folder: tempfile.TemporaryDirectory[str] | None = None
) -> Session:
    """An exported dynamic network in OpenVINO with our extension, fed and ready.

    Args:
        file: The .xml file.
        settings: Threads.
        inputs: What it is fed.
        folder: Removed when the session is closed.
    """
    from edgewise.dynamic.running import OpenVinoDynamicSession

    session = OpenVinoDynamicSession(file, threads=settings.threads)
    session.run(inputs[0].detach().numpy())
    return _Kept(session, folder)


def net_of(dense: LoadedModel) -> NetSpec:
    """A network without gates as hardware sees it."""
    return trace(dense.model, dense.inputs(), name=dense.name).net


class _Kept:
    """A session, and the folder that it was loaded from."""

    def __init__(self, session: Any, folder: tempfile.TemporaryDirectory[str] | None) -> None:  # noqa: ANN401 - several kinds
        self._session, self._folder = session, folder

    def run(self) -> None:
        """One inference."""
        self._session.run()

    def time_once_s(self) -> float:
        """Seconds of one inference."""
        return float(self._session.time_once_s())

    def close(self) -> None:
        """Frees the network and removes its files."""
        self._session.close()
        if self._folder is not None:
            self._folder.cleanup()
