"""What a network costs beyond its kernel calls, on one device."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from edgewise._core.errors import SpecError
from edgewise.cost import Workload
from edgewise.measure.footprint import NEAR_BYTES

_USUAL_ERROR = 0.03
"""Relative error of a network's sum from which on the network counts less and less: an outlier must not move all others."""
_STEPS = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Overheads:
    """Latency of a network from the sum of its calls.

    ``start + per_call * calls + scale * (sum + per_spilled_byte * spilled bytes)``

    Fitted on a few networks made for the purpose (never on the one that is priced) and kept
    with the device in the latency database.

    Attributes:
        start_s: Seconds for a network of no calls.
        per_call_s: Seconds for each call beyond what timing it alone shows.
        scale: What calls cost each other.
        per_spilled_byte_s: Seconds for each byte of a call's maps beyond the second-level cache, see
            :func:`spilled_bytes`: alone, a call finds its maps where its last run left them.
    """

    start_s: float = 0.0
    per_call_s: float = 0.0
    scale: float = 1.0
    per_spilled_byte_s: float = 0.0

    def total_s(self, calls_s: float, *, calls: int, spilled: int = 0) -> float:
        """Seconds of a network of ``calls`` calls that take ``calls_s`` together and spill so many bytes."""
        return self.start_s + self.per_call_s * calls + self.scale * (calls_s + self.per_spilled_byte_s * spilled)

    def spill_s(self, workload: Workload, *, batch: int) -> float:
        """Seconds that a call takes longer in a network than alone, for what its maps spill (before ``scale``)."""
        return self.per_spilled_byte_s * spilled_bytes(workload, batch=batch)


NO_OVERHEADS = Overheads()


def spilled_bytes(workload: Workload, *, batch: int) -> int:
    """Bytes of a call's maps beyond 1 MiB, what a second-level cache holds.

    Args:
        workload: The call.
        batch: Inputs at once.

    Example:
        >>> conv = Workload(kernel="fused", op="conv2d", in_channels=32, out_channels=32, in_hw=(112, 112), out_hw=(112, 112))
        >>> spilled_bytes(conv, batch=1)
        2162688
    """
    return max(batch * workload.map_bytes - NEAR_BYTES, 0)


def fit_overheads(
    measured_s: Sequence[float], calls_s: Sequence[float], calls: Sequence[int], spilled: Sequence[int] | None = None
) -> Overheads:
    """Non-negative overheads of the least relative errors, with the scale held near 1.

    The loss is Cauchy's, ``log(1 + (error / 3 %)^2)``, by least squares weighted anew in each step: calls of which caches make
    something else in a network than alone, as of a few heavy layers, say nothing about other networks.

    Args:
        measured_s: Median latency of each network.
        calls_s: Sum of its calls' prices.
        calls: Number of its calls.
        spilled: Bytes that its calls spill; none for 0.

    Raises:
        SpecError: Fewer than three networks.

    Example:
        >>> fitted = fit_overheads([12e-6, 22e-6, 42e-6], [10e-6, 20e-6, 40e-6], [1, 1, 1])
        >>> round(fitted.scale, 2)
        1.0
    """
    if len(measured_s) < 3:
        raise SpecError(f"overheads need at least 3 networks, got {len(measured_s)}")
    beyond = spilled or [0] * len(calls)
    rows = np.array([[1e-6, 1e-6 * count, total, 1e-12 * over] for total, count, over in zip(calls_s, calls, beyond, strict=True)])
    relative = rows / np.array(measured_s)[:, None]
    # One more row pulls the scale gently to 1: few networks tell start and scale apart badly.
    pulled, wanted = np.vstack([relative, [0.0, 0.0, 0.1, 0.0]]), np.append(np.ones(len(measured_s)), 0.1)
    weights = np.ones(len(wanted))
    for _ in range(_STEPS):
        found, _ = nnls(pulled * weights[:, None], wanted * weights)
        weights[:-1] = 1 / np.sqrt(1 + ((pulled @ found - wanted)[:-1] / _USUAL_ERROR) ** 2)
    start, per_call, scale, per_byte = found
    return Overheads(
        start_s=float(start) * 1e-6,
        per_call_s=float(per_call) * 1e-6,
        scale=float(scale),
        per_spilled_byte_s=float(per_byte) * 1e-12 / float(scale) if scale else 0.0,
    )
