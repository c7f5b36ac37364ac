"""What a search reports, as JSON values."""

import json
from dataclasses import asdict
from typing import Any

from edgewise.recipes.search_request import SearchRequest
from edgewise.recipes.searching.aiming import Hit
from edgewise.recipes.searching.opening import Opened
from edgewise.singlepath.search import SearchOutcome
from edgewise.space import Space, counts_of


def settings_of(request: SearchRequest, space: Space) -> dict[str, Any]:
    """What makes a search what it is, as JSON values; going on needs the same."""
    device = request.device
    return {
        "space": space.to_json(),
        "latency": str(request.latency),
        "front": [str(target) for target in request.front],
        "device": device.device,
        "threads": device.threads,
        "batch": device.batch,
        "precision": device.precision,
        "reference": request.reference,
        "data": json.loads(json.dumps(asdict(request.data))) if request.data else None,
        "course": asdict(request.course),
        "refine": request.refine,
        "compare": request.compare,
        "inherit": request.inherit,
        "batch size": request.batch_size,
        "seed": request.seed,
    }


def headline(request: SearchRequest, opened: Opened, hit: Hit, outcome: SearchOutcome) -> dict[str, Any]:
    """The network found, and how it meets its target."""
    counts = counts_of(opened.space, hit.plan)
    return {
        "model": f"space:{opened.space.name}",
        "space": opened.space.to_json(),
        "n_architectures": opened.space.n_architectures,
        "reference": request.reference or "the space's largest network",
        "device": request.device.device,
        "threads": request.device.threads,
        "batch": request.device.batch,
        "precision": request.device.precision,
        "kind": "measured" if hit.sample is not None else opened.prices.kind,
        "target": str(request.latency),
        "target_s": hit.target_s,
        "predicted_s": hit.predicted_s,
        "measured_s": None if hit.sample is None else hit.sample.min_s,
        "range_s": list(opened.prices.range_s),
        "miss": hit.miss,
        "met": hit.met,
        "tries": hit.tries,
        "architecture": [choice.to_json() for choice in hit.plan.blocks],
        "decided": list(outcome.decided.labels),
        "macs": counts.macs,
        "params": counts.params,
        "search_epochs": request.course.epochs,
        "search_seconds": outcome.seconds,
        "history": [asdict(record) for record in outcome.history],
    }


def with_figures(value: dict[str, Any], opened: Opened, hit: Hit) -> dict[str, Any]:
    """Adds the two networks as every run's result has them, so that runs compare."""
    reference, sample = hit.reference, hit.sample
    value["baseline"] = {
        "latency_s": opened.reference_s if reference is None else reference.latency_s,
        "min_s": opened.reference_s if reference is None else reference.min_s,
        "kind": value["kind"],
    }
    value["result"] = {
        "latency_s": hit.predicted_s if sample is None else sample.latency_s,
        "min_s": hit.latency_s,
        "macs": value["macs"],
        "params": value["params"],
        "accuracy": value["accuracy"],
        "accuracy_validation": value["accuracy_validation"],
        "predicted_s": hit.predicted_s,
        "kind": value["kind"],
    }
    return value


def front_row(hit: Hit, opened: Opened, inherited: float) -> dict[str, Any]:
    """A network for one of the targets, with its accuracy under the supernet's weights."""
    counts = counts_of(opened.space, hit.plan)
    return {
        "target_s": hit.target_s,
        "predicted_s": hit.predicted_s,
        "measured_s": None if hit.sample is None else hit.sample.min_s,
        "miss": hit.miss,
        "accuracy_inherited": inherited,
        "macs": counts.macs,
        "params": counts.params,
        "architecture": list(hit.plan.labels),
    }
