"""Why time did not follow."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from edgewise.cost import Piece, Workload
from edgewise.recipes.bench import run_bench
from edgewise.recipes.requests import BenchRequest, DeviceRequest, ModelRequest
from edgewise.recipes.why import LayerCost, compare, costs, find_reason, time_followed

CONV = Workload(kernel="nchwc", op="conv2d", in_channels=64, out_channels=64, in_hw=(16, 16), out_hw=(16, 16), window=(3, 3), stride=(1, 1))
REORDER = Workload(kernel="reorder_out", op="reorder", in_channels=64, out_channels=64, in_hw=(16, 16), out_hw=(16, 16))


def _stairs(calls: Sequence[Workload]) -> Mapping[Workload, float]:
    """A known device: a microsecond for each started 16 x 16 channels; 2 for a change of layout."""
    return {call: 2e-6 if call.op == "reorder" else 1e-6 * -(-call.in_channels // 16) * -(-call.out_channels // 16) for call in calls}


def _smooth(calls: Sequence[Workload]) -> Mapping[Workload, float]:
    """A device without steps."""
    return {call: 1e-9 * call.in_channels * call.out_channels for call in calls}


def _cost(*calls: Workload, layers: tuple[str, ...] = ("conv", "relu"), latency_s: float | None = None) -> LayerCost:
    return LayerCost(layers=layers, calls=calls, latency_s=sum(_stairs(calls).values()) if latency_s is None else latency_s)


def test_a_width_off_its_step_is_timed_and_named() -> None:
    after = _cost(CONV.with_widths(64, 49))
    assert not time_followed(_cost(CONV), after)
    reason = find_reason(_cost(CONV), after, smallest_s=0.0, time_calls=_stairs)
    assert reason == "off its step: 64→49 channels take as long as 64→64 (16 µs)"


def test_a_width_on_its_step_follows() -> None:
    assert time_followed(_cost(CONV), _cost(CONV.with_widths(64, 48)))


def test_growth_within_a_step_follows() -> None:
    assert time_followed(_cost(CONV.with_widths(64, 49)), _cost(CONV))


def test_growth_that_costs_more_than_its_macs_does_not_follow() -> None:
    assert not time_followed(_cost(CONV, latency_s=1e-5), _cost(CONV.with_widths(64, 65), latency_s=2e-5))


@pytest.mark.parametrize(
    ("after", "start"),
    [
        (_cost(replace(CONV, kernel="im2col").with_widths(37, 64)), "left the fast path: 37→64 channels"),
        (_cost(CONV, layers=("conv",)), "not fused: relu runs on its own now"),
        (_cost(CONV, REORDER), "a change of layout is needed behind it now, 4.1 µs"),
        (_cost(CONV.with_widths(32, 32), latency_s=1.5e-6), "overhead: 1.5 µs is near the smallest layer's 1 µs"),
        (_cost(replace(CONV, window=(1, 1), in_channels=16, out_channels=4), latency_s=4e-6), "memory-bound: 0.8 MACs a byte"),
        (_cost(CONV.with_widths(48, 48)), "no cause found"),
    ],
    ids=["kernel", "fusion", "layout", "overhead", "memory", "unknown"],
)
def test_each_cause_is_told_apart(after: LayerCost, start: str) -> None:
    assert find_reason(_cost(CONV), after, smallest_s=1e-6, time_calls=_smooth).startswith(start)


def test_calls_of_one_layer_add_up() -> None:
    pieces = [Piece(position="conv", layers=("conv",), workload=CONV), Piece(position="conv", layers=("conv",), workload=REORDER)]
    found = costs(pieces, _stairs)
    assert found["conv"].latency_s == pytest.approx(18e-6)
    assert found["conv"].macs == 64 * 64 * 9 * 16 * 16


def test_layers_of_one_network_alone_have_figures_for_that_one() -> None:
    rows = compare({"a": _cost(CONV)}, {"b": _cost(CONV)}, time_calls=_stairs)
    assert [(row.layer, row.macs_before is None, row.macs_after is None, row.reason) for row in rows] == [
        ("a", False, True, ""),
        ("b", True, False, ""),
    ]


@pytest.mark.usefixtures("brief_timing")
def test_bench_asks_why_on_a_real_runtime(tmp_path: Path) -> None:
    file = tmp_path / "pair.py"
    file.write_text(
        "from torch import nn\n\n\n"
        "def wide():\n    return nn.Sequential(nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Conv2d(32, 16, 3))\n\n\n"
        "def odd():\n    return nn.Sequential(nn.Conv2d(32, 29, 3), nn.ReLU(), nn.Conv2d(29, 16, 3))\n"
    )
    models = tuple(ModelRequest(model=f"{file}:{name}", input="1x32x12x12") for name in ("wide", "odd"))
    request = BenchRequest(models=models, devices=(DeviceRequest(db=tmp_path / "l.sqlite"),), why=True)
    rows = {row["layer"]: row for row in run_bench(request).to_json()["why"]}
    assert rows["0"]["macs_before"] > rows["0"]["macs_after"]
    assert list(rows) == ["0", "2"]
    assert all(row["latency_before_s"] > 0 and row["latency_after_s"] > 0 for row in rows.values())
