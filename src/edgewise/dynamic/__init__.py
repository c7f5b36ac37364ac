"""Pruning of feature maps for each input while it runs: attention, top-k masks, and where they act."""

from edgewise.dynamic.attention import GateRules, channel_attention, gate_masks, spatial_attention, top_k_mask
from edgewise.dynamic.gating import gated, record_masks
from edgewise.dynamic.network import GatedNetwork
from edgewise.dynamic.placement import place_gates

__all__ = [
    "GateRules",
    "GatedNetwork",
    "channel_attention",
    "gate_masks",
    "gated",
    "place_gates",
    "record_masks",
    "spatial_attention",
    "top_k_mask",
]
