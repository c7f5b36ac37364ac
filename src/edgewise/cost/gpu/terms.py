"""The terms of the latency model: seconds that a family's parts would take on a given GPU.

    t_f = sum_i c_i * term_i        c_i >= 0, without dimension

A term holds the shape and the data sheet, the coefficient what the kernel makes of it, so
that coefficients fitted on one GPU say something about another. ``G`` blocks, ``W``
operations of one, ``S`` multiprocessors, ``F`` sustained peak in FLOP/s, ``M`` memory
bandwidth in byte/s.

==============  =========================================  ==========================================
term            seconds                                    what it stands for
==============  =========================================  ==========================================
launch          1e-4                                       one call from Python: launching, events, allocation
traffic         3e7 / M                                    memory work of a call that does not grow with the layer
waves           ceil(G/S) * W * S/F                        compute, in whole waves (the tail wave too)
block           W * S/F                                    filling and draining one block's pipeline
activations     (bytes read + bytes written) / M           activations read and written once
weights         weight bytes / M                           weights, and transforming them
transform_in    nf: 144 t C / M; else 0                    transformed input of non-fused Winograd
transform_out   nf: 144 t K / M; else 0                    its products
reread          ig, fw: ceil(K/b) * bytes read / M         activations read again for each column of tiles
tiles           ceil(G/S) * S * tile bytes / M             writing whole tiles, those that stick out too
==============  =========================================  ==========================================
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from edgewise.cost.gpu.families import Family, winograd_tiles
from edgewise.cost.gpu.shapes import FLOAT_BYTES, ConvShapes, up

TERMS = ("launch", "traffic", "waves", "block", "activations", "weights", "transform_in", "transform_out", "reread", "tiles")
"""Names of the terms, in the order of the coefficients."""
COMPUTE_TERMS = ("waves", "block")
LAUNCH_TERMS = ("launch", "traffic")
_LAUNCH_S = 1e-4
_TRAFFIC_BYTES = 3e7
_WINOGRAD_BYTES = 36 * FLOAT_BYTES

Terms = Float[np.ndarray, "n terms"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What the terms need of a GPU.

    Attributes:
        multiprocessors: SMs, each running one block at a time in this model.
        flops_per_s: Sustained fp32 operations per second (peak, less throttling).
        bytes_per_s: Memory bandwidth.
        cache_bytes: Size of the second-level cache, which the terms do not read (the operations around them do).
    """

    multiprocessors: int
    flops_per_s: float
    bytes_per_s: float
    cache_bytes: float = 0.0


def terms_of(family: Family, shapes: ConvShapes, machine: Machine) -> Terms:
    """The terms of every convolution in one family, in seconds.

    Args:
        family: The kernel family.
        shapes: The convolutions.
        machine: The GPU.

    Returns:
        One row for each convolution, one column for each of :data:`TERMS`.
    """
    blocks, flops = family.blocks(shapes), family.block_flops(shapes)
    block_s = flops * machine.multiprocessors / machine.flops_per_s
    read_s = shapes.read_bytes / machine.bytes_per_s
    made = np.zeros((len(shapes), len(TERMS)))
    made[:, 0] = _LAUNCH_S
    made[:, 1] = _TRAFFIC_BYTES / machine.bytes_per_s
    waves = up(blocks, machine.multiprocessors)
    made[:, 2] = waves * block_s
    made[:, 3] = block_s
    made[:, 4] = read_s + shapes.written_bytes / machine.bytes_per_s
    made[:, 5] = shapes.weight_bytes / machine.bytes_per_s
    if family.kind == "nf":
        moved_s = _WINOGRAD_BYTES * winograd_tiles(shapes) / machine.bytes_per_s
        made[:, 6] = moved_s * shapes.in_channels
        made[:, 7] = moved_s * shapes.out_channels
    else:
        made[:, 8] = up(shapes.out_channels / shapes.groups, float(family.channel_step)) * read_s
    made[:, 9] = waves * machine.multiprocessors * family.tile_bytes / machine.bytes_per_s
    return made
