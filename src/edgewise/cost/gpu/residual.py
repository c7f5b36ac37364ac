"""A small learned correction of the analytic form: boosted oblivious trees.

An oblivious tree asks the same question at every node of a level, so that a tree of depth
``d`` is ``d`` pairs of feature and threshold and ``2^d`` values; predicting is a few array
operations, and the whole model a few kilobytes of numbers.

=========  ==========================================  ======
symbol     meaning                                     unit
=========  ==========================================  ======
``n``      rows                                        1
``f``      features                                    1
``t``      trees                                       1
``d``      depth                                       1
=========  ==========================================  ======
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from edgewise._core.errors import SpecError

_BINS = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Boosting:
    """How the trees are grown.

    Attributes:
        trees: Number of trees.
        depth: Questions of one tree.
        rate: Share of each tree's correction that is applied.
        rows: Share of the rows drawn for each tree.
        columns: Share of the features drawn for each tree.
        smoothing: Rows that a leaf must hold for half of its correction to be believed.
    """

    trees: int = 160
    depth: int = 5
    rate: float = 0.06
    rows: float = 0.7
    columns: float = 0.5
    smoothing: float = 12.0


@dataclass(frozen=True, kw_only=True)
class Trees:
    """A sum of oblivious trees.

    Attributes:
        features: Feature of each question.
        thresholds: A row answers 1 where its feature exceeds this.
        values: Contribution of each leaf; the first question is the highest bit of its index.
    """

    features: Int[np.ndarray, "t d"]
    thresholds: Float[np.ndarray, "t d"]
    values: Float[np.ndarray, "t leaves"]

    def predict(self, rows: Float[np.ndarray, "n f"]) -> Float[np.ndarray, " n"]:
        """The sum of the trees for each row."""
        return np.asarray(self._leaf_values(rows).sum(axis=1))

    def _leaf_values(self, rows: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n t"]:
        answers = rows[:, self.features] > self.thresholds
        powers = 2 ** np.arange(self.features.shape[1])[::-1]
        return self.values[np.arange(len(self.values)), answers @ powers]

    def to_json(self) -> dict[str, Any]:
        """The trees as JSON values."""
        return {
            "features": self.features.tolist(),
            "thresholds": np.round(self.thresholds, 4).tolist(),
            "values": np.round(self.values, 4).tolist(),
        }


def trees_from_json(value: Mapping[str, Any]) -> Trees:
    """The trees that :meth:`Trees.to_json` wrote.

    Raises:
        SpecError: The arrays do not fit each other.
    """
    features, thresholds = np.array(value["features"], dtype=np.int64), np.array(value["thresholds"], dtype=float)
    values = np.array(value["values"], dtype=float)
    if features.ndim != 2 or features.shape != thresholds.shape or values.shape != (len(features), 2 ** features.shape[1]):
        raise SpecError(f"trees need features and thresholds alike and 2^depth values, got {features.shape}, {values.shape}")
    return Trees(features=features, thresholds=thresholds, values=values)


def grow_trees(
    rows: Float[np.ndarray, "n f"], logs: Float[np.ndarray, " n"], *, rng: np.random.Generator, boosting: Boosting | None = None
) -> Trees:
    """Trees whose sum ``s`` makes ``|exp(s - log) - 1|`` small on average: relative error, not squared error.

    Args:
        rows: Features.
        logs: Log of measured over analytic latency.
        rng: Draws rows and features.
        boosting: How they are grown.
    """
    how = boosting or Boosting()
    edges = [np.unique(np.quantile(rows[:, column], np.linspace(0, 1, _BINS + 1)[1:-1])) for column in range(rows.shape[1])]
    binned = np.stack([np.searchsorted(edge, rows[:, column], side="left") for column, edge in enumerate(edges)], axis=1)
    sums = np.zeros(len(rows))
    features, thresholds, values = [], [], []
    for _ in range(how.trees):
        drawn = np.flatnonzero(rng.random(len(rows)) < how.rows)
        columns = np.sort(rng.choice(rows.shape[1], max(1, round(how.columns * rows.shape[1])), replace=False))
        weights = np.exp(sums - logs)
        chosen = _questions(binned[drawn], (np.sign(logs - sums) * weights)[drawn], weights[drawn], columns=columns, depth=how.depth)
        leaf = _leaves(binned, chosen)
        found = _leaf_medians(leaf[drawn], (logs - sums)[drawn], weights[drawn], count=2**how.depth, smoothing=how.smoothing) * how.rate
        sums += found[leaf]
        features.append([column for column, _ in chosen])
        thresholds.append([edges[column][cut] if cut < len(edges[column]) else np.inf for column, cut in chosen])
        values.append(found)
    return Trees(
        features=np.array(features), thresholds=np.nan_to_num(np.array(thresholds, float), posinf=1e30), values=np.array(values, float)
    )


def _questions(
    binned: Int[np.ndarray, "n f"],
    gradients: Float[np.ndarray, " n"],
    weights: Float[np.ndarray, " n"],
    *,
    columns: Int[np.ndarray, " c"],
    depth: int,
) -> list[tuple[int, int]]:
    """The question of each level: the one that splits the gradients best over all nodes of the level."""
    leaf = np.zeros(len(binned), np.int64)
    chosen: list[tuple[int, int]] = []
    sub = binned[:, columns]
    for level in range(depth):
        nodes = 2**level
        flat = ((leaf[:, None] * len(columns) + np.arange(len(columns))) * _BINS + sub).ravel()
        size = nodes * len(columns) * _BINS
        shape = (nodes, len(columns), _BINS)
        slope = np.bincount(flat, np.repeat(gradients, len(columns)), size).reshape(shape).cumsum(axis=2)
        mass = np.bincount(flat, np.repeat(weights, len(columns)), size).reshape(shape).cumsum(axis=2)
        gain = slope**2 / (mass + 1.0) + (slope[:, :, -1:] - slope) ** 2 / (mass[:, :, -1:] - mass + 1.0)
        best = int(gain.sum(axis=0)[:, :-1].argmax())
        column, cut = divmod(best, _BINS - 1)
        chosen.append((int(columns[column]), cut))
        leaf = leaf * 2 + (sub[:, column] > cut)
    return chosen


def _leaves(binned: Int[np.ndarray, "n f"], chosen: list[tuple[int, int]]) -> Int[np.ndarray, " n"]:
    leaf = np.zeros(len(binned), np.int64)
    for column, cut in chosen:
        leaf = leaf * 2 + (binned[:, column] > cut)
    return leaf


def _leaf_medians(
    leaf: Int[np.ndarray, " n"], left: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"], *, count: int, smoothing: float
) -> Float[np.ndarray, " leaves"]:
    """Weighted median of what is left in each leaf, drawn towards 0 where a leaf holds few rows."""
    values = np.zeros(count)
    for place in range(count):
        inside = np.flatnonzero(leaf == place)
        if len(inside):
            order = inside[np.argsort(left[inside])]
            mass = np.cumsum(weights[order])
            median = left[order[int(np.searchsorted(mass, mass[-1] / 2))]]
            values[place] = median * len(inside) / (len(inside) + smoothing)
    return values
