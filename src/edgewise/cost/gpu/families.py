"""Kernel families of cuDNN and cuBLAS, and the grid of thread blocks that each would launch.

The grids are exact: they were derived from NeuSight's profiles (PyTorch 2.1, cuDNN 8.9, fp32)
and match every row of the three families in the traces used here.

=====  ==========================================  =======================================================
kind   kernel                                      grid
=====  ==========================================  =======================================================
ig     implicit GEMM ``scudnn_{a}x{b}``            ``ceil(BPQ / a) * ceil(K / b)``
fw     fused Winograd F(2x2), tile ``npq``         ``ceil(B/n) ceil(K/32) * ceil(P/2p) * ceil(Q/2q)``
nf     non-fused Winograd F(4x4), ``sgemm_axb``    ``ceil(t/a) * ceil(K/b) * 36``, ``t = 16 ceil(B/16) ceil(P/4) ceil(Q/4)``
=====  ==========================================  =======================================================

``B`` batch, ``K`` output channels, ``P x Q`` output size.
"""

import re
from dataclasses import dataclass

import numpy as np

from edgewise._core.errors import SpecError
from edgewise.cost.gpu.shapes import FLOAT_BYTES, ConvShapes, Many, up

KINDS = ("ig", "fw", "nf")
_FUSED = re.compile(r"winograd_128x128.*tile(\d)(\d)(\d)")
_GEMM = re.compile(r"sgemm_(\d+)x(\d+)")
_IMPLICIT = re.compile(r"scudnn_(\d+)x(\d+)")
_FUSED_CHANNELS = 32.0
_WINOGRAD_4X4 = 36.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """Kernels that cover their output with the same tiles.

    Attributes:
        kind: ``ig``, ``fw`` or ``nf``, see the table above.
        tile: Sides of the tile: ``(a, b)``, or ``(n, p, q)`` for fused Winograd.

    Example:
        >>> Family(kind="ig", tile=(128, 64)).name
        'ig-128x64'
    """

    kind: str
    tile: tuple[int, ...]

    def __post_init__(self) -> None:
        """Checks the kind and the number of sides."""
        if self.kind not in KINDS or len(self.tile) != (3 if self.kind == "fw" else 2) or min(self.tile) < 1:
            raise SpecError(f"a family must be one of {', '.join(KINDS)} with 2 sides (fw: 3), got {self.kind!r} with {self.tile}")

    @property
    def name(self) -> str:
        """Kind and tile in one word."""
        return f"{self.kind}-{'x'.join(map(str, self.tile))}"

    @property
    def channel_step(self) -> int:
        """Output channels of one tile: the step of the width staircase."""
        return int(_FUSED_CHANNELS) if self.kind == "fw" else self.tile[1]

    @property
    def tile_bytes(self) -> float:
        """Bytes of output that one block writes: a fused Winograd block 32 channels of 32 output tiles of 2x2."""
        return FLOAT_BYTES * (32 * 32 * 4 if self.kind == "fw" else self.tile[0] * self.tile[1])

    @property
    def kernels(self) -> int:
        """Kernels launched for one convolution, helpers included, as the traces list them."""
        return 4 if self.kind == "nf" else 2

    def blocks(self, shapes: ConvShapes) -> Many:
        """Thread blocks launched for each convolution.

        Example:
            >>> from edgewise.cost.gpu.shapes import conv_shapes
            >>> one = lambda value: np.array([float(value)])
            >>> wide = conv_shapes({"batch": one(37), "in_channels": one(11), "out_channels": one(401), "size": one(41)})
            >>> Family(kind="ig", tile=(128, 64)).blocks(wide).tolist()
            [3402.0]
        """
        k = shapes.out_channels / shapes.groups
        if self.kind == "ig":
            return np.asarray(up(shapes.rows, self.tile[0]) * up(k, self.tile[1]) * shapes.groups)
        if self.kind == "fw":
            n, p, q = self.tile
            return np.asarray(up(shapes.batch, n) * up(k, _FUSED_CHANNELS) * up(shapes.out_h, 2 * p) * up(shapes.out_w, 2 * q))
        return np.asarray(up(winograd_tiles(shapes), self.tile[0]) * up(k, self.tile[1]) * _WINOGRAD_4X4)

    def block_flops(self, shapes: ConvShapes) -> Many:
        """Floating-point operations of one block, padding included (two for each multiply-accumulate)."""
        channels = shapes.in_channels / shapes.groups
        if self.kind == "ig":
            return 2 * shapes.depth * float(self.tile[0] * self.tile[1])
        if self.kind == "fw":
            return np.asarray(2 * 16 * channels * _FUSED_CHANNELS * 32.0)
        return np.asarray(2 * channels * float(self.tile[0] * self.tile[1]))

    def carries(self, shapes: ConvShapes) -> np.ndarray:
        """Which convolutions it can carry out: the Winograd forms only dense 3x3 ones of stride 1."""
        return np.ones(len(shapes), bool) if self.kind == "ig" else shapes.traced > 0


def winograd_tiles(shapes: ConvShapes) -> Many:
    """Rows of the 36 matrix products of non-fused Winograd: 4x4 output tiles, the batch padded to 16."""
    return np.asarray(16 * up(shapes.batch, 16.0) * up(shapes.out_h, 4.0) * up(shapes.out_w, 4.0))


def family_named(name: str) -> Family:
    """The family of a name such as ``nf-64x64``.

    Raises:
        SpecError: No such kind, or no such tile.
    """
    kind, _, tile = name.partition("-")
    sides = tile.split("x")
    if not all(side.isdigit() for side in sides):
        raise SpecError(f"a family's name must look like ig-128x64, got {name!r}")
    return Family(kind=kind, tile=tuple(int(side) for side in sides))


def family_of(kernel: str, kernels: str) -> Family | None:
    """The family of a traced call, or none for kernels that belong to none (FFT, explicit GEMM: some 3 %).

    Args:
        kernel: Name of the longest kernel (``Kernel Name``).
        kernels: Names of all kernels of the call (``Kernels``).

    Example:
        >>> family_of("maxwell_sgemm_32x128_nn", "cudnn::winograd_nonfused::winogradForwardData4x4;maxwell_sgemm_32x128_nn").name
        'nf-32x128'
    """
    fused = _FUSED.search(kernel)
    if fused:
        return Family(kind="fw", tile=tuple(int(side) for side in fused.groups()))
    gemm = _GEMM.search(kernel)
    if "winograd_nonfused" in kernels.lower() and gemm:
        return Family(kind="nf", tile=(int(gemm[1]), int(gemm[2])))
    implicit = _IMPLICIT.search(kernel)
    return Family(kind="ig", tile=(int(implicit[1]), int(implicit[2]))) if implicit else None
