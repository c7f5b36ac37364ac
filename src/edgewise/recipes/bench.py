"""``edgewise bench``: networks on devices, everything interleaved in one run."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from edgewise._core.progress import Progress, SilentProgress
from edgewise.dynamic.accounting import count_macs
from edgewise.ir import NetSpec
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.runtimes import open_runtime
from edgewise.measure.sampling import Sample
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.requests import BenchRequest, DeviceRequest
from edgewise.recipes.runs import load_request
from edgewise.recipes.showing import bench_card
from edgewise.recipes.timing import TimingJob, runtime_settings, time_together
from edgewise.recipes.why import WhyRow, explain
from edgewise.trace import trace


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchRow:
    """One network on one device.

    Attributes:
        model: As the command named it.
        device: The device.
        kind: ``measured``.
        latency_s: Median of the repeats.
        min_s: Their minimum.
        ratio: Time over that of the first row of the same device: the median over the rounds of the run, 1 for that row.
        q1_s: First quartile.
        q3_s: Third quartile.
        repeats: How many there were.
        noisy: The sample is not to be trusted within a few per cent.
        macs: Multiply-accumulates for one input; of a gated network those executed.
        params: Learnt parameters.
    """

    model: str
    device: str
    kind: str
    latency_s: float
    min_s: float
    ratio: float
    q1_s: float
    q3_s: float
    repeats: int
    noisy: bool
    macs: int
    params: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchResult:
    """What ``bench`` measured.

    Attributes:
        rows: In the order models x devices.
        settings: Threads, batch and precision of all rows.
        why: Layer by layer, the second model against the first on the first device; empty where not asked for.
        dense: Of each run that prunes its maps while it runs, the same network without gates; in the order runs x devices.
    """

    rows: tuple[BenchRow, ...]
    settings: DeviceRequest
    why: tuple[WhyRow, ...] = ()
    dense: tuple[BenchRow, ...] = ()

    def __repr__(self) -> str:
        """The result as people read it."""
        return bench_card(self.to_json()).text()

    def _repr_html_(self) -> str:
        return bench_card(self.to_json()).html()

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        settings = {"threads": self.settings.threads, "batch": self.settings.batch, "precision": self.settings.precision}
        value: dict[str, Any] = {"rows": [asdict(row) for row in self.rows], "settings": settings}
        value |= {"dense": [asdict(row) for row in self.dense]} if self.dense else {}
        return value | {"why": [row.to_json() for row in self.why]} if self.why else value


def run_bench(request: BenchRequest, *, loaded: Sequence[LoadedModel] | None = None, progress: Progress | None = None) -> BenchResult:
    """Measures every model on every device, in turn, round after round.

    Args:
        request: Models and devices; threads, batch and precision are those of each device.
        loaded: The models where they are in memory already; the request's own are then not read.
        progress: Is told how far it is.

    Returns:
        Rows in the order models x devices; runs that prune their maps are measured beside their dense selves.

    Raises:
        EdgewiseError: A model cannot be loaded or traced, or a device refuses it.
    """
    watcher = progress or SilentProgress()
    runtimes = [open_runtime(runtime_settings(device)) for device in request.devices]
    given: Sequence[LoadedModel | None] = [None] * len(request.models) if loaded is None else loaded
    models = [load_request(model, loaded=one, gates=not request.why) for model, one in zip(request.models, given, strict=True)]
    n_asked = len(models)
    models += [replace(model.without_gates(), name=f"{model.name}, dense") for model in models if model.gates is not None]
    nets = [_net(model) for model in models]
    jobs = [TimingJob(loaded=model, runtime=runtime) for model in models for runtime in runtimes]
    with LatencyDatabase(request.devices[0].db, progress=watcher) as database:
        samples = time_together(jobs, database=database, progress=watcher)
        why = explain(nets[0], nets[1], runtime=runtimes[0], database=database, progress=watcher) if request.why else ()
    per_job = [net for net in nets for _ in runtimes]
    first = {job.runtime.settings.device: sample for job, sample in reversed(list(zip(jobs, samples, strict=True)))}
    ratios = [sample.ratio_to(first[job.runtime.settings.device]) for job, sample in zip(jobs, samples, strict=True)]
    rows = tuple(_row(job, sample, net, ratio=ratio) for job, sample, net, ratio in zip(jobs, samples, per_job, ratios, strict=True))
    n_rows = n_asked * len(runtimes)
    return BenchResult(rows=rows[:n_rows], settings=request.devices[0], why=why, dense=rows[n_rows:])


def _net(model: LoadedModel) -> NetSpec:
    dense = model.without_gates()
    return trace(dense.model, dense.inputs(), name=model.name).net


def _row(job: TimingJob, sample: Sample, net: NetSpec, *, ratio: float) -> BenchRow:
    gates = job.loaded.gates
    count = None if gates is None else count_macs(net, gates)
    return BenchRow(
        model=job.loaded.name,
        device=job.runtime.settings.device,
        kind="measured",
        latency_s=sample.latency_s,
        min_s=sample.min_s,
        ratio=ratio,
        q1_s=sample.q1_s,
        q3_s=sample.q3_s,
        repeats=sample.n,
        noisy=sample.noisy,
        macs=net.macs if count is None else net.macs - count.macs + count.macs_executed,
        params=net.params,
    )
