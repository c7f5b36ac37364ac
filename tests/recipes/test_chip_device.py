"""A crossbar chip as a device: priced like the chip itself, and a target for ``simulate``, ``profile`` and ``fit``."""

import json
from importlib import resources
from pathlib import Path

import pytest

from edgewise._core.errors import DeviceError, UnknownLayerError
from edgewise.cli import main
from edgewise.cost.chip import ChipSettings, CrossbarDevice, load_chip, price_network
from edgewise.cost.protocol import Device
from edgewise.ir import NetSpec
from edgewise.recipes.runs import load_model, load_run
from edgewise.trace import trace

ISAAC = load_chip("isaac")


def _net(name: str) -> NetSpec:
    loaded = load_model(name)
    return trace(loaded.model, loaded.inputs(), name=name, verify=False).net


def _run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.mark.parametrize("name", ["isaac", "puma"])
def test_parts_add_up_to_what_the_whole_chip_costs(name: str) -> None:
    net, chip = _net("vgg16"), load_chip(name)
    device = CrossbarDevice(chip=chip)
    assert isinstance(device, Device)
    pieces = device.pieces(net)
    total, dense = device.total(pieces, device.estimate(pieces)), price_network(net, chip, ChipSettings(accounting="dense"))
    detail = dict(total.detail)
    assert total.energy_j == pytest.approx(dense.energy_j)
    assert (detail["arrays"], detail["tiles"], detail["area_mm2"]) == pytest.approx((dense.arrays, dense.tiles, dense.area_mm2))
    assert detail["serial_s"] == pytest.approx(dense.latency_s)
    pipelined = price_network(net, chip, ChipSettings(accounting="dense", schedule="pipelined", replication="balanced"))
    assert detail["whole_copies_s"] == pytest.approx(pipelined.latency_s) and detail["whole_copies_s"] > total.latency_s


def test_the_interval_by_hand() -> None:
    # 7 arrays-times-positions sums of ResNet-20: the mean load of an array, in products of 1.6 us.
    net = _net("resnet20")
    device = CrossbarDevice(chip=ISAAC, batch=3)
    pieces = device.pieces(net)
    work = sum(dict(one.detail)["arrays"] * dict(one.detail)["positions"] for one in device.estimate(pieces))
    by_hand = (1 + 6 * 2) * 1024 + (4 + 5 * 6) * 256 + (12 + 5 * 20) * 64 + 1
    assert work == by_hand
    assert device.total(pieces, device.estimate(pieces)).latency_s == pytest.approx(3 * by_hand * 1.6e-6 / 16128)


def test_rows_that_are_off_save_their_word_lines_and_no_time() -> None:
    device = CrossbarDevice(chip=ISAAC)
    piece = device.pieces(_net("resnet20"))[3]
    from dataclasses import replace

    full, half = device.estimate([piece, replace(piece, density=0.5)])
    assert half.latency_s == full.latency_s and full.energy_j is not None and half.energy_j is not None
    # 16 channels of 9 taps fill 144 rows of 2 arrays; DAC and input register take 0.390625 * 5.24 / 4 pJ a word line and cycle.
    saved = 0.5 * 144 * 1024 * 16 * 0.390625e-12 * (4 + 1.24) / 4
    assert full.energy_j - half.energy_j == pytest.approx(saved)


