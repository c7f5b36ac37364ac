"""The decision in words: the headline, its verdict, and the tiles of figures before and after."""

from dataclasses import dataclass, replace

from edgewise._core.units import format_seconds
from edgewise.report.data import Figures, RunReport
from edgewise.report.words import count, ms, percent, points, ratio

_NONE = Figures()
_FEW_POINTS = 0.10


@dataclass(frozen=True, kw_only=True, slots=True)
class Headline:
    """The one sentence a reader takes away.

    Attributes:
        figure: The share of the time that is left, such as ``0.61x``; a time where there is no baseline.
        claim: What the figure is.
        sentence: Times before and after, and where.
        kind: How the times came about.
        verdict: The target and whether it is met; empty without a target.
        met: Whether it is met; ``None`` without a target.
    """

    figure: str
    claim: str
    sentence: str
    kind: str = "measured"
    verdict: str = ""
    met: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TileRow:
    """One figure before and after; ``kind`` says how it came about."""

    label: str
    before: str
    after: str
    change: str = ""
    kind: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """One quantity: its leading figure, and further rows in small print."""

    name: str
    before: str
    after: str
    change: str = ""
    kind: str = ""
    rows: tuple[TileRow, ...] = ()
    note: str = ""


def setting_words(report: RunReport) -> str:
    """Where it runs, in words: device, threads, batch, precision.

    Example:
        >>> setting_words(RunReport(device="onnxruntime-cpu", threads=1, batch=1, precision="fp32"))
        'onnxruntime-cpu, 1 thread, batch 1, fp32'
    """
    simulated = report.profile is not None and report.profile.kind == "simulated"
    threads = "" if report.threads is None or simulated else f"{report.threads} thread{'s' if report.threads != 1 else ''}"
    batch = "" if report.batch is None else f"batch {report.batch}"
    return ", ".join(part for part in (report.device, threads, batch, report.precision) if part)


def target_words(report: RunReport) -> str:
    """The target as typed, or in seconds where only that is known; empty without one."""
    if report.target:
        return report.target
    return "" if report.target_s is None else format_seconds(report.target_s)


def headline(report: RunReport) -> Headline | None:
    """What to say first; ``None`` where the report holds no latency of a network.

    The ratio is the one that the result holds; without it the fastest repeats of one interleaved run
    are compared, else the medians, and where nothing was measured the predictions.

    Example:
        >>> before, after = Figures(min_s=2.26e-3), Figures(min_s=1.38e-3)
        >>> line = headline(RunReport(device="cpu", target="0.7x", met=True, baseline=before, result=after))
        >>> line.figure, line.sentence, line.verdict
        ('0.61x', '2.26 ms → 1.38 ms on cpu (fastest repeats)', 'target 0.7x met')
    """
    before, after = report.baseline or _NONE, report.result or _NONE
    judged = after.ratio if before.latency_s and after.latency_s is not None else None
    options = (
        (before.min_s if judged is None else None, after.min_s, "fastest repeats", after.kind),
        (before.latency_s, after.latency_s, "medians" if after.kind == "measured" else after.kind, after.kind),
        (before.predicted_s or before.latency_s, after.predicted_s, "prediction", "predicted"),
    )
    place = f" on {setting_words(report)}" if setting_words(report) else ""
    for old, new, which, kind in options:
        if old and new is not None:
            slower = new > old if judged is None else judged > 1
            return Headline(
                figure=ratio(new, old) if judged is None else ratio(judged, 1.0),
                claim="the time: slower than it was" if slower else "the time",
                sentence=f"{ms(old)} → {ms(new)}{place} ({which})",
                kind=kind,
                verdict=_verdict(report),
                met=report.met,
            )
    return _profile_headline(report, place)


def _profile_headline(report: RunReport, place: str) -> Headline | None:
    network = report.profile.network if report.profile is not None else None
    if network is not None and network.simulated_s is not None:
        return Headline(figure=ms(network.simulated_s), claim="a run", sentence=f"Simulated{place}: nothing was measured", kind="simulated")
    if network is None or network.measured_s is None:
        return None
    predicted = "" if network.predicted_s is None else f"; predicted from its layers {ms(network.predicted_s)}"
    return Headline(figure=ms(network.measured_s), claim="a run", sentence=f"Median{place}{predicted}")


