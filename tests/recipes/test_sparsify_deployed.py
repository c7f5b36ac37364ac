"""Runs with gates, deployed: exported, and timed beside their dense selves."""

import json
from pathlib import Path

import pytest

from edgewise.cli import main
from edgewise.kernels import variants
from edgewise.recipes.requests import ModelRequest
from edgewise.recipes.runs import load_run
from edgewise.recipes.sparsify.request import RatioRequest, SparsifyRequest
from edgewise.recipes.sparsify.run import run_sparsify

needs_kernels = pytest.mark.skipif(not variants(), reason="no C++ compiler here")
pytestmark = pytest.mark.usefixtures("brief_timing")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with gates, not trained."""
    folder = tmp_path_factory.mktemp("deployed") / "run"
    asked = SparsifyRequest(model=ModelRequest(model="resnet20"), ratios=RatioRequest(channels=(0.5,)), measure=False, out=folder)
    run_sparsify(asked)
    return folder


@needs_kernels
def test_bench_puts_dense_and_dynamic_side_by_side(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bench.json"
    assert main(["bench", "resnet20", str(run), "--device", "openvino-cpu,torch-cpu", "--json", str(file)]) == 0
    value = json.loads(file.read_text())
    assert [(row["model"], row["device"]) for row in value["rows"]] == [
        (name, device) for name in ("resnet20", str(run)) for device in ("openvino-cpu", "torch-cpu")
    ]
    assert [row["model"] for row in value["dense"]] == [f"{run}, dense"] * 2
    assert value["rows"][2]["macs"] < value["rows"][0]["macs"] == value["dense"][0]["macs"]
    assert "run, dense" in capsys.readouterr().out


@needs_kernels
def test_the_exported_file_gives_the_same_outputs(run: Path, tmp_path: Path) -> None:
    file, said = tmp_path / "sparse.xml", tmp_path / "said.json"
    assert main(["export", str(run), "--format", "openvino", "--out", str(file), "--json", str(said)]) == 0
    value = json.loads(said.read_text())
    assert value["relative_diff"] < 1e-3 and file.with_suffix(".bin").is_file() and value["latency_s"] > 0


def test_onnx_holds_the_gates_too(run: Path, tmp_path: Path) -> None:
    file, said = tmp_path / "sparse.onnx", tmp_path / "said.json"
    assert main(["export", str(run), "--format", "onnx", "--out", str(file), "--json", str(said)]) == 0
    assert json.loads(said.read_text())["relative_diff"] < 1e-3
    assert load_run(run).loaded.gates is not None


def test_why_compares_dense_networks(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "resnet20", str(run), "--why"]) == 2
    assert "this command does not take" in capsys.readouterr().err
