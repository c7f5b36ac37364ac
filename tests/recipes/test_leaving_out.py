"""Fits that leave residual blocks out, where that loses less than narrower layers do."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import edgewise
from edgewise._core.units import parse_latency
from edgewise.ir import WidthPlan
from edgewise.models.weights import save_weights
from edgewise.recipes.fit import FitResult, run_fit
from edgewise.recipes.requests import DataRequest, FitRequest, ModelRequest
from edgewise.recipes.runs import load_request, load_run
from edgewise.recipes.unfinished import ATTEMPT_FILE, kept, settings_of
from edgewise.train.loop import Loaders
from recipes.known_device import KnownDevice

BLOCKS = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, adds):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(16, 32, 3, padding=1), nn.Conv2d(32, 16, 3, padding=1)
        if not adds:
            nn.init.zeros_(self.conv2.weight)
            nn.init.zeros_(self.conv2.bias)

    def forward(self, x):
        return torch.relu(x + self.conv2(torch.relu(self.conv1(x))))

def blocks():
    torch.manual_seed(0)
    body = [Block(adds) for adds in (True, False, True, False)]
    return nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), *body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
"""
SILENT = ["3", "5"]


def images() -> Tensor:
    return torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def network() -> nn.Module:
    """Four blocks, of which the second and the last add nothing."""
    made: dict[str, object] = {}
    exec(BLOCKS, made)  # the same code as in the file of the runs
    model: nn.Module = made["blocks"]()
    return model.eval()


def learnt(model: nn.Module) -> Loaders:
    """Images whose labels are what the network says: nothing is better than the network as it is."""
    with torch.no_grad():
        batch = (images(), model(images()).argmax(dim=1))
    return Loaders(train=[batch], validation=[batch])


def fit(latency: str = "0.7x", **changes: object) -> FitResult:
    model = network()
    with torch.no_grad():
        model[-1].weight.mul_(100.0)  # sure of what it says
    return edgewise.fit(model, inputs=images()[:1], latency=latency, data=learnt(model), epochs=0, **changes)


def test_blocks_that_add_nothing_go_first(known_device: KnownDevice, tmp_path: Path) -> None:
    fitted = fit()
    value = fitted.value
    assert value["objective"] == "loss" and value["met"] and set(SILENT) <= set(value["left_out"])
    assert all(isinstance(fitted.module[int(place)], nn.Identity) for place in SILENT)
    assert [fitted.widths[f"{place}.conv{k}"] for place in SILENT for k in (1, 2)] == [0] * 4
    assert value["result"]["accuracy_validation"] == 1.0
    assert value["result"]["predicted_s"] / value["baseline"]["predicted_s"] == pytest.approx(fitted.speed_ratio, rel=0.03)
    fitted.save(tmp_path)
    again = edgewise.load(network(), inputs=images()[:1], saved=tmp_path).model
    assert torch.equal(again(images()), fitted.module(images()))
    assert f"residual blocks left out: {', '.join(value['left_out'])}" in repr(fitted)


def test_what_is_asked_for_is_kept(known_device: KnownDevice) -> None:
    assert fit(keep_blocks=True).value["left_out"] == []
    assert fit(keep="3.conv1").value["left_out"] != SILENT and "3" not in fit(keep="3.conv1").value["left_out"]
    assert fit(only="5.conv1", latency="0.9x").value["left_out"] == ["5"]
    assert fit(solver="algorithm2").value["left_out"] == []
    assert fit(objective="importance").value["left_out"] == []


def test_simulated_devices_leave_blocks_out_too() -> None:
    fitted = fit(device="jetson-nano")
    value = fitted.value
    assert value["met"] and set(SILENT) <= set(value["left_out"]) and value["result"]["accuracy_validation"] > 0.9
    gone = [row for row in value["why"] if row["layer"] == "3.conv1"]
    assert [(row["macs_after"], row["latency_after_s"]) for row in gone] == [(0, 0.0)]


def trained_run(tmp_path: Path) -> tuple[FitRequest, Path]:
    """A file of code, its weights, and its labelled images in a file."""
    (tmp_path / "mine.py").write_text(BLOCKS)
    model = network()
    with torch.no_grad():
        model[-1].weight.mul_(100.0)
        pixels = torch.randint(0, 256, (400, 8, 8, 1), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        labels = model((pixels.permute(0, 3, 1, 2) / 255 - 0.5) / 0.5).argmax(dim=1)
    save_weights(model, tmp_path / "mine.safetensors")
    arrays = {"x_train": pixels[:300], "y_train": labels[:300], "x_test": pixels[300:], "y_test": labels[300:]}
    np.savez(tmp_path / "data.npz", **{name: tensor.numpy() for name, tensor in arrays.items()})
    request = FitRequest(
        model=ModelRequest(model=f"{tmp_path / 'mine.py'}:blocks", weights=tmp_path / "mine.safetensors", input="1x1x8x8"),
        latency=parse_latency("0.7x"),
        data=DataRequest(data=f"npz:{tmp_path / 'data.npz'}", epochs=0, mean=(0.5,), std=(0.5,)),
        out=tmp_path / "run",
    )
    return request, tmp_path / "run"


def test_a_run_is_read_again_and_its_report_names_the_blocks(known_device: KnownDevice, tmp_path: Path) -> None:
    request, folder = trained_run(tmp_path)
    fitted = run_fit(request)
    left_out = fitted.value["left_out"]
    assert set(SILENT) <= set(left_out)
    run = load_run(folder)
    assert torch.equal(run.loaded.model(images()), fitted.module(images()))
    (plan,) = run.loaded.plans
    assert isinstance(plan, WidthPlan) and WidthPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert plan.widths["3.conv1"] == plan.widths["5.conv1"] == 0
    page = (folder / "report.html").read_text()
    assert f"{len(left_out)} residual blocks left out ({', '.join(left_out)})" in page and ">left out<" in page


def test_an_unfinished_run_goes_on_without_the_blocks(known_device: KnownDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request, folder = trained_run(tmp_path)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("edgewise.recipes.fit.refit_fitted", killed)
        run_fit(request)
    assert (folder / ATTEMPT_FILE).exists()
    known = kept(folder, settings_of(request, load_request(request.model)))
    assert known is not None and {tie["tie"]: tie["keep"] for tie in known.attempt["plan"]["ties"]}["3.conv1"] == []
    assert set(SILENT) <= set(run_fit(replace(request, resume=True)).value["left_out"])
