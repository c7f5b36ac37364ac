"""Accuracy of a network on a crossbar chip, dense or pruned, against noise."""

import copy
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import nn

from edgewise._core.progress import Progress
from edgewise.cost.chip.mapping import MappingRules
from edgewise.cost.chip.masks import Masks, often_kept_first
from edgewise.cost.chip.records import Chip
from edgewise.crossbar import AnalogSettings, CellNoise, Deployed, deploy
from edgewise.crossbar.monte_carlo import ChipAccuracy, accuracy_on_chip
from edgewise.crossbar.tuning import TuneSettings, tune
from edgewise.dynamic import GateRules, gated
from edgewise.ir.gates import GatePlan
from edgewise.recipes.crossbar_kept import KeptChips
from edgewise.recipes.crossbar_request import CrossbarRequest
from edgewise.recipes.records import LoadedModel
from edgewise.train.data import Dataset
from edgewise.train.evaluate import accuracy

CALIBRATION_IMAGES = 128
"""Validation images that the ranges of inputs are learnt from."""
TUNING_BATCH = 64
"""Training images in a step of tuning."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pruning:
    """What is pruned of a network.

    Attributes:
        plan: Gates and their ratios.
        rules: How masks are chosen.
        masks: What each gate kept.
    """

    plan: GatePlan
    rules: GateRules
    masks: Masks


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Judged:
    """What is known of a network's accuracy on a chip.

    Attributes:
        value: JSON values: ``accuracy`` at the last noise, ``accuracy_by_noise``, and ``tuned`` where the network was
            trained under noise. Accuracies are none for a network that was never trained.
        tuned: The network trained under noise, if it was.
    """

    value: Mapping[str, Any]
    tuned: nn.Module | None = None


class Judge:
    """Judges one network in exact arithmetic and on chips.

    Args:
        request: What was asked for.
        loaded: The network.
        chip: The chip.
        pruning: What is pruned of it.
        data: Images.
        kept: Chips judged before, and where the next ones are written down.
    """

    def __init__(
        self, request: CrossbarRequest, loaded: LoadedModel, *, chip: Chip, pruning: Pruning, data: Dataset, kept: KeptChips
    ) -> None:
        self._request, self._loaded, self._chip, self._data, self._kept = request, loaded, chip, data, kept
        self._around = _around(request, pruning)
        self._test = list(data.test.first(request.analog.images))

    def run(self, progress: Progress) -> Judged:
        """Accuracy at every noise asked for, and after tuning.

        Args:
            progress: Is told of every chip and step.
        """
        analog = self._request.analog
        if not self._loaded.trained and not analog.noise_aware:
            progress.note("the network was never trained, so that its accuracy would only mislead: give --weights or a run folder")
            return Judged(value={"accuracy": None, "accuracy_by_noise": []})
        if self._kept.count:
            progress.note(f"going on after {self._kept.count} chips judged before")
        with self._around(self._loaded.model):
            digital = accuracy(self._loaded.model, self._test)
        rows = [{"noise": noise, **self._on_chips(self._loaded.model, noise, f"{noise:g}", progress=progress)} for noise in analog.noise]
        accuracies = {
            "digital": digital,
            **{name: rows[-1][name] for name in ("mean", "ci95", "chips", "each")},
            "images": sum(len(batch[1]) for batch in self._test),
        }
        value = {"accuracy": accuracies, "accuracy_by_noise": rows}
        if not analog.noise_aware:
            return Judged(value=value)
        tuned = self._tuned(analog.noise[-1], progress=progress)
        with self._around(tuned):
            after = accuracy(tuned, self._test)
        found = self._on_chips(tuned, analog.noise[-1], "tuned", progress=progress)
        return Judged(value={**value, "tuned": {"steps": analog.noise_aware, "digital": after, **found}}, tuned=tuned)

    def _deployed(self, model: nn.Module, noise: float) -> Deployed:
        only = None
        if self._request.layout.convolutions_only:
            only = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
        settings = analog_settings(self._request, self._chip, noise=noise)
        return deploy(model, settings, self._data.validation.first(CALIBRATION_IMAGES), only=only, around=self._around)

    def _on_chips(self, model: nn.Module, noise: float, stage: str, *, progress: Progress) -> dict[str, Any]:
        """Accuracy on chip after chip, those judged before left out."""
        deployed, wanted = self._deployed(model, noise), self._request.analog.chips
        # Chips with ideal cells are all the same chip.
        ideal = analog_settings(self._request, self._chip, noise=noise).noise.is_none
        progress.start(f"chips with {noise:g} programming noise", 1 if ideal else wanted)
        for number in range(len(self._kept.of(stage)), 1 if ideal else wanted):
            right = accuracy_on_chip(deployed, self._test, chip=number, seed=self._request.seed, around=self._around)
            self._kept.add(stage, right)
            progress.advance()
        return _summary(ChipAccuracy(chips=self._kept.of(stage) * (wanted if ideal else 1)))

    def _tuned(self, noise: float, *, progress: Progress) -> nn.Module:
        """The network trained under noise, as a network of its own kind."""
        model = copy.deepcopy(self._loaded.model)
        if self._kept.load_tuned(model):
            return model.eval()
        steps = self._request.analog.noise_aware
        progress.start("fine-tuning under noise", steps)
        training = replace(self._data.train, batch_size=TUNING_BATCH)
        epochs = (batch for number in range(-(-steps // max(1, len(training)))) for batch in training.epoch(number))
        settings = TuneSettings(steps=steps, seed=self._request.seed)
        better = tune(self._deployed(model, noise), islice(epochs, steps), settings=settings, around=self._around, progress=progress)
        model.load_state_dict(better.model.state_dict())
        self._kept.keep_tuned(model)
        return model.eval()


def analog_settings(request: CrossbarRequest, chip: Chip, *, noise: float) -> AnalogSettings:
    """The chip's converters and cells at a programming noise."""
    layout = request.layout
    rules = MappingRules(row_order=layout.row_order, aligned=layout.aligned)  # type: ignore[arg-type]
    cells = CellNoise(programming=noise, **dict(request.analog.cells))  # type: ignore[arg-type]
    return AnalogSettings.of_chip(chip, mode=request.analog.mode, adc_range=request.analog.adc_range, noise=cells, rules=rules)


def _around(request: CrossbarRequest, pruning: Pruning) -> Callable[[nn.Module], AbstractContextManager[nn.Module]]:
    """Gates at work; under a static accounting with the channels that are kept for most images."""
    plan, rules, masks = pruning.plan, pruning.rules, pruning.masks
    if not any(gate.channel_ratio or gate.spatial_ratio for gate in plan.gates):
        return lambda model: nullcontext(model)
    fixed = None
    if request.accounting.startswith("static"):
        fixed = {}
        for gate in plan.gates:
            if gate.consumer in masks:
                kept = torch.zeros(gate.channels, dtype=torch.bool)
                kept[torch.from_numpy(often_kept_first(masks[gate.consumer])[: gate.kept_channels])] = True
                fixed[gate.consumer] = kept
    return lambda model: gated(model, plan, rules, fixed=fixed, seed=request.seed)


def _summary(found: ChipAccuracy) -> dict[str, Any]:
    interval = found.ci95
    return {"mean": found.mean, "ci95": None if interval is None else list(interval), "chips": len(found.chips), "each": list(found.chips)}
