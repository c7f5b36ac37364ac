"""Reading traces: both sets of column names, and every way to be wrong."""

import gzip
from pathlib import Path

import pytest

from edgewise._core.errors import DataError
from edgewise.cost.gpu.calibration import calibrate, traced_of
from edgewise.cost.gpu.fitting import errors_of
from edgewise.cost.gpu.library import packaged_fit
from edgewise.cost.gpu.specs import gpu_spec
from edgewise.cost.gpu.traces import read_trace

PLAIN = "batch,in_channels,out_channels,size,latency_ms\n8,16,32,14,0.25\n"


def _file(folder: Path, text: str, name: str = "trace.csv") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def test_a_table_of_ones_own_is_read(tmp_path: Path) -> None:
    table = read_trace(_file(tmp_path, PLAIN), needs_latency=True)
    assert table.latency_s is not None and table.latency_s.tolist() == [0.25e-3]
    assert (table.shapes.out_h.tolist(), table.shapes.macs.tolist()) == ([14.0], [8 * 14 * 14 * 32 * 16 * 9])
    assert not table.named


def test_a_neusight_trace_is_read_with_its_families(tmp_path: Path) -> None:
    header = "Latency,Kernel Name,Kernels,B,Input_Channel,Output_Channel,Kernel_Szie,Input_Size,Stride,Padding\n"
    row = '0.7,volta_sgemm_64x64_nn,";winograd_nonfused;volta_sgemm_64x64_nn",7,1791,61,3,17,1,1\n'
    table = read_trace(_file(tmp_path, header + row, "t.csv.gz"), needs_latency=True)
    assert [family.name for family in table.families if family] == ["nf-64x64"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch,in_channels,size,latency_ms\n1,2,3,1\n", "lacks the column Output_Channel"),
        (PLAIN + "8,16,32,14,-1\n", "row 2: `latency_ms` must be a positive time, got -1"),
        (PLAIN + "8,0,32,14,1\n", "row 2: `in_channels` must be a whole number of at least 1, got 0"),
        (PLAIN + "8,1.5,32,14,1\n", "row 2: `in_channels` must be a whole number"),
        (PLAIN + "8,x,32,14,1\n", "row 2: `in_channels` must be a number, got 'x'"),
        (PLAIN + "8,16,32,14\n", "line 3: a row must have 5 cells"),
        (PLAIN + "8,16,32,14,nan\n", "row 2: `latency_ms` must be a positive time"),
        ("batch,in_channels,out_channels,size,latency_ms\n", "a header and at least one row"),
    ],
)
def test_wrong_tables_are_refused_by_row(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_trace(_file(tmp_path, text), needs_latency=True)


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such trace"):
        read_trace(tmp_path / "none.csv", needs_latency=True)
    with pytest.raises(DataError, match="no readable CSV"):
        read_trace(_file(tmp_path, "x", "t.csv").rename(tmp_path / "t.csv.gz"), needs_latency=True)


@pytest.mark.parametrize(("name", "most", "rows"), [("v100", 0.115, 2479), ("t4", 0.102, 2484), ("p4", 0.145, 2498)])
def test_held_out_errors_stay_below_the_targets(shared_folder: Path, name: str, most: float, rows: int) -> None:
    path = shared_folder / "data" / "gpu-conv" / f"{name}.csv.gz"
    spec = gpu_spec(name)
    trace = traced_of([read_trace(path, needs_latency=True)], spec.machine)
    assert len(trace) == rows
    known = [place for place, family in enumerate(trace.families) if family is not None]
    assert len(known) > 0.96 * rows
    done = calibrate(trace)
    assert done.residual.mean <= most
    assert done.residual.spearman >= 0.985
    packaged = packaged_fit(name).model.choose(trace.shapes, spec.machine)
    # Files hold rounded coefficients; rows whose families are as good as equal may change theirs.
    assert errors_of(packaged.latency_s, done.model.choose(trace.shapes, spec.machine).latency_s).mean < 1e-3
