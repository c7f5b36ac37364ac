"""From words to requests."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise._core.errors import UsageError
from edgewise.cli import main
from edgewise.cli.options import devices, numbers, words
from edgewise.recipes.requests import BenchRequest, DataRequest, DeviceRequest, ModelRequest


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("torch-cpu", ["torch-cpu"]),
        ("onnxruntime-cpu,openvino-cpu", ["onnxruntime-cpu", "openvino-cpu"]),
        ("onnxruntime-cpu, openvino-cpu", ["onnxruntime-cpu", "openvino-cpu"]),
        ("exec:ssh pi run --cores 0,1,torch-cpu", ["exec:ssh pi run --cores 0,1", "torch-cpu"]),
        ("exec:./time.sh a,lut:a/b.csv", ["exec:./time.sh a", "lut:a/b.csv"]),
    ],
)
def test_devices_are_split_where_a_name_follows(text: str, names: list[str]) -> None:
    assert devices(text) == names


def test_words_may_be_repeated_or_separated() -> None:
    assert words(["a,b", " c "]) == ("a", "b", "c")
    assert words(None) == ()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4))
def test_numbers_read_what_was_written(values: list[float]) -> None:
    assert numbers(",".join(repr(value) for value in values), flag="--mean") == tuple(values)


def test_numbers_name_the_flag() -> None:
    with pytest.raises(UsageError, match="--std must be numbers"):
        numbers("1,x", flag="--std")


def test_bench_asks_for_every_model_and_device(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[BenchRequest] = []

    def run(request: BenchRequest, *, progress: object) -> dict[str, Any]:
        asked.append(request)
        return {"rows": []}

    monkeypatch.setattr("edgewise.recipes.bench.run_bench", run)
    assert main(["bench", "resnet20", "runs/a", "--device", "torch-cpu,openvino-cpu", "--threads", "2", "--db", "x.sqlite"]) == 0
    expected = tuple(DeviceRequest(device=name, threads=2, db=Path("x.sqlite")) for name in ("torch-cpu", "openvino-cpu"))
    assert asked == [BenchRequest(models=(ModelRequest(model="resnet20"), ModelRequest(model="runs/a")), devices=expected)]


def test_data_is_asked_for_only_when_named() -> None:
    request = DataRequest(data="digits", epochs=2)
    assert request.mean == (0.485, 0.456, 0.406)
    assert request.std == (0.229, 0.224, 0.225)
