"""A gate as plain operations: the map times its masks."""

from typing import no_type_check

import torch
from jaxtyping import Float
from torch import Tensor, nn

from edgewise.ir.gates import Gate


class MaskGate(nn.Module):
    """Multiplies a map by the masks of a gate, by operations that every runtime knows.

    In PyTorch and ONNX of equal attention the first is kept, where the runtime keeps to its rules for TopK.
    """

    def __init__(self, gate: Gate) -> None:
        """Takes the counts."""
        super().__init__()
        self.kept_channels = gate.kept_channels
        self.kept_positions = gate.kept_positions
        self.all_channels = gate.channel_ratio == 0
        self.all_positions = gate.spatial_ratio == 0

    @no_type_check  # exporters call it with stand-ins for tensors
    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """The map with zeros where it is pruned."""
        kept = maps
        if not self.all_channels:
            kept = kept * _mask(maps.mean((2, 3)), self.kept_channels)[:, :, None, None]
        if not self.all_positions:
            means = maps.mean(1)
            kept = kept * _mask(means.flatten(1), self.kept_positions).reshape(means.shape)[:, None]
        return kept


@no_type_check
def _mask(scores: Float[Tensor, "n k"], kept: int) -> Float[Tensor, "n k"]:
    if torch.onnx.is_in_onnx_export():
        chosen = torch.topk(scores, kept, dim=1).indices
    else:
        chosen = scores.argsort(dim=1, descending=True, stable=True)[:, :kept]
    return torch.zeros_like(scores).scatter(1, chosen, torch.ones_like(chosen, dtype=scores.dtype))
