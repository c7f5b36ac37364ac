"""A network as OpenVINO IR: an .xml with the graph beside a .bin with the weights."""

import shutil
import tempfile
from pathlib import Path

import openvino
from torch import Tensor, nn

from edgewise._core.errors import ExportError, UsageError
from edgewise._core.files import storage_error, write_atomically
from edgewise.deploy.onnx_export import onnx_bytes
from edgewise.deploy.quiet import quietly
from edgewise.deploy.reasons import one_line


def export_openvino(model: nn.Module, inputs: tuple[Tensor, ...], path: Path) -> None:
    """Writes the network to an .xml file and the .bin file beside it, with the inputs' shapes fixed.

    The way leads through ONNX, so that both formats hold the same operations under the
    same names. Weights stay in fp32.

    Args:
        model: The network; it is exported as it computes in eval mode, and left as it was.
        inputs: What it is called with; only shapes and types matter.
        path: The .xml file to make. It appears last, when the weights are in place.

    Raises:
        UsageError: The path does not end with ``.xml``.
        ExportError: An operation cannot be converted, or a weight is not finite.
        StorageError: The disk is full, or the folder is not writable.
    """
    if path.suffix.lower() != ".xml":
        raise UsageError(f"`path` of an OpenVINO export must end with .xml, got {path.name!r}")
    content = onnx_bytes(model, inputs)
    try:
        with tempfile.TemporaryDirectory(prefix="edgewise-export-") as folder:
            _convert(content, Path(folder))
            _place(Path(folder), path)
    except OSError as error:
        raise storage_error(path, error) from error


def _convert(content: bytes, folder: Path) -> None:
    (folder / "model.onnx").write_bytes(content)
    try:
        with quietly():
            converted = openvino.convert_model(folder / "model.onnx")
            openvino.save_model(converted, folder / "model.xml", compress_to_fp16=False)
    except OSError:
        raise
    except Exception as error:  # its errors share no base class
        raise ExportError(f"OpenVINO cannot convert the network: {one_line(error)}") from error


def _place(folder: Path, path: Path) -> None:
    # An old graph must not stand beside new weights, whenever the process ends.
    path.unlink(missing_ok=True)
    for made, goal in (("model.bin", path.with_suffix(".bin")), ("model.xml", path)):
        _copy(folder / made, goal)


def _copy(made: Path, goal: Path) -> None:
    write_atomically(goal, lambda temporary: _fill(temporary, made))


def _fill(temporary: Path, made: Path) -> None:
    shutil.copyfile(made, temporary)
