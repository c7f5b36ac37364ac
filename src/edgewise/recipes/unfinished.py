"""What an unfinished fit keeps in its run folder, so that a killed one goes on to the same end.

The widths found depend on what was measured on the way, so they are written down, with the
measurements, as soon as they are known; going on takes them from there.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgewise._core.errors import PlanError, RunError
from edgewise._core.files import write_json
from edgewise.ir import WidthPlan
from edgewise.measure.sampling import Sample
from edgewise.recipes.fitting import Attempt
from edgewise.recipes.profile import Profiled
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.requests import LEARNING_RATE, FitRequest
from edgewise.trace import apply_plan
from edgewise.train.checkpoint import fingerprint

ATTEMPT_FILE = "attempt.json"
"""Widths found and figures measured, until the run is written."""
_FIELDS = ("widths", "predicted_s", "corrected_s", "target_s", "met", "objective", "corrections")


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What was kept of a fit whose network is not trained yet.

    Attributes:
        attempt: The widths and their measurements, as JSON values.
        profile: The profile, as JSON values.
        seconds: Time taken until then.
    """

    attempt: Mapping[str, Any]
    profile: Mapping[str, Any]
    seconds: float

    def rebuilt(self, profiled: Profiled) -> Attempt:
        """The attempt with its network, made anew from the plan.

        Raises:
            RunError: The plan or the figures are damaged.
        """
        value = self.attempt
        try:
            plan = WidthPlan.from_json(value["plan"])
            return Attempt(
                plan=plan,
                model=apply_plan(profiled.loaded.model, plan, profiled.traced),
                net=profiled.net.with_widths(plan.widths),
                baseline=Sample(times_s=tuple(value["baseline_s"])),
                sample=Sample(times_s=tuple(value["sample_s"])),
                solution=value["solution"],
                audit=tuple((str(name), float(predicted), float(measured)) for name, predicted, measured in value["audit"]),
                warnings=tuple(value["warnings"]),
                **{name: value[name] for name in _FIELDS},
            )
        except (KeyError, TypeError, ValueError, PlanError) as error:
            raise RunError(f"{ATTEMPT_FILE} of the unfinished run is damaged ({error}); delete the folder and start again") from error


def settings_of(request: FitRequest, loaded: LoadedModel) -> dict[str, Any]:
    """What makes a fit what it is, as JSON values; going on needs the same.

    Args:
        request: What was asked for.
        loaded: The model, whose tensors count however they were loaded.
    """
    device, data = request.device, request.data
    return {
        "model": loaded.source.label,
        "tensors": fingerprint(loaded.model)[:16],
        "input": list(loaded.input_shape),
        "latency": str(request.latency),
        "device": device.device,
        "threads": device.threads,
        "batch": device.batch,
        "precision": device.precision,
        "width floor": request.width_floor,
        "keep": list(request.keep),
        "only": list(request.only),
        "keep blocks": request.keep_blocks or None,
        "solver": request.solver,
        "objective": request.objective,
        "importance": request.importance,
        "params at least": request.params_at_least,
        "macs at most": request.macs_at_most,
        "data": None if data is None else json.loads(json.dumps(asdict(data))),
        "lr": None if request.lr == LEARNING_RATE else request.lr,
        "distill": request.distill,
        "seed": request.seed,
    }


def keep(folder: Path, attempt: Attempt, *, profile: Mapping[str, Any], settings: Mapping[str, Any], seconds: float) -> None:
    """Writes down what was found, whole or not at all.

    Args:
        folder: The run folder.
        attempt: The widths and their measurements.
        profile: The profile, as JSON values.
        settings: What :func:`settings_of` gave.
        seconds: Time taken so far.

    Raises:
        StorageError: The disk is full or not writable.
    """
    value = {
        "plan": attempt.plan.to_json(),
        "baseline_s": list(attempt.baseline.times_s),
        "sample_s": list(attempt.sample.times_s),
        "solution": dict(attempt.solution),
        "audit": [list(row) for row in attempt.audit],
        "warnings": list(attempt.warnings),
        **{name: getattr(attempt, name) for name in _FIELDS},
    }
    write_json(folder / ATTEMPT_FILE, {"settings": dict(settings), "attempt": value, "profile": dict(profile), "seconds": seconds})


def kept(folder: Path, settings: Mapping[str, Any]) -> Kept | None:
    """What an unfinished run kept, or none where it did not come that far.

    Raises:
        RunError: It is damaged, or was started with other settings; the text names them.
    """
    path = folder / ATTEMPT_FILE
    if not path.exists():
        return None
    try:
        value = json.loads(path.read_bytes())
        found = Kept(attempt=dict(value["attempt"]), profile=dict(value["profile"]), seconds=float(value["seconds"]))
        before = dict(value["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged ({' '.join(str(error).split())}); delete the folder and start again") from error
    check_same(folder, before, settings)
    return found


def check_same(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuses to go on with a run under other settings.

    Raises:
        RunError: They differ; the text says in what.
    """
    differing = [name for name in now if before.get(name) != now[name]]
    if differing:
        listed = ", ".join(f"{name} ({before.get(name)} there, {now[name]} now)" for name in differing)
        raise RunError(f"the run in {folder} was started with other settings: {listed}; use the same, or another --out")


def forget(folder: Path) -> None:
    """Removes what a finished run needs no longer."""
    (folder / ATTEMPT_FILE).unlink(missing_ok=True)
