"""What widths are worth: the objective of a fit."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from edgewise.ir import NetSpec
from edgewise.widths.tables import Worth

GROWTH_WORTH = 0.1
"""Share of what a channel counts that a new one does: it computes nothing yet."""


def importance_worth(net: NetSpec, scores: Mapping[str, Float[np.ndarray, " units"]]) -> Worth:
    """Worth of a tie by the importance of the channels it keeps.

    With ``s`` the share of the tie's importance in its ``n`` best channels, the worth is
    ``k * (1 - (1 - s)^2)``: the loss of removing channels grows with the square of what is
    removed, as the second-order term of a trained network's loss does (LeCun, Denker and Solla
    1990). ``k`` is the number of layers that write the tie. A channel that is added is worth a
    tenth of an average one: it computes nothing yet.

    Args:
        net: The network.
        scores: Importance of each unit of each tie, not negative.
    """
    kept = {name: _kept_shares(values) for name, values in scores.items()}
    weight = {tie.name: max(len(tie.writers), 1) for tie in net.ties}

    def worth(tie: str, width: int) -> float:
        shares = kept[tie]
        full = len(shares)
        share = float(shares[min(width, full) - 1])
        grown = GROWTH_WORTH * np.log(width / full) if width > full else 0.0
        return float(weight[tie] * (1.0 - (1.0 - share) ** 2 + grown))

    return worth


def _kept_shares(values: Float[np.ndarray, " units"]) -> Float[np.ndarray, " units"]:
    """Share of all importance in the best 1, 2, ... units; even where nothing is important."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))[::-1]
    total = ordered.sum()
    if not total > 0:
        return np.arange(1, len(ordered) + 1) / len(ordered)
    shares: Float[np.ndarray, " units"] = np.cumsum(ordered) / total
    return shares
