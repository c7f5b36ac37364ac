"""The dense network in its fastest runtime, and the dynamic one in ours, timed interleaved in one run."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from edgewise._core.errors import DeviceError
from edgewise._core.progress import Progress
from edgewise.ir import NetSpec
from edgewise.ir.gates import GatePlan
from edgewise.measure.runtimes import Runtime, open_runtime
from edgewise.measure.sampling import Sample, Schedule, measure_interleaved
from edgewise.measure.session import Session
from edgewise.measure.settings import RuntimeSettings
from edgewise.recipes.dynamic_sessions import OPENVINO, open_dynamic
from edgewise.recipes.records import LoadedModel, example_inputs
from edgewise.recipes.sparsify.request import SparsifyRequest
from edgewise.recipes.timing import NETWORK_SCHEDULE

_QUICK = Schedule(warmup=3, repeats=10, min_seconds=0.2, max_seconds=2.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseTimes:
    """Timings of the dense network, by runtime.

    Attributes:
        samples: One for each runtime that is installed.
    """

    samples: dict[str, Sample]

    @property
    def fastest(self) -> str:
        """The runtime with the smallest minimum."""
        return min(self.samples, key=lambda name: self.samples[name].min_s)

    @property
    def fastest_s(self) -> float:
        """Its minimum."""
        return self.samples[self.fastest].min_s


@dataclass(frozen=True, kw_only=True, slots=True)
class SideBySide:
    """Dense and dynamic, from one interleaved run.

    Attributes:
        dense: The dense network.
        dynamic: Timings of the dynamic network at each plan.
        runtime: What the dynamic network ran in.
        settings: Threads and batch.
    """

    dense: DenseTimes
    dynamic: tuple[Sample, ...]
    runtime: str
    settings: tuple[int, int]

    def to_json(self, *, ideal: float) -> dict[str, Any]:
        """The figures as JSON values; ``dense_s`` and ``dynamic_s`` are minima, as the ratio of two rows compares them."""
        sample, fastest = self.dynamic[-1], self.dense.samples[self.dense.fastest]
        speedup = fastest.min_s / sample.min_s
        return {
            "kind": "measured",
            "dense_s": fastest.min_s,
            "dense_median_s": fastest.latency_s,
            "dense_runtime": self.dense.fastest,
            "dynamic_s": sample.min_s,
            "dynamic_median_s": sample.latency_s,
            "dynamic_runtime": self.runtime,
            "speedup": speedup,
            "ideal_speedup": ideal,
            "realised": speedup / ideal,
            "threads": self.settings[0],
            "batch": self.settings[1],
            "noisy": sample.noisy or fastest.noisy,
            "dense": [
                {"runtime": name, "min_s": one.min_s, "latency_s": one.latency_s, "noisy": one.noisy}
                for name, one in self.dense.samples.items()
            ],
        }


def time_dense(request: SparsifyRequest, loaded: LoadedModel, *, progress: Progress) -> DenseTimes:
    """Times the dense network alone, in every runtime asked for that is installed."""
    with ExitStack() as stack:
        sessions = _dense_sessions(request, loaded, stack, progress=progress)
        samples = measure_interleaved(list(sessions.values()), _QUICK, progress=progress)
    return DenseTimes(samples=dict(zip(sessions, samples, strict=True)))


def time_plan(request: SparsifyRequest, net: NetSpec, model: nn.Module, plan: GatePlan, *, progress: Progress) -> float:
    """Minimum seconds of the dynamic network at a plan, on random images."""
    with dynamic_session(model, net, plan, threads=request.device.threads, batch=request.device.batch, progress=progress) as (_, session):
        return measure_interleaved([session], _QUICK, progress=progress)[0].min_s


def time_side_by_side(
    request: SparsifyRequest, loaded: LoadedModel, net: NetSpec, *, dynamic: Sequence[tuple[nn.Module, GatePlan]], progress: Progress
) -> SideBySide:
    """Times dense and dynamic networks interleaved.

    Args:
        request: Runtimes, threads and batch.
        loaded: The dense network.
        net: The same as hardware sees it.
        dynamic: Networks without gates, each with the plan that it is to run with.
        progress: Is told how far it is.
    """
    threads, batch = request.device.threads, request.device.batch
    with ExitStack() as stack:
        dense = _dense_sessions(request, loaded, stack, progress=progress)
        pruned = [
            stack.enter_context(dynamic_session(model, net, plan, threads=threads, batch=batch, progress=progress))
            for model, plan in dynamic
        ]
        samples = measure_interleaved([*dense.values(), *(session for _, session in pruned)], NETWORK_SCHEDULE, progress=progress)
    return SideBySide(
        dense=DenseTimes(samples=dict(zip(dense, samples[: len(dense)], strict=True))),
        dynamic=tuple(samples[len(dense) :]),
        runtime=pruned[-1][0],
        settings=(threads, batch),
    )


@contextmanager
def dynamic_session(
    model: nn.Module, net: NetSpec, plan: GatePlan, *, threads: int, batch: int, progress: Progress
) -> Iterator[tuple[str, Session]]:
    """The dynamic network ready to be timed: inside OpenVINO, or in PyTorch where OpenVINO or a compiler is missing.

    Args:
        model: The network without gates.
        net: The same as hardware sees it.
        plan: Gates and ratios.
        threads: Threads.
        batch: Images at once.
        progress: Is told where it runs, if not in OpenVINO.

    Yields:
        What it runs in, and the session.
    """
    inputs = example_inputs(net.input_shapes[0], batch=batch)
    name = OPENVINO
    try:
        session = open_dynamic(model, net, plan, _runtime(name, threads=threads, batch=batch), inputs=inputs)
    except DeviceError as error:
        progress.note(f"the dynamic network runs in PyTorch, not in OpenVINO: {error}")
        name = "torch-cpu"
        session = open_dynamic(model, net, plan, _runtime(name, threads=threads, batch=batch), inputs=inputs)
    try:
        yield f"{name} + edgewise kernels", session
    finally:
        session.close()


def _runtime(name: str, *, threads: int, batch: int) -> Runtime:
    return open_runtime(RuntimeSettings(device=name, threads=threads, batch=batch))


def _dense_sessions(request: SparsifyRequest, loaded: LoadedModel, stack: ExitStack, *, progress: Progress) -> dict[str, Session]:
    sessions: dict[str, Session] = {}
    for name in request.dense_devices:
        try:
            runtime = _runtime(name, threads=request.device.threads, batch=request.device.batch)
            session = runtime.load_module(loaded.model, loaded.inputs(batch=request.device.batch))
        except DeviceError as error:
            if len(request.dense_devices) == 1:
                raise
            progress.note(f"not compared with {name}: {error}")
            continue
        stack.callback(session.close)
        sessions[name] = session
    if not sessions:
        raise DeviceError(f"none of {', '.join(request.dense_devices)} can run the dense network; pip install 'edgewise[openvino,onnx]'")
    return sessions
