"""What a report shows, as frozen data: the decision, the staircases, and the reasons.

The fields carry the names of the JSON that ``fit``, ``profile`` and ``bench`` write, so that
:func:`edgewise.report.reading.from_json` can check a file against these classes as they stand.
Everything that a file may lack has a default, and what is absent is simply not shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from edgewise._core.errors import RunError

DISAGREEMENT_RATIO = 0.10
"""From this relative difference on, prediction and measurement get a warning (issue 2, "Staircases.")."""

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What is known of one network: the baseline of a run, or its result.

    Attributes:
        latency_s: Median latency in seconds.
        min_s: Fastest repeat in seconds.
        ratio: Latency over the baseline's, of one interleaved run: the median over its rounds.
        macs: Multiply-accumulates for one input.
        params: Learnt parameters.
        accuracy: Share of the test part classified correctly.
        accuracy_validation: The same of the validation part.
        predicted_s: Latency predicted from measurements of single layers.
        corrected_s: The prediction after a correction learnt from whole networks.
        kind: How the latencies came about: measured, predicted, simulated or quoted.
    """

    latency_s: Seconds | None = None
    min_s: Seconds | None = None
    ratio: float | None = None
    macs: Count | None = None
    params: Count | None = None
    accuracy: Share | None = None
    accuracy_validation: Share | None = None
    predicted_s: Seconds | None = None
    corrected_s: Seconds | None = None
    kind: str = "measured"


