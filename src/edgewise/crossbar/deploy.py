"""A network put onto a chip: its convolutions and linear layers replaced, their ranges learnt."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgewise._core.errors import SpecError, UsageError
from edgewise._core.rng import make_rng
from edgewise.crossbar.coding import input_digits, write_cells
from edgewise.crossbar.layer import CrossbarLayer, rows_of
from edgewise.crossbar.settings import AnalogSettings

Around = Callable[[nn.Module], AbstractContextManager[Any]]
"""Puts something around a run of a network: gates at work, for example."""
_STUDIED_ROWS = 512
_STUDIED_IMAGES = 8


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Deployed:
    """A network on a chip.

    Attributes:
        model: The network, its layers replaced; in evaluation mode.
        layers: The replaced layers by name.
    """

    model: nn.Module
    layers: Mapping[str, CrossbarLayer]

    def program(self, seed: int, chip: int) -> None:
        """Writes the present weights into the cells of one chip of its own.

        Args:
            seed: Seed that a person gave; not negative.
            chip: Which chip; the same numbers give the same cells in both modes.
        """
        for name, layer in self.layers.items():
            draws = make_rng(seed, "chip", chip, name)
            layer.program(torch.Generator().manual_seed(int(draws.integers(2**62))))

    def erase(self) -> None:
        """Takes the noise away: ideal cells from now on."""
        for layer in self.layers.values():
            layer.program(None)


def deploy(
    model: nn.Module,
    settings: AnalogSettings,
    batches: Iterable[Sequence[Any]],
    *,
    only: Iterable[str] | None = None,
    around: Around | None = None,
) -> Deployed:
    """A copy of a network whose convolutions and linear layers compute as on a chip.

    Ranges of inputs are learnt from the original network on some batches.

    Args:
        model: The network; it is not changed.
        settings: Converters and cells.
        batches: Batches whose first item are images, for calibration; at least one.
        only: Names of the layers to replace; every convolution and linear layer by default.
        around: Put around every run of the original, such as gates.

    Raises:
        SpecError: A layer is not one that a chip runs.
        UsageError: There is no batch.
    """
    kept = list(batches)
    if not kept:
        raise UsageError("calibration needs at least 1 batch of images, got none")
    names = _layers_of(model, only)
    changed = copy.deepcopy(model).eval()
    layers = {}
    for name in names:
        layers[name] = CrossbarLayer(_source(changed, name), settings)
        _put(changed, name, layers[name])
    wrap = around or (lambda _: nullcontext())
    _learn(model, layers, kept, wrap=wrap, look=_look_at_range)
    if settings.input_bits and settings.adc_bits:
        _learn(model, layers, [(kept[0][0][:_STUDIED_IMAGES],)], wrap=wrap, look=_look_at_digits)
    return Deployed(model=changed, layers=layers)


def _layers_of(model: nn.Module, only: Iterable[str] | None) -> list[str]:
    found = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    if only is None:
        return found
    wanted = list(only)
    strange = [name for name in wanted if name not in found]
    if strange:
        raise SpecError(f"only convolutions in two dimensions and linear layers run on a chip, got {strange[0]!r}")
    return [name for name in found if name in wanted]


def _source(model: nn.Module, name: str) -> nn.Conv2d | nn.Linear:
    module = model.get_submodule(name)
    assert isinstance(module, nn.Conv2d | nn.Linear)
    return module


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, module)


def _learn(
    model: nn.Module,
    layers: Mapping[str, CrossbarLayer],
    batches: Sequence[Sequence[Any]],
    *,
    wrap: Around,
    look: Callable[[CrossbarLayer, Tensor], None],
) -> None:
    """Shows every layer what its original reads."""
    was_training = model.training
    model.eval()
    with wrap(model), torch.no_grad():
        # Hooks set later run later, so that a gate has done its work before the input is looked at.
        handles = [
            model.get_submodule(name).register_forward_pre_hook(lambda _module, inputs, layer=layer: look(layer, inputs[0]))
            for name, layer in layers.items()
        ]
        try:
            for batch in batches:
                model(batch[0])
        finally:
            for handle in handles:
                handle.remove()
    model.train(was_training)


def _look_at_range(layer: CrossbarLayer, inputs: Tensor) -> None:
    low, high = min(float(inputs.min()), float(layer.seen[0])), max(float(inputs.max()), float(layer.seen[1]))
    layer.seen = (low, high)
    layer.set_input_range(low, high)


def _look_at_digits(layer: CrossbarLayer, inputs: Tensor) -> None:
    """How often any row of a block drives each digit, and the largest column sum, on a sample of positions."""
    settings = layer.settings
    windows = layer.geometry.windows(layer.input_codes(inputs))[:, 0].permute(0, 2, 1).reshape(-1, layer.geometry.own_rows)
    step = max(1, len(windows) // _STUDIED_ROWS)
    sample = windows[::step].long()
    digits = input_digits(sample, settings, signed=bool(layer.input_signed))
    uses = torch.zeros(len(digits), dtype=torch.float64)
    n_blocks = int(layer.blocks.max()) + 1
    for block in range(n_blocks):
        rows = rows_of(layer.blocks, block)
        for place, (digit, weight) in enumerate(digits):
            uses[place] += float((digit[:, rows] > 0).any(1).double().mean()) * weight**2 / n_blocks
    layer.digit_use = uses
    if settings.adc_range == "calibrated":
        layer.largest_seen.fill_(_largest_sum(layer, digits))


def _largest_sum(layer: CrossbarLayer, digits: Sequence[tuple[Tensor, float]]) -> float:
    codes = layer.geometry.as_rows(layer.weight_codes().long())[:, : layer.geometry.own_outputs]
    cells = write_cells(codes, layer.blocks, layer.settings, None)
    columns = cells.written.permute(1, 0, 2).flatten(1)
    largest = 0.0
    for digit, _ in digits:
        for block in range(int(layer.blocks.max()) + 1):
            rows = rows_of(layer.blocks, block)
            largest = max(largest, float((digit[:, rows].float() @ columns[rows]).abs().max()))
    return largest
