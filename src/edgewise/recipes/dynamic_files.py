"""Files of networks that prune their maps while they run: written, and proven to compute the same."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from edgewise._core.errors import ExportError
from edgewise._core.files import write_atomically
from edgewise.deploy.parity import Parity
from edgewise.recipes.dynamic_sessions import net_of
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.requests import ExportRequest

TOLERANCE = 1e-3
"""Largest difference, as a share of the outputs' scale: sums are taken in another order than in PyTorch."""


def write_dynamic(loaded: LoadedModel, path: Path, request: ExportRequest) -> None:
    """Writes a gated network: ONNX of standard operators, or OpenVINO IR with our operator.

    Args:
        loaded: A network with gates.
        path: The .onnx or .xml file.
        request: Format, batch and threads.

    Raises:
        ExportError: An operation cannot be written.
        DeviceError: OpenVINO, or a compiler for its extension, is missing.
    """
    from edgewise.dynamic.running import export_onnx, export_openvino  # compiles kernels at first use

    dense, plan = loaded.without_gates(), loaded.gates
    assert plan is not None
    net, batch = net_of(dense), request.device.batch
    if request.format == "onnx":
        export_onnx(dense.model, net, plan, path, batch=batch)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="edgewise-export-") as folder:
        written = export_openvino(dense.model, net, plan, Path(folder), batch=batch, threads=request.device.threads)
        # The graph last: an old one must not stand beside new weights.
        _move(written.with_suffix(".bin"), path.with_suffix(".bin"))
        _move(written, path)


def _move(source: Path, target: Path) -> None:
    content = source.read_bytes()

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(target, write)


def check_dynamic_parity(model: nn.Module, path: Path, images: Tensor, *, threads: int) -> Parity:
    """Runs an exported .xml file with our extension and compares it with the masked network.

    Args:
        model: The gated network.
        path: The file.
        images: What both are fed.
        threads: Threads.

    Raises:
        ExportError: It computes something else.
    """
    from edgewise.dynamic.running import OpenVinoDynamicSession

    with torch.no_grad():
        expected = model(images).numpy()
    with OpenVinoDynamicSession(path, threads=threads) as session:
        found = session.run(images.numpy())
    scale = float(np.abs(expected).max()) or 1.0
    difference = float(np.abs(expected - found).max())
    if not difference <= TOLERANCE * scale:  # not `>`: NaN must fail
        raise ExportError(
            f"the outputs of {path} must equal the network's within {TOLERANCE:g} of their scale, "
            f"got a difference of {difference:.3g} at scale {scale:.3g}; do not use this file"
        )
    return Parity(max_abs_diff=difference, output_scale=scale, convolutions_checked=0)
