"""What ``crossbar --out`` leaves behind: a whole run, a report, and a killed run that goes on."""

import json
from pathlib import Path

import pytest
import torch

from edgewise._core.errors import EdgewiseError, RunError
from edgewise.cli import main
from edgewise.models.weights import save_weights
from edgewise.recipes import crossbar_accuracy
from edgewise.recipes.crossbar import run_crossbar
from edgewise.recipes.crossbar_kept import CHIPS_FILE
from edgewise.recipes.crossbar_request import AnalogRequest, CrossbarRequest, PruningRequest
from edgewise.recipes.requests import DataRequest, ModelRequest
from edgewise.recipes.runs import load_model, load_run

SMALL = """
from torch import nn

def small():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10)
    )
"""


class KilledError(Exception):
    """Stands for a power cut: no error of ours."""


@pytest.fixture
def model(tmp_path: Path) -> ModelRequest:
    path, weights = tmp_path / "mine.py", tmp_path / "w.safetensors"
    path.write_text(SMALL)
    save_weights(load_model(f"{path}:small", shape="1x1x8x8").model, weights)
    return ModelRequest(model=f"{path}:small", weights=weights, input="1x1x8x8")


def _request(model: ModelRequest, out: Path, *, resume: bool = False, chips: int = 3) -> CrossbarRequest:
    return CrossbarRequest(
        model=model,
        pruning=PruningRequest(channel_ratios=(0.5,)),
        analog=AnalogRequest(noise=(0.0, 0.2), chips=chips, images=20, noise_aware=2),
        data=DataRequest(data="digits"),
        out=out,
        resume=resume,
    )


def test_a_run_holds_the_tuned_network_its_result_and_a_report(model: ModelRequest, tmp_path: Path) -> None:
    out = tmp_path / "run"
    value = run_crossbar(_request(model, out)).to_json()
    assert {path.name for path in out.iterdir()} == {"model.safetensors", "spec.json", "result.json", "report.html", "log.jsonl"}
    run = load_run(out)
    assert run.result["tuned"]["each"] == value["tuned"]["each"] and run.loaded.trained
    start = load_model(model.model, weights=model.weights, shape=model.input).model
    moved = [not torch.equal(a, b) for a, b in zip(run.loaded.model.parameters(), start.parameters(), strict=True)]
    assert any(moved)
    (out / "report.html").unlink()
    assert main(["report", str(out)]) == 0
    page = (out / "report.html").read_text()
    assert "Accuracy on the chip" in page and "tuned under noise" in page
    assert main(["report", str(out), str(out), "--out", str(tmp_path / "both.html")]) == 0
    assert "2 runs compared" in (tmp_path / "both.html").read_text()


def test_any_command_takes_the_run_as_its_model(model: ModelRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    run_crossbar(_request(model, out))
    assert main(["crossbar", str(out), "--json", str(tmp_path / "again.json")]) == 0
    assert json.loads((tmp_path / "again.json").read_text())["arrays"] == 3
    assert main(["crossbar", "vgg16", "--out", str(out)]) == 2
    assert "already holds a finished run" in capsys.readouterr().err


def test_a_killed_run_goes_on_to_the_same_end(model: ModelRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_crossbar(_request(model, tmp_path / "whole")).to_json()
    judged, real = [], crossbar_accuracy.accuracy_on_chip

    def dying(*arguments: object, chip: int, **options: object) -> float:
        if len(judged) == 3:
            raise KilledError
        judged.append(chip)
        return real(*arguments, chip=chip, **options)  # type: ignore[arg-type]

    out = tmp_path / "run"
    monkeypatch.setattr(crossbar_accuracy, "accuracy_on_chip", dying)
    with pytest.raises(KilledError):
        run_crossbar(_request(model, out))
    assert len(json.loads((out / CHIPS_FILE).read_text())["chips"]["0.2"]) == 2  # one ideal chip, and two of three
    with pytest.raises(EdgewiseError, match="holds an unfinished run; add --resume"):
        run_crossbar(_request(model, out))
    with pytest.raises(RunError, match="other settings: analog chips"):
        run_crossbar(_request(model, out, resume=True, chips=4))
    judged.clear()
    judged_again = []

    def counting(*arguments: object, chip: int, **options: object) -> float:
        judged_again.append(chip)
        return real(*arguments, chip=chip, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(crossbar_accuracy, "accuracy_on_chip", counting)
    value = run_crossbar(_request(model, out, resume=True)).to_json()
    assert judged_again == [2, 0, 1, 2]  # the third chip, and three with the tuned network
    assert value["accuracy_by_noise"] == whole["accuracy_by_noise"] and value["tuned"] == whole["tuned"]
    assert not (out / CHIPS_FILE).exists()
    judged_again.clear()
    again = run_crossbar(_request(model, out, resume=True)).to_json()
    assert not judged_again and again["tuned"] == whole["tuned"]


def test_damaged_chips_are_named(model: ModelRequest, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / CHIPS_FILE).write_text("{}")
    with pytest.raises(RunError, match=r"chips\.json is damaged"):
        run_crossbar(_request(model, out, resume=True))


def test_bad_input_leaves_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(["crossbar", "vgg16", "--channel-ratios", "2", "--out", str(out)]) == 2
    assert not out.exists()
    assert main(["crossbar", "vgg16", "--resume"]) == 2
    assert "--resume goes on with the run in --out" in capsys.readouterr().err
