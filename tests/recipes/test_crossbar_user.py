"""What a user does with ``crossbar``: a chip file of one's own, blocks of positions, groups of channels, and mistakes."""

import json
from importlib import resources
from pathlib import Path

import pytest

from edgewise.cli import main

TEXT = (resources.files("edgewise.cost.chip") / "data" / "isaac.toml").read_text()
TILES = 'tiles = { value = 168, source = "ISAAC, ISCA 2016: 168 tiles a chip" }'


def _run(arguments: list[str], path: Path) -> dict:
    assert main(["crossbar", *arguments, "--json", str(path)]) == 0
    return json.loads(path.read_text())


def test_a_chip_file_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "wide.toml"
    wide = TEXT.replace('name = "isaac"', 'name = "wide"').replace("rows = { value = 128", "rows = { value = 256")
    file.write_text(wide.replace(TILES, TILES.replace("168", "200").replace("ISAAC, ISCA 2016: 200", "assumed: 200")))
    value = _run(["resnet20", "--chip", str(file)], tmp_path / "a.json")
    narrow = _run(["resnet20"], tmp_path / "b.json")
    assert value["chip"] == "wide" and value["arrays"] < narrow["arrays"]
    assert value["sources"]["tiles"] == "assumed: 200 tiles a chip" and "tiles: assumed: 200 tiles a chip" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (TILES, "", "hierarchy.tiles is missing"),
        ("value = 100e-9,", "value = -100e-9,", "timing.cycle_s"),
        (TILES, "tiles = { value = 168 }", "hierarchy.tiles has no source line"),
        ("power_w = 16e-3", "power_w = -16e-3", "component.adc.power_w"),
        (TILES, TILES.replace("168,", "1,"), "needs 2 tiles (160 arrays)"),
    ],
    ids=["missing", "negative", "unsourced", "negative part", "too small"],
)
@pytest.mark.parametrize("command", ["crossbar", "simulate"])
def test_a_broken_or_small_chip_is_one_line(
    old: str, new: str, said: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert old in TEXT
    file = tmp_path / "mine.toml"
    file.write_text(TEXT.replace(old, new, 1))
    flag = "--chip" if command == "crossbar" else "--device"
    assert main([command, "resnet20", flag, str(file)]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("edgewise:")]
    assert len(errors) == 1 and said in errors[0]


def test_bits_below_one_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crossbar", "resnet20", "--weight-bits", "0"]) == 2
    assert "`weight_bits` of a chip must be at least 1, got 0" in capsys.readouterr().err


def test_blocks_of_positions_turn_scattered_sparsity_into_time(tmp_path: Path) -> None:
    options = ["resnet20", "--masks", "random:0.5:positions"]
    scattered = _run(options, tmp_path / "a.json")
    blocky = _run([*options, "--spatial-block", "4"], tmp_path / "b.json")
    dense = scattered["dense"]["latency_s"]
    # A 3x3 window is empty with probability 0.5**9 where positions are scattered; gates stand on every second layer.
    assert scattered["latency_s"] > 0.97 * dense and blocky["latency_s"] < 0.9 * dense
    assert blocky["energy_j"] < scattered["energy_j"]


def test_groups_of_channels_turn_whole_arrays_off_in_torchs_row_order_too(tmp_path: Path) -> None:
    options = ["vgg16", "--masks", "random:0.5", "--convolutions-only"]
    single = _run(options, tmp_path / "a.json")
    grouped = _run([*options, "--channel-group", "array", "--aligned"], tmp_path / "b.json")
    reads = [sum(layer["array_reads"] for layer in value["layers"][4:]) for value in (single, grouped)]
    assert reads[1] < 0.65 * reads[0]
