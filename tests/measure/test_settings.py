import pytest

from edgewise._core.errors import UnknownNameError, UsageError
from edgewise.measure.settings import RuntimeSettings, is_measured_device


def test_case_of_a_device_does_not_matter_but_that_of_a_command_does() -> None:
    assert RuntimeSettings(device=" OpenVINO-CPU ").device == "openvino-cpu"
    settings = RuntimeSettings(device="EXEC:/Home/Time.sh -A")
    assert settings.device == "exec:/Home/Time.sh -A"
    assert settings.command == "/Home/Time.sh -A"
    assert RuntimeSettings(device="cuda").command is None


def test_defaults_are_one_thread_one_input_full_precision() -> None:
    settings = RuntimeSettings(device="torch-cpu")
    assert (settings.threads, settings.batch, settings.precision) == (1, 1, "fp32")


def test_unknown_device_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean onnxruntime-cpu"):
        RuntimeSettings(device="onnxruntime")


@pytest.mark.parametrize(("field", "value"), [("threads", 0), ("batch", 0), ("batch", -3)])
def test_counts_must_be_positive(field: str, value: int) -> None:
    counts = {"threads": 1, "batch": 1, field: value}
    with pytest.raises(UsageError, match=f"`{field}` must be at least 1, got {value}"):
        RuntimeSettings(device="torch-cpu", threads=counts["threads"], batch=counts["batch"])


@pytest.mark.parametrize(
    ("device", "precision", "text"),
    [
        ("torch-cpu", "int8", "does not exist yet"),
        ("torch-cpu", "fp8", "must be one of fp32, bf16, got 'fp8'"),
        ("onnxruntime-cpu", "bf16", "is not offered by onnxruntime-cpu"),
        ("exec:./run", "bf16", "is not offered by exec:./run"),
    ],
)
def test_precisions_that_cannot_be(device: str, precision: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        RuntimeSettings(device=device, precision=precision)


def test_exec_needs_a_command() -> None:
    with pytest.raises(UsageError, match="needs a command"):
        RuntimeSettings(device="exec: ")


def test_measured_and_other_devices() -> None:
    assert is_measured_device("CUDA")
    assert is_measured_device("exec:x")
    assert not is_measured_device("titan-v")
