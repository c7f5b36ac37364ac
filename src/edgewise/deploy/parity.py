"""The proof that an exported file computes what the network computes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgewise._core.errors import ExportError
from edgewise.deploy.inspect_onnx import onnx_conv_widths
from edgewise.deploy.reasons import one_line

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True, kw_only=True, slots=True)
class Parity:
    """How near an exported file comes to the network.

    Attributes:
        max_abs_diff: Largest absolute difference of any output value.
        output_scale: Largest absolute value of the network's outputs (1 where all are zero).
        convolutions_checked: Convolutions whose channel counts in the file were compared
            with the network's; 0 for formats that keep no names.
    """

    max_abs_diff: float
    output_scale: float
    convolutions_checked: int

    @property
    def relative_diff(self) -> float:
        """The largest difference as a share of the outputs' scale."""
        return self.max_abs_diff / self.output_scale


def check_parity(model: nn.Module, file: Path, inputs: tuple[Tensor, ...], *, tolerance: float = 1e-4) -> Parity:
    """Runs an exported file in its runtime and compares it with the network.

    Args:
        model: The network, run in eval mode and left as it was.
        file: An .onnx file (run in ONNX Runtime) or an .xml file (run in OpenVINO).
        inputs: What both are fed.
        tolerance: Largest difference allowed, as a share of the outputs' largest absolute value.

    Returns:
        The differences found.

    Raises:
        ExportError: The file cannot be run, has other outputs or other channels, or differs
            by more than the tolerance.
    """
    expected = _outputs(model, inputs)
    feeds = [tensor.detach().cpu().numpy() for tensor in inputs]
    is_onnx = file.suffix.lower() == ".onnx"
    found = _run_onnx(file, feeds) if is_onnx else _run_openvino(file, feeds)
    max_abs_diff = _largest_difference(expected, found, file=file)
    scale = max((float(np.abs(values).max()) for values in expected if values.size), default=0.0) or 1.0
    if not max_abs_diff <= tolerance * scale:  # not `>`: NaN must fail
        raise ExportError(
            f"the outputs of {file} must equal the network's within {tolerance:g} of their scale, "
            f"got a difference of {max_abs_diff:.3g} at scale {scale:.3g}; do not use this file"
        )
    checked = _check_widths(model, onnx_conv_widths(file), file=file) if is_onnx else 0
    return Parity(max_abs_diff=max_abs_diff, output_scale=scale, convolutions_checked=checked)


def leaves(value: object) -> list[Tensor]:
    """The tensors in a network's result, in the order in which exporters number them.

    Example:
        >>> [tensor.item() for tensor in leaves({"a": torch.tensor(1), "b": (torch.tensor(2), None)})]
        [1, 2]
    """
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        return [tensor for each in value.values() for tensor in leaves(each)]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [tensor for each in value for tensor in leaves(each)]
    return []


def _outputs(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[np.ndarray]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            return [tensor.detach().cpu().numpy() for tensor in leaves(model(*inputs))]
    finally:
        for module, was_training in modes:
            module.training = was_training


def _largest_difference(expected: Sequence[np.ndarray], found: Sequence[np.ndarray], *, file: Path) -> float:
    shapes = [values.shape for values in expected], [values.shape for values in found]
    if shapes[0] != shapes[1]:
        raise ExportError(f"the outputs of {file} must have the shapes {shapes[0]}, got {shapes[1]}")
    differences = [np.abs(a.astype(np.float64) - b.astype(np.float64)).max() for a, b in zip(expected, found, strict=True) if a.size]
    return float(np.max(differences)) if differences else 0.0


def _check_widths(model: nn.Module, widths: Mapping[str, tuple[int, int]], *, file: Path) -> int:
    checked = 0
    for name, module in model.named_modules():
        if not isinstance(module, _CONVOLUTIONS) or name not in widths:
            continue
        expected = (module.in_channels, module.out_channels)
        if widths[name] != expected:
            raise ExportError(f"convolution {name!r} of {file} must have {expected} channels (in, out), got {widths[name]}")
        checked += 1
    return checked


def _run_onnx(file: Path, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
    import onnxruntime  # each format needs its own runtime only

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        names = [node.name for node in session.get_inputs()]
        return [np.asarray(values) for values in session.run(None, dict(zip(names, feeds, strict=True)))]
    except Exception as error:  # its errors share no base class
        raise _cannot_run("ONNX Runtime", file, error) from error


def _run_openvino(file: Path, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
    from edgewise.deploy.openvino_core import openvino_core

    exact: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}  # left alone, it takes bf16 where the processor has it
    try:
        core = openvino_core()
        results = core.compile_model(core.read_model(str(file)), "CPU", exact)(list(feeds))
        return [np.asarray(results[place]) for place in range(len(results))]
    except Exception as error:
        raise _cannot_run("OpenVINO", file, error) from error


def _cannot_run(runtime: str, file: Path, error: Exception) -> ExportError:
    return ExportError(f"{runtime} cannot run {file}: {one_line(error)}")
