"""Fitted networks of modules that no file can build: weights and plan, read again by the original's code."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from edgewise._core.errors import PlanError, RunError
from edgewise._core.files import write_json
from edgewise.ir import WidthPlan
from edgewise.models.weights import load_weights, save_weights
from edgewise.recipes.records import LoadedModel
from edgewise.trace import apply_plan, trace

_WEIGHTS_FILE = "model.safetensors"
_PLAN_FILE = "plan.json"


def save_fitted(folder: Path, model: nn.Module, plan: WidthPlan, *, figures: Mapping[str, Any]) -> None:
    """Writes weights, plan and figures.

    Raises:
        StorageError: The disk is full or not writable.
    """
    save_weights(model, folder / _WEIGHTS_FILE)
    write_json(folder / _PLAN_FILE, {"plan": plan.to_json(), "figures": dict(figures)})


def load_saved(original: LoadedModel, folder: Path) -> LoadedModel:
    """The network that :func:`save_fitted` kept, made from the original's code.

    Args:
        original: The original network, with any weights; it is not changed.
        folder: Where the result was saved.

    Raises:
        RunError: The folder lacks a file, or its plan does not fit this network.
        WeightsError: The weights do not fit.
    """
    path = folder / _PLAN_FILE
    try:
        plan = WidthPlan.from_json(json.loads(path.read_bytes())["plan"])
        fitted = apply_plan(original.model, plan, trace(original.model, original.inputs(), name=original.name))
    except FileNotFoundError:
        raise RunError(f"no {path}; give the folder that a fitted module was saved to") from None
    except (OSError, ValueError, KeyError, TypeError, PlanError) as error:
        raise RunError(f"{path} is damaged, or not of this network: {' '.join(str(error).split())}") from error
    load_weights(fitted, folder / _WEIGHTS_FILE)
    return replace(original, model=fitted.eval(), record=original.record.followed_by(plan, trained=True))