def _verdict(report: RunReport) -> str:
    words = target_words(report)
    if not words or report.met is None:
        return ""
    return f"target {words} {'met' if report.met else 'missed'}"


def tiles(report: RunReport) -> tuple[Tile, ...]:
    """Latency, parameters, MACs and accuracy, each before and after; none where no network was measured."""
    if report.baseline is None and report.result is None:
        return ()
    before, after = report.baseline or _NONE, report.result or _NONE
    return (
        _latency_tile(_with_prediction(report, before), after),
        Tile(
            name="Parameters",
            before=count(before.params),
            after=count(after.params),
            change=ratio(after.params, before.params),
            kind="counted",
        ),
        Tile(name="MACs", before=count(before.macs), after=count(after.macs), change=ratio(after.macs, before.macs), kind="counted"),
        _accuracy_tile(before, after),
    )


def _with_prediction(report: RunReport, before: Figures) -> Figures:
    """The baseline, with the prediction that its profile made of it."""
    network = report.profile.network if report.profile is not None else None
    if before.predicted_s is not None or network is None:
        return before
    return replace(before, predicted_s=network.predicted_s)


def _latency_tile(before: Figures, after: Figures) -> Tile:
    rows = []
    for label, old, new, kind in (
        ("fastest", before.min_s, after.min_s, after.kind),
        ("predicted", before.predicted_s, after.predicted_s, "predicted"),
        ("corrected", before.corrected_s, after.corrected_s, "corrected"),
    ):
        if new is not None:
            rows.append(TileRow(label=label, before=ms(old), after=ms(new), change=_change(new, old, after.latency_s, kind), kind=kind))
    return Tile(
        name="Latency, median" if after.kind == "measured" else f"Latency, {after.kind}",
        before=ms(before.latency_s),
        after=ms(after.latency_s),
        change=ratio(after.latency_s, before.latency_s),
        kind=after.kind,
        rows=tuple(rows),
    )


def _change(new: float, old: float | None, measured: float | None, kind: str) -> str:
    """Measurements are compared with the baseline's, predictions with the measurement."""
    if kind in ("predicted", "corrected"):
        return "" if not measured else f"{percent((new - measured) / measured, digits=1, sign=True)}"
    return ratio(new, old)


def _accuracy_tile(before: Figures, after: Figures) -> Tile:
    pairs = (("test", before.accuracy, after.accuracy), ("validation", before.accuracy_validation, after.accuracy_validation))
    known = [(label, old, new) for label, old, new in pairs if old is not None or new is not None]
    if not known:
        return Tile(name="Accuracy", before="–", after="–", note="No data was given (--data), so accuracy was not measured.")
    (label, old, new), *rest = known
    rows = tuple(
        TileRow(label=name, before=percent(was), after=percent(now), change=_moved(was, now).removesuffix(" points"), kind="measured")
        for name, was, now in rest
    )
    return Tile(name=f"Accuracy, {label}", before=percent(old), after=percent(new), change=_moved(old, new), kind="measured", rows=rows)


def _moved(old: float | None, new: float | None) -> str:
    return "" if old is None or new is None else points(new - old)


def notes(report: RunReport) -> tuple[str, ...]:
    """What a reader must be warned of: the run's own warnings, and what its figures give away.

    Example:
        >>> print(*notes(RunReport(result=Figures(latency_s=2.0, predicted_s=1.0))))
        Prediction and measurement of the network after differ by −50.0 % (over 10 %): predicted 1000 ms, measured 2000 ms.
    """
    before, after = report.baseline or _NONE, report.result or _NONE
    found = list(report.warnings)
    if report.met is False and target_words(report):
        found.append(f"The target {target_words(report)} was missed; this is the best network found.")
    for check in report.checks:
        if check.disagrees and check.name == "after":  # what was profiled has its own warning
            apart = percent(check.error, digits=1, sign=True)
            which = f"Prediction and measurement of the network after differ by {apart} (over 10 %)"
            found.append(f"{which}: predicted {ms(check.predicted_s)}, measured {ms(check.measured_s)}.")
    for old, new in ((before.accuracy, after.accuracy),):
        if old is not None and new is not None and old - new > _FEW_POINTS:
            found.append(
                f"Accuracy fell from {percent(old)} to {percent(new)}. Likely causes: batch norm was not recalibrated, "
                "or too few epochs, or too high a learning rate."
            )
    return tuple(dict.fromkeys(found))
