"""Files for NeuroSim V1.3/1.4 (which edgewise neither ships nor runs): the network, weights, bits of masked activations."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgewise._core.errors import SpecError
from edgewise._core.files import write_text
from edgewise.dynamic import GateRules, gated
from edgewise.ir import LayerSpec, NetSpec
from edgewise.ir.gates import GatePlan

BITS = 8


def export_neurosim(folder: Path, model: nn.Module, net: NetSpec, *, plan: GatePlan, rules: GateRules, images: Tensor) -> dict[str, Any]:
    """Writes ``NetWork.csv`` and, for each layer, its weights and the bits of what it reads, masks at work.

    A weight file has a row for each of ``kernel * kernel * inputs`` and a column for each output, in [-1, 1]. An
    input file has the same rows, and a column for each output position and bit, highest bit first, as 0 and 1.
    Sizes of maps are those with padding, which NeuroSim does not count by itself.

    Args:
        folder: Where the files go; made where it is missing.
        model: The network.
        net: Its trace.
        plan: Gates.
        rules: How masks are chosen.
        images: One image, (1, c, h, w).

    Returns:
        JSON values: the folder, the files, and the arguments of NeuroSim's program.

    Raises:
        SpecError: A grouped convolution, which NeuroSim's format does not know.
    """
    layers = [layer for layer in net.layers if layer.op in ("conv2d", "linear")]
    grouped = [layer.name for layer in layers if layer.groups > 1]
    if grouped:
        raise SpecError(f"NeuroSim's NetWork.csv knows no grouped convolution, got {grouped[0]!r}")
    read = _inputs(model, layers, plan=plan, rules=rules, images=images)
    lines, files = [], []
    for number, layer in enumerate(layers):
        lines.append(network_line(layer, pooled=_is_pooled(net, layer)))
        weight = model.get_parameter(f"{layer.name}.weight").detach()
        matrix = weight.reshape(weight.shape[0], -1).T
        _write_csv(folder / f"weight_{number}.csv", (matrix / matrix.abs().max().clamp_min(1e-12)).numpy(), "%.6f")
        _write_csv(folder / f"input_{number}.csv", bit_trace(_windows(layer, read[layer.name])), "%d")
        files += [f"weight_{number}.csv", f"input_{number}.csv"]
    write_text(folder / "NetWork.csv", "\n".join(lines) + "\n")
    return {"folder": str(folder), "files": ["NetWork.csv", *files], "arguments": f"NetWork.csv {BITS} {BITS} 128 128 {' '.join(files)}"}


def network_line(layer: LayerSpec, *, pooled: bool) -> str:
    """One line of ``NetWork.csv``: padded height and width, inputs, kernel, outputs, followed by pooling, stride.

    Example:
        >>> from edgewise.ir import Dim
        >>> spec = LayerSpec(name="a", op="linear", in_channels=512, out_channels=10, in_dim=Dim(fixed=512), out_dim=Dim(fixed=10))
        >>> network_line(spec, pooled=False)
        '1,1,512,1,1,10,0,1'
    """
    if layer.op == "linear":
        return f"1,1,{layer.in_channels},1,1,{layer.out_channels},0,1"
    height, width = (size + 2 * pad for size, pad in zip(layer.in_hw, layer.padding, strict=True))
    kernel = layer.kernel
    return f"{height},{width},{layer.in_channels},{kernel[0]},{kernel[1]},{layer.out_channels},{int(pooled)},{layer.stride[0]}"


def bit_trace(values: Tensor) -> np.ndarray:
    """Bits of non-negative values scaled to their largest: (rows, columns) become (rows, columns * 8), highest bit first.

    Example:
        >>> bit_trace(torch.tensor([[1.0, 0.0], [0.5, 0.0]]))[:, :8].tolist()
        [[1, 1, 1, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0, 0, 0]]
    """
    top = float(values.abs().max()) or 1.0
    codes = (values.clamp_min(0) / top * (2**BITS - 1)).round().to(torch.int64).numpy()
    places = np.arange(BITS - 1, -1, -1)
    bits: np.ndarray = ((codes[:, :, None] >> places) & 1).reshape(len(codes), -1)
    return bits


def _inputs(model: nn.Module, layers: list[LayerSpec], *, plan: GatePlan, rules: GateRules, images: Tensor) -> dict[str, Tensor]:
    read: dict[str, Tensor] = {}
    with gated(model, plan, rules), torch.no_grad():
        handles = [
            model.get_submodule(layer.name).register_forward_pre_hook(
                lambda _module, inputs, name=layer.name: read.update({name: inputs[0].detach()})
            )
            for layer in layers
        ]
        try:
            model(images)
        finally:
            for handle in handles:
                handle.remove()
    return read


def _windows(layer: LayerSpec, values: Tensor) -> Tensor:
    if layer.op == "linear":
        return values.reshape(-1, layer.in_channels).T
    padding, stride, dilation = (tuple(part) for part in (layer.padding, layer.stride, layer.dilation))
    return F.unfold(values, tuple(layer.kernel), dilation=dilation, padding=padding, stride=stride)[0]


def _is_pooled(net: NetSpec, layer: LayerSpec) -> bool:
    """Whether a pooling follows before the next layer on arrays."""
    name = layer.name
    while True:
        reader = next((one for one in net.layers if name in one.inputs), None)
        if reader is None or reader.op in ("conv2d", "linear", "add", "cat"):
            return False
        if "pool" in reader.op:
            return True
        name = reader.name


def _write_csv(path: Path, values: np.ndarray, form: str) -> None:
    write_text(path, "\n".join(",".join(form % value for value in row) for row in values.tolist()) + "\n")
