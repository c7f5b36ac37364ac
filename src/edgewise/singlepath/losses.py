"""The runtime's part of the loss."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

HINGE_SHARPNESS = 100.0
"""mu of S3NAS's hinge, for latencies as shares of the target."""
MULTIPLIER_STEP = 0.02
MOST_MULTIPLIER = 20.0


def log_term(runtime_ms: Float[Tensor, ""], strength: float) -> Float[Tensor, ""]:
    """The authors' term, ``lambda * 1e3 * ln(R)`` with R in milliseconds; it knows no target.

    Args:
        runtime_ms: Expected runtime; positive.
        strength: Their lambda; they use 0.020.

    Example:
        >>> round(float(log_term(torch.tensor(80.0, dtype=torch.float64), 0.02)), 4)
        87.6405
    """
    return strength * 1e3 * torch.log(runtime_ms)


def hinge_term(runtime_ms: Float[Tensor, ""], target_ms: float, strength: float) -> Float[Tensor, ""]:
    """A term that is 0 below the target: ``lambda ln(1 + mu relu(R / T - 1))`` (S3NAS, arXiv 2009.02009).

    Args:
        runtime_ms: Expected runtime.
        target_ms: The target; positive.
        strength: lambda.

    Example:
        >>> float(hinge_term(torch.tensor(0.9), 1.0, 15.0))
        0.0
    """
    return strength * torch.log1p(HINGE_SHARPNESS * torch.relu(runtime_ms / target_ms - 1))


def lagrangian_term(runtime_ms: Float[Tensor, ""], target_ms: float, *, multiplier: float, strength: float) -> Float[Tensor, ""]:
    """Augmented Lagrangian of ``R = T``: ``m (R / T - 1) + strength / 2 (R / T - 1)^2``.

    The multiplier settles at what a share of the target is worth in cross entropy, so nothing is tuned by hand.

    Args:
        runtime_ms: Expected runtime.
        target_ms: The target; positive.
        multiplier: Of :func:`next_multiplier`.
        strength: Weight of the square.
    """
    excess = runtime_ms / target_ms - 1
    return multiplier * excess + 0.5 * strength * excess**2


def next_multiplier(multiplier: float, runtime_ms: float, target_ms: float, *, strength: float) -> float:
    """The multiplier after a step: it grows while the network is too slow and shrinks, also below 0, while it is too fast.

    Example:
        >>> next_multiplier(0.0, 1.5, 1.0, strength=1.0)
        0.01
    """
    moved = multiplier + MULTIPLIER_STEP * strength * (runtime_ms / target_ms - 1)
    return math.copysign(min(abs(moved), MOST_MULTIPLIER), moved)
