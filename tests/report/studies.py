"""A study as `explore` writes it. All figures here are synthetic."""

import random
from typing import Any

from edgewise.report.charts.scatter import Point, pareto_front

BASE_S, BASE_MIN_S, BASE_ACCURACY = 2.31e-3, 2.26e-3, 0.9214
METHODS = ("widths", "dynamic", "widths+dynamic", "searched", "searched+dynamic")


def trial(number: int, method: str, ratio: float | None, accuracy: float | None, **changes: Any) -> dict[str, Any]:
    """One trial with every key of `result.json`; what is not known is null."""
    key = f"{number * 2654435761 % 2**32:08x}"
    dynamic = "dynamic" in method
    known = ratio is not None
    value = {
        "key": key,
        "number": number,
        "method": method,
        "origin": "solver" if number < 24 else "sampler",
        "state": "complete",
        "why": None,
        "rung": 2,
        "epochs": 3,
        "accuracy": None,
        "accuracy_validation": accuracy,
        "latency_s": BASE_S * ratio * 1.01 if known else None,
        "min_s": BASE_MIN_S * ratio if known else None,
        "ratio": ratio,
        "kind": "measured",
        "runtime": "openvino-cpu" if dynamic else "onnxruntime-cpu",
        "predicted_s": BASE_S * ratio * 0.97 if known else None,
        "macs": round(41e6 * (ratio or 1) ** 0.8),
        "macs_executed": round(41e6 * (ratio or 1)) if dynamic else round(41e6 * (ratio or 1) ** 0.8),
        "params": round(272_000 * (ratio or 1) ** 0.6),
        "energy_j": None,
        "channel_ratios": [0.1 * (block % 5) for block in range(9)] if dynamic else None,
        "spatial_ratios": [0.0, 0.3, 0.0, 0.2, 0.3, 0.4, 0.4, 0.4, 0.5] if dynamic else None,
        "widths": {f"layer{1 + tie // 3}.{tie % 3}.conv1": 16 + 4 * tie for tie in range(9)} if "widths" in method else None,
        "run": f"trials/{number:04d}-{key}",
        "host": "cpu-box",
        "seconds": 187.0,
    }
    return {**value, **changes}


def study(*, n_trials: int = 52, seed: int = 0, energy: bool = False) -> dict[str, Any]:
    """A study of ResNet-20: all methods, states and kinds, absent fields, a point far below the others."""
    rng = random.Random(seed)
    trials = [trial(1, "given", 1.0, BASE_ACCURACY, channel_ratios=None)]
    for number in range(2, n_trials - 3):
        method = METHODS[(number - 2) % 5]
        ratio = rng.uniform(0.4, 1.02)
        gain = {"widths": 0.0, "dynamic": -0.004, "widths+dynamic": 0.006, "searched": 0.002, "searched+dynamic": 0.001}[method]
        accuracy = BASE_ACCURACY + gain - 0.055 * (1.02 - ratio) ** 1.5 * 2 - abs(rng.gauss(0, 0.007))
        stopped = number % 4 == 3
        kind = "predicted" if number % 17 == 0 else "simulated" if number % 13 == 0 else "quoted" if number % 19 == 0 else "measured"
        why = "18th of 24 at rung 1: 3 others were more accurate and faster" if stopped else None
        state = {"state": "stopped", "why": why, "epochs": 0.75, "rung": 0} if stopped else {}
        trials.append(trial(number, method, ratio, accuracy - 0.02 * stopped, kind=kind, **state))
    last = n_trials - 3
    trials += [
        trial(last, "dynamic", 0.45, 0.61, state="stopped", why="19th of 24 at rung 0: far below the others", epochs=0.75),
        trial(
            last + 1,
            "widths",
            None,
            None,
            state="failed",
            why="its loss was not finite",
            run=None,
            kind=None,
            rung=-1,
        ),
        trial(last + 2, "widths+dynamic", 0.52, 0.74, state="stopped", why="at rung 0: beaten by 12 of 14", epochs=0.75, host=None),
        trial(
            last + 3,
            "searched",
            0.93,
            None,
            state="failed",
            why="killed for memory",
            accuracy_validation=None,
            macs=None,
            macs_executed=None,
        ),
    ]
    if energy:
        trials = [{**one, "energy_j": 4e-4 * one["ratio"] if one["ratio"] else None} for one in trials]
    complete = [one for one in trials if one["state"] == "complete" and one["kind"] == "measured"]
    points = [Point(name=one["key"], latency_s=one["ratio"], value=one["accuracy_validation"]) for one in complete]
    front = [point.name for point in pareto_front(points)]
    for one in trials:
        if one["key"] in front:
            one["accuracy"] = one["accuracy_validation"] - 0.004
    middle = front[len(front) // 2]
    return {**_head(energy=energy), "trials": trials, "front": front, **_sums(trials, front), "recommended": {"key": middle, "why": _WHY}}


_WHY = "the fastest point that loses at most 1 point of validation accuracy"


def _head(*, energy: bool) -> dict[str, Any]:
    return {
        "command": "explore",
        "run": "runs/explore-resnet20",
        "model": "resnet20",
        "device": "onnxruntime-cpu",
        "threads": 1,
        "batch": 1,
        "precision": "fp32",
        "kind": "measured",
        "budget_s": 7200.0,
        "seconds": 7081.0,
        "training_s": 6310.0,
        "measuring_s": 402.0,
        "planning_s": 188.0,
        "engine_share": 0.052,
        "method_seconds": {"widths": 1802.0, "dynamic": 1610.0, "widths+dynamic": 2210.0},
        "baseline": {
            "latency_s": BASE_S,
            "min_s": BASE_MIN_S,
            "macs": 40_810_000,
            "params": 272_474,
            "accuracy": 0.9182,
            "accuracy_validation": BASE_ACCURACY,
            "energy_j": 4e-4 if energy else None,
        },
        "warnings": ["Two points run in OpenVINO with our kernels, not in the runtime asked for: only there they are fast."],
        "settings": {
            "sampler": "nsga2",
            "latencies": ["0.9x", "0.8x", "0.7x", "0.6x", "0.5x"],
            "epochs": 3,
        },
        "provenance": {
            "command": "edgewise explore resnet20 --device onnxruntime-cpu --data imagefolder:cifar10.zip --budget 2h",
            "host": {"cpu": "Example CPU (synthetic)", "cores": 2},
            "versions": {"edgewise": "0.1.0", "optuna": "4.5.0"},
        },
    }


def _sums(trials: list[dict[str, Any]], front: list[str]) -> dict[str, Any]:
    found = {}
    for method in ("given", *METHODS):
        own = [one for one in trials if one["method"] == method]
        best = sum(one["key"] in front for one in own)
        found[method] = {
            "tried": len(own),
            "complete": sum(one["state"] == "complete" for one in own),
            "on_front": best,
            "hypervolume": 0.061 + 0.004 * best,
            "hypervolume_without": 0.0834 - 0.0031 * best,
        }
    return {"contributions": found, "hypervolume": 0.0834, "reference": {"ratio": 1.1, "accuracy": 0.8}}
