"""What may be chosen: spaces of networks as plain data, with exact counts. No torch."""

from edgewise.space.catalog import SPACES
from edgewise.space.counts import Counts, block_counts, counts_of, rest_counts
from edgewise.space.reading import load_space, space_from_json
from edgewise.space.space import BlockSpace, Space, Stage

__all__ = [
    "SPACES",
    "BlockSpace",
    "Counts",
    "Space",
    "Stage",
    "block_counts",
    "counts_of",
    "load_space",
    "rest_counts",
    "space_from_json",
]
