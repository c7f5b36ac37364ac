"""Accuracy of a network on a crossbar chip, dense or pruned, against noise."""

from collections.abc import Callable, Sequence
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
from edgewise.crossbar.monte_carlo import ChipAccuracy, accuracy_over_chips
from edgewise.crossbar.tuning import TuneSettings, tune
from edgewise.dynamic import GateRules, gated
from edgewise.ir.gates import GatePlan
from edgewise.recipes.crossbar_request import CrossbarRequest
from edgewise.recipes.records import LoadedModel
from edgewise.train.data import Dataset
from edgewise.train.evaluate import accuracy

CALIBRATION_IMAGES = 128
"""Validation images that the ranges of inputs are learnt from."""


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


def judge(
    request: CrossbarRequest, loaded: LoadedModel, chip: Chip, *, pruning: Pruning, data: Dataset, progress: Progress
) -> dict[str, Any]:
    """Accuracy in exact arithmetic and on chips, at every noise asked for.

    Returns:
        JSON values: ``accuracy`` at the last noise, ``accuracy_by_noise``, and ``tuned`` where the network was
        trained under noise. Accuracies are none for a network that was never trained.
    """
    if not loaded.trained and not request.analog.noise_aware:
        progress.note("the network was never trained, so that its accuracy would only mislead: give --weights or a run folder")
        return {"accuracy": None, "accuracy_by_noise": []}
    around = _around(request, pruning)
    test = list(data.test.first(request.analog.images))
    with around(loaded.model):
        digital = accuracy(loaded.model, test)
    rows, tuned = [], None
    for noise in request.analog.noise:
        deployed = _deployed(request, loaded.model, chip, noise=noise, data=data, around=around)
        rows.append({"noise": noise, **_on_chips(request, deployed, test, noise=noise, around=around, progress=progress)})
        if request.analog.noise_aware and noise == request.analog.noise[-1]:
            tuned = _tuned(request, deployed, test, data=data, around=around, progress=progress)
    last = rows[-1]
    return {
        "accuracy": {
            "digital": digital,
            **{name: last[name] for name in ("mean", "ci95", "chips", "each")},
            "images": sum(len(batch[1]) for batch in test),
        },
        "accuracy_by_noise": rows,
        **({} if tuned is None else {"tuned": tuned}),
    }


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


def _deployed(
    request: CrossbarRequest,
    model: nn.Module,
    chip: Chip,
    *,
    noise: float,
    data: Dataset,
    around: Callable[[nn.Module], AbstractContextManager[nn.Module]],
) -> Deployed:
    only = None
    if request.layout.convolutions_only:
        only = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    settings = analog_settings(request, chip, noise=noise)
    return deploy(model, settings, data.validation.first(CALIBRATION_IMAGES), only=only, around=around)


def _on_chips(
    request: CrossbarRequest,
    deployed: Deployed,
    test: Sequence[Any],
    *,
    noise: float,
    around: Callable[[nn.Module], AbstractContextManager[nn.Module]],
    progress: Progress,
) -> dict[str, Any]:
    ideal = next(iter(deployed.layers.values())).settings.noise.is_none
    n_chips = 1 if ideal else request.analog.chips
    progress.start(f"chips with {noise:g} programming noise", n_chips)
    found = accuracy_over_chips(deployed, test, n_chips=n_chips, seed=request.seed, around=around, progress=progress)
    # Chips with ideal cells are all the same chip.
    return _summary(ChipAccuracy(chips=found.chips * (request.analog.chips if ideal else 1)))


def _tuned(
    request: CrossbarRequest,
    deployed: Deployed,
    test: Sequence[Any],
    *,
    data: Dataset,
    around: Callable[[nn.Module], AbstractContextManager[nn.Module]],
    progress: Progress,
) -> dict[str, Any]:
    steps = request.analog.noise_aware
    progress.start("fine-tuning under noise", steps)
    training = replace(data.train, batch_size=64)
    epochs = (batch for number in range(-(-steps // max(1, len(training)))) for batch in training.epoch(number))
    settings = TuneSettings(steps=steps, seed=request.seed)
    better = tune(deployed, islice(epochs, steps), settings=settings, around=around, progress=progress)
    found = accuracy_over_chips(better, test, n_chips=request.analog.chips, seed=request.seed, around=around)
    return {"steps": steps, **_summary(found)}


def _summary(found: ChipAccuracy) -> dict[str, Any]:
    interval = found.ci95
    return {"mean": found.mean, "ci95": None if interval is None else list(interval), "chips": len(found.chips), "each": list(found.chips)}
