"""Requests are checked when they are made."""

from pathlib import Path

import pytest

from edgewise._core.errors import UnknownNameError, UsageError
from edgewise._core.units import parse_latency
from edgewise.recipes import requests
from edgewise.recipes.requests import BenchRequest, DataRequest, DeviceRequest, ExportRequest, FitRequest, ModelRequest, ReportRequest
from edgewise.train.settings import FineTune

MODEL = ModelRequest(model="resnet20")
TARGET = parse_latency("0.7x")


def test_case_of_names_does_not_matter() -> None:
    request = FitRequest(
        model=MODEL, latency=TARGET, solver="Exact", objective="PARAMS", importance="L2", device=DeviceRequest(precision="FP32")
    )
    assert (request.solver, request.objective, request.importance, request.device.precision) == ("exact", "params", "l2", "fp32")
    assert ExportRequest(model=MODEL, format="ONNX").format == "onnx"


def test_defaults_are_those_of_the_command_line() -> None:
    device = DeviceRequest()
    assert (device.device, device.threads, device.batch, device.precision, device.db) == ("onnxruntime-cpu", 1, 1, "fp32", None)


@pytest.mark.parametrize("share", [0.0, -1.0, float("nan"), float("inf")])
def test_shares_are_positive_and_finite(share: float) -> None:
    with pytest.raises(UsageError, match="--params-at-least must be a positive share"):
        FitRequest(model=MODEL, latency=TARGET, params_at_least=share)
    with pytest.raises(UsageError, match="--macs-at-most must be a positive share"):
        FitRequest(model=MODEL, latency=TARGET, macs_at_most=share)


def test_the_rate_known_without_torch_is_that_of_training() -> None:
    assert FineTune().lr == requests.LEARNING_RATE


@pytest.mark.parametrize("epochs", [-0.5, float("nan"), float("inf")])
def test_epochs_are_not_negative(epochs: float) -> None:
    with pytest.raises(UsageError, match="--epochs must be 0 or more"):
        DataRequest(data="digits", epochs=epochs)


def test_nothing_to_work_on_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one model and one device, got 0 and 1"):
        BenchRequest(models=())
    with pytest.raises(UsageError, match="at least one RUN folder"):
        ReportRequest(runs=())


def test_unknown_names_get_near_ones() -> None:
    with pytest.raises(UnknownNameError, match="unknown solver 'exakt'; did you mean exact"):
        FitRequest(model=MODEL, latency=TARGET, solver="exakt")


def test_a_resumed_run_needs_its_folder() -> None:
    with pytest.raises(UsageError, match="--resume needs --out"):
        FitRequest(model=MODEL, latency=TARGET, resume=True)
    assert FitRequest(model=MODEL, latency=TARGET, resume=True, out=Path("runs/a")).resume
