"""Whether and how a network is trained in bf16."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch.overrides import TorchFunctionMode

Bf16 = bool | Literal["auto"]
"""``auto``: where the processor multiplies bf16 numbers faster than fp32."""


def uses_bf16(choice: Bf16, device: torch.device) -> bool:
    """Whether to train under bf16 autocast: as told, or where the device computes in bf16 itself.

    On a processor that only emulates bf16, autocast costs accuracy and time for nothing.
    On two cores with AVX512-BF16 it trains ResNet-56 1.6 to 1.9 times as fast as fp32.
    """
    if choice != "auto":
        return choice
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and cpu_computes_bf16(torch.cpu.get_capabilities())


def cpu_computes_bf16(capabilities: Mapping[str, Any]) -> bool:
    """Whether these capabilities (as ``torch.cpu.get_capabilities`` gives them) include bf16 products."""
    return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16", "amx_tile", "arm_bf16", "bf16"))


@contextmanager
def mixed_precision(device: torch.device, *, bf16: bool) -> Iterator[None]:
    """Forward passes under bf16 autocast, where told; on a processor depthwise convolutions stay in fp32.

    Their gradients take several times as long there in bf16: a training step of MobileNetV2 0.5x took 1.2 times
    as long with them in bf16, one of a network with kernels of 5x5 1.7 to 1.9 times (``benchmarks/results/training-speed.json``).

    Args:
        device: Where the network is.
        bf16: Whether to compute in bf16 at all.
    """
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
        if bf16 and device.type == "cpu":
            with _DepthwiseInSinglePrecision():
                yield
        else:
            yield


class _DepthwiseInSinglePrecision(TorchFunctionMode):
    """Computes convolutions of one input channel each in fp32, and hands on what comes of them in bf16 as autocast would."""

    def __torch_function__(
        self, function: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:  # noqa: ANN401 - any function of torch
        named = kwargs or {}
        if function is not torch.conv2d or not torch.is_autocast_enabled("cpu") or not _is_depthwise(*args, **named):
            return function(*args, **named)
        with torch.autocast("cpu", enabled=False):
            return function(*map(_single, args), **{name: _single(value) for name, value in named.items()}).bfloat16()


def _single(value: Any) -> Any:  # noqa: ANN401 - any argument of a function
    return value.float() if isinstance(value, torch.Tensor) else value


def _is_depthwise(input: torch.Tensor, weight: torch.Tensor, *_: object, **__: object) -> bool:
    """Whether a convolution called with these arguments has several groups of one channel each."""
    return input.ndim == 4 and weight.shape[1] == 1 and input.shape[1] > 1
