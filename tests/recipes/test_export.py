"""Files for runtimes: written, proven equal, measured."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from edgewise._core.errors import ExportError, UsageError
from edgewise._core.files import sha256_of
from edgewise.recipes import export
from edgewise.recipes.export import run_export
from edgewise.recipes.requests import DeviceRequest, ExportRequest, ModelRequest
from edgewise.recipes.runs import load_model

pytestmark = pytest.mark.usefixtures("brief_timing")
INPUT = "1x3x8x8"


def _request(tiny: str, folder: Path, *, format: str, name: str, batch: int = 1) -> ExportRequest:
    device = DeviceRequest(batch=batch, db=folder / "l.sqlite")
    return ExportRequest(model=ModelRequest(model=tiny, input=INPUT), format=format, out=folder / name, device=device)


def test_an_onnx_file_computes_the_same_in_a_runtime_of_its_own(tiny: str, tmp_path: Path) -> None:
    found = run_export(_request(tiny, tmp_path, format="onnx", name="out.onnx", batch=2)).to_json()
    inputs = torch.randn(2, 3, 8, 8)
    session = onnxruntime.InferenceSession(found["file"])
    (outputs,) = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})
    with torch.no_grad():
        expected = load_model(tiny, shape=INPUT).model(inputs).numpy()
    assert np.allclose(outputs, expected, atol=1e-5)
    assert found["sha256"] == sha256_of(tmp_path / "out.onnx")
    assert found["bytes"] == (tmp_path / "out.onnx").stat().st_size
    assert found["relative_diff"] < 1e-4
    assert found["device"] == "onnxruntime-cpu"
    assert 0 < found["min_s"] <= found["latency_s"]


def test_openvino_writes_two_files(tiny: str, tmp_path: Path) -> None:
    found = run_export(_request(tiny, tmp_path, format="openvino", name="out.xml")).to_json()
    sizes = [(tmp_path / name).stat().st_size for name in ("out.xml", "out.bin")]
    assert found["bytes"] == sum(sizes)
    assert found["device"] == "openvino-cpu"


def test_a_file_is_named_after_its_model(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_export(ExportRequest(model=ModelRequest(model=tiny, input=INPUT), device=DeviceRequest(db=tmp_path / "l.sqlite")))
    assert (tmp_path / "mine.py-tiny.onnx").is_file()


def test_another_suffix_is_refused(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--out of an export to openvino must end with \.xml"):
        run_export(_request(tiny, tmp_path, format="openvino", name="out.onnx"))


def test_a_file_that_computes_something_else_is_refused(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = export.export_onnx

    def spoilt(model: torch.nn.Module, inputs: tuple[torch.Tensor, ...], path: Path) -> None:
        with torch.no_grad():
            model[0].weight.mul_(2)
            real(model, inputs, path)
            model[0].weight.div_(2)

    monkeypatch.setattr(export, "export_onnx", spoilt)
    with pytest.raises(ExportError, match="must equal the network's"):
        run_export(_request(tiny, tmp_path, format="onnx", name="out.onnx"))
