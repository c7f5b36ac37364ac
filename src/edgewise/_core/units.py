"""Units: reading the quantities people type, and printing them as people read them.

Inside the package everything is SI (seconds, joules, bytes); milliseconds exist only in
what people type and read.
"""

import math
import re
from dataclasses import dataclass

from edgewise._core.errors import UsageError

_SECONDS_PER_UNIT = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
_QUANTITY = re.compile(r"^\s*([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?|[+-]?nan|[+-]?inf)\s*([a-zA-Zµ]*)\s*$")


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyTarget:
    """A latency to reach: a share of the baseline's (``ratio``) or a time (``absolute_s``).

    Exactly one of the two is set. A ratio is judged by baseline and result interleaved in one run
    (``fit``: the median over the rounds; ``search``: the minima), a time by the median.
    """

    ratio: float | None = None
    absolute_s: float | None = None

    def seconds(self, baseline_s: float) -> float:
        """The target in seconds, given the baseline's latency in seconds."""
        if self.absolute_s is not None:
            return self.absolute_s
        assert self.ratio is not None
        return self.ratio * baseline_s

    def __str__(self) -> str:
        """The target as it would be typed."""
        return f"{self.ratio:g}x" if self.absolute_s is None else format_seconds(self.absolute_s)


def parse_latency(text: str, *, flag: str = "--latency") -> LatencyTarget:
    """The latency target that a person typed: ``0.7x``, ``2ms``, ``350us`` or ``0.01s``.

    Args:
        text: What was typed.
        flag: Name of the argument, for the error.

    Returns:
        The target; its number is positive and finite.

    Raises:
        UsageError: No unit, not a number, zero, negative or infinite.

    Example:
        >>> parse_latency("2ms").absolute_s
        0.002
        >>> parse_latency("0.7x").ratio
        0.7
    """
    value, unit = _split_quantity(text, flag=flag, units=("x", *_SECONDS_PER_UNIT))
    if unit == "x":
        return LatencyTarget(ratio=value)
    return LatencyTarget(absolute_s=value * _SECONDS_PER_UNIT[unit])


def parse_ratio(text: str, *, flag: str) -> float:
    """The share that a person typed with an ``x`` behind it, such as ``1.0x``.

    Args:
        text: What was typed.
        flag: Name of the argument, for the error.

    Returns:
        A positive finite number.

    Raises:
        UsageError: Without ``x``, not a number, zero, negative or infinite.

    Example:
        >>> parse_ratio("0.25x", flag="--width-floor")
        0.25
    """
    value, _ = _split_quantity(text, flag=flag, units=("x",))
    return value


def format_seconds(seconds: float) -> str:
    """A time as people read it, three significant digits, in s, ms or µs.

    Example:
        >>> format_seconds(0.0021), format_seconds(4.2e-5), format_seconds(12.0)
        ('2.1 ms', '42 µs', '12 s')
    """
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if abs(seconds) >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def format_duration(seconds: float) -> str:
    """A waiting time as people say it.

    Example:
        >>> format_duration(42.4), format_duration(130), format_duration(3661)
        ('42 s', '2 min 10 s', '1 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_count(count: float) -> str:
    """A large count as people read it, with K, M or G.

    Example:
        >>> format_count(313_196_544), format_count(999)
        ('313.2M', '999')
    """
    for suffix, scale in (("G", 1e9), ("M", 1e6), ("K", 1e3)):
        if abs(count) >= scale:
            return f"{count / scale:.4g}{suffix}"
    return f"{count:g}"


def _split_quantity(text: str, *, flag: str, units: tuple[str, ...]) -> tuple[float, str]:
    examples = "0.7x or 2ms" if len(units) > 1 else "0.7x"
    match = _QUANTITY.match(text)
    if match is None:
        raise UsageError(f"{flag} must be a number with a unit such as {examples}, got {text!r}")
    try:
        value = float(match.group(1))
    except ValueError:
        raise UsageError(f"{flag} must be a number with a unit such as {examples}, got {text!r}") from None
    unit = match.group(2)
    if unit not in units:
        found = f"unit {unit!r}" if unit else "no unit"
        raise UsageError(f"{flag} needs one of the units {', '.join(units)} (such as {examples}), got {text!r} with {found}")
    if not math.isfinite(value) or value <= 0:
        raise UsageError(f"{flag} must be positive and finite, got {text!r}")
    return value, unit
