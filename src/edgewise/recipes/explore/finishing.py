"""The end of a study: the front measured again and judged on test images, and the result written."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgewise._core.files import write_text
from edgewise.measure.host import provenance
from edgewise.measure.lock import untimed
from edgewise.recipes.explore.engine import Engine
from edgewise.recipes.explore.executor import Measurement
from edgewise.recipes.explore.folder import REPORT_FILE, StudyFolder
from edgewise.recipes.explore.point import Point
from edgewise.recipes.explore.result import ExploreResult, Row, contributions_of, front_rows, recommended_of, reference_of, volume_of
from edgewise.recipes.explore.study import Study
from edgewise.recipes.explore.threads import torch_threads
from edgewise.recipes.explore.trials import FAILED, Trial
from edgewise.recipes.runs import load_run
from edgewise.train.evaluate import accuracy

LEAK = 0.04
"""Validation accuracy above test accuracy from which the given network is taken to have seen the validation images."""
_MOST_ROUNDS = 3
"""Rounds of measuring the front again: a network that a new measurement lets onto the front is measured in the next."""


class Finish:
    """What comes last: the front measured again in one run, judged on the test part, and the result written.

    Args:
        study: What the study works with.
        engine: Its trials.
    """

    def __init__(self, study: Study, engine: Engine) -> None:
        self._study, self._engine, self._measuring_s, self._judging_s = study, engine, 0.0, 0.0
        self._rows = [_fresh(trial) for _, trial in sorted(engine.trials.items()) if trial.row is not None]

    def run(self) -> ExploreResult:
        """Writes the result and its page."""
        study = self._study
        baseline = self._measured_again()
        front = front_rows(self._rows)
        self._judge(front)
        value = self._value(front, baseline)
        study.folder.clear_all()
        study.folder.keep_result(value)
        _write_report(study.folder, value)
        return ExploreResult(value=value, folder=study.folder.path)

    def _measured_again(self) -> Measurement | None:
        """Brings the front's latencies in line: one interleaved run for all, until nothing new enters the front."""
        study = self._study
        known: dict[str, Measurement] = {}
        latest: Measurement | None = next((one.measurement for one in self._engine.trials.values() if one.measurement), None)
        for _ in range(_MOST_ROUNDS):
            new = [row for row in front_rows(self._rows) if row["key"] not in known and row["method"] != "given"]
            if not new or study.opened.simulated:
                break
            start_s = time.monotonic()
            measured = study.bench(study.folder.given, [study.folder.path / row["run"] for row in new])
            self._measuring_s += time.monotonic() - start_s
            for row, one in zip(new, measured, strict=True):
                known[row["key"]] = one
                row.update(_latencies(one))
            latest = measured[0]
            for row in self._rows:
                if row["method"] == "given" and row["ratio"] is not None:
                    row.update(latency_s=latest.baseline_latency_s, min_s=latest.baseline_min_s)
        return latest

    def _judge(self, front: Sequence[Row]) -> None:
        """Test accuracy of the front and of the given network, each looked at once in the whole study."""
        study = self._study
        for row in self._rows:
            trial = self._engine.trials[row["number"]]
            unchanged = trial.point.method == "given" and trial.point.epochs == 0
            if row["state"] == FAILED or (row not in front and not unchanged):
                continue
            if trial.accuracy is None:
                trial.accuracy = self._test_accuracy(study.folder.path / row["run"])
                study.folder.append({"event": "judged", "number": trial.number, "accuracy": trial.accuracy})
            row["accuracy"] = trial.accuracy

    def _test_accuracy(self, run: Path) -> float:
        start_s = time.monotonic()
        with torch_threads(self._study.opened.threads):
            found = accuracy(load_run(run).loaded.model, self._study.opened.data.test, gate=untimed)
        self._judging_s += time.monotonic() - start_s
        return found

    def _value(self, front: Sequence[Row], measured: Measurement | None) -> dict[str, Any]:
        study, rows = self._study, self._rows
        opened, device = study.opened, study.opened.request.device
        baseline = self._baseline(measured)
        reference = reference_of(baseline)
        seconds = study.clock.spent_s
        training_s = sum(row["training_s"] for row in rows)
        alone_s = study.plan.search_s + study.plan.sweep_s + self._judging_s
        measuring_s = sum(one.measuring_s for one in self._engine.trials.values()) + self._measuring_s + study.plan.profile_s
        return {
            "command": "explore",
            "model": opened.loaded.name,
            "device": device.device,
            "threads": device.threads,
            "batch": device.batch,
            "precision": device.precision,
            "kind": "simulated" if opened.simulated else "measured",
            "budget_s": opened.request.budget_s,
            "seconds": seconds,
            "training_s": training_s + alone_s,
            "measuring_s": measuring_s,
            "planning_s": study.plan.seconds - study.plan.profile_s - study.plan.search_s - study.plan.sweep_s,
            "engine_share": max(0.0, 1 - (training_s / study.executor.slots + alone_s + measuring_s) / seconds),
            "method_seconds": _by_method(rows, search_s=study.plan.search_s),
            "baseline": baseline,
            "trials": rows,
            "front": [row["key"] for row in front],
            "contributions": contributions_of(rows, front, reference),
            "hypervolume": volume_of(rows, reference),
            "reference": {"ratio": reference.ratio, "accuracy": reference.accuracy},
            "recommended": recommended_of(front),
            "warnings": [*self._warnings(), *seen_before(baseline)],
            "settings": opened.settings(),
            "provenance": provenance(seed=opened.request.seed),
        }

    def _baseline(self, measured: Measurement | None) -> dict[str, Any]:
        """The given network, its weights unchanged."""
        counted = self._study.networks.counted(Point())
        row = next((row for row in self._rows if row["method"] == "given" and row["epochs"] == 0), None)
        return {
            "latency_s": None if measured is None else measured.baseline_latency_s,
            "min_s": None if measured is None else measured.baseline_min_s,
            "macs": counted.macs,
            "params": counted.params,
            "accuracy": None if row is None else row["accuracy"],
            "accuracy_validation": None if row is None else row["accuracy_validation"],
            "energy_j": None if measured is None else measured.baseline_energy_j,
        }

    def _warnings(self) -> list[str]:
        failed = [row for row in self._rows if row["state"] == FAILED]
        found, tried = list(self._study.plan.notes), {row["key"] for row in self._rows}
        left = sum(point.key not in tried for point in self._study.plan.points)
        if left:
            found.append(
                f"{left} of the networks planned were not tried before the end; --resume with a larger --budget or --trials goes on"
            )
        found += [f"trial {row['number']} ({row['method']}) failed: {row['why']}" for row in failed]
        noisy = sum(bool(row["noisy"]) for row in self._rows)
        if noisy:
            found.append(f"the timings of {noisy} networks scatter; close what else runs on this machine")
        return found


