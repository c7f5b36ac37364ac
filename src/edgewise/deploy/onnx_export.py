"""A network as an ONNX file, by torch's own exporter."""

import re
from pathlib import Path

import torch
from torch import Tensor, nn

from edgewise._core.errors import ExportError, UsageError
from edgewise._core.files import write_bytes
from edgewise.deploy.quiet import quietly

_SUPPORTED_PRECISIONS = ("fp32",)


def export_onnx(model: nn.Module, inputs: tuple[Tensor, ...], path: Path, *, precision: str = "fp32") -> None:
    """Writes the network to an ONNX file, with the inputs' shapes fixed, batch included.

    Batch norms are folded into the convolutions before them. Weights keep the names of the
    modules they belong to.

    Args:
        model: The network; it is exported as it computes in eval mode, and left as it was.
        inputs: What it is called with; only shapes and types matter.
        path: The file to make, whole or not at all.
        precision: ``fp32``, the only one so far.

    Raises:
        ExportError: An operation cannot be written in ONNX, or a weight is not finite.
        StorageError: The disk is full, or the folder is not writable.
    """
    write_bytes(path, onnx_bytes(model, inputs, precision=precision))


def onnx_bytes(model: nn.Module, inputs: tuple[Tensor, ...], *, precision: str = "fp32") -> bytes:
    """The content of the file that `export_onnx` writes."""
    if precision not in _SUPPORTED_PRECISIONS:
        raise UsageError(f"`precision` of an export must be one of {', '.join(_SUPPORTED_PRECISIONS)}, got {precision!r}")
    check_finite(model)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with quietly(), torch.no_grad():
            program = torch.onnx.export(model, inputs, dynamo=True, external_data=False, optimize=True, verbose=False)
            assert program is not None
            content: bytes = program.model_proto.SerializeToString()
    except Exception as error:  # the exporter raises errors of many packages
        raise ExportError(f"torch cannot write {_kind(model)} as ONNX: {_reason(error)}") from error
    finally:
        for module, was_training in modes:
            module.training = was_training
    return content


def check_finite(model: nn.Module) -> None:
    """Refuses a network with weights that are infinite or not numbers.

    Raises:
        ExportError: Names the first such weight.
    """
    for name, weight in (*model.named_parameters(), *model.named_buffers()):
        if weight.is_floating_point() and not bool(torch.isfinite(weight).all()):
            raise ExportError(f"weights must be finite numbers, got NaN or infinity in {name!r}; load sound weights")


def _kind(model: nn.Module) -> str:
    return type(model).__name__


def _reason(error: BaseException) -> str:
    """One line with the operation that failed, dug out of the exporter's report."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    text = str(causes[-1]) or repr(causes[-1])
    everything = "\n".join(str(each) for each in causes)
    found = re.search(r"\b(aten\.[\w.]+|aten::[\w.]+|No ONNX function found for [^\n]+)", everything)
    first_line = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    return first_line if found is None or found.group(0) in first_line else f"{first_line} (at {found.group(0)})"
