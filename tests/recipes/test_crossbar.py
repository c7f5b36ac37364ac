"""``edgewise crossbar`` from the command line, its tables and its files."""

import json
from pathlib import Path

import numpy as np
import pytest

from edgewise.cli import main
from edgewise.recipes.runs import load_model
from edgewise.recipes.tables import make_tables
from edgewise.recipes.tables.reram import PUBLISHED, decoded_per_mm2, decoded_per_w

SMALL = """
from torch import nn

def small():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 24, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10)
    )
"""


@pytest.fixture
def small(tmp_path: Path) -> str:
    path = tmp_path / "mine.py"
    path.write_text(SMALL)
    return f"{path}:small"


def _run(arguments: list[str], path: Path) -> dict:
    assert main(["crossbar", *arguments, "--json", str(path)]) == 0
    return json.loads(path.read_text())


def test_vgg16_from_the_command_line(tmp_path: Path) -> None:
    value = _run(["vgg16", "--accounting", "static", "--channel-ratios", ".2,.2,.6,.9,.9"], tmp_path / "a.json")
    fields = "chip accounting arrays tiles latency_s energy_j energy_by_component area_mm2 power_w ops_dense ops_executed"
    assert set(f"{fields} gops_per_mm2 gops_per_w accuracy layers".split()) <= set(value)
    assert set(value["layers"][0]) >= {"name", "op", "arrays", "latency_s", "energy_j"}
    assert sum(layer["arrays"] for layer in value["layers"] if layer["op"] == "conv2d") == 1396
    assert sum(layer["arrays"] for layer in value["dense"]["layers"] if layer["op"] == "conv2d") == 7192
    assert (value["accounting"], value["kind"], value["accuracy"]) == ("static", "simulated", None)
    assert value["energy_j"] == pytest.approx(sum(value["energy_by_component"].values()))
    assert value["power_w"] == pytest.approx(value["energy_j"] / value["latency_s"])


def test_data_gives_masks_accuracy_report_and_traces(small: str, tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    from edgewise.models.weights import save_weights

    save_weights(load_model(small, shape="1x1x8x8").model, weights)
    arguments = [
        small,
        "--input",
        "1x1x8x8",
        "--weights",
        str(weights),
        "--data",
        "digits",
        "--channel-ratios",
        "0.5",
        "--spatial-ratios",
        "0.25",
    ]
    arguments += ["--noise", "0,0.05", "--chips", "2", "--images", "40", "--noise-aware", "2"]
    value = _run([*arguments, "--out", str(tmp_path / "run"), "--neurosim", str(tmp_path / "ns")], tmp_path / "b.json")
    assert (value["masks"], value["images"]) == ("recorded", 40)
    assert value["accuracy"]["chips"] == 2 and 0 <= value["accuracy"]["digital"] <= 1
    low, high = value["accuracy"]["ci95"]
    assert low <= value["accuracy"]["mean"] <= high and len(value["accuracy_by_noise"]) == 2 and value["tuned"]["steps"] == 2
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Energy by part" in page and "Accuracy on the chip" in page and "assumed" in page and "<script src" not in page
    lines = (tmp_path / "ns" / "NetWork.csv").read_text().splitlines()
    assert lines == ["10,10,1,3,3,16,0,1", "10,10,16,3,3,24,1,1", "1,1,24,1,1,10,0,1"]
    bits = np.loadtxt(tmp_path / "ns" / "input_1.csv", delimiter=",")
    weight = np.loadtxt(tmp_path / "ns" / "weight_1.csv", delimiter=",")
    assert bits.shape == (16 * 9, 64 * 8) and set(np.unique(bits)) <= {0.0, 1.0} and np.abs(weight).max() == 1.0
    # Half of the 16 channels are masked, so that at most 8 channels have any bit in their 9 rows.
    assert (bits.reshape(16, 9, -1).any(axis=(1, 2))).sum() <= 8


@pytest.mark.parametrize("masks", ["random:0.5", "random:0.5:positions", "random:0.5:both"])
def test_drawn_masks_save_energy(masks: str, tmp_path: Path) -> None:
    value = _run(["vgg16", "--masks", masks, "--row-order", "taps"], tmp_path / "c.json")
    assert value["masks"] == "drawn" and value["energy_j"] < value["dense"]["energy_j"] and value["arrays"] == value["dense"]["arrays"]


def test_groups_of_an_arrays_size_turn_whole_arrays_off(tmp_path: Path) -> None:
    options = ["vgg16", "--masks", "random:0.5", "--row-order", "taps", "--convolutions-only"]
    single = _run(options, tmp_path / "d.json")
    grouped = _run([*options, "--channel-group", "array"], tmp_path / "e.json")
    reads = [sum(layer["array_reads"] for layer in value["layers"][8:]) for value in (single, grouped)]
    assert reads[1] < 0.6 * reads[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--chip", "isac"], "unknown chip 'isac'; did you mean isaac?"),
        (["--accounting", "magic"], "unknown accounting 'magic'"),
        (["--channel-ratios", "1.5"], "--channel-ratios must lie in [0, 1), got 1.5"),
        (["--channel-ratios", "0.1,0.2"], "--channel-ratios needs 1 ratio or 5"),
        (["--masks", "random:2"], "--masks must be recorded, random or random:R"),
        (["--noise", "-1"], "--noise must hold numbers of 0 or more"),
        (["--noise-aware", "5"], "--noise-aware trains, and so needs --data"),
        (["--replication", "none"], "--replication must be a number"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crossbar", "vgg16", *arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert said in lines[-1] and lines[-1].startswith("edgewise: ")


def test_a_layer_that_no_array_runs_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "odd.py"
    path.write_text("from torch import nn\n\ndef odd():\n    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ConvTranspose2d(8, 4, 3))\n")
    options = ["crossbar", f"{path}:odd", "--input", "1x3x8x8"]
    assert main(options) == 2
    assert "does not run 1 (conv_transpose2d)" in capsys.readouterr().err
    assert main([*options, "--skip-unsupported"]) == 0
    assert "not priced: 1" in capsys.readouterr().out


def test_decoded_cells_lie_within_half_a_per_cent() -> None:
    for (network, row), cell in PUBLISHED.items():
        assert decoded_per_mm2(network, row) == pytest.approx(cell.per_mm2, rel=5e-3)
        assert decoded_per_w(network, row) == pytest.approx(cell.per_w, rel=5e-3)


def test_tables_keep_quoted_and_simulated_apart() -> None:
    rows = make_tables(("reram-3", "reram-4"))
    assert all((row.quoted is None) != (row.simulated is None) for row in rows)
    assert {row.row for row in rows if row.simulated is not None} >= {
        f"VGG, edgewise {name}" for name in ("dense", "gating", "reload", "static", "static-both")
    }
    assert next(row.quoted for row in rows if row.row == "ResNet ours" and row.column == "latency, ms") == 2.67
