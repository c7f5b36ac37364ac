"""ReRAM crossbar chips: where weights lie, what runs when, what it costs. No torch."""

from edgewise.cost.chip.device import CrossbarDevice
from edgewise.cost.chip.masks import LayerMask
from edgewise.cost.chip.pricing import price_network
from edgewise.cost.chip.reading import load_chip
from edgewise.cost.chip.records import Chip, Component
from edgewise.cost.chip.results import ChipCost, LayerCost
from edgewise.cost.chip.settings import ChipSettings

__all__ = ["Chip", "ChipCost", "ChipSettings", "Component", "CrossbarDevice", "LayerCost", "LayerMask", "load_chip", "price_network"]
