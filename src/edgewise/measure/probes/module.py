"""Probes for any runtime: a small network of several copies of a fused layer.

Nothing is known of the runtime's kernels, so a call is timed as a network of copies, less
a network that only reads the input, over the copies. Each copy's result is averaged to one
value a channel, so that the runtime has little to return.
"""

import torch
from torch import Tensor, nn

from edgewise.cost import Workload
from edgewise.measure.probes.copies import CopiesSession, bytes_beside, copy_count
from edgewise.measure.runtimes import open_runtime
from edgewise.measure.session import Session
from edgewise.measure.settings import RuntimeSettings

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hardtanh": nn.Hardtanh,
    "clamp": nn.ReLU6,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
    "hardsigmoid": nn.Hardsigmoid,
    "hardswish": nn.Hardswish,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "elu": nn.ELU,
    "mish": nn.Mish,
    "softplus": nn.Softplus,
}


class ModuleProber:
    """Builds small networks and times them in any runtime."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self._settings = settings
        self._runtime = open_runtime(settings)
        self._empty: dict[tuple[int, ...], float] = {}

    def load(self, workload: Workload, *, footprint_bytes: int) -> Session:
        """A session that times the fused layer."""
        copies = copy_count(workload, footprint_bytes=footprint_bytes, batch=self._settings.batch)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = _Copies(workload, copies).eval()
            inputs = _inputs(workload)
        session = self._runtime.load_module(network, inputs)
        beside = bytes_beside(workload, copies, footprint_bytes=footprint_bytes)
        return CopiesSession(session, copies=copies, other_s=self._empty_s(inputs), beside_bytes=beside)

    def _empty_s(self, inputs: tuple[Tensor, ...]) -> float:
        shape = tuple(inputs[0].shape)
        if shape not in self._empty:
            session = self._runtime.load_module(_Nothing().eval(), inputs[:1])
            self._empty[shape] = min(session.time_once_s() for _ in range(5))
            session.close()
        return self._empty[shape]


def _inputs(workload: Workload) -> tuple[Tensor, ...]:
    if workload.op == "linear":
        return (torch.randn(1, workload.repeats, workload.in_channels).squeeze(1),)
    first = torch.randn(1, workload.in_channels, *workload.in_hw)
    return (first, torch.randn(1, workload.out_channels, *workload.out_hw)) if workload.adds else (first,)


class _Nothing(nn.Module):
    """Reads one value of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten()[:1] + 1.0


class _Copies(nn.Module):
    """Copies of a fused layer side by side, each reduced to one value a channel."""

    def __init__(self, workload: Workload, copies: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(_Layer(workload) for _ in range(copies))

    def forward(self, x: Tensor, z: Tensor | None = None) -> list[Tensor]:
        return [part(x, z) for part in self.parts]


class _Layer(nn.Module):
    """One fused layer with weights of its own."""

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        self.main = _main_module(workload)
        self.activation = _ACTIVATIONS[workload.activation]() if workload.activation else nn.Identity()

    def forward(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        made: Tensor = self.main(x)
        if z is not None:
            made = made + z
        done: Tensor = self.activation(made)
        return done.flatten(2)[..., :1] if done.dim() > 2 else done[..., :1]


def _main_module(work: Workload) -> nn.Module:
    if work.op == "linear":
        return nn.Linear(work.in_channels, work.out_channels, bias=work.bias)
    if work.op.startswith("conv"):
        kinds = {"conv1d": nn.Conv1d, "conv2d": nn.Conv2d, "conv3d": nn.Conv3d, "conv_transpose2d": nn.ConvTranspose2d}
        groups = work.in_channels if work.groups == 0 else work.groups
        conv: nn.Module = kinds[work.op](
            work.in_channels,
            work.out_channels,
            work.window,
            stride=work.stride,
            padding=work.padding,
            dilation=work.dilation,
            groups=groups,
            bias=work.bias,
        )
        return conv
    if work.op == "max_pool2d":
        return nn.MaxPool2d(work.window, work.stride, work.padding)
    if work.op == "avg_pool2d":
        window, stride, padding = ((size[0], size[-1]) for size in (work.window, work.stride, work.padding))
        return nn.AvgPool2d(window, stride, padding)
    if work.op in ("mean", "adaptive_avg_pool2d") and len(work.in_hw) == 2:
        return nn.AdaptiveAvgPool2d(work.out_hw if len(work.out_hw) == 2 else (1, 1))
    if work.op == "batch_norm" and len(work.in_hw) == 2:
        return nn.BatchNorm2d(work.in_channels)
    return _ACTIVATIONS.get(work.op, nn.Hardsigmoid)()
