"""What a network is to hardware: layers, channel dimensions, ties, and plans. No torch."""

from edgewise.ir.arch import ArchPlan, BlockChoice
from edgewise.ir.blocks import Block
from edgewise.ir.dims import Dim, Term
from edgewise.ir.layers import LayerSpec
from edgewise.ir.nets import LeftAlone, NetSpec, Tie
from edgewise.ir.plans import TiePlan, WidthPlan

__all__ = ["ArchPlan", "Block", "BlockChoice", "Dim", "LayerSpec", "LeftAlone", "NetSpec", "Term", "Tie", "TiePlan", "WidthPlan"]
