"""Layers on a chip: exact where nothing errs, and wrong by what was asked for where something does."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from edgewise._core.errors import SpecError, UsageError
from edgewise.cost.chip import load_chip
from edgewise.cost.chip.mapping import MappingRules
from edgewise.crossbar import AnalogSettings, CellNoise, Deployed, deploy
from edgewise.crossbar.monte_carlo import ChipAccuracy, accuracy_over_chips
from edgewise.crossbar.noise import voltage_drop
from edgewise.crossbar.tuning import TuneSettings, tune

ISAAC, PRIME = load_chip("isaac"), load_chip("prime").with_bits(adc_bits=20)


def _case(kind: str) -> tuple[nn.Module, Tensor]:
    generator = torch.Generator().manual_seed(3)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        if kind == "linear":
            return nn.Sequential(nn.Linear(300, 20)), torch.randn(4, 300, generator=generator)
        if kind == "grouped":
            return nn.Sequential(nn.Conv2d(32, 32, 3, groups=32, padding=1)), torch.rand(2, 32, 6, 6, generator=generator)
        return nn.Sequential(nn.Conv2d(40, 24, 3, padding=1, stride=2)), torch.rand(2, 40, 7, 7, generator=generator)


def _integer_result(deployed: Deployed, inputs: Tensor) -> Tensor:
    """The product of the integer codes, in arithmetic that cannot err."""
    layer = deployed.layers["0"]
    codes, weights = layer.input_codes(inputs).double(), layer.weight_codes().double()
    product = layer.geometry.multiply(codes, weights)
    assert bool((product == product.round()).all())
    scale = layer.weight.detach().abs().max().clamp_min(1e-12) / (2 ** (layer.settings.weight_bits - 1) - 1)
    return layer.geometry.with_bias((product * (layer.input_scale * scale).double()).float(), layer.bias)


@pytest.mark.parametrize("mode", ["folded", "bitwise"])
@pytest.mark.parametrize("kind", ["conv", "grouped", "linear"])
@pytest.mark.parametrize("order", ["channels", "taps"])
@pytest.mark.parametrize(("chip", "bits"), [(ISAAC, 16), (ISAAC, 8), (PRIME, 8)], ids=["isaac16", "isaac8", "prime8"])
def test_finite_bits_without_noise_equal_integers_bit_for_bit(mode: str, kind: str, order: str, chip, bits: int) -> None:
    model, inputs = _case(kind)
    rules = MappingRules(row_order=order)  # type: ignore[arg-type]
    settings = AnalogSettings.of_chip(chip.with_bits(weight_bits=bits, input_bits=bits), mode=mode, rules=rules)
    deployed = deploy(model, settings, [(inputs,)])
    deployed.program(0, 0)
    assert torch.equal(deployed.model(inputs), _integer_result(deployed, inputs))


def test_too_few_adc_bits_are_not_exact() -> None:
    model, inputs = _case("conv")
    for mode in ("folded", "bitwise"):
        deployed = deploy(model, AnalogSettings.of_chip(ISAAC.with_bits(adc_bits=5), mode=mode), [(inputs,)])
        difference = (deployed.model(inputs) - _integer_result(deployed, inputs)).abs().max()
        assert 0 < float(difference.detach()) < 1


def test_without_flipped_columns_eight_bits_lose_the_largest_sums() -> None:
    assert not replace(AnalogSettings.of_chip(ISAAC), flipped_columns=False).lossless
    assert AnalogSettings.of_chip(ISAAC).lossless
    assert replace(AnalogSettings.of_chip(ISAAC), flipped_columns=False, adc_bits=9).lossless


@pytest.mark.parametrize("kind", ["conv", "grouped", "linear"])
def test_ideal_converters_and_cells_equal_fp32(kind: str) -> None:
    model, inputs = _case(kind)
    settings = replace(AnalogSettings.of_chip(ISAAC), weight_bits=0, input_bits=0, adc_bits=0)
    deployed = deploy(model, settings, [(inputs,)])
    torch.testing.assert_close(deployed.model(inputs), model(inputs), rtol=1e-6, atol=1e-6)


def test_both_modes_hold_the_same_cells() -> None:
    model, inputs = _case("conv")
    noise = CellNoise(programming=0.05, stuck_off=0.01)
    results = []
    for mode in ("folded", "bitwise"):
        settings = replace(AnalogSettings.of_chip(ISAAC, mode=mode, noise=noise), adc_bits=0)
        deployed = deploy(model, settings, [(inputs,)])
        deployed.program(0, 1)
        results.append(deployed.model(inputs))
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-4)
    assert float((results[0] - model(inputs)).detach().abs().max()) > 1e-3


@pytest.mark.parametrize("encoding", ["offset", "differential"])
def test_programming_deviates_as_much_as_asked_for(encoding: str) -> None:
    model = nn.Sequential(nn.Linear(128, 400, bias=False))
    settings = replace(AnalogSettings.of_chip(ISAAC, noise=CellNoise(programming=0.05)), encoding=encoding, weight_bits=8)
    deployed = deploy(model, settings, [(torch.rand(2, 128),)])
    deployed.program(0, 0)
    layer = deployed.layers["0"]
    assert layer.moved is not None
    share = layer.moved / layer.deviation_sigma()
    n_values = share.numel()
    assert float(share.std()) == pytest.approx(1.0, abs=4 / math.sqrt(2 * n_values))
    assert abs(float(share.mean())) < 4 / math.sqrt(n_values)


@pytest.mark.parametrize(
    "noise",
    [
        CellNoise(stuck_on=0.05),
        CellNoise(read=0.05),
        CellNoise(drift_s=1e4, drift_spread=0.01),
        CellNoise(wire_ohm=0.01),
        CellNoise(programming=1.0, programming_model="wan2022"),
    ],
    ids=["stuck", "read", "drift", "wires", "wan"],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["folded", "bitwise"])
def test_every_effect_moves_the_result(noise: CellNoise, mode: str) -> None:
    model, inputs = _case("conv")
    deployed = deploy(model, AnalogSettings.of_chip(ISAAC, mode=mode, noise=noise), [(inputs,)])
    ideal = deployed.model(inputs)
    deployed.program(0, 0)
    moved = deployed.model(inputs)
    assert 1e-6 < float((moved - ideal).norm().detach() / ideal.norm().detach()) < 5 and bool(torch.isfinite(moved).all())
    deployed.erase()
    assert torch.equal(deployed.model(inputs), ideal)


def test_read_noise_is_of_the_same_size_in_both_modes() -> None:
    model, inputs = _case("conv")
    sizes = []
    for mode in ("folded", "bitwise"):
        settings = replace(
            AnalogSettings.of_chip(ISAAC.with_bits(weight_bits=8, input_bits=8), mode=mode, noise=CellNoise(read=0.1)), adc_bits=0
        )
        deployed = deploy(model, settings, [(inputs,)])
        ideal = deployed.model(inputs)
        deployed.program(0, 0)
        sizes.append(float((deployed.model(inputs) - ideal).detach().std()))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)


def test_voltage_drop_of_one_row_by_hand() -> None:
    # Two cells of full conductance: the first sees R * (1 + 1), the second R * (1 + 2); one row drives itself: a * R * 1.
    drop = voltage_drop(torch.tensor([[1.0, 1.0]]), wire=0.01, activity=1.0)
    torch.testing.assert_close(drop, torch.tensor([[0.03, 0.04]]))


def test_gradients_reach_inputs_and_weights() -> None:
    model, inputs = _case("conv")
    deployed = deploy(model, AnalogSettings.of_chip(ISAAC, noise=CellNoise(programming=0.02)), [(inputs,)])
    deployed.program(0, 0)
    inputs = inputs.clone().requires_grad_()
    deployed.model(inputs).sum().backward()
    expected = torch.autograd.grad(model(inputs).sum(), inputs)[0]
    assert inputs.grad is not None
    assert float(torch.cosine_similarity(inputs.grad.flatten(), expected.flatten(), dim=0)) > 0.9
    assert float(deployed.layers["0"].weight.grad.abs().sum()) > 0


def test_deploying_leaves_the_network_as_it_was() -> None:
    model, inputs = _case("conv")
    before = model(inputs)
    deploy(model, AnalogSettings.of_chip(ISAAC), [(inputs,)])
    assert torch.equal(model(inputs), before) and type(model[0]) is nn.Conv2d


def test_chips_differ_and_repeat() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    inputs, classes = torch.rand(60, 1, 8, 8), torch.arange(60) % 10
    deployed = deploy(model, AnalogSettings.of_chip(ISAAC, noise=CellNoise(programming=0.5)), [(inputs,)])
    found = [accuracy_over_chips(deployed, [(inputs, classes)], n_chips=3, seed=1) for _ in range(2)]
    assert found[0] == found[1] and len(set(found[0].chips)) > 1


def test_tuning_lowers_the_loss_under_noise_and_leaves_its_start_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(256, 16, generator=generator)
    classes = (inputs[:, :8].sum(1) > inputs[:, 8:].sum(1)).long()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(16, 2))
    deployed = deploy(model, AnalogSettings.of_chip(ISAAC, noise=CellNoise(programming=0.05)), [(inputs,)])
    start = deployed.layers["0"].weight.detach().clone()
    batches = [(inputs, classes)] * 60
    better = tune(deployed, batches, settings=TuneSettings(lr=0.5, steps=60))
    before = accuracy_over_chips(deployed, [(inputs, classes)], n_chips=2).mean
    after = accuracy_over_chips(better, [(inputs, classes)], n_chips=2).mean
    assert after > before and torch.equal(deployed.layers["0"].weight, start)


def test_an_interval_needs_two_chips() -> None:
    assert ChipAccuracy(chips=(0.5,)).ci95 is None
    with pytest.raises(UsageError, match="at least 1 chip"):
        ChipAccuracy(chips=())


def test_what_does_not_fit_together_is_refused() -> None:
    settings = AnalogSettings.of_chip(ISAAC)
    with pytest.raises(UsageError, match="mode bitwise needs weight_bits"):
        replace(settings, mode="bitwise", weight_bits=0, adc_bits=0)
    with pytest.raises(UsageError, match="stuck cells"):
        CellNoise(stuck_on=0.7, stuck_off=0.7)
    with pytest.raises(SpecError, match="got 'nowhere'"):
        deploy(_case("conv")[0], settings, [(_case("conv")[1],)], only=["nowhere"])
