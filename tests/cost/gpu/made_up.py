"""Made-up families and shapes."""

import numpy as np

from edgewise.cost.gpu.families import Family
from edgewise.cost.gpu.model import FamilyFit
from edgewise.cost.gpu.shapes import ConvShapes, conv_shapes
from edgewise.cost.gpu.terms import TERMS


def fit_of(kind: str, tile: tuple[int, ...], *, handicap: float = 1.0, **coefficients: float) -> FamilyFit:
    """A family with the coefficients named, the others 0."""
    values = tuple(coefficients.get(name, 0.0) for name in TERMS)
    return FamilyFit(family=Family(kind=kind, tile=tile), coefficients=values, handicap=handicap, rows=1)


def drawn_shapes(rows: int, *, seed: int = 0) -> ConvShapes:
    """3x3 convolutions of many sizes."""
    rng = np.random.default_rng(seed)
    sizes = {"batch": (1, 64), "in_channels": (3, 512), "out_channels": (3, 512), "size": (5, 64)}
    return conv_shapes({name: rng.integers(low, high, rows).astype(float) for name, (low, high) in sizes.items()})