def test_simulate_and_profile_say_which_latency(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("simulate", "resnet20", "--device", "Isaac", "--batch", 2, "--json", tmp_path / "s.json") == 0
    value = json.loads((tmp_path / "s.json").read_text())
    assert (value["device"], value["kind"], value["coefficients"], value["precision"]) == ("isaac", "simulated", "file", "16-bit")
    assert set(value["chip"]) == {"arrays", "tiles", "area_mm2", "serial_s", "whole_copies_s"}
    assert "interval between images" in value["latency_is"] and "interval between images" in capsys.readouterr().out
    assert value["latency_s"] == pytest.approx(sum(layer["latency_s"] for layer in value["layers"]))
    assert value["energy_j"] == pytest.approx(sum(layer["energy_j"] for layer in value["layers"]))
    assert _run("profile", "resnet20", "--device", "isaac", "--json", tmp_path / "p.json") == 0
    row = next(row for row in json.loads((tmp_path / "p.json").read_text())["layers"] if row["name"] == "layer3.0.conv1")
    arrays = dict(zip(row["widths"], row["arrays"], strict=True))
    assert arrays[48] == 9 and arrays[49] == 12  # 32 * 9 rows fill 3 blocks, 16 outputs an array


def test_fit_meets_a_latency_on_a_chip_of_ones_own(tmp_path: Path) -> None:
    text = (resources.files("edgewise.cost.chip") / "data" / "isaac.toml").read_text()
    file = tmp_path / "mine.toml"
    file.write_text(text.replace('name = "isaac"', 'name = "mine"').replace("value = 168", "value = 40"))
    out = tmp_path / "run"
    assert _run("fit", "resnet20", "--device", file, "--latency", "0.8x", "--width-floor", "0.5x", "--out", out) == 0
    run = load_run(out)
    value = run.result
    assert value["met"] and value["kind"] == "simulated" and value["device"].startswith("chip:")
    assert value["result"]["latency_s"] <= 0.8 * value["baseline"]["latency_s"]
    assert value["result"]["energy_j"] < value["baseline"]["energy_j"]
    assert any("energy is reported, not solved for" in one for one in value["warnings"])
    net = trace(run.loaded.model, run.loaded.inputs(), name="fitted", verify=False).net
    device = CrossbarDevice(chip=load_chip(str(file)))
    assert device.predict_s(net) == pytest.approx(value["result"]["latency_s"])
    assert "utilisation of the waves" not in (out / "report.html").read_text()


def test_a_network_that_does_not_fit_says_how_many_tiles_it_needs() -> None:
    from dataclasses import replace

    device = CrossbarDevice(chip=replace(ISAAC, tiles=10))
    pieces = device.pieces(_net("vgg16"))
    with pytest.raises(DeviceError, match=r"needs 77 tiles .*, isaac has 10"):
        device.total(pieces, device.estimate(pieces))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["simulate", "resnet20", "--device", "prime"], "prime's times are unpublished"),
        (["fit", "resnet20", "--device", "isac", "--latency", "0.7x"], "unknown device 'isac'; did you mean isaac?"),
        (["simulate", "resnet20", "--device", "chip:none.toml"], "no chip file none.toml"),
        (["simulate", "resnet20", "--device", "isaac", "--precision", "bf16"], "means nothing on a crossbar chip"),
        (["bench", "resnet20", "--device", "isaac"], "is simulated, so nothing can be measured on it"),
    ],
)
def test_bad_input_is_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("edgewise:")]
    assert len(error) == 1 and said in error[0]


def test_an_unsupported_layer_is_named_by_the_device(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "odd.py"
    path.write_text("from torch import nn\n\ndef odd():\n    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ConvTranspose2d(8, 4, 3))\n")
    loaded = load_model(f"{path}:odd", shape="1x3x8x8")
    net = trace(loaded.model, loaded.inputs(), name="odd", verify=False).net
    with pytest.raises(UnknownLayerError, match=r"does not run 1 \(conv_transpose2d\)"):
        CrossbarDevice(chip=ISAAC).pieces(net)
    assert main(["simulate", f"{path}:odd", "--input", "1x3x8x8", "--device", "isaac"]) == 2
    assert "conv_transpose2d" in capsys.readouterr().err


def test_devices_lists_chips(tmp_path: Path) -> None:
    assert _run("devices", "--json", tmp_path / "d.json") == 0
    rows = {row["name"]: row for row in json.loads((tmp_path / "d.json").read_text())["devices"]}
    assert {"isaac", "puma", "prime", "chip:FILE"} <= set(rows)
    assert rows["isaac"]["timed"] and not rows["prime"]["timed"] and rows["isaac"]["sources"]["cycle_s"]
