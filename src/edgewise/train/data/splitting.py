"""Cutting labelled images into two parts that hold the same share of every class."""

import numpy as np
from jaxtyping import Int

from edgewise._core.errors import DataError


def stratified_split(
    labels: Int[np.ndarray, " n"], share: float, *, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " kept"], Int[np.ndarray, " held"]]:
    """Positions of ``labels`` cut into a kept and a held-out part, class by class.

    Of a class with ``n`` members ``round(share * n)`` are held out, drawn at random, but at
    least one and at most ``n - 1``; so both parts hold every class.

    Args:
        labels: Class of each image.
        share: Share to hold out, in (0, 1).
        rng: Draws who is held out.

    Returns:
        Positions kept and positions held out, each ascending; together all positions once.

    Raises:
        DataError: A class has a single member.

    Example:
        >>> kept, held = stratified_split(np.array([0, 0, 0, 0, 1, 1]), 0.25, rng=np.random.default_rng(0))
        >>> len(kept), sorted(np.array([0, 0, 0, 0, 1, 1])[held].tolist())
        (4, [0, 1])
    """
    held: list[np.ndarray] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise DataError(
                f"every class needs at least 2 training images, so that one can validate, got 1 of class {label}; add images or a val/ part"
            )
        n_held = min(max(1, round(share * len(members))), len(members) - 1)
        held.append(rng.permutation(members)[:n_held])
    held_out = np.sort(np.concatenate(held)) if held else np.zeros(0, dtype=np.int64)
    return np.setdiff1d(np.arange(len(labels)), held_out), held_out
