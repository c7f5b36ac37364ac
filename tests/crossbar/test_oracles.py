"""CrossSim's cores and aihwkit's torch tile beside our layers, where they are installed.

Neither is a dependency: CrossSim is on no index (``pip install --no-deps`` of its sources), and of aihwkit only the
torch tile works with a torch that it was not built for. Both run from an unpacked folder on ``PYTHONPATH`` as well.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgewise.cost.chip import load_chip
from edgewise.crossbar import AnalogSettings, CellNoise, deploy

ROWS, OUTPUTS = 100, 24
ISAAC = load_chip("isaac")


def _matrix() -> np.ndarray:
    return np.random.default_rng(5).standard_normal((OUTPUTS, ROWS)).astype(np.float32)


def _ours(settings: AnalogSettings, inputs: Tensor, *, chip: int | None = None) -> np.ndarray:
    with torch.no_grad():
        model = nn.Sequential(nn.Linear(ROWS, OUTPUTS, bias=False))
        model[0].weight.copy_(torch.from_numpy(_matrix()))
        deployed = deploy(model, settings, [(inputs,)])
        if chip is not None:
            deployed.program(0, chip)
        found: np.ndarray = deployed.model(inputs).numpy()
    return found


def _cross_sim(*, adc_bits: int = 0, dac_bits: int = 0, error: float = 0.0) -> Any:
    """A bit-sliced core with offset cells, as ISAAC's are: 16-bit weights in 8 cells of 2 bits."""
    simulator = pytest.importorskip("simulator", reason="CrossSim is not installed")
    if not hasattr(simulator, "CrossSimParameters"):
        pytest.skip("another package is called simulator")
    from simulator.parameters.core_parameters import BitSlicedCoreStyle, CoreStyle, OffsetCoreStyle

    params = simulator.CrossSimParameters()
    params.core.style, params.core.weight_bits = CoreStyle.BITSLICED, 16
    params.core.bit_sliced.style, params.core.bit_sliced.num_slices = BitSlicedCoreStyle.OFFSET, 8
    params.core.offset.style = OffsetCoreStyle.DIGITAL_OFFSET
    params.xbar.device.cell_bits, params.xbar.device.Rmin, params.xbar.device.Rmax = 2, 2e3, 2e6
    params.xbar.device.infinite_on_off_ratio = False
    if error:
        params.xbar.device.programming_error.enable = True
        params.xbar.device.programming_error.model = "NormalProportionalDevice"
        params.xbar.device.programming_error.magnitude = error
    if dac_bits:
        params.xbar.dac.mvm.model, params.xbar.dac.mvm.bits, params.xbar.dac.mvm.signed = "SignMagnitudeDAC", dac_bits, True
        params.xbar.dac.mvm.input_bitslicing, params.xbar.dac.mvm.slice_size = True, 1
        params.core.mapping.inputs.mvm.min, params.core.mapping.inputs.mvm.max = -1.0, 1.0
    if adc_bits:
        # What cells of level 0 conduct is not taken off before the conversion there.
        params.xbar.device.infinite_on_off_ratio = True
        from simulator.parameters.xbar_parameters import ADCRangeLimits

        # Inputs are driven as sign and magnitude there, so that a sum has a sign of its own.
        params.xbar.adc.mvm.model, params.xbar.adc.mvm.bits = "SignMagnitudeADC", adc_bits + 1
        params.xbar.adc.mvm.signed, params.xbar.adc.mvm.adc_per_ibit = True, True
        params.xbar.adc.mvm.adc_range_option = ADCRangeLimits.GRANULAR
    return simulator.AnalogCore(_matrix(), params=params)


def _isaac(**changes: Any) -> AnalogSettings:
    return replace(AnalogSettings.of_chip(ISAAC, mode="bitwise"), **{"adc_bits": 0, "flipped_columns": False, **changes})


def _inputs(count: int = 16) -> Tensor:
    drawn = torch.rand(count, ROWS, generator=torch.Generator().manual_seed(4)) * 2 - 1
    drawn[0, 0] = 1.0  # the range that codes cover is that of the inputs
    return drawn


def test_ideal_cells_of_cross_sim_hold_the_same_weights() -> None:
    inputs = _inputs()
    theirs = _cross_sim().matmat(inputs.numpy().T).T
    np.testing.assert_allclose(_ours(_isaac(), inputs, chip=0), theirs, rtol=1e-3, atol=2e-3)


def test_an_adc_with_enough_bits_loses_nothing_in_cross_sim_either() -> None:
    inputs = _inputs()
    core = _cross_sim(adc_bits=9, dac_bits=16)
    theirs = np.stack([core.matvec(one) for one in inputs.numpy()])
    ours = _ours(_isaac(adc_bits=9, adc_range="granular"), inputs, chip=0)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-3)


def test_programming_errors_are_of_the_same_size_as_in_cross_sim() -> None:
    inputs, exact = _inputs(), _inputs().numpy() @ _matrix().T
    noisy = _isaac(noise=CellNoise(programming=0.05))
    np.random.seed(0)
    draws = 12
    theirs = [_cross_sim(error=0.05).matmat(inputs.numpy().T).T - exact for _ in range(draws)]
    ours = [_ours(noisy, inputs, chip=chip) - exact for chip in range(draws)]
    spread = [math.sqrt(float(np.square(one).mean())) for one in (np.stack(theirs), np.stack(ours))]
    assert spread[1] == pytest.approx(spread[0], rel=0.08) and spread[0] > 0.1


def _aihwkit(model: nn.Module, *, input_bits: int) -> nn.Module:
    pytest.importorskip("aihwkit", reason="aihwkit is not installed")
    from aihwkit.nn.conversion import convert_to_analog
    from aihwkit.simulator.configs import TorchInferenceRPUConfig

    config = TorchInferenceRPUConfig()
    config.forward.out_noise, config.forward.out_res, config.forward.out_bound = 0.0, -1.0, 0.0
    config.forward.inp_res = 1 / (2**input_bits - 2) if input_bits else -1.0
    return convert_to_analog(model, config).eval()


@pytest.mark.parametrize("bits", [0, 7])
def test_inputs_are_coded_as_in_aihwkits_torch_tile(bits: int) -> None:
    model = nn.Sequential(nn.Linear(ROWS, OUTPUTS, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.from_numpy(_matrix()))
    # aihwkit scales each input by its own largest value, so that one input at a time has the same codes.
    tile, inputs = _aihwkit(model, input_bits=bits), _inputs(4)
    settings = replace(AnalogSettings.of_chip(ISAAC), weight_bits=0, adc_bits=0, input_bits=bits)
    for one in inputs.split(1):
        with torch.no_grad():
            theirs = tile(one).numpy()
        np.testing.assert_allclose(_ours(settings, one), theirs, rtol=1e-4, atol=1e-4)
        assert bits == 0 or np.abs(theirs - one.numpy() @ _matrix().T).max() > 1e-3
