"""What each gated convolution costs on this machine, dense and pruned."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgewise._core.errors import DeviceError, UsageError
from edgewise._core.progress import Progress
from edgewise._core.rng import make_rng
from edgewise.ir import LayerSpec, NetSpec
from edgewise.ir.gates import Gate, GatePlan
from edgewise.kernels import CompiledChain, Program, Step
from edgewise.measure.sampling import Schedule, measure_interleaved
from edgewise.measure.session import clock_s

QUICK = Schedule(warmup=2, repeats=5, min_seconds=0.002, max_seconds=0.05, stable_ratio=0.02)
"""A schedule of some tens of milliseconds for each convolution."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelCost:
    """Measured time of one gated convolution, attention and choice of what stays included.

    Attributes:
        dense_s: Seconds of the whole convolution, by this project's dense kernel.
        dynamic_s: Seconds with the gate's ratios, by the fastest way of computing it.
        path: That way: ``dense`` (over a map with zeros), ``channels``, ``scatter``.
    """

    dense_s: float
    dynamic_s: float
    path: str


def kernel_costs(
    net: NetSpec, plan: GatePlan, *, threads: int, batch: int = 1, schedule: Schedule = QUICK, progress: Progress | None = None
) -> Mapping[str, KernelCost]:
    """Measures every convolution that the plan gates, alone, on random maps; equal ones once.

    Args:
        net: The network.
        plan: Gates and ratios.
        threads: Threads of the kernels; at least 1.
        batch: Images computed together; at least 1.
        schedule: How long to time.
        progress: Is told how far it is.

    Returns:
        Minimum seconds of interleaved runs for a whole batch, by consumer.

    Raises:
        UsageError: Fewer than one image or thread.
        DeviceError: There are no compiled kernels.
    """
    if batch < 1 or threads < 1:
        raise UsageError(f"`batch` and `threads` must be at least 1, got {batch} and {threads}")
    chosen = {gate.consumer: _programs(net.layer(gate.consumer), gate) for gate in plan.gates}
    distinct = list(dict.fromkeys(chosen.values()))
    sessions = [_KernelSession(program, batch=batch, threads=threads) for pair in distinct for program in pair]
    samples = measure_interleaved(sessions, schedule, progress=progress)
    found = {
        pair: KernelCost(dense_s=samples[2 * place].min_s, dynamic_s=samples[2 * place + 1].min_s, path=sessions[2 * place + 1].path)
        for place, pair in enumerate(distinct)
    }
    return {consumer: found[pair] for consumer, pair in chosen.items()}


class _KernelSession:
    """One convolution with its maps in place."""

    def __init__(self, program: Program, *, batch: int, threads: int) -> None:
        rng = make_rng(0, "kernel-costs")
        (step,) = program.steps
        shape = (step.out_channels, program.channels, *step.kernel)
        weights = rng.standard_normal(shape, dtype=np.float32)
        self._chain: CompiledChain | None = CompiledChain(program, [weights], [np.zeros(step.out_channels, np.float32)])
        self._chain.tune(batch=batch, threads=threads)
        self._maps = rng.random((batch, program.height, program.width, program.channels), dtype=np.float32)
        self._out = np.empty(self._chain.shape(batch), np.float32)
        self._threads = threads
        self.path = self._chain.paths[0]

    def run(self) -> None:
        """One inference."""
        if self._chain is None:
            raise DeviceError("this session is closed; measure again")
        self._chain.run(self._maps, threads=self._threads, out=self._out)

    def time_once_s(self) -> float:
        """Its seconds."""
        return clock_s(self.run)

    def close(self) -> None:
        """Frees the weights."""
        self._chain = None


def _programs(layer: LayerSpec, gate: Gate) -> tuple[Program, Program]:
    """The convolution dense and with its gate."""
    height, width = gate.hw
    return (
        _program(layer, gate.channels, (height, width), kept=(gate.channels, height * width)),
        _program(layer, gate.channels, (height, width), kept=(gate.kept_channels, gate.kept_positions)),
    )


def _program(layer: LayerSpec, channels: int, hw: tuple[int, int], *, kept: tuple[int, int]) -> Program:
    pairs = [(values[0], values[1]) for values in (layer.kernel, layer.stride, layer.padding, layer.dilation)]
    kernel, stride, padding, dilation = pairs
    step = Step(
        source=0,
        out_channels=layer.out_channels,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        relu=1,
        kept_channels=kept[0],
        kept_positions=kept[1],
    )
    return Program(channels=channels, height=hw[0], width=hw[1], layout=1, steps=(step,))
