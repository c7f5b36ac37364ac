"""The checkable facts of the reference (its section 9, and the layout experiment of 8.2) that other files do not check."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from cost.chip.networks import TUTORIAL, net, plan
from edgewise.cost.chip import ChipSettings, load_chip, price_network
from edgewise.cost.chip.activity import count_activity, tap_masks
from edgewise.cost.chip.mapping import MappingRules, map_layer
from edgewise.cost.chip.masks import LayerMask, draw_masks
from edgewise.crossbar.noise import CellNoise, disturbed_levels, programming_deviation
from edgewise.ir import Dim, LayerSpec
from edgewise.trace import trace

ISAAC, PUMA = load_chip("isaac"), load_chip("puma")
DENSE = ChipSettings(accounting="dense", convolutions_only=True)


def _conv(channels: int, side: int) -> LayerSpec:
    dim = Dim(fixed=channels)
    return LayerSpec(
        name="conv", op="conv2d", in_channels=channels, out_channels=channels, in_dim=dim, out_dim=dim,
        in_hw=(side, side), out_hw=(side, side), kernel=(3, 3), stride=(1, 1), padding=(1, 1), dilation=(1, 1),
    )  # fmt: skip


def test_resnet56_array_by_array() -> None:
    arrays = [layer.mapping.arrays for layer in price_network(net("resnet56"), ISAAC, DENSE).layers]
    assert arrays == [1, *[2] * 18, 4, *[6] * 17, 12, *[20] * 17]


def test_the_head_of_a_cifar_network_fills_four_arrays() -> None:
    head = LayerSpec(name="fc", op="linear", in_channels=512, out_channels=10, in_dim=Dim(fixed=512), out_dim=Dim(fixed=10))
    assert map_layer(head, ISAAC).arrays == 4


@pytest.mark.parametrize(
    ("name", "macs", "weights", "positions"), [("vgg16", 313_196_544, 14_710_464, 2812), ("resnet56", 125_485_056, 848_304, 25_216)]
)
def test_work_of_both_networks(name: str, macs: int, weights: int, positions: int) -> None:
    cost = price_network(net(name), ISAAC, DENSE)
    assert sum(layer.mapping.macs for layer in cost.layers) == macs
    assert sum(layer.mapping.macs // layer.mapping.positions for layer in cost.layers) == weights
    assert sum(layer.mapping.positions for layer in cost.layers) == positions
    one_read = price_network(net(name), ISAAC.with_bits(input_bits=1), DENSE)
    assert one_read.latency_s == pytest.approx(positions * 100e-9)
    assert price_network(net(name), ISAAC, replace(DENSE, schedule="pipelined")).latency_s == pytest.approx(1.6384e-3)


def test_peaks_of_an_ima_a_tile_and_puma() -> None:
    per_array = ISAAC.peak_gops / ISAAC.arrays
    assert per_array * 8 == pytest.approx(20.48) and per_array * 96 == pytest.approx(245.76)
    assert 52_310 / PUMA.sum_of("area_mm2", per="chip") == pytest.approx(577.4, abs=0.1)
    assert 52_310 / PUMA.sum_of("power_w", per="chip") == pytest.approx(837.0, abs=0.1)


def test_the_adcs_of_an_ima_are_just_busy() -> None:
    assert ISAAC.arrays_per_ima * ISAAC.columns == pytest.approx(8 * 1.28e9 * ISAAC.cycle_s)


def test_windows_are_empty_as_often_as_chance_says() -> None:
    rng = np.random.default_rng(0)
    taps = tap_masks(_conv(1, 34), rng.random((200, 34, 34)) >= 0.7)
    inside = taps.reshape(200, 34, 34, 9)[:, 1:-1, 1:-1]
    empty = float((inside.sum(3) == 0).mean())
    assert empty == pytest.approx(0.7**9, rel=0.1)


def test_efficiency_times_area_and_time_is_the_work() -> None:
    gates = plan(channels=TUTORIAL)
    cost = price_network(net("vgg16"), ISAAC, replace(DENSE, accounting="gating"), plan=gates, masks=draw_masks(gates, n_images=2, seed=0))
    for ops in (cost.ops_dense, cost.ops_executed):
        assert cost.gops_per_mm2(ops) * 1e9 * cost.area_mm2 * cost.latency_s == pytest.approx(ops)
        assert cost.gops_per_w(ops) * 1e9 * cost.energy_j == pytest.approx(ops)
    assert cost.ops_dense > cost.ops_executed > 0


def test_neurosims_vgg8_has_the_work_that_its_manual_implies() -> None:
    widths = (128, 128, 256, 256, 512, 512)
    layers: list[nn.Module] = []
    for place, (read, written) in enumerate(zip((3, *widths), widths, strict=False)):
        layers += [nn.Conv2d(read, written, 3, padding=1), nn.ReLU(), *([nn.MaxPool2d(2)] if place % 2 else [])]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8192, 1024), nn.ReLU(), nn.Linear(1024, 10)).eval()
    traced = trace(model, (torch.zeros(1, 3, 32, 32),), name="vgg8", verify=False).net
    assert price_network(traced, ISAAC, ChipSettings(accounting="dense")).ops_dense == 1_231_835_136


@pytest.mark.parametrize(
    ("model", "low", "high", "sigmas"),
    [
        ("wan2022", 0.0, 40.0, {0: 1.053, 10: 2.414, 20: 2.362, 30: 1.819, 39.26: 1.681}),
        ("milo2021", 50.0, 225.0, {50: 0.0865 * 50, 100: 0.0387 * 100, 225: 0.0121 * 225}),
    ],
)
def test_measured_deviations_at_the_listed_conductances(model: str, low: float, high: float, sigmas: dict[float, float]) -> None:
    noise = CellNoise(programming=1.0, programming_model=model)
    share = torch.tensor([(siemens - low) / (high - low) for siemens in sigmas])
    found = programming_deviation(share, noise) * high
    torch.testing.assert_close(found, torch.tensor(list(sigmas.values())), rtol=5e-3, atol=2e-3)


@pytest.mark.parametrize("model", ["proportional", "range", "wan2022", "milo2021"])
def test_drawn_cells_deviate_as_the_model_says(model: str) -> None:
    noise = CellNoise(programming=0.5 if "20" in model else 0.05, programming_model=model)
    n_values, level = 40_000, 2.0
    levels = torch.full((1, 200, 200), level)
    found = disturbed_levels(levels, noise, top=3, off_share=1e-3, generator=torch.Generator().manual_seed(0))
    share = torch.tensor([1e-3 + level / 3 * (1 - 1e-3)])
    expected = float(programming_deviation(share, noise)[0]) / (1 - 1e-3) * 3
    assert float(found.std()) == pytest.approx(expected, rel=3 / math.sqrt(2 * n_values))
    assert float(found.mean()) == pytest.approx(level, abs=3 * expected / math.sqrt(n_values))


_EVERY = "every"
_CASES = [
    (128, 16, "iid", 0.5, 0.0, (1.000, 0.505), 1.000),
    (128, 16, "blocks", 0.5, 0.0, (0.688, 0.500), 0.6875),
    (128, 16, "half", 0.5, 0.0, (0.562, 0.500), 0.5625),
    (128, 32, "iid", 0.6, 0.0, (0.972, 0.400), 0.9717),
    (128, 32, "blocks", 0.6, 0.0, (0.630, 0.406), 0.630),
    (256, 8, _EVERY, 0.0, 0.6, (1.000, 1.000), 1.000),
    (512, 4, _EVERY, 0.0, 0.9, (0.832, 1.000), 1.000),
    (256, 8, "iid", 0.3, 0.6, (1.000, 0.705), 1.000),
]


@pytest.mark.parametrize(("channels", "side", "kind", "spatial", "channel", "reads", "positions"), _CASES)
def test_the_layout_experiment(
    channels: int, side: int, kind: str, spatial: float, channel: float, reads: tuple[float, float], positions: float
) -> None:
    # The reference drew each case once; here are the means of 24 draws, and room for one draw's luck.
    rng, n_images = np.random.default_rng(3), 24
    layer = _conv(channels, side)
    kept = rng.random((n_images, channels)).argsort(1) >= int(channel * channels)
    mask = LayerMask(channels=kept, positions=_positions(kind, side, spatial, n_images=n_images, rng=rng))
    for order, share in zip(("channels", "taps"), reads, strict=True):
        mapping = map_layer(layer, ISAAC, MappingRules(row_order=order))  # type: ignore[arg-type]
        masked, dense = count_activity(layer, mapping, mask), count_activity(layer, mapping)
        assert masked.reads.mean() / dense.reads[0] == pytest.approx(share, abs=0.05)
        assert masked.positions.mean() / dense.positions[0] == pytest.approx(positions, abs=0.05)


def _positions(kind: str, side: int, pruned: float, *, n_images: int, rng: np.random.Generator) -> np.ndarray | None:
    if kind == _EVERY:
        return None
    if kind == "half":
        mask = np.zeros((n_images, side, side), dtype=bool)
        mask[:, : side // 2] = True
        return mask
    grain = 4 if kind == "blocks" else 1
    cells = (side // grain) ** 2
    drawn = (rng.random((n_images, cells)).argsort(1) >= round(pruned * cells)).reshape(n_images, side // grain, side // grain)
    return drawn.repeat(grain, axis=1).repeat(grain, axis=2)
