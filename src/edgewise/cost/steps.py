"""Finding the step of a latency staircase with a handful of timings.

A sweep is not needed. Where latency steps every ``S`` channels, one channel past an edge
costs a whole step and the next ``S - 1`` channels are free. So a few widths around one
edge decide: the jump behind the edge against the rise over the tread that follows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

STEPS = (16, 8, 4, 32, 64)
"""Steps tried, the commonest first."""
_LEAST_JUMP = 0.02
_RISE_PER_JUMP = 0.5

TimeWidths = Callable[[Sequence[int]], Sequence[float]]
"""Times a layer at several widths; returns seconds in the same order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A step found.

    Attributes:
        channels: Width of a tread; 1 where latency is smooth.
        edge: Right edge at which it was found; edges lie at ``edge + k * channels``.
        jump: Share of the latency at the edge that one more channel costs.
        widths: Widths timed to find it, ascending.
    """

    channels: int
    edge: int
    jump: float
    widths: tuple[int, ...]


def find_step(time_widths: TimeWidths, *, near: int, grain: int = 1, first: int | None = None) -> Step:
    """The step of the staircase around a width.

    Tries each step ``S`` of :data:`STEPS`: with ``e`` a multiple of 64 (or of 16 where widths
    are small), ``S`` holds if the jump ``L(e + grain) - L(e)`` exceeds twice the rise ``L(e + S) -
    L(e + grain)`` and 2 % of ``L(e)``. A larger step replaces a smaller one only if no such jump
    stands at the smaller one's edge.

    Args:
        time_widths: Times the layer at widths that are multiples of ``grain``.
        near: Where in width to look; the relative jump is larger at small widths.
        grain: Widths between which the runtime does not change kernels (4 where only multiples of 4 use the fast one).
        first: A step to try first, from a similar layer.

    Returns:
        The step, with the widths that were timed; 1 channel where nothing holds.

    Example:
        >>> stairs = lambda widths: [1e-6 * -(-width // 16) for width in widths]
        >>> find_step(stairs, near=64).channels
        16
        >>> find_step(lambda widths: [1e-8 * width for width in widths], near=64).channels
        1
    """
    known: dict[int, float] = {}

    def latency_s(*widths: int) -> list[float]:
        missing = [width for width in dict.fromkeys(widths) if width not in known]
        if missing:
            known.update(zip(missing, time_widths(missing), strict=True))
        return [known[width] for width in widths]

    edge = max(64 * round(near / 64), 64) if near >= 48 else max(16 * round(near / 16), 16)
    order = [step for step in dict.fromkeys((first, *STEPS)) if step and step > grain and edge % min(step, 64) == 0]
    found, jump = 1, 0.0
    for step in order:
        if step < found:
            continue
        at_edge, behind, tread_end = latency_s(edge, edge + grain, edge + step)
        height = behind - at_edge
        if height < _LEAST_JUMP * at_edge:
            break
        holds = tread_end - behind <= _RISE_PER_JUMP * height
        if holds and found > 1:
            inner, behind_inner = latency_s(edge + found, edge + found + grain)
            holds = behind_inner - inner <= _RISE_PER_JUMP * height
        if holds:
            found, jump = step, height / at_edge
    return Step(channels=found, edge=edge, jump=jump, widths=tuple(sorted(known)))
