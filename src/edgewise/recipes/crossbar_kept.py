"""What an unfinished ``crossbar`` keeps in its run folder: the chips judged so far, and the network tuned under noise."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from edgewise._core.errors import RunError
from edgewise._core.files import write_json
from edgewise.models.weights import load_weights, save_weights
from edgewise.recipes.crossbar_request import CrossbarRequest
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.unfinished import check_same
from edgewise.train.checkpoint import fingerprint

CHIPS_FILE = "chips.json"
"""Accuracy of every chip judged, until the run is written."""
TUNED_FILE = "tuned.safetensors"
"""The network tuned under noise, until the run is written."""


def settings_of(request: CrossbarRequest, loaded: LoadedModel) -> dict[str, Any]:
    """What makes a run what it is, as JSON values; going on needs the same.

    Args:
        request: What was asked for.
        loaded: The model, whose tensors count however they were loaded.
    """
    parts = {name: json.loads(json.dumps(asdict(getattr(request, name)))) for name in ("pruning", "layout", "analog")}
    return {
        "model": loaded.source.label,
        "tensors": fingerprint(loaded.model)[:16],
        "input": list(loaded.input_shape),
        "chip": request.chip,
        "accounting": request.accounting,
        **{f"{part} {name}": value for part, values in parts.items() for name, value in values.items()},
        "data": None if request.data is None else json.loads(json.dumps(asdict(request.data))),
        "seed": request.seed,
    }


class KeptChips:
    """Accuracies by stage and chip, written down one by one as they come.

    Args:
        folder: The run folder; none keeps nothing on disk.
        settings: What :func:`settings_of` gave.
        resume: Take over what an earlier, killed run left there.

    Raises:
        RunError: What is there is damaged, or was found under other settings.
    """

    def __init__(self, folder: Path | None, settings: dict[str, Any], *, resume: bool) -> None:
        self._folder, self._settings = folder, settings
        self._found: dict[str, list[float]] = {}
        if resume and folder is not None and (folder / CHIPS_FILE).exists():
            self._found = self._read(folder / CHIPS_FILE)

    @property
    def count(self) -> int:
        """Chips judged."""
        return sum(len(chips) for chips in self._found.values())

    def of(self, stage: str) -> tuple[float, ...]:
        """Accuracies of a stage's first chips, in [0, 1]."""
        return tuple(self._found.get(stage, ()))

    def add(self, stage: str, accuracy: float) -> None:
        """Writes down the next chip of a stage.

        Raises:
            StorageError: The disk is full or not writable.
        """
        self._found.setdefault(stage, []).append(accuracy)
        if self._folder is not None:
            write_json(self._folder / CHIPS_FILE, {"settings": self._settings, "chips": self._found})

    def keep_tuned(self, model: nn.Module) -> None:
        """Writes down the network tuned under noise.

        Raises:
            StorageError: The disk is full or not writable.
        """
        if self._folder is not None:
            save_weights(model, self._folder / TUNED_FILE)

    def load_tuned(self, model: nn.Module) -> bool:
        """Loads the tuned network into ``model`` if it was written down by a run with these settings.

        Raises:
            WeightsError: The file is damaged.
        """
        if self._folder is None or not self._found or not (self._folder / TUNED_FILE).exists():
            return False
        load_weights(model, self._folder / TUNED_FILE)
        return True

    def forget(self) -> None:
        """Removes what a finished run needs no longer."""
        if self._folder is not None:
            (self._folder / CHIPS_FILE).unlink(missing_ok=True)
            (self._folder / TUNED_FILE).unlink(missing_ok=True)

    def _read(self, path: Path) -> dict[str, list[float]]:
        try:
            value = json.loads(path.read_bytes())
            before = dict(value["settings"])
            found = {str(stage): [float(one) for one in chips] for stage, chips in value["chips"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{path} is damaged ({' '.join(str(error).split())}); delete the folder and start again") from error
        check_same(path.parent, before, self._settings)
        return found
