"""Pages made from runs."""

import json
from pathlib import Path

import pytest

from edgewise._core.errors import RunError
from edgewise.recipes.report import run_report
from edgewise.recipes.requests import ReportRequest
from edgewise.recipes.runs import load_model, write_run

RESULT = {
    "model": "mine",
    "device": "torch-cpu",
    "baseline": {"latency_s": 2e-3, "min_s": 1.9e-3, "macs": 100, "params": 10, "accuracy": None, "accuracy_validation": None},
    "result": {"latency_s": 1e-3, "min_s": 0.9e-3, "macs": 50, "params": 5, "accuracy": None, "accuracy_validation": None},
    "target_s": 1.2e-3,
    "met": True,
}


def _write(folder: Path, tiny: str) -> Path:
    loaded = load_model(tiny, shape="1x3x8x8")
    write_run(folder, loaded.model, record=loaded.record, result=RESULT)
    return folder


def test_a_run_gets_its_page_in_its_folder(tiny: str, tmp_path: Path) -> None:
    folder = _write(tmp_path / "run", tiny)
    found = run_report(ReportRequest(runs=(folder,)))
    assert found.file == folder / "report.html"
    assert found.n_bytes == len((folder / "report.html").read_bytes())
    assert "mine on torch-cpu" in (folder / "report.html").read_text()


def test_several_runs_share_a_page(tiny: str, tmp_path: Path) -> None:
    folders = tuple(_write(tmp_path / name, tiny) for name in ("one", "two"))
    run_report(ReportRequest(runs=folders, out=tmp_path / "both.html"))
    page = (tmp_path / "both.html").read_text()
    assert "2 runs compared" in page
    assert "one" in page and "two" in page


def test_a_file_of_json_gets_its_page_beside_it(tmp_path: Path) -> None:
    (tmp_path / "fit.json").write_text(json.dumps(RESULT))
    assert run_report(ReportRequest(runs=(tmp_path / "fit.json",))).file == tmp_path / "fit.html"


@pytest.mark.parametrize(("content", "part"), [("{", "is not JSON"), ("[]", "must hold a JSON object"), (None, "no such file")])
def test_a_broken_file_is_refused(content: str | None, part: str, tmp_path: Path) -> None:
    path = tmp_path / "fit.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RunError, match=part):
        run_report(ReportRequest(runs=(path,)))


def test_a_study_gets_its_page_in_its_folder_and_commands_name_it(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text("{}")
    with pytest.raises(RunError, match=r"has no result yet.*--resume"):
        run_report(ReportRequest(runs=(tmp_path,)))
    trial = {"key": "a", "number": 0, "method": "widths", "state": "complete", "ratio": 0.7, "run": "trials/0000-a"}
    (tmp_path / "result.json").write_text(json.dumps({"command": "explore", "trials": [trial], "front": ["a"]}))
    assert run_report(ReportRequest(runs=(tmp_path,))).file == tmp_path / "report.html"
    assert f"edgewise export {tmp_path}/trials/0000-a --format onnx" in (tmp_path / "report.html").read_text()


def test_a_missing_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run folder"):
        run_report(ReportRequest(runs=(tmp_path / "absent",)))