def seen_before(baseline: Row) -> list[str]:
    """A warning where the given network knows the validation images; none where it does not.

    Args:
        baseline: Its accuracies.
    """
    validation, test = baseline["accuracy_validation"], baseline["accuracy"]
    if validation is None or test is None or validation - test <= LEAK:
        return []
    return [
        f"the given network is right on {validation:.1%} of the validation images and on {test:.1%} of the test images: it was probably "
        "trained on the former too, so that validation favours it over all that was trained here; compare test accuracies"
    ]


def _fresh(trial: Trial) -> Row:
    assert trial.row is not None
    return {**trial.row, "accuracy": trial.accuracy}


def _latencies(measured: Measurement) -> Row:
    return {
        "latency_s": measured.latency_s,
        "min_s": measured.min_s,
        "ratio": measured.ratio,
        "noisy": measured.noisy,
        "measured_on": measured.host,
    }


def _by_method(rows: Sequence[Row], *, search_s: float) -> dict[str, float]:
    found: dict[str, float] = {"searched": search_s} if search_s else {}
    for row in rows:
        found[row["method"]] = found.get(row["method"], 0.0) + row["seconds"]
    return found


def _write_report(folder: StudyFolder, value: dict[str, Any]) -> None:
    from edgewise.report.explore import render_explore

    write_text(folder.path / REPORT_FILE, render_explore({**value, "run": str(folder.path)}))
