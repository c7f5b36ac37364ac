"""A dynamic network as OpenVINO IR with this project's operator."""

import tempfile
from pathlib import Path

import torch
from torch import nn

from edgewise._core.errors import ExportError
from edgewise._core.files import storage_error, write_bytes
from edgewise.deploy.onnx_export import check_finite
from edgewise.deploy.quiet import quietly
from edgewise.deploy.reasons import one_line
from edgewise.dynamic.running.onnx_file import example_inputs
from edgewise.dynamic.running.torch_module import as_torch
from edgewise.ir import NetSpec
from edgewise.ir.gates import GatePlan


def export_openvino(model: nn.Module, net: NetSpec, plan: GatePlan, folder: Path, *, batch: int, threads: int) -> Path:
    """Writes ``model.xml`` and ``model.bin`` whose gated parts are one operator of edgewise's extension each.

    A plan that prunes nothing writes the plain network. Ways of computing are measured and chosen when the file
    is loaded, on the machine and for the threads that it is loaded for.

    Args:
        model: The network; exported as it computes in eval mode, and left as it was.
        net: The same network as hardware sees it.
        plan: Gates and ratios.
        folder: Where to write; made where it is missing.
        batch: Images of a run.
        threads: Threads that it will be run with; only checked.

    Returns:
        The .xml file.

    Raises:
        ExportError: An operation cannot be written.
        DeviceError: OpenVINO or a compiler for its extension is missing.
        PlanError: The plan is of another network.
    """
    if batch < 1 or threads < 1:
        raise ExportError(f"`batch` and `threads` of an export must be at least 1, got {batch} and {threads}")
    check_finite(model)
    content = _onnx_bytes(as_torch(model, net, plan), example_inputs(net, batch))
    goal = folder / "model.xml"
    try:
        with tempfile.TemporaryDirectory(prefix="edgewise-export-") as made:
            _convert(content, Path(made))
            goal.unlink(missing_ok=True)  # an old graph must not stand beside new weights
            for name in ("model.bin", "model.xml"):
                write_bytes(folder / name, (Path(made) / name).read_bytes())
    except OSError as error:
        raise storage_error(goal, error) from error
    return goal


def _onnx_bytes(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> bytes:
    try:
        with quietly(), torch.no_grad():
            program = torch.onnx.export(module, inputs, dynamo=True, external_data=False, optimize=True, verbose=False)
            assert program is not None
            content: bytes = program.model_proto.SerializeToString()
    except Exception as error:  # the exporter raises errors of many packages
        raise ExportError(f"torch cannot write the dynamic network: {one_line(error)}") from error
    return content


def _convert(content: bytes, folder: Path) -> None:
    import openvino

    from edgewise.deploy.openvino_core import openvino_core, with_extension

    with_extension()
    file = folder / "model.onnx"
    file.write_bytes(content)
    try:
        with quietly():
            openvino.save_model(openvino_core().read_model(str(file)), folder / "model.xml", compress_to_fp16=False)
    except OSError:
        raise
    except Exception as error:
        raise ExportError(f"OpenVINO cannot convert the dynamic network: {one_line(error)}") from error
