"""The learning rate over a run."""

import math

WARM_UP_SHARE = 0.2
"""Share of the steps in which the rate rises: less than the 0.3 of training from scratch, as fine-tuning starts near a minimum."""
START_SHARE = 0.1
"""First rate as a share of the largest."""
END_SHARE = 1e-3
"""Last rate as a share of the largest."""


def one_cycle(step: int, n_steps: int, *, max_lr: float) -> float:
    """Learning rate of a step: it rises from a tenth to ``max_lr`` over a fifth of the steps, then falls to a thousandth.

    Rise and fall are half cosines (Smith and Topin 2017, one cycle).

    A pure function of the step, so a resumed run needs no scheduler state.

    Args:
        step: The step, in [0, n_steps).
        n_steps: Steps of the whole run; positive.
        max_lr: Largest rate.

    Returns:
        The rate, in (0, max_lr].

    Example:
        >>> [round(one_cycle(step, 11, max_lr=1.0), 3) for step in (0, 2, 6, 10)]
        [0.1, 1.0, 0.5, 0.001]
    """
    last = max(1, n_steps - 1)
    peak = WARM_UP_SHARE * last
    if step < peak:
        return max_lr * _cosine(START_SHARE, 1.0, step / peak)
    return max_lr * _cosine(1.0, END_SHARE, (step - peak) / (last - peak))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
