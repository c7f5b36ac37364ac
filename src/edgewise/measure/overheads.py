"""What a network costs beyond its kernel calls, on one device."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from edgewise._core.errors import SpecError


@dataclass(frozen=True, kw_only=True, slots=True)
class Overheads:
    """Latency of a network from the sum of its calls: ``start + per_call * calls + scale * sum``.

    Fitted on a few networks made for the purpose (never on the one that is priced) and kept
    with the device in the latency database.

    Attributes:
        start_s: Seconds for a network of no calls.
        per_call_s: Seconds for each call beyond what timing it alone shows.
        scale: Median over minimum of a network, and what calls cost each other.
    """

    start_s: float = 0.0
    per_call_s: float = 0.0
    scale: float = 1.0

    def total_s(self, calls_s: float, *, calls: int) -> float:
        """Seconds of a network of ``calls`` calls that take ``calls_s`` together."""
        return self.start_s + self.per_call_s * calls + self.scale * calls_s


NO_OVERHEADS = Overheads()


def fit_overheads(measured_s: Sequence[float], calls_s: Sequence[float], calls: Sequence[int]) -> Overheads:
    """Non-negative least squares on relative errors, with the scale held near 1.

    Args:
        measured_s: Median latency of each network.
        calls_s: Sum of its calls' prices.
        calls: Number of its calls.

    Raises:
        SpecError: Fewer than three networks.

    Example:
        >>> fitted = fit_overheads([12e-6, 22e-6, 42e-6], [10e-6, 20e-6, 40e-6], [1, 1, 1])
        >>> round(fitted.scale, 2)
        1.0
    """
    if len(measured_s) < 3:
        raise SpecError(f"overheads need at least 3 networks, got {len(measured_s)}")
    rows = np.array([[1e-6, 1e-6 * count, total] for total, count in zip(calls_s, calls, strict=True)])
    relative = rows / np.array(measured_s)[:, None]
    # One more row pulls the scale gently to 1: few networks tell start and scale apart badly.
    pulled = np.vstack([relative, [0.0, 0.0, 0.1]])
    (start, per_call, scale), _ = nnls(pulled, np.append(np.ones(len(measured_s)), 0.1))
    return Overheads(start_s=float(start) * 1e-6, per_call_s=float(per_call) * 1e-6, scale=float(scale))
