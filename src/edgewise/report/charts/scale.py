"""Scales: from a number to a place on the drawing, and the ticks that a reader can name."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Maps [low, high] onto [start, end], linearly or by powers.

    Attributes:
        low: Value drawn at ``start``.
        high: Value drawn at ``end``; above ``low``.
        start: Place of ``low``, in units of the drawing.
        end: Place of ``high``; may lie before ``start`` (the y of an SVG points down).
        logarithmic: Equal factors take equal room; ``low`` must then be positive.

    Example:
        >>> Scale(low=0, high=10, start=100, end=0)(2.5)
        75.0
        >>> Scale(low=1, high=100, start=0, end=50, logarithmic=True)(10)
        25.0
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __post_init__(self) -> None:
        """Checks that the range is one."""
        assert self.high > self.low and (self.low > 0 or not self.logarithmic), f"no range: {self.low} to {self.high}"

    def __call__(self, value: float) -> float:
        """The place of ``value``."""
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    @property
    def ticks(self) -> tuple[float, ...]:
        """About five round values within the range, ascending."""
        return log_ticks(self.low, self.high) if self.logarithmic else nice_ticks(self.low, self.high)


def nice_ticks(low: float, high: float, *, at_most: int = 5) -> tuple[float, ...]:
    """Multiples of 1, 2 or 5 times a power of ten within [low, high].

    Args:
        low: Lower end.
        high: Upper end, above ``low``.
        at_most: Largest number of ticks, at least 2.

    Returns:
        Ascending values; the smallest step that gives no more than ``at_most``.

    Example:
        >>> nice_ticks(0, 0.9)
        (0.0, 0.2, 0.4, 0.6, 0.8)
        >>> nice_ticks(0, 512)
        (0.0, 200.0, 400.0)
    """
    power = math.floor(math.log10((high - low) / at_most)) - 1
    for exponent in range(power, power + 4):
        for factor in (1, 2, 5):
            step = factor * 10.0**exponent
            first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
            if last - first + 1 <= at_most:
                return tuple(_clean(index * step) for index in range(first, last + 1))
    return (low, high)


def log_ticks(low: float, high: float) -> tuple[float, ...]:
    """Values 1, 2, 5 times powers of ten within [low, high]; only powers where those are many.

    Where the range is so narrow that fewer than three of them fall into it, evenly spaced round values.

    Example:
        >>> log_ticks(1, 60)
        (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
        >>> log_ticks(2.1, 2.9)
        (2.2, 2.4, 2.6, 2.8)
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1,)):
        found = [_clean(factor * 10.0**power) for power in decades for factor in factors]
        inside = tuple(value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9))
        if len(inside) <= 6:
            break
    return inside if len(inside) >= 3 else nice_ticks(low, high)


def tick_text(value: float) -> str:
    """A tick's label: as few digits as tell it apart.

    Example:
        >>> tick_text(0.2), tick_text(200), tick_text(0.0005)
        ('0.2', '200', '0.0005')
    """
    text = f"{value:.6f}".rstrip("0").rstrip(".") if abs(value) < 1e6 else f"{value:.3g}"
    return text if text not in ("-0", "") else "0"


def _clean(value: float) -> float:
    """The value without the dust of binary fractions."""
    return float(f"{value:.12g}")
