"""Networks measured side by side."""

from pathlib import Path

import pytest
import torch

from edgewise._core.errors import UnknownNameError
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.runtimes import open_runtime
from edgewise.recipes.bench import run_bench
from edgewise.recipes.requests import BenchRequest, DeviceRequest, ModelRequest
from edgewise.recipes.timing import network_piece, runtime_settings

INPUT = "1x3x8x8"
# Convolution 3x3 on 8x8 positions, then a linear layer.
TINY_MACS = 8 * 8 * 8 * 3 * 9 + 8 * 4
TINY_PARAMS = (8 * 3 * 9 + 8) + 2 * 8 + (8 * 4 + 4)


@pytest.mark.usefixtures("brief_timing")
def test_rows_come_in_the_order_models_times_devices(tiny: str, tmp_path: Path) -> None:
    devices = tuple(DeviceRequest(device=name, db=tmp_path / "l.sqlite") for name in ("torch-cpu", "onnxruntime-cpu"))
    models = (ModelRequest(model=tiny, input=INPUT), ModelRequest(model=tiny, input="1x3x16x16"))
    rows = run_bench(BenchRequest(models=models, devices=devices)).to_json()["rows"]
    assert [(row["device"], row["macs"]) for row in rows] == [
        ("torch-cpu", TINY_MACS),
        ("onnxruntime-cpu", TINY_MACS),
        ("torch-cpu", 4 * (TINY_MACS - 32) + 32),
        ("onnxruntime-cpu", 4 * (TINY_MACS - 32) + 32),
    ]
    assert {row["params"] for row in rows} == {TINY_PARAMS}
    assert all(0 < row["min_s"] <= row["q1_s"] <= row["latency_s"] <= row["q3_s"] for row in rows)
    assert {row["kind"] for row in rows} == {"measured"}
    assert [row["ratio"] for row in rows[:2]] == [1.0, 1.0] and all(row["ratio"] > 0 for row in rows[2:])


@pytest.mark.usefixtures("brief_timing")
def test_every_sample_is_kept(tiny: str, tmp_path: Path) -> None:
    device = DeviceRequest(device="torch-cpu", db=tmp_path / "l.sqlite")
    result = run_bench(BenchRequest(models=(ModelRequest(model=tiny, input=INPUT),), devices=(device,)))
    with LatencyDatabase(tmp_path / "l.sqlite") as database:
        assert database.count(open_runtime(runtime_settings(device)).identity()) == len(result.rows) == 1


def test_an_unknown_device_is_refused_before_anything_is_loaded() -> None:
    request = BenchRequest(models=(ModelRequest(model="no-such-model"),), devices=(DeviceRequest(device="onnxruntime"),))
    with pytest.raises(UnknownNameError, match="unknown device 'onnxruntime'; did you mean onnxruntime-cpu"):
        run_bench(request)


def test_networks_of_other_widths_or_inputs_are_other_pieces() -> None:
    narrow, wide = torch.nn.Conv2d(3, 8, 3), torch.nn.Conv2d(3, 9, 3)
    pieces = {
        network_piece(narrow, (1, 3, 8, 8), name="a"),
        network_piece(wide, (1, 3, 8, 8), name="a"),
        network_piece(narrow, (1, 3, 9, 9), name="a"),
    }
    assert len(pieces) == 3


def test_networks_that_differ_in_weights_alone_are_one_piece() -> None:
    first, second = torch.nn.Conv2d(3, 8, 3), torch.nn.Conv2d(3, 8, 3)
    assert network_piece(first, (1, 3, 8, 8), name="a") == network_piece(second, (1, 3, 8, 8), name="a")
