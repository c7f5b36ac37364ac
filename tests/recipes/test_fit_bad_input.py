"""What the command line says to bad input of ``fit``: status 2, one line, and nothing left behind."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from edgewise.cli.entry import main
from edgewise.models.catalog import BUILT_IN
from recipes.known_device import KnownDevice

MODELS = """
from torch import nn

def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, 10))

def three():
    return nn.Sequential(nn.Conv2d(1, 24, 3), nn.ReLU(), nn.Conv2d(24, 40, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(40, 3))

def maps():
    return nn.Sequential(nn.Conv2d(1, 24, 3), nn.ReLU(), nn.Conv2d(24, 40, 3))
"""


@pytest.fixture
def models(tmp_path: Path) -> str:
    """Networks of all kinds in one file."""
    (tmp_path / "models.py").write_text(MODELS)
    return str(tmp_path / "models.py")


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line on standard error of a command that ends with status 2."""
    status = main(list(words))
    lines = capsys.readouterr().err.strip().splitlines()
    assert (status, len(lines)) == (2, 1), lines
    return lines[0]


TARGETS = [
    ("0x", "must be positive"),
    ("-1ms", "must be positive"),
    ("0.7", "needs one of the units"),
    ("fast", "must be a number with a unit"),
    ("nanms", "must be positive and finite"),
    ("3kg", "unit 'kg'"),
]


@pytest.mark.parametrize(("target", "words"), TARGETS)
def test_targets(capsys, target, words):
    line = refused(capsys, "fit", "resnet20", f"--latency={target}")
    assert "--latency" in line and words in line and target in line


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--precision", "int8"], "int8 does not exist yet"),
        (["--device", "onnxruntime"], "unknown device 'onnxruntime'; did you mean onnxruntime-cpu?"),
        (["--solver", "exakt"], "did you mean exact?"),
        (["--keep", "conv9"], "no layer 'conv9'"),
        (["--only", "conv9"], "no layer 'conv9'"),
        (["--width-floor", "1.5x"], "--width-floor must lie in"),
        (["--distill"], "--distill trains, and so needs --data"),
        (["--lr", "0"], "--lr must be positive, got 0"),
        (["--lr", "nan"], "--lr must be positive, got nan"),
        (["--data", "digit"], "unknown data set 'digit'"),
        (["--params-at-least", "90x"], "cannot be met"),
        (["--latency", "0.001x"], "is out of reach"),
        (["--latency", "1ns"], "needs one of the units"),
        (["--latency", "0.001us"], "is out of reach"),
    ],
)
def test_flags(capsys, known_device: KnownDevice, tmp_path, flags, words):
    line = refused(capsys, "fit", "digits-cnn", "--latency", "0.7x", "--out", str(tmp_path / "run"), *flags)
    assert words in line
    assert not (tmp_path / "run").exists()


def test_resume_needs_a_run(capsys):
    assert "--resume needs --out RUN" in refused(capsys, "fit", "digits-cnn", "--latency", "0.7x", "--resume")


def test_models(capsys, known_device: KnownDevice, models, tmp_path):
    assert "must have a convolution" in refused(capsys, "fit", f"{models}:linear", "--input", "1x3x8x8", "--latency", "0.7x")
    assert "is not known; give it" in refused(capsys, "fit", f"{models}:three", "--latency", "0.7x")
    assert "unknown model 'digits'" in refused(capsys, "fit", "digits", "--latency", "0.7x")
    state = BUILT_IN["digits-cnn"].build().state_dict()
    state["linear.bias"][2] = torch.nan
    torch.save(state, tmp_path / "nan.pt")
    line = refused(capsys, "fit", "digits-cnn", "--weights", str(tmp_path / "nan.pt"), "--latency", "0.7x")
    assert "NaN or infinity in linear.bias" in line


def test_folders(capsys, known_device: KnownDevice, tmp_path):
    (tmp_path / "file").write_text("")
    assert "must be a folder" in refused(capsys, "fit", "digits-cnn", "--latency", "0.7x", "--out", str(tmp_path / "file"))
    assert "must be empty or new, got file" in refused(capsys, "fit", "digits-cnn", "--latency", "0.7x", "--out", str(tmp_path))
    run = tmp_path / "run"
    assert main(["fit", "digits-cnn", "--latency", "0.7x", "--out", str(run)]) == 0
    capsys.readouterr()
    assert "already holds a finished run" in refused(capsys, "fit", "digits-cnn", "--latency", "0.7x", "--out", str(run))
    resumed = refused(capsys, "fit", "digits-cnn", "--latency", "0.8x", "--out", str(run), "--resume")
    assert "latency (0.7x there, 0.8x now)" in resumed


def test_data_that_does_not_fit(capsys, known_device: KnownDevice, models):
    def line(model: str, shape: str) -> str:
        return refused(capsys, "fit", model, "--input", shape, "--latency", "0.7x", "--data", "digits")

    assert "1x1x8x8 against 1x3x32x32" in line("resnet20", "1x3x32x32")
    assert "has 10 classes, but models.py:three tells 3 apart" in line(f"{models}:three", "1x1x8x8")
    assert "got shape (1, 40, 4, 4)" in line(f"{models}:maps", "1x1x8x8")


def test_fewer_classes_than_outputs_are_noted(capsys, known_device: KnownDevice, tmp_path):
    images, labels = np.zeros((40, 8, 8, 1), np.uint8), np.arange(40) % 2
    np.savez(tmp_path / "two.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    words = ["fit", "digits-cnn", "--latency", "0.7x", "--data", f"npz:{tmp_path / 'two.npz'}", "--epochs", "0"]
    assert main(words) == 0
    assert "10 outputs for 2 classes" in capsys.readouterr().out


def test_data_without_its_extra(capsys, monkeypatch):
    for name in [name for name in sys.modules if name == "sklearn" or name.startswith("sklearn.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    line = refused(capsys, "fit", "digits-cnn", "--latency", "0.7x", "--data", "digits")
    assert "pip install 'edgewise[data]'" in line
