"""The dense network in its fastest runtime, and the dynamic one with our kernels, timed interleaved in one run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgewise._core.errors import DeviceError
from edgewise._core.progress import Progress
from edgewise.dynamic import GatedNetwork
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.runtimes import Runtime, open_runtime
from edgewise.measure.sampling import Sample
from edgewise.measure.settings import RuntimeSettings
from edgewise.recipes.dynamic_sessions import OPENVINO
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.sparsify.request import SparsifyRequest
from edgewise.recipes.timing import TimingJob, time_together

TORCH = "torch-cpu"


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseTimes:
    """Timings of the dense network, by runtime.

    Attributes:
        samples: One for each runtime that is installed.
    """

    samples: dict[str, Sample]

    @property
    def fastest(self) -> str:
        """The runtime with the smallest median."""
        return min(self.samples, key=lambda name: self.samples[name].latency_s)

    @property
    def best(self) -> Sample:
        """The timings in that runtime."""
        return self.samples[self.fastest]


@dataclass(frozen=True, kw_only=True, slots=True)
class SideBySide:
    """Dense and dynamic, from one interleaved run.

    Attributes:
        dense: The dense network.
        left: What is left of it without gates, where channels were removed for good; else none.
        dynamic: Timings of the dynamic networks, in the order given.
        runtime: What the dynamic networks ran in.
        threads: Threads of all.
        batch: Images at once.
    """

    dense: DenseTimes
    left: DenseTimes | None = None
    dynamic: tuple[Sample, ...]
    runtime: str
    threads: int
    batch: int

    def to_json(self, *, ideal: float) -> dict[str, Any]:
        """The figures as JSON values; ``dense_s`` and ``dynamic_s`` are medians, ``speedup`` the median of dense over dynamic by rounds."""
        sample, fastest = self.dynamic[-1], self.dense.best
        speedup = fastest.ratio_to(sample)
        return {
            "kind": "measured",
            "dense_s": fastest.latency_s,
            "dense_min_s": fastest.min_s,
            "dense_runtime": self.dense.fastest,
            "dynamic_s": sample.latency_s,
            "dynamic_min_s": sample.min_s,
            "dynamic_runtime": self.runtime,
            "speedup": speedup,
            "ideal_speedup": ideal,
            "realised": speedup / ideal,
            "left": None if self.left is None else _left_json(self.left, fastest, sample),
            "threads": self.threads,
            "batch": self.batch,
            "noisy": sample.noisy or fastest.noisy,
            "dense": [
                {"runtime": name, "min_s": one.min_s, "latency_s": one.latency_s, "noisy": one.noisy}
                for name, one in self.dense.samples.items()
            ],
        }


def _left_json(left: DenseTimes, dense: Sample, dynamic: Sample) -> dict[str, Any]:
    """What removed channels save by themselves, and what gates save on top."""
    best = left.best
    return {
        "runtime": left.fastest,
        "min_s": best.min_s,
        "latency_s": best.latency_s,
        "speedup": dense.ratio_to(best),
        "gates_speedup": best.ratio_to(dynamic),
    }


def time_dense(request: SparsifyRequest, loaded: LoadedModel, *, progress: Progress) -> DenseTimes:
    """Times the dense network alone, in every runtime asked for that is installed.

    Raises:
        DeviceError: None of them is.
    """
    jobs = _jobs(request, loaded, progress=progress)
    with LatencyDatabase(request.device.db, progress=progress) as database:
        samples = time_together(jobs, database=database, progress=progress)
    return _by_runtime(jobs, samples)


def time_side_by_side(
    request: SparsifyRequest, loaded: LoadedModel, left: LoadedModel, networks: Sequence[GatedNetwork], *, progress: Progress
) -> SideBySide:
    """Times dense and dynamic networks interleaved; the dynamic ones in PyTorch where OpenVINO or a compiler is missing.

    Args:
        request: Runtimes, threads and batch.
        loaded: The dense network.
        left: What is left of it where channels were removed for good, without gates; else ``loaded`` itself.
        networks: Networks with gates, at the ratios that they are to run with.
        progress: Is told how far it is.

    Raises:
        DeviceError: No runtime can run them.
    """
    dense = _jobs(request, loaded, progress=progress)
    plain = [] if left is loaded else _jobs(request, left, progress=progress)
    try:
        return _timed(request, left, (dense, plain), networks, device=OPENVINO, progress=progress)
    except DeviceError as error:
        progress.note(f"dynamic networks run in PyTorch, not in OpenVINO: {error}")
        return _timed(request, left, (dense, plain), networks, device=TORCH, progress=progress)


def _timed(
    request: SparsifyRequest,
    left: LoadedModel,
    without_gates: tuple[list[TimingJob], list[TimingJob]],
    networks: Sequence[GatedNetwork],
    *,
    device: str,
    progress: Progress,
) -> SideBySide:
    runtime, (dense, plain) = _runtime(request, device), without_gates
    jobs = [*dense, *plain, *(TimingJob(loaded=_as_model(left, network), runtime=runtime) for network in networks)]
    with LatencyDatabase(request.device.db, progress=progress) as database:
        samples = time_together(jobs, database=database, progress=progress)
    n_plain = len(dense) + len(plain)
    return SideBySide(
        dense=_by_runtime(dense, samples[: len(dense)]),
        left=_by_runtime(plain, samples[len(dense) : n_plain]) if plain else None,
        dynamic=tuple(samples[n_plain:]),
        runtime=f"{device} with edgewise kernels",
        threads=request.device.threads,
        batch=request.device.batch,
    )


def _by_runtime(jobs: Sequence[TimingJob], samples: Sequence[Sample]) -> DenseTimes:
    return DenseTimes(samples={job.runtime.settings.device: sample for job, sample in zip(jobs, samples, strict=True)})


def _as_model(left: LoadedModel, network: GatedNetwork) -> LoadedModel:
    record = left.record.followed_by(network.plan, trained=left.trained)
    return replace(left, model=network.eval(), record=record, name=f"{left.name}, dynamic")


def _jobs(request: SparsifyRequest, loaded: LoadedModel, *, progress: Progress) -> list[TimingJob]:
    """The network in each runtime asked for that is installed."""
    jobs = []
    for name in request.dense_devices:
        try:
            jobs.append(TimingJob(loaded=loaded, runtime=_runtime(request, name)))
        except DeviceError as error:
            progress.note(f"not compared with {name}: {error}")
    if not jobs:
        raise DeviceError(f"none of {', '.join(request.dense_devices)} is installed; pip install 'edgewise[openvino,onnx]'")
    return jobs


def _runtime(request: SparsifyRequest, name: str) -> Runtime:
    return open_runtime(RuntimeSettings(device=name, threads=request.device.threads, batch=request.device.batch))
