"""Whole networks timed side by side, with every sample kept in the latency database."""

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from edgewise._core.errors import UsageError
from edgewise._core.progress import Progress, SilentProgress
from edgewise._core.units import LatencyTarget
from edgewise.measure.database import LatencyDatabase, piece_key
from edgewise.measure.runtimes import Runtime
from edgewise.measure.sampling import SETTLE_S, TURN, Sample, Schedule, measure_interleaved
from edgewise.measure.session import Session
from edgewise.measure.settings import RuntimeSettings
from edgewise.measure.speed import MachineSpeed
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.requests import DeviceRequest
from edgewise.recipes.simulated.opening import is_simulated

NETWORK_SCHEDULE = Schedule(warmup=5, repeats=20, min_seconds=0.5, max_seconds=5.0, settle_s=SETTLE_S, turn=TURN)
"""Whole networks are what people compare, so they are timed longer than pieces."""


@dataclass(frozen=True, kw_only=True)
class TimingJob:
    """A network, or an exported file of it, to time in one runtime.

    Attributes:
        loaded: The network.
        runtime: Where to run it.
        file: The exported file to run in place of the network; none to export on the way.
    """

    loaded: LoadedModel
    runtime: Runtime
    file: Path | None = None

    @property
    def piece(self) -> str:
        """What the sample is stored under in the database."""
        gates = self.loaded.gates
        digest = "" if gates is None else hashlib.sha256(piece_key(gates.to_json()).encode()).hexdigest()[:16]
        name = f"{self.loaded.source.label} gated {digest}" if digest else self.loaded.source.label
        return network_piece(self.loaded.model, *self.loaded.input_shapes, name=name)


def runtime_settings(request: DeviceRequest) -> RuntimeSettings:
    """The measured device that a command asked for.

    Raises:
        UnknownNameError: No such device is measured.
        UsageError: It is simulated, and cannot be measured.
    """
    if is_simulated(request.device):
        raise UsageError(f"--device {request.device} is simulated, so nothing can be measured on it; use `edgewise simulate`")
    return RuntimeSettings(device=request.device, threads=request.threads, batch=request.batch, precision=request.precision)


def network_piece(model: nn.Module, *input_shapes: tuple[int, ...], name: str) -> str:
    """What the latency database calls a whole network: its name, and a hash of its structure.

    Two networks that differ in weights alone share it, since they take the same time.
    """
    shapes = [f"{key} {tuple(tensor.shape)}" for key, tensor in model.state_dict().items()]
    structure = "\n".join([repr(model), *shapes, *map(str, input_shapes)])
    return piece_key({"network": name, "structure": hashlib.sha256(structure.encode()).hexdigest()[:32]})


def time_together(
    jobs: Sequence[TimingJob],
    *,
    database: LatencyDatabase,
    progress: Progress | None = None,
    speed: MachineSpeed | None = None,
    schedule: Schedule = NETWORK_SCHEDULE,
) -> list[Sample]:
    """Times all jobs interleaved in one run, and stores the samples.

    Args:
        jobs: What to time.
        database: Where the samples go.
        progress: Is told how far it is.
        speed: Reads how fast the machine is meanwhile.
        schedule: How often, and for how long.

    Returns:
        One sample a job, in their order.

    Raises:
        DeviceError: A runtime refuses a network, or fails.
    """
    watcher = progress or SilentProgress()
    with ExitStack() as open_sessions:
        sessions = open_jobs(jobs, open_sessions, progress=watcher)
        return time_sessions(jobs, sessions, database=database, progress=watcher, speed=speed, schedule=schedule)


def open_jobs(jobs: Sequence[TimingJob], open_sessions: ExitStack, *, progress: Progress) -> list[Session]:
    """Loads jobs into their runtimes, until the stack is left.

    Raises:
        DeviceError: A runtime refuses a network.
    """
    sessions = []
    progress.start("loading into the runtimes", len(jobs))
    for job in jobs:
        session = open_job(job)
        open_sessions.callback(session.close)
        sessions.append(session)
        progress.advance()
    return sessions


def time_sessions(
    jobs: Sequence[TimingJob],
    sessions: Sequence[Session],
    *,
    database: LatencyDatabase,
    progress: Progress,
    speed: MachineSpeed | None = None,
    schedule: Schedule = NETWORK_SCHEDULE,
) -> list[Sample]:
    """Times jobs that are loaded already, as :func:`time_together` does; the sessions stay open.

    Args:
        jobs: What to time.
        sessions: The same, loaded.
        database: Where the samples go.
        progress: Is told how far it is.
        speed: Reads how fast the machine is meanwhile.
        schedule: How often, and for how long.

    Raises:
        DeviceError: A runtime fails.
    """
    timed = measure_interleaved(sessions, schedule, beside=speed.sessions() if speed else (), progress=progress)
    samples, readings = timed[: len(jobs)], timed[len(jobs) :]
    if speed:
        speed.read(readings)
    for job, sample in zip(jobs, samples, strict=True):
        database.put(job.runtime.identity(), job.piece, sample)
        if sample.noisy:
            where = f"{job.loaded.name} on {job.runtime.settings.device}"
            progress.note(f"noisy: {where}; is the machine busy? ratios within the run are the safer figures")
    return samples


def open_job(job: TimingJob) -> Session:
    """Loads a job into its runtime.

    Raises:
        DeviceError: The runtime refuses it.
    """
    if job.loaded.gates is not None:
        return _open_dynamic(job)
    if job.file is not None:
        return job.runtime.load_file(job.file)
    return job.runtime.load_module(job.loaded.model, job.loaded.inputs(batch=job.runtime.settings.batch))


def _open_dynamic(job: TimingJob) -> Session:
    from edgewise.recipes.dynamic_sessions import OPENVINO, load_dynamic, load_dynamic_file

    if job.file is None:
        return load_dynamic(job.loaded, job.runtime)
    if job.runtime.settings.device == OPENVINO:
        return load_dynamic_file(job.file, job.runtime.settings, inputs=job.loaded.inputs(batch=job.runtime.settings.batch))
    return job.runtime.load_file(job.file)


def reached_of(target: LatencyTarget, sample: Sample, *, baseline: Sample) -> float:
    """What a network takes as a share of the target; 1 or less meets it.

    A share of the original's latency is judged by the median over the rounds of their interleaved run, a time by the median.

    Example:
        >>> one, other = Sample(times_s=(6.0, 9.0)), Sample(times_s=(10.0, 15.0))
        >>> round(reached_of(LatencyTarget(ratio=0.8), one, baseline=other), 6)
        0.75
    """
    if target.ratio is not None:
        return sample.ratio_to(baseline) / target.ratio
    return sample.latency_s / target.seconds(baseline.latency_s)
