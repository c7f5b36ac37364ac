"""What an unfinished search keeps in its folder beside its checkpoints: prices and target, as they were measured."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgewise._core.errors import EdgewiseError, RunError
from edgewise._core.files import write_json
from edgewise.ir import ArchPlan
from edgewise.measure.sampling import Sample
from edgewise.recipes.searching.aiming import Hit
from edgewise.recipes.searching.opening import Opened
from edgewise.recipes.searching.refining import Refined
from edgewise.recipes.unfinished import check_same
from edgewise.space import Space
from edgewise.space.prices import Prices

PRICES_FILE = "prices.json"
SEARCH_FILE = "search.safetensors"
CHOSEN_FILE = "chosen.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptSearch:
    """What was kept.

    Attributes:
        constant_s: Of the prices.
        tables: Of the prices.
        kind: Of the prices.
        target_s: The target in seconds.
        reference_s: Latency of the reference.
        step_cost_ratio: As measured at the beginning.
    """

    constant_s: float
    tables: tuple[Any, ...]
    kind: str
    target_s: float
    reference_s: float
    step_cost_ratio: float

    def prices(self, space: Space) -> Prices:
        """The prices.

        Raises:
            RunError: They do not fit the space.
        """
        try:
            tables = tuple(np.array(table, float) for table in self.tables)
            return Prices(space=space, constant_s=self.constant_s, tables=tables, kind=self.kind)
        except (ValueError, TypeError, EdgewiseError) as error:
            raise RunError(f"{PRICES_FILE} of the unfinished run is damaged ({error}); delete the folder and start again") from error


def keep_search(folder: Path, opened: Opened, settings: Mapping[str, Any], *, target_s: float, step_ratio: float) -> None:
    """Writes down what a search began with.

    Raises:
        StorageError: The disk is full or not writable.
    """
    prices = opened.prices
    value = {
        "settings": dict(settings),
        "constant_s": prices.constant_s,
        "tables": [table.tolist() for table in prices.tables],
        "kind": prices.kind,
        "target_s": target_s,
        "reference_s": opened.reference_s,
        "step_cost_ratio": step_ratio,
    }
    write_json(folder / PRICES_FILE, value)


def kept_search(folder: Path, settings: Mapping[str, Any]) -> KeptSearch | None:
    """What an unfinished search began with; none where it did not come that far.

    Raises:
        RunError: It is damaged, or was started with other settings; the text names them.
    """
    path = folder / PRICES_FILE
    if not path.exists():
        return None
    try:
        value = json.loads(path.read_bytes())
        found = KeptSearch(
            constant_s=float(value["constant_s"]),
            tables=tuple(value["tables"]),
            kind=str(value["kind"]),
            target_s=float(value["target_s"]),
            reference_s=float(value["reference_s"]),
            step_cost_ratio=float(value["step_cost_ratio"]),
        )
        before = dict(value["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged ({' '.join(str(error).split())}); delete the folder and start again") from error
    check_same(folder, before, json.loads(json.dumps(settings)))
    return found


def keep_chosen(folder: Path, chosen: Sequence[Refined], comparison: Mapping[str, Any] | None = None) -> None:
    """Writes down the networks chosen: what was measured on the way decided on them, and is not the same twice.

    Raises:
        StorageError: The disk is full or not writable.
    """
    rows = [
        {
            "plan": one.hit.plan.to_json(),
            "predicted_s": one.hit.predicted_s,
            "target_s": one.hit.target_s,
            "sample_s": None if one.hit.sample is None else list(one.hit.sample.times_s),
            "reference_s": None if one.hit.reference is None else list(one.hit.reference.times_s),
            "tries": one.hit.tries,
            "score": one.score,
            "likeliest": one.likeliest,
            "judged": one.judged,
        }
        for one in chosen
    ]
    write_json(folder / CHOSEN_FILE, {"networks": rows, "compared": comparison})


def kept_chosen(folder: Path) -> tuple[tuple[Refined, ...], Mapping[str, Any] | None] | None:
    """The networks chosen before, and what they were compared with; none where it did not come that far.

    Raises:
        RunError: The file is damaged.
    """
    path = folder / CHOSEN_FILE
    if not path.exists():
        return None
    try:
        value = json.loads(path.read_bytes())
        return tuple(_chosen(row) for row in value["networks"]), value.get("compared")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged ({' '.join(str(error).split())}); delete the folder and start again") from error


def _chosen(row: Mapping[str, Any]) -> Refined:
    hit = Hit(
        plan=ArchPlan.from_json(row["plan"]),
        predicted_s=float(row["predicted_s"]),
        target_s=float(row["target_s"]),
        sample=_sample(row["sample_s"]),
        reference=_sample(row["reference_s"]),
        tries=int(row["tries"]),
    )
    return Refined(hit=hit, score=float(row["score"]), likeliest=float(row["likeliest"]), judged=int(row["judged"]))


def _sample(times_s: Sequence[float] | None) -> Sample | None:
    return None if times_s is None else Sample(times_s=tuple(times_s))


def forget_search(folder: Path) -> None:
    """Removes what a finished search needs no longer."""
    for name in (PRICES_FILE, SEARCH_FILE, CHOSEN_FILE):
        (folder / name).unlink(missing_ok=True)
