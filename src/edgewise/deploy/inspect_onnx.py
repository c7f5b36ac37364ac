"""What an ONNX file says of its convolutions."""

from pathlib import Path

import onnx

from edgewise._core.errors import ExportError
from edgewise.deploy.reasons import one_line

_WEIGHT_SUFFIX = ".weight"


def onnx_conv_widths(path: Path) -> dict[str, tuple[int, int]]:
    """Channels read and written by every convolution of an ONNX file.

    Args:
        path: The file.

    Returns:
        ``(in, out)`` by the name of the module that owns the weight, or by the node's name
        where the weight bears no module's name.

    Raises:
        ExportError: The file is missing, truncated, or no ONNX file.
    """
    graph = read_onnx(path).graph
    shapes = {weight.name: tuple(weight.dims) for weight in graph.initializer}
    widths: dict[str, tuple[int, int]] = {}
    for node in graph.node:
        if node.op_type not in ("Conv", "ConvTranspose") or node.input[1] not in shapes:
            continue
        weight = node.input[1]
        name = weight.removesuffix(_WEIGHT_SUFFIX) if weight.endswith(_WEIGHT_SUFFIX) else node.name
        widths[name] = _widths(node, shapes[weight])
    return widths


def onnx_op_counts(path: Path) -> dict[str, int]:
    """Number of nodes by type of operation, most frequent first.

    Raises:
        ExportError: The file is missing, truncated, or no ONNX file.
    """
    counts: dict[str, int] = {}
    for node in read_onnx(path).graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def read_onnx(path: Path) -> onnx.ModelProto:
    """The content of an ONNX file, without data that it keeps in other files.

    Raises:
        ExportError: The file is missing, truncated, or no ONNX file.
    """
    try:
        # External data would let a hostile file name any other file on this machine.
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's errors, and the operating system's
        raise ExportError(f"{path} must be a whole ONNX file: {one_line(error)}") from error
    if not model.graph.output:
        raise ExportError(f"{path} must be a whole ONNX file, got one without outputs; export it again")
    return model


def _widths(node: onnx.NodeProto, shape: tuple[int, ...]) -> tuple[int, int]:
    groups = next((int(attribute.i) for attribute in node.attribute if attribute.name == "group"), 1)
    if node.op_type == "Conv":
        return shape[1] * groups, shape[0]
    return shape[0], shape[1] * groups
