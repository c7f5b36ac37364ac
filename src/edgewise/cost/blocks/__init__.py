"""Blocks of a network, and devices known by a table of what each block takes."""

from edgewise.cost.blocks.device import LUT_PREFIX, LutDevice, is_lut, open_lut
from edgewise.cost.blocks.find import FoundBlock, find_blocks
from edgewise.cost.blocks.table import BlockTable, Entry, parse_table, read_table

__all__ = [
    "LUT_PREFIX",
    "BlockTable",
    "Entry",
    "FoundBlock",
    "LutDevice",
    "find_blocks",
    "is_lut",
    "open_lut",
    "parse_table",
    "read_table",
]
