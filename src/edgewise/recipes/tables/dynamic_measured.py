"""What benchmarks/dynamic_*.py measured, as the tables show it; the file beside this one is written by benchmarks/dynamic_tables.py."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

FILE = "dynamic_measured.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracies:
    """Test accuracies of one network on CIFAR-10, as shares.

    Attributes:
        start: Of the given weights.
        unpruned: Trained on without pruning.
        pruned: Trained on as long with the masks on.
        described: How.
    """

    start: float
    unpruned: float
    pruned: float
    described: str


def measured() -> Mapping[str, Any]:
    """All that was measured; empty parts where a benchmark was not run."""
    found = json.loads((resources.files("edgewise.recipes.tables") / FILE).read_text(encoding="utf-8"))
    return dict(found)


def measured_accuracy(network: str) -> Accuracies | None:
    """Accuracies of a network; none where it was not trained both ways."""
    known = measured().get("accuracy", {}).get(network)
    return None if known is None else Accuracies(**known)
