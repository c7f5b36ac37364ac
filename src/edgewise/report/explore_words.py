"""A study in words: what each point is, what it takes to load it, what each method brought, where the time went."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from edgewise.report.decision import Tile, TileRow
from edgewise.report.explore_data import Contribution, Study, Trial
from edgewise.report.words import count, duration, ms, percent, points, printable, ratio, significant

_CHIPS = ("isaac", "puma", "prime", "chip:")
_BENCHED = ("onnxruntime-cpu", "openvino-cpu", "torch-cpu", "torch-compile-cpu", "cuda", "exec:")
_ORIGINS = {"solver": "planned with the solver", "sampler": "proposed by the sampler", "given": "asked for"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A line to type, and what for."""

    purpose: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A share of something, with its name, its figure in words, and its share of the whole."""

    name: str
    figure: str
    share: float
    class_: str = ""


def figure(study: Study, trial: Trial) -> tuple[str, str]:
    """The leading figure of a point and what it is: the share of the time that is left, else a time, else an accuracy.

    Example:
        >>> figure(Study(), Trial(key="a", number=1, method="widths", state="complete", ratio=0.71))
        ('0.71x', 'the time')
    """
    if trial.ratio is not None:
        return f"{trial.ratio:.2f}x", "the time" if trial.ratio <= 1 else "the time: slower than it was"
    if latency_s(trial) is not None:
        return ms(latency_s(trial)), "a run"
    return percent(trial.accuracy_validation), "validation accuracy"


def latency_s(trial: Trial) -> float | None:
    """The latency of a point as it is printed: the median, else the fastest repeat, else the prediction."""
    return next((value for value in (trial.latency_s, trial.min_s, trial.predicted_s) if value is not None), None)


def cost(study: Study, trial: Trial) -> str:
    """What a point costs in accuracy on the validation part, in words; empty where it is unknown.

    Example:
        >>> cost(Study(), Trial(key="a", number=1, method="widths", state="complete", accuracy_validation=0.9))
        '90.00 % validation accuracy'
    """
    before, after = study.baseline.accuracy_validation, trial.accuracy_validation
    if after is None:
        return ""
    return f"{percent(after)} validation accuracy" + ("" if before is None else f" ({points(after - before)})")


def standing(study: Study, trial: Trial) -> str:
    """Where a point stands: on the front, complete but beaten, or why it was stopped or failed.

    Example:
        >>> standing(Study(), Trial(key="a", number=1, method="widths", state="failed", why="out of memory"))
        'failed: out of memory'
    """
    if trial.key in study.front:
        return "on the front" + (f"; {trial.state}: {trial.why}" if trial.state != "complete" and trial.why else "")
    if trial.state == "complete":
        return "complete"
    return f"{trial.state}: {trial.why}" if trial.why else trial.state


def done(trial: Trial) -> str:
    """What was done to the network, in a sentence without its full stop.

    Example:
        >>> done(Trial(key="a", number=1, method="dynamic", state="complete", channel_ratios=(0.0, 0.4), epochs=3))
        'channels pruned for each input by up to 40 %; trained for 3 epochs'
    """
    parts = [f"widths of {len(trial.widths)} ties changed"] if trial.widths else []
    if trial.architecture:
        parts.append(f"{len(trial.architecture)} blocks searched")
    for name, ratios in (("channels", trial.channel_ratios), ("positions", trial.spatial_ratios)):
        if any(ratios):
            parts.append(f"{name} pruned for each input by up to {percent(max(ratios), digits=0)}")
    if trial.epochs is not None:
        parts.append(f"trained for {trial.epochs:g} epoch{'s' if trial.epochs != 1 else ''}" if trial.epochs else "not trained")
    if trial.origin:
        parts.append(_ORIGINS.get(trial.origin, trial.origin))
    return "; ".join(parts)


def tooltip(study: Study, trial: Trial) -> str:
    """Three lines about a point: what it is, its figures, where it stands."""
    share = "" if trial.ratio is None else f" ({trial.ratio:.2f}x)"
    figures = f"{ms(latency_s(trial))}{share} {trial.shown_kind}, {percent(trial.accuracy_validation)} validation"
    return f"Point {trial.number}: {trial.method}\n{figures}\n{standing(study, trial)}"


def tiles(study: Study, trial: Trial) -> tuple[Tile, ...]:
    """Latency, accuracy, multiply-accumulates, parameters (and energy, where known), each before and after."""
    given = study.baseline
    fastest = TileRow(label="fastest", before=ms(given.min_s), after=ms(trial.min_s))
    predicted = TileRow(label="predicted", before="", after=ms(trial.predicted_s))
    rows = ((fastest, trial.min_s), (predicted, trial.predicted_s))
    found = [
        Tile(
            name="Latency, median" if trial.shown_kind == "measured" else "Latency",
            before=ms(given.latency_s),
            after=ms(latency_s(trial)),
            change="" if trial.ratio is None else f"{trial.ratio:.2f}x",
            kind=", ".join(part for part in (trial.shown_kind, trial.runtime, "noisy" if trial.noisy else "") if part),
            rows=tuple(row for row, value in rows if value is not None),
        ),
        _accuracy(study, trial),
        _counted("MACs executed" if trial.macs_executed is not None else "MACs", given.macs, _executed(trial)),
        _counted("Parameters", given.params, trial.params),
    ]
    if trial.energy_j is not None:
        energy = (joules(given.energy_j), joules(trial.energy_j))
        change = ratio(trial.energy_j, given.energy_j)
        found.append(Tile(name="Energy", before=energy[0], after=energy[1], change=change, kind=trial.shown_kind))
    return tuple(found)


def joules(value: float | None) -> str:
    """An energy with three significant digits in J, mJ or µJ; a dash where it is unknown.

    Example:
        >>> joules(0.00213), joules(None)
        ('2.13 mJ', '–')
    """
    if value is None:
        return "–"
    unit, scale = next(((unit, scale) for unit, scale in (("J", 1.0), ("mJ", 1e3)) if value * scale >= 1), ("µJ", 1e6))
    return f"{significant(value * scale)} {unit}"


def commands(study: Study, trial: Trial) -> tuple[Command, ...]:
    """What to type to measure, export, load and describe a point; none where it has no run folder."""
    if not trial.run:
        return ()
    folder = "/".join(part for part in (study.run.rstrip("/"), trial.run) if part)
    quoted = shlex.quote(printable(folder))
    form = "openvino" if "openvino" in (trial.runtime or study.device) else "onnx"
    return (
        Command(purpose="measure it again", text=_measure(study, trial, quoted)),
        Command(purpose="export it", text=f"edgewise export {quoted} --format {form}"),
        Command(
            purpose="load it in Python",
            text=f"from edgewise.recipes.runs import load_model\nmodel = load_model({printable(folder)!r}).model",
        ),
        Command(purpose="its own report", text=f"edgewise report {quoted}"),
    )


def brought(study: Study, contribution: Contribution) -> str:
    """What the front would lose without a method, in words.

    Example:
        >>> brought(Study(hypervolume=0.2), Contribution(tried=3, hypervolume_without=0.15))
        'without it the front loses 25.0 % of its hypervolume'
    """
    if not contribution.tried:
        return "not tried"
    if not contribution.on_front and contribution.hypervolume_without in (None, study.hypervolume):
        return "the front does without it"
    lost = lost_share(study, contribution)
    if lost is None:
        return ""
    return f"without it the front loses {percent(lost, digits=1)} of its hypervolume"


def lost_share(study: Study, contribution: Contribution) -> float | None:
    """The share of the hypervolume that is lost without a method; ``None`` where it is unknown."""
    if not study.hypervolume or contribution.hypervolume_without is None:
        return None
    return min(max(1 - contribution.hypervolume_without / study.hypervolume, 0.0), 1.0)


def time_parts(study: Study) -> tuple[Part, ...]:
    """Where the wall clock went: training, measuring, planning, and the rest; none where it is unknown."""
    if not study.seconds or study.training_s is None:
        return ()
    known = (("measuring", study.measuring_s, "grown"), ("planning", study.planning_s, "plan"))
    parts = [("training", _training_wall_s(study), "after"), *((name, seconds, class_) for name, seconds, class_ in known if seconds)]
    rest = study.seconds - sum(seconds for _, seconds, _ in parts)
    if rest > 0:
        parts.append(("everything else", rest, "before"))
    whole = max(study.seconds, sum(seconds for _, seconds, _ in parts))
    return tuple(Part(name=name, figure=duration(seconds), share=seconds / whole, class_=class_) for name, seconds, class_ in parts)


def _training_wall_s(study: Study) -> float:
    """Wall clock of training: less than its sum where several networks were trained at once."""
    training_s, seconds = study.training_s or 0.0, study.seconds or 0.0
    if study.engine_share is None:
        return min(training_s, seconds)
    return min(training_s, max(seconds * (1 - study.engine_share) - (study.measuring_s or 0.0), 0.0))


def counted(study: Study) -> str:
    """How many points were tried and what became of them, in a sentence without its full stop.

    Example:
        >>> counted(Study())
        'no points tried'
    """
    states = [trial.state for trial in study.trials]
    if not states:
        return "no points tried"
    fate: Mapping[str, int] = {"stopped early": states.count("stopped"), "failed": states.count("failed")}
    others = "".join(f", {number} {name}" for name, number in fate.items() if number)
    tried = f"{len(states)} point{'s' if len(states) != 1 else ''} tried"
    took = "" if study.seconds is None else f" in {duration(study.seconds)}"
    return f"{tried}{took}: {len(study.front)} on the front{others}"


def _measure(study: Study, trial: Trial, folder: str) -> str:
    device = trial.runtime if trial.runtime.startswith(_BENCHED) and " " not in trial.runtime else study.device
    device = shlex.quote(printable(device))
    if trial.kind != "simulated":
        return f"edgewise bench {folder}" + (f" --device {device}" if device != "''" else "")
    return (
        f"edgewise crossbar {folder} --chip {device}"
        if study.device.startswith(_CHIPS)
        else f"edgewise simulate {folder} --device {device}"
    )


def _executed(trial: Trial) -> float | None:
    return trial.macs_executed if trial.macs_executed is not None else trial.macs


def _counted(name: str, before: float | None, after: float | None) -> Tile:
    return Tile(name=name, before=count(before), after=count(after), change=ratio(after, before), kind="counted")


def _accuracy(study: Study, trial: Trial) -> Tile:
    """The validation part leads: it chose. The test part was looked at for the front alone."""
    given = study.baseline
    test = TileRow(
        label="test", before=percent(given.accuracy), after=percent(trial.accuracy), change=_moved(given.accuracy, trial.accuracy)
    )
    return Tile(
        name="Accuracy, validation",
        before=percent(given.accuracy_validation),
        after=percent(trial.accuracy_validation),
        change=_moved(given.accuracy_validation, trial.accuracy_validation, unit=" points"),
        kind="measured" if trial.accuracy_validation is not None else "",
        rows=(test,) if trial.accuracy is not None else (),
    )


def _moved(before: float | None, after: float | None, *, unit: str = "") -> str:
    return "" if before is None or after is None else points(after - before).removesuffix(" points") + unit
