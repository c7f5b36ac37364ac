"""What to time on: a runtime with its threads, batch and precision."""

from dataclasses import dataclass

from edgewise._core.errors import UsageError, unknown_name

MEASURED_DEVICES = ("onnxruntime-cpu", "openvino-cpu", "torch-cpu", "torch-compile-cpu", "cuda")
"""Names of the devices that are measured in this process; ``exec:CMD`` stands beside them."""
EXEC_PREFIX = "exec:"
PRECISIONS = ("fp32", "bf16")

_BF16_DEVICES = ("openvino-cpu", "torch-cpu", "torch-compile-cpu", "cuda")


@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimeSettings:
    """A measured device and how it is used.

    Attributes:
        device: One of `MEASURED_DEVICES`, or ``exec:`` and a command. Case does not matter,
            except in the command; stored in lower case.
        threads: Threads that one inference may use; at least 1.
        batch: Inputs in one inference; at least 1.
        precision: ``fp32``, or ``bf16`` where the runtime has it.

    Example:
        >>> RuntimeSettings(device="OpenVINO-CPU").device
        'openvino-cpu'
        >>> RuntimeSettings(device="EXEC:./Time.sh").device
        'exec:./Time.sh'
    """

    device: str
    threads: int = 1
    batch: int = 1
    precision: str = "fp32"

    def __post_init__(self) -> None:
        """Checks every field and brings the names into their usual form."""
        object.__setattr__(self, "device", normal_device(self.device))
        object.__setattr__(self, "precision", self.precision.strip().lower())
        for field, value in (("threads", self.threads), ("batch", self.batch)):
            if value < 1:
                raise UsageError(f"`{field}` must be at least 1, got {value}")
        _check_device(self.device)
        _check_precision(self.device, self.precision)

    @property
    def command(self) -> str | None:
        """The command behind ``exec:``, or none for a runtime in this process."""
        return self.device[len(EXEC_PREFIX) :] if self.device.startswith(EXEC_PREFIX) else None


def normal_device(name: str) -> str:
    """The device name in lower case, but for what follows the colon."""
    head, colon, tail = name.strip().partition(":")
    return head.lower() + colon + tail


def is_measured_device(name: str) -> bool:
    """Whether the name stands for a device that is measured (and not simulated)."""
    normal = normal_device(name)
    return normal in MEASURED_DEVICES or normal.startswith(EXEC_PREFIX)


def _check_device(device: str) -> None:
    if not is_measured_device(device):
        raise unknown_name("device", device, (*MEASURED_DEVICES, "exec:CMD"))
    if device.startswith(EXEC_PREFIX) and not device[len(EXEC_PREFIX) :].strip():
        raise UsageError("device exec:CMD needs a command behind the colon, such as exec:./time-on-phone.sh, got 'exec:'")


def _check_precision(device: str, precision: str) -> None:
    if precision == "int8":
        raise UsageError("`precision` int8 does not exist yet; use fp32 or bf16")
    if precision not in PRECISIONS:
        raise UsageError(f"`precision` must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision == "bf16" and device not in _BF16_DEVICES:
        raise UsageError(f"`precision` bf16 is not offered by {device}, only by {', '.join(_BF16_DEVICES)}; use fp32")
