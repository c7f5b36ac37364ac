"""Channel dimensions, written as sums of ties.

Every channel dimension of a network is ``fixed + sum(times * width(tie))``. A plain
convolution's output is one term. A concatenation has one term for each source. Flattening
7x7 positions into a linear layer multiplies ``times`` by 49. A residual stage whose
shortcut pads 16 channels with zeros to 32 is the term of the first stage plus the term of
the 16 channels that the second stage adds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from edgewise._core.errors import PlanError, SpecError


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Term:
    """``times`` copies of one tie's channels inside a channel dimension."""

    tie: str
    times: int = 1

    def __post_init__(self) -> None:
        """Checks the rule ``times >= 1``."""
        if self.times < 1:
            raise SpecError(f"`times` of a term must be at least 1, got {self.times} for tie {self.tie!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Dim:
    """A channel dimension: ``fixed`` channels plus those of its terms.

    Terms are sorted by tie, and no tie stands in two of them, so that equal dimensions
    compare equal.

    Example:
        >>> stage2 = Dim(terms=(Term(tie="stage1"), Term(tie="stage2")))
        >>> stage2.width({"stage1": 16, "stage2": 16})
        32
    """

    terms: tuple[Term, ...] = ()
    fixed: int = 0

    def __post_init__(self) -> None:
        """Checks the order and uniqueness of terms and ``fixed >= 0``."""
        ties = [term.tie for term in self.terms]
        if ties != sorted(set(ties)):
            raise SpecError(f"terms of a dimension must be sorted by tie, each tie once, got {ties}")
        if self.fixed < 0:
            raise SpecError(f"`fixed` channels must not be negative, got {self.fixed}")

    @property
    def ties(self) -> tuple[str, ...]:
        """Names of the ties it is made of."""
        return tuple(term.tie for term in self.terms)

    def times(self, tie: str) -> int:
        """How many channels of this dimension each unit of the tie's width stands for (0: none)."""
        return next((term.times for term in self.terms if term.tie == tie), 0)

    def width(self, widths: Mapping[str, int]) -> int:
        """The number of channels when every tie has the given width.

        Raises:
            PlanError: A tie of this dimension is missing from ``widths``.
        """
        missing = [term.tie for term in self.terms if term.tie not in widths]
        if missing:
            raise PlanError(f"`widths` must hold every tie of the dimension, missing {missing}")
        return self.fixed + sum(term.times * widths[term.tie] for term in self.terms)


NO_CHANNELS = Dim()
"""The dimension of what has no channels."""
