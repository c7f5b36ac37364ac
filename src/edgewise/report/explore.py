"""The report of a study: the point to take for a target, the front with every point tried, what each method brought."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from edgewise.report import explore_words, render, words
from edgewise.report.charts.front import KINDS, METHODS, Mark, front_chart, method_style, shape
from edgewise.report.charts.svg import element
from edgewise.report.data import RunReport
from edgewise.report.decision import Tile, setting_words
from edgewise.report.explore_data import Contribution, Study, Trial, study_from_json
from edgewise.report.explore_words import Command, Part

_SIZES = ((860.0, 460.0), (340.0, 330.0))
MOST_PANELS = 300
"""So many points get figures and commands of their own, which bounds the size of the file; the front always does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One point in full: the decision for whoever takes it.

    Attributes:
        trial: The point.
        figure: Its leading figure.
        claim: What that is.
        lead: Its times and accuracies in a sentence.
        done: What was done to the network.
        standing: Where it stands.
        front: No other point beats it.
        tiles: Figures before and after.
        commands: What to type.
        pruned: Pairs of block and ratios, in words; empty for static networks.
    """

    trial: Trial
    figure: str
    claim: str
    lead: str
    done: str
    standing: str
    front: bool
    tiles: tuple[Tile, ...]
    commands: tuple[Command, ...]
    pruned: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Brought:
    """A row of what each method brought.

    Attributes:
        method: The method.
        letters: Its letters in the chart.
        class_: Its style class.
        contribution: Its counts.
        words: What the front would lose without it.
        alone: Hypervolume of its points alone.
        without: Hypervolume of all others.
        counts: Points tried, complete and on the front, as bars over each other.
        lost: The share that would be lost, as a bar.
    """

    method: str
    letters: str
    class_: str
    contribution: Contribution
    words: str
    alone: str
    without: str
    counts: Markup
    lost: Markup


def render_explore(value: Mapping[str, Any]) -> str:
    """The page for what ``explore`` wrote.

    Args:
        value: The content of the study's ``result.json``; with the study's folder as ``run``, commands name it.

    Returns:
        A whole HTML page that asks nothing of the network; without scripts it shows the recommended point, the chart and the table.

    Raises:
        RunError: The value is damaged; the message names the part.
    """
    study = study_from_json(value)
    first = default_point(study)
    return render.page(
        "explore.html",
        styles=("style.css", "explore.css"),
        scripts=("script.js", "explore.js"),
        title=" on ".join(part for part in (study.model or "Exploration", study.device) if part),
        study=study,
        setting=_setting(study),
        counted=explore_words.counted(study),
        first=first,
        panels=[panel(study, trial) for trial in _with_panels(study)],
        charts=charts(study, chosen="" if first is None else first.key),
        methods=[(method, *method_style(method), _tried(study, method)) for method in _methods(study)],
        kinds=[kind for kind in KINDS if any(trial.shown_kind == kind for trial in study.trials)],
        stopped=any(trial.state == "stopped" for trial in study.trials),
        rows=[_row(study, trial) for trial in _by_rank(study)],
        energy=any(trial.energy_j is not None for trial in study.trials),
        brought=brought(study),
        times=explore_words.time_parts(study),
        time_bar=_time_bar(explore_words.time_parts(study)),
        shape=shape,
        slider=_slider(study, first),
    )


def default_point(study: Study) -> Trial | None:
    """The point shown first: the recommended one, else the fastest of the front, else none."""
    if study.recommended is not None:
        return study.trial(study.recommended.key)
    return study.on_front[0] if study.front else None


def charts(study: Study, *, chosen: str = "") -> list[Markup]:
    """The front as a wide and a narrow drawing; none where no point has both a latency and an accuracy."""
    marks, given = chart_marks(study)
    return [front_chart(marks, given, chosen=chosen, size=size) for size in _SIZES] if marks else []


def chart_marks(study: Study) -> tuple[list[Mark], Mark | None]:
    """The points that can be drawn, those with a latency and an accuracy, and the network as given."""
    return [mark for trial in study.trials if (mark := _mark(study, trial)) is not None], _given(study)


def panel(study: Study, trial: Trial) -> Panel:
    """One point in full."""
    figure, claim = explore_words.figure(study, trial)
    times = f"{words.ms(study.baseline.time_s)} → {words.ms(explore_words.latency_s(trial))}" if study.baseline.time_s else ""
    ratios = _paired(trial)
    return Panel(
        trial=trial,
        figure=figure,
        claim=claim,
        lead=", ".join(part for part in (times, explore_words.cost(study, trial)) if part),
        done=explore_words.done(trial),
        standing=explore_words.standing(study, trial),
        front=trial.key in study.front,
        tiles=explore_words.tiles(study, trial),
        commands=explore_words.commands(study, trial),
        pruned=ratios,
    )


def brought(study: Study) -> list[Brought]:
    """What each method brought, in the order of the methods, with bars."""
    most = max((one.tried for one in study.contributions.values()), default=0)
    shares = {name: explore_words.lost_share(study, one) for name, one in study.contributions.items()}
    return [
        Brought(
            method=method,
            letters=method_style(method)[0],
            class_=method_style(method)[1],
            contribution=one,
            words=explore_words.brought(study, one),
            alone=_volume(one.hypervolume),
            without=_volume(one.hypervolume_without),
            counts=_bars(((one.tried, "tried"), (one.complete, "done"), (one.on_front, "best")), most=most),
            lost=_bars(((share, "best"),), most=1.0) if (share := shares[method]) else Markup(""),
        )
        for method in _methods(study)
        if (one := study.contributions.get(method)) is not None
    ]


def _volume(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _bars(parts: tuple[tuple[float, str], ...], *, most: float) -> Markup:
    """Bars over each other, the longest first; the words beside them say the same."""
    rects = [element("rect", x=0, y=2, width=100 * value / most, height=10, class_=f"share {name}") for value, name in parts if value]
    return element("svg", *rects, viewBox="0 0 100 14", preserveAspectRatio="none", class_="bar-pair", aria_hidden="true")


def _time_bar(parts: tuple[Part, ...]) -> Markup:
    """The wall clock as one bar; the list below it says the same."""
    starts = itertools.accumulate((part.share for part in parts), initial=0.0)
    rects = [
        element("rect", x=100 * start, y=0, width=100 * part.share, height=20, class_=part.class_)
        for start, part in zip(starts, parts, strict=False)
    ]
    return element("svg", *rects, viewBox="0 0 100 20", preserveAspectRatio="none", class_="time-bar", aria_hidden="true")


def _paired(trial: Trial) -> tuple[tuple[str, str, str], ...]:
    """Block, share of channels and share of positions pruned, in words."""
    n_blocks = max(len(trial.channel_ratios), len(trial.spatial_ratios))
    sides = [[*map(words.percent, ratios), *["–"] * (n_blocks - len(ratios))] for ratios in (trial.channel_ratios, trial.spatial_ratios)]
    return tuple((str(block + 1), *pair) for block, pair in enumerate(zip(*sides, strict=True)))


def _mark(study: Study, trial: Trial) -> Mark | None:
    drawn = study.drawn_s(trial)
    if drawn is None or trial.accuracy_validation is None:
        return None
    return Mark(
        key=trial.key,
        latency_ms=drawn * 1e3,
        accuracy=trial.accuracy_validation,
        method=trial.method,
        kind=trial.shown_kind,
        front=trial.key in study.front,
        stopped=trial.state != "complete" and trial.key not in study.front,
        words=explore_words.tooltip(study, trial),
    )


def _given(study: Study) -> Mark | None:
    given = study.baseline
    if given.time_s is None or given.accuracy_validation is None:
        return None
    said = f"As given: {words.ms(given.time_s)} {study.kind}, {words.percent(given.accuracy_validation)} validation accuracy"
    return Mark(key="", latency_ms=given.time_s * 1e3, accuracy=given.accuracy_validation, words=said)


def _methods(study: Study) -> list[str]:
    """The methods of this study: the known ones in their order, then others by name."""
    found = {trial.method for trial in study.trials} | set(study.contributions)
    return [*(method for method in METHODS if method in found), *sorted(found - set(METHODS))]


def _tried(study: Study, method: str) -> int:
    return sum(trial.method == method for trial in study.trials)


def _by_rank(study: Study) -> list[Trial]:
    """The front by latency, then complete ones, stopped ones and failed ones, each in the order of trials."""
    places = {key: place for place, key in enumerate(study.front)}
    states = {"complete": 0, "stopped": 1, "failed": 2}
    return sorted(study.trials, key=lambda trial: (places.get(trial.key, len(places)), states[trial.state], trial.number))


def _with_panels(study: Study) -> list[Trial]:
    first = default_point(study)
    ranked = _by_rank(study)
    kept = ranked[: max(MOST_PANELS, len(study.front))]
    return kept if first is None or first in kept else [first, *kept]


def _row(study: Study, trial: Trial) -> dict[str, Any]:
    letters, class_ = method_style(trial.method)
    return {
        "trial": trial,
        "letters": letters,
        "class_": class_,
        "front": trial.key in study.front,
        "standing": explore_words.standing(study, trial),
        "latency_s": explore_words.latency_s(trial),
        "macs": trial.macs_executed if trial.macs_executed is not None else trial.macs,
        "energy": explore_words.joules(trial.energy_j),
    }


def _setting(study: Study) -> str:
    return setting_words(RunReport(device=study.device, threads=study.threads, batch=study.batch, precision=study.precision))


def _slider(study: Study, first: Trial | None) -> dict[str, int] | None:
    """Range and start of the slider in hundredths of the given network's latency; none without ratios to choose by."""
    ratios = [trial.ratio for trial in study.on_front if trial.ratio is not None]
    if not ratios:
        return None
    low, high = int(min(ratios) * 100), max(100, int(max(ratios) * 100) + 1)
    start = high if first is None or first.ratio is None else int(first.ratio * 100 + 0.999)
    return {"low": low, "high": high, "start": min(max(start, low), high)}
