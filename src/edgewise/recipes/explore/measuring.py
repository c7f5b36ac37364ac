"""Timing a study's networks: each beside the given one, static ones on the device, dynamic ones where kernels skip work."""

import platform
from collections.abc import Sequence
from pathlib import Path

from edgewise._core.progress import Progress
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.runtimes import Runtime, open_runtime
from edgewise.measure.sampling import Schedule
from edgewise.measure.settings import RuntimeSettings
from edgewise.recipes.dynamic_sessions import OPENVINO
from edgewise.recipes.explore.executor import Measurement
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.requests import DeviceRequest
from edgewise.recipes.runs import load_run
from edgewise.recipes.timing import TimingJob, runtime_settings, time_together

_SCHEDULE = Schedule(warmup=5, repeats=20, min_seconds=0.25, max_seconds=2.0)
"""Shorter than a single comparison's: a study times many networks, and those of the front again side by side."""
DYNAMIC_DEVICES = ("onnxruntime-cpu", "openvino-cpu", "torch-cpu", "torch-compile-cpu")
"""Devices that are this machine's processor: there, dynamic networks run in OpenVINO with our kernels."""


def measure_runs(
    device: DeviceRequest, given: Path, folders: Sequence[Path], *, database: LatencyDatabase, progress: Progress
) -> list[Measurement]:
    """Times run folders and the given network's, all interleaved in one run.

    Args:
        device: Where static networks are timed. Dynamic ones are timed in OpenVINO on the same processor.
        given: Run folder of the given network.
        folders: Run folders, in the order of the result.
        database: Keeps every sample.
        progress: Is told how far it is.

    Raises:
        DeviceError: A runtime is missing, or refuses a network.
    """
    if not folders:
        return []
    static = open_runtime(runtime_settings(device))
    jobs = [TimingJob(loaded=load_run(given).loaded, runtime=static)]
    jobs += [_job(load_run(folder).loaded, static, device) for folder in folders]
    first, *samples = time_together(jobs, database=database, progress=progress, schedule=_SCHEDULE)
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
        for job, sample in zip(jobs[1:], samples, strict=True)
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
