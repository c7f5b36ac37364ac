"""Timing a study's networks: each beside the given one, static ones on the device, dynamic ones where kernels skip work."""

import platform
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from edgewise._core.progress import Progress
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.runtimes import Runtime, open_runtime
from edgewise.measure.sampling import SETTLE_S, TURN, Sample, Schedule
from edgewise.measure.session import Session
from edgewise.measure.settings import RuntimeSettings
from edgewise.recipes.dynamic_sessions import OPENVINO
from edgewise.recipes.explore.executor import Measurement
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.requests import DeviceRequest
from edgewise.recipes.runs import load_run
from edgewise.recipes.timing import TimingJob, open_job, open_jobs, runtime_settings, time_sessions

_SCHEDULE = Schedule(warmup=5, repeats=20, min_seconds=0.25, max_seconds=2.0, settle_s=SETTLE_S, turn=TURN)
"""Shorter than a single comparison's: a study times many networks, and those of the front again side by side."""
DYNAMIC_DEVICES = ("onnxruntime-cpu", "openvino-cpu", "torch-cpu", "torch-compile-cpu")
"""Devices that are this machine's processor: there, dynamic networks run in OpenVINO with our kernels."""


class StudyTimer:
    """Times a study's networks beside the given one, which is loaded once: that takes longer than timing it.

    Args:
        device: Where static networks are timed. Dynamic ones are timed in OpenVINO on the same processor.
    """

    def __init__(self, device: DeviceRequest) -> None:
        self._device = device
        self._given: tuple[TimingJob, Session] | None = None

    def measure(self, given: Path, folders: Sequence[Path], *, database: LatencyDatabase, progress: Progress) -> list[Measurement]:
        """Times run folders and the given network's, all interleaved in one run.

        Args:
            given: Run folder of the given network, the same in all calls.
            folders: Run folders, in the order of the result.
            database: Keeps every sample.
            progress: Is told how far it is.

        Raises:
            DeviceError: A runtime is missing, or refuses a network.
        """
        if not folders:
            return []
        with ExitStack() as open_sessions:
            first, opened = self._open_given(given)
            jobs = [_job(load_run(folder).loaded, first.runtime, self._device) for folder in folders]
            others = open_jobs(jobs, open_sessions, progress=progress)
            samples = time_sessions([first, *jobs], [opened, *others], database=database, progress=progress, schedule=_SCHEDULE)
        return _measurements(jobs, samples)

    def close(self) -> None:
        """Gives the given network back; may be called twice."""
        if self._given is not None:
            self._given[1].close()
        self._given = None

    def _open_given(self, given: Path) -> tuple[TimingJob, Session]:
        if self._given is None:
            job = TimingJob(loaded=load_run(given).loaded, runtime=open_runtime(runtime_settings(self._device)))
            self._given = (job, open_job(job))
        return self._given


def _measurements(jobs: Sequence[TimingJob], samples: Sequence[Sample]) -> list[Measurement]:
    first, *others = samples
    return [
        Measurement(
            latency_s=sample.latency_s,
            min_s=sample.min_s,
            baseline_latency_s=first.latency_s,
            baseline_min_s=first.min_s,
            ratio=sample.ratio_to(first),
            kind="measured",
            runtime=runtime_name(job),
            host=platform.node(),
            noisy=sample.noisy or first.noisy,
        )
        for job, sample in zip(jobs, others, strict=True)
    ]


def runtime_name(job: TimingJob) -> str:
    """What a network runs in, in words."""
    name = job.runtime.settings.device
    return f"{name} with edgewise kernels" if job.loaded.gates is not None else name


def _job(loaded: LoadedModel, static: Runtime, device: DeviceRequest) -> TimingJob:
    if loaded.gates is None:
        return TimingJob(loaded=loaded, runtime=static)
    dynamic = open_runtime(RuntimeSettings(device=OPENVINO, threads=device.threads, batch=device.batch))
    return TimingJob(loaded=loaded, runtime=dynamic)
