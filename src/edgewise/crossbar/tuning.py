"""Noise-aware fine-tuning: the network learns with cells that deviate anew in every step."""

import copy
import math
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgewise._core.errors import UsageError
from edgewise._core.progress import Progress, SilentProgress
from edgewise._core.rng import make_rng
from edgewise.crossbar.deploy import Around, Deployed
from edgewise.crossbar.layer import CrossbarLayer

WARM_UP_STEPS = 10
"""Steps over which the learning rate rises."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneSettings:
    """How to train under noise.

    Attributes:
        lr: Learning rate, rising over the first steps and falling to 0 along half a cosine over ``steps``; positive.
        steps: Steps of the whole training; at least 1.
        momentum: Of SGD.
        weight_decay: Of kernels and matrices.
        clip_sigma: Weights are kept within so many standard deviations of their layer: cells err in shares of the range
            that a layer's weights span, so that a few large weights make all others worse. 0 keeps them as they are.
        largest_gradient: Gradients are shortened to this norm; 0 leaves them. Batch norms are held still, so that nothing
            mends one step that was too long: without a limit VGG16 under 10 % noise ends at chance.
        refresh_every: Steps after which the deviations' sizes are computed anew from the weights.
        seed: Seed of the deviations.
    """

    lr: float = 0.005
    steps: int = 200
    momentum: float = 0.9
    weight_decay: float = 5e-4
    clip_sigma: float = 3.0
    largest_gradient: float = 1.0
    refresh_every: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if not self.lr > 0 or self.steps < 1 or self.refresh_every < 1:
            raise UsageError(
                f"tuning needs lr > 0, steps and refresh_every of at least 1, got {self.lr:g}, {self.steps}, {self.refresh_every}"
            )
        if not (self.largest_gradient >= 0 and self.clip_sigma >= 0):
            raise UsageError(f"`clip_sigma` and `largest_gradient` must be 0 or more, got {self.clip_sigma:g}, {self.largest_gradient:g}")

    def lr_at(self, step: int) -> float:
        """Learning rate of a step, from 0.

        Example:
            >>> settings = TuneSettings(lr=0.01, steps=100)
            >>> [round(settings.lr_at(step), 5) for step in (0, 9, 50, 99)]
            [0.001, 0.0098, 0.005, 0.0]
        """
        rise = min(1.0, (step + 1) / min(WARM_UP_STEPS, self.steps))
        return self.lr * rise * 0.5 * (1 + math.cos(math.pi * step / self.steps))


def tune(
    deployed: Deployed,
    batches: Iterable[Sequence[Any]],
    *,
    settings: TuneSettings | None = None,
    start: int = 0,
    around: Around | None = None,
    progress: Progress | None = None,
) -> Deployed:
    """Trains a copy of a network on a chip, its weights disturbed in every step as programming disturbs them.

    Only programming is drawn, as one deviation for each weight of the same variance as those of its cells, and
    sums are not converted: what is learnt is to stand deviations, whichever they are.

    Args:
        deployed: The network; it is not changed.
        batches: Images and classes, as many as there are steps to take now.
        settings: How to train.
        start: Steps taken before, where the training goes on.
        around: Put around the training, such as gates.
        progress: Is told of every step.

    Returns:
        The trained network with ideal cells, in evaluation mode.
    """
    config, watcher = settings or TuneSettings(), progress or SilentProgress()
    changed = copy.deepcopy(deployed.model)
    layers = {name: _layer(changed, name) for name in deployed.layers}
    plain = {name: layer.settings for name, layer in layers.items()}
    for layer in layers.values():
        layer.program(None)
        layer.settings = replace(layer.settings, mode="folded", adc_bits=0, noise=replace(layer.settings.noise, read=0.0))
    # Batch norms keep their statistics: on the chip they will not know what its deviations shift.
    changed.eval()
    with nullcontext() if around is None else around(changed):
        _steps(changed, layers, batches, config=config, start=start, progress=watcher)
    for name, layer in layers.items():
        layer.settings, layer.moved = plain[name], None
    return Deployed(model=changed.eval(), layers=layers)


def _steps(
    model: nn.Module,
    layers: dict[str, CrossbarLayer],
    batches: Iterable[Sequence[Any]],
    *,
    config: TuneSettings,
    start: int,
    progress: Progress,
) -> None:
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0)
    sigmas: dict[str, Tensor] = {}
    _clip(layers, config.clip_sigma)
    for step, batch in enumerate(batches, start):
        if step >= config.steps:
            return
        if not sigmas or step % config.refresh_every == 0:
            sigmas = {name: layer.deviation_sigma() for name, layer in layers.items()}
        draws = make_rng(config.seed, "tuning", step)
        generator = torch.Generator().manual_seed(int(draws.integers(2**62)))
        for name, layer in layers.items():
            layer.moved = torch.randn(layer.weight.shape, generator=generator) * sigmas[name]
        for group in optimizer.param_groups:
            group["lr"] = config.lr_at(step)
        loss = F.cross_entropy(model(batch[0]), batch[1])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if config.largest_gradient:
            nn.utils.clip_grad_norm_(model.parameters(), config.largest_gradient)
        optimizer.step()
        _clip(layers, config.clip_sigma)
        progress.advance()


def _clip(layers: dict[str, CrossbarLayer], sigmas: float) -> None:
    """Brings weights back into the range that is worth coding."""
    if not sigmas:
        return
    with torch.no_grad():
        for layer in layers.values():
            reach = sigmas * float(layer.weight.square().mean().sqrt())
            layer.weight.clamp_(-reach, reach)


def _layer(model: nn.Module, name: str) -> CrossbarLayer:
    module = model.get_submodule(name)
    assert isinstance(module, CrossbarLayer)
    return module
