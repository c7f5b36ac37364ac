"""What a solver is asked to keep to, and what it hands back."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from edgewise._core.errors import TargetError
from edgewise._core.units import format_count, format_seconds

METRICS = ("latency_s", "params", "macs", "value")
"""Names of the four tables of a factor, in the order of stacked tables."""

TOLERANCE = 1e-9
"""Relative slack when a total is held against a limit: sums taken in another order still agree."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """Sums over a network: seconds, parameters, multiply-accumulates, worth."""

    latency_s: float = 0.0
    params: float = 0.0
    macs: float = 0.0
    value: float = 0.0

    def as_array(self) -> Float[np.ndarray, "4"]:
        """The four sums in the order of :data:`METRICS`."""
        return np.array([self.latency_s, self.params, self.macs, self.value], dtype=np.float64)

    @staticmethod
    def from_array(sums: Float[np.ndarray, "4"]) -> "Totals":
        """The totals whose sums stand in the order of :data:`METRICS`."""
        return Totals(**dict(zip(METRICS, (float(number) for number in sums), strict=True)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a network must keep to; ``None`` and infinity mean no limit."""

    latency_s: float = math.inf
    params_at_least: float | None = None
    macs_at_most: float | None = None

    def __post_init__(self) -> None:
        """Checks ``latency_s > 0``."""
        if not self.latency_s > 0:
            raise TargetError(f"`latency_s` must be positive, got {self.latency_s}")

    def allow(self, totals: Totals) -> bool:
        """Whether the totals keep every limit, up to :data:`TOLERANCE`."""
        return totals.latency_s <= self.latency_s * (1 + TOLERANCE) and self.allow_size(totals)

    def allow_size(self, totals: Totals) -> bool:
        """Whether the totals keep the limits on parameters and multiply-accumulates."""
        small = self.params_at_least is not None and totals.params < self.params_at_least * (1 - TOLERANCE)
        large = self.macs_at_most is not None and totals.macs > self.macs_at_most * (1 + TOLERANCE)
        return not small and not large

    def __str__(self) -> str:
        """The limits as people read them."""
        parts = [f"latency at most {format_seconds(self.latency_s)}"] if math.isfinite(self.latency_s) else []
        if self.params_at_least is not None:
            parts.append(f"parameters at least {format_count(self.params_at_least)}")
        if self.macs_at_most is not None:
            parts.append(f"MACs at most {format_count(self.macs_at_most)}")
        return ", ".join(parts) or "no limit"


@dataclass(frozen=True, kw_only=True, slots=True)
class Solution:
    """The widths a solver chose.

    Attributes:
        assignment: Option index of every variable.
        widths: Width of every variable that is no link's total.
        totals: Sums of the tables at that assignment.
        solver: ``exact``, ``chain``, ``algorithm2``, ``round`` or ``brute-force``.
        status: ``optimal``; ``time_limit`` (meets the limits, optimality not proven);
            ``met``; ``missed`` (the closest found breaks a limit).
        gap: Proven bound on the worth that is missing, as a share of the worth's whole range
            in the problem; 0 where optimal, ``None`` where nothing is proven.
        seconds: Time taken.
        iterations: Steps taken, in the solver's own unit.
        details: Figures of the solver, such as the ``tau`` at which Algorithm 2 succeeded.
        note: What a person should know, or empty.
    """

    assignment: Mapping[str, int]
    widths: Mapping[str, int]
    totals: Totals
    solver: str
    status: str
    gap: float | None = None
    seconds: float = 0.0
    iterations: int = 0
    details: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


class UnreachableError(TargetError):
    """No choice of the candidate widths keeps the limits.

    Attributes:
        fastest: The fastest network within the limits on size; ``None`` where these alone
            cannot be kept.
    """

    def __init__(self, message: str, fastest: Solution | None = None) -> None:
        super().__init__(message)
        self.fastest = fastest

    @property
    def fastest_s(self) -> float | None:
        """Latency of the fastest reachable network, in seconds."""
        return None if self.fastest is None else self.fastest.totals.latency_s


def unreachable(limits: Limits, fastest: Solution | None) -> UnreachableError:
    """The error for limits that no candidate widths keep.

    Args:
        limits: What was asked for.
        fastest: The fastest network within the limits on size, if there is one.
    """
    if fastest is None:
        return UnreachableError(f"the candidate widths must allow the limits ({limits}), but none do; relax them, or lower --width-floor")
    reachable = format_seconds(fastest.totals.latency_s)
    return UnreachableError(
        f"latency target {format_seconds(limits.latency_s)} cannot be reached: "
        f"the fastest predicted for the candidate widths is {reachable}; raise --latency, or lower --width-floor",
        fastest,
    )