@dataclass(frozen=True, kw_only=True, slots=True)
class Staircase:
    """Latency of one fused layer as its output gets wider.

    Attributes:
        name: First convolution of the fused group.
        tie: The tie its output channels belong to.
        in_width: Input width held while the output was varied.
        widths: Output widths probed, ascending.
        latency_s: Monotone envelope of the median latency at these widths.
        latency_raw_s: The medians as measured; empty where not kept.
        candidates: Widths worth considering.
        candidates_of: The tie whose candidates they are.
        utilisation: On a simulated GPU, the share of all places of its waves that blocks fill; empty elsewhere.
        tile_utilisation: The share of its tiles' products that were asked for.
        throughput_macs_per_s: Multiply-accumulates per second.
        waves: Waves of thread blocks.
        extrapolated: The model of the device was not fitted to such layers.
    """

    name: str
    tie: str = ""
    in_width: Count | None = None
    widths: tuple[Count, ...] = ()
    latency_s: tuple[Seconds, ...] = ()
    latency_raw_s: tuple[Seconds, ...] = ()
    candidates: tuple[Count, ...] = ()
    candidates_of: str = ""
    utilisation: tuple[Share, ...] = ()
    tile_utilisation: tuple[Share, ...] = ()
    throughput_macs_per_s: tuple[Seconds, ...] = ()
    waves: tuple[Count, ...] = ()
    extrapolated: bool = False

    def __post_init__(self) -> None:
        """Checks that widths ascend and every width has its latency."""
        if list(self.widths) != sorted(set(self.widths)):
            raise RunError(f"`widths` of layer {self.name!r} must ascend, got {list(self.widths)[:8]}")
        for name in ("latency_s", "latency_raw_s", "utilisation", "tile_utilisation", "throughput_macs_per_s", "waves"):
            values: tuple[float, ...] = getattr(self, name)
            if len(values) != len(self.widths) and (values or name == "latency_s"):
                raise RunError(
                    f"`{name}` of layer {self.name!r} must have one value for each of its {len(self.widths)} widths, got {len(values)}"
                )

    @property
    def edges(self) -> tuple[int, ...]:
        """Right edges of the steps: the widths after which the envelope rises by over 3 %.

        The last width probed is an edge of the staircase as far as it is known, not of a step.

        Example:
            >>> Staircase(name="conv", widths=(8, 16, 17), latency_s=(1.0, 1.0, 1.5)).edges
            (16,)
        """
        pairs = zip(self.widths[:-1], self.latency_s[:-1], self.latency_s[1:], strict=True)
        return tuple(width for width, here, after in pairs if after > here * 1.03)

    def latency_at(self, width: int) -> float | None:
        """Latency of the envelope at ``width``: that of the next wider probe; ``None`` beyond the last.

        Example:
            >>> Staircase(name="conv", widths=(8, 16), latency_s=(1.0, 2.0)).latency_at(9)
            2.0
        """
        return next((latency for probed, latency in zip(self.widths, self.latency_s, strict=True) if probed >= width), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkCheck:
    """Prediction and measurement of something, side by side.

    Attributes:
        name: What was predicted: a network, or a layer of it.
        predicted_s: Latency predicted, in seconds.
        measured_s: Median latency measured, in seconds.
        min_s: Fastest repeat, in seconds.
        simulated_s: Latency on a device that is not here, in seconds.
    """

    name: str = ""
    simulated_s: Seconds | None = None
    predicted_s: Seconds | None = None
    measured_s: Seconds | None = None
    min_s: Seconds | None = None

    @property
    def error(self) -> float | None:
        """(predicted - measured) / measured; ``None`` where either is missing.

        Example:
            >>> round(NetworkCheck(predicted_s=0.9, measured_s=1.0).error, 3)
            -0.1
        """
        if self.predicted_s is None or not self.measured_s:
            return None
        return (self.predicted_s - self.measured_s) / self.measured_s

    @property
    def disagrees(self) -> bool:
        """Prediction and measurement differ by over 10 %."""
        return self.error is not None and abs(self.error) > DISAGREEMENT_RATIO


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """The staircases of a network on a device, and what they cost to find."""

    device: str = ""
    layers: tuple[Staircase, ...] = ()
    network: NetworkCheck | None = None
    probes: Count | None = None
    probes_cached: Count | None = None
    seconds: Seconds | None = None
    kind: str = "measured"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """A layer that was left alone, and why."""

    name: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class WhyRow:
    """One fused layer: work saved, time saved, and why the one did not follow the other."""

    layer: str
    macs_before: Count | None = None
    macs_after: Count | None = None
    latency_before_s: Seconds | None = None
    latency_after_s: Seconds | None = None
    reason: str | None = None

    @property
    def saved_s(self) -> float | None:
        """Seconds saved (negative: lost); ``None`` where a latency is missing."""
        if self.latency_before_s is None or self.latency_after_s is None:
            return None
        return self.latency_before_s - self.latency_after_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """Where fine-tuning stood after an epoch."""

    epoch: Finite
    loss: Finite | None = None
    accuracy_validation: Share | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FineTuning:
    """How accuracy came back."""

    history: tuple[Epoch, ...] = ()
    seconds: Seconds | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchRow:
    """One network on one device, from one interleaved run; ``ratio`` is against the first row of the same device."""

    model: str
    device: str = ""
    latency_s: Seconds | None = None
    min_s: Seconds | None = None
    ratio: float | None = None
    q1_s: Seconds | None = None
    q3_s: Seconds | None = None
    macs: Count | None = None
    params: Count | None = None
    noisy: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerWidth:
    """The width of one layer before and after; equal where it was kept."""

    layer: str
    before: int | None
    after: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RunReport:
    """Everything one report shows; what is absent is not shown.

    Attributes:
        name: Name of the run folder.
        model: The network, as the user named it.
        device: Where it was measured.
        threads: Threads of the runtime.
        batch: Images per run.
        precision: ``fp32``, ``bf16``...
        target: The latency target as typed, such as ``0.7x``.
        target_s: The same in seconds.
        met: The measured result meets the target.
        solver: Which solver chose the widths.
        objective: What it maximised.
        baseline: The network as it came.
        result: The network as it is now.
        widths: Width of every layer now; 0 for those left out.
        widths_before: Width of every layer as it came.
        left_alone: Layers that were not touched, with the reason.
        left_out: Residual blocks that are left out.
        refitted: Layers whose weights make up for removed channels.
        seconds: How long the run took.
        fine_tune: How accuracy came back.
        why: Work saved against time saved, per fused layer.
        audit: Further pairs of prediction and measurement.
        profile: The staircases behind the decision.
        rows: A bench's rows.
        warnings: What the run warned of.
        provenance: Pairs of what and value: host, versions, date, command line, seeds.
    """

    name: str = ""
    model: str = ""
    device: str = ""
    threads: Count | None = None
    batch: Count | None = None
    precision: str = ""
    target: str = ""
    target_s: Seconds | None = None
    met: bool | None = None
    solver: str = ""
    objective: str = ""
    baseline: Figures | None = None
    result: Figures | None = None
    widths: Mapping[str, Count] = field(default_factory=dict)
    widths_before: Mapping[str, Count] = field(default_factory=dict)
    left_alone: tuple[Reason, ...] = ()
    left_out: tuple[str, ...] = ()
    refitted: tuple[str, ...] = ()
    seconds: Seconds | None = None
    fine_tune: FineTuning | None = None
    why: tuple[WhyRow, ...] = ()
    audit: tuple[NetworkCheck, ...] = ()
    profile: Profile | None = None
    rows: tuple[BenchRow, ...] = ()
    warnings: tuple[str, ...] = ()
    provenance: tuple[tuple[str, str], ...] = ()

    @property
    def layer_widths(self) -> tuple[LayerWidth, ...]:
        """Every layer's width before and after, in the order of the result."""
        names = list(self.widths) or list(self.widths_before)
        rows = ((name, self.widths_before.get(name), self.widths.get(name, self.widths_before.get(name))) for name in names)
        return tuple(LayerWidth(layer=name, before=before, after=after) for name, before, after in rows if after is not None)

    @property
    def checks(self) -> tuple[NetworkCheck, ...]:
        """All pairs of prediction and measurement: the networks first, then parts of them."""
        found = []
        if self.profile is not None and self.profile.network is not None:
            network = self.profile.network
            found.append(NetworkCheck(name="before", predicted_s=network.predicted_s, measured_s=network.measured_s, min_s=network.min_s))
        if self.result is not None:
            after = self.result
            found.append(NetworkCheck(name="after", predicted_s=after.predicted_s, measured_s=after.latency_s, min_s=after.min_s))
        return tuple(check for check in (*found, *self.audit) if check.error is not None)
