"""Table 1: quoted, priced and measured figures in cells of their own."""

from pathlib import Path

import pytest

from edgewise.recipes import tables
from edgewise.recipes.bench import BenchResult, BenchRow
from edgewise.recipes.requests import BenchRequest, DeviceRequest
from edgewise.recipes.tables.nas_1 import PUBLISHED


@pytest.fixture
def quick_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every network takes 2 ms."""
    figures = {
        "kind": "measured",
        "latency_s": 2e-3,
        "min_s": 2e-3,
        "ratio": 1.0,
        "q1_s": 2e-3,
        "q3_s": 2e-3,
        "repeats": 3,
        "noisy": False,
        "macs": 1,
        "params": 1,
    }

    def run(request: BenchRequest, *, progress: object) -> BenchResult:
        rows = tuple(BenchRow(model=model.model, device="onnxruntime-cpu", **figures) for model in request.models)
        return BenchResult(rows=rows, settings=DeviceRequest())

    monkeypatch.setattr("edgewise.recipes.bench.run_bench", run)


def test_cells_hold_one_kind_of_figure(quick_bench: None, shared_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWISE_SHARED", str(shared_folder))
    rows = tables.make_tables(("nas-1",))
    assert all(sum(value is not None for value in (row.quoted, row.simulated, row.measured)) <= 1 for row in rows)
    cells = {(row.row, row.column): row for row in rows}
    assert cells["Single-Path NAS", "Pixel 1, ms"].quoted == 79.48
    assert cells["Single-Path NAS", "Pixel 1 by table, ms"].simulated == 80.4411
    assert cells["MnasNet 1.0x (our impl.)", "Pixel 1 by table, ms"].simulated == 75.8806
    assert cells["FBNet-B", "Pixel 1 by table, ms"].simulated is None and "no entry" in cells["FBNet-B", "Pixel 1 by table, ms"].note
    assert cells["MobileNetV1", "parameters"].simulated == 4_231_976
    assert cells["ProxylessNAS-R", "here, ms"].measured == 2.0
    assert sum(row.column == "here, ms" for row in rows) == 7


def test_without_the_phones_table_nothing_is_priced(quick_bench: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWISE_SHARED", str(tmp_path))
    monkeypatch.setattr("edgewise.recipes.tables.nas_1.PUBLISHED", PUBLISHED[-1:])
    priced = [row for row in tables.make_tables(("nas-1",)) if row.column == "Pixel 1 by table, ms"]
    assert [(row.simulated, row.note) for row in priced] == [(None, "no table pixel1-lut.csv here; set EDGEWISE_SHARED")]


def test_the_printed_table_is_quoted_whole() -> None:
    # The tutorial has 12 rows; two of them lack top-5 or milliseconds.
    assert len(PUBLISHED) == 12
    assert [one.label for one in PUBLISHED if one.top5 is None] == ["ChamNet-B", "FBNet-B"]
    assert [one.label for one in PUBLISHED if one.ms is None] == ["ChamNet-B", "FBNet-B"]
