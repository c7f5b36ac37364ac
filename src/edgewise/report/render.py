"""Reports as one HTML file each: no server, no network, readable without scripts."""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from edgewise.report import decision, sections, words
from edgewise.report.charts import Point, pareto_scatter, prediction_scatter, training_curve, widths_chart
from edgewise.report.data import BenchRow, Profile, RunReport

_WIDE, _NARROW = 860.0, 330.0
_FILTERS: Mapping[str, Callable[..., str]] = {
    "ms": words.ms,
    "count": words.count,
    "percent": words.percent,
    "duration": words.duration,
    "shortened": words.shortened,
    "unbroken": lambda text: text.replace(" %", "\N{NO-BREAK SPACE}%"),
    "breakable": lambda name: Markup("<wbr>").join(re.split(r"(?<=[._/])", name)),
}


def render_run(report: RunReport) -> str:
    """The report of one run: the decision first, then what it rests on.

    Args:
        report: What to show; absent parts are left out.

    Returns:
        A whole HTML page with its styles, drawings and script inside; it asks nothing of the network.

    Example:
        >>> page = render_run(RunReport(model="<b>"))
        >>> "<b>" in page, "&lt;b&gt;" in page
        (False, True)
    """
    checks = report.checks
    layers = report.layer_widths
    history = report.fine_tune.history if report.fine_tune is not None else ()
    goal = report.baseline.accuracy_validation if report.baseline is not None else None
    return page(
        "run.html",
        title=_title(report),
        report=report,
        headline=decision.headline(report),
        setting=decision.setting_words(report),
        tiles=decision.tiles(report),
        notes=decision.notes(report),
        waterfalls=[chart for width in (_WIDE, _NARROW) if (chart := sections.time_went(report, width=width)) is not None],
        why=sections.why_lines(report.why),
        silhouettes=[widths_chart(layers, width=width) for width in (_WIDE, _NARROW)] if layers else [],
        widths=sections.width_rows(layers),
        stairs=sections.stairs_groups(report),
        open_stairs=sections.OPEN_STAIRCASES,
        checks=checks,
        scatter=prediction_scatter(checks) if any(check.predicted_s for check in checks) else None,
        curve=training_curve(history, goal=goal) if _drawable(history) else None,
    )


def render_profile(profile: Profile, *, model: str = "", provenance: tuple[tuple[str, str], ...] = ()) -> str:
    """The report of a profile alone: staircases, and the network's prediction beside its measurement.

    Args:
        profile: The staircases.
        model: The network, as the user named it.
        provenance: Pairs of what and value.
    """
    return render_run(RunReport(model=model, device=profile.device, profile=profile, provenance=provenance))


def render_bench(rows: Sequence[BenchRow], *, provenance: tuple[tuple[str, str], ...] = ()) -> str:
    """The report of a bench: every network on every device, from one interleaved run."""
    return render_run(RunReport(model="Bench", rows=tuple(rows), provenance=provenance))


def render_comparison(reports: Sequence[RunReport]) -> str:
    """Several runs beside each other: one table, and accuracy against latency where both are known.

    Args:
        reports: Two or more; their names tell them apart.
    """
    return page(
        "comparison.html",
        title=f"{len(reports)} runs compared",
        reports=reports,
        lines=[(report, decision.headline(report), decision.setting_words(report), decision.target_words(report)) for report in reports],
        settings=sorted({decision.setting_words(report) for report in reports}),
        pareto=_pareto(reports),
    )


def _drawable(history: Sequence[Any]) -> bool:
    return any(epoch.loss is not None or epoch.accuracy_validation is not None for epoch in history)


def _title(report: RunReport) -> str:
    return " on ".join(part for part in (report.model or report.name or ("Bench" if report.rows else "Run"), report.device) if part)


def _pareto(reports: Sequence[RunReport]) -> list[Markup]:
    """Accuracy on the test part where any run has it, else on the validation part; baselines once each."""
    for field, y_title in (("accuracy", "test accuracy, %"), ("accuracy_validation", "validation accuracy, %")):
        found: dict[tuple[str, float, float], Point] = {}
        for report in reports:
            for figures, name, old in ((report.baseline, report.model, True), (report.result, report.name or report.model, False)):
                value = getattr(figures, field) if figures is not None else None
                if figures is not None and figures.latency_s is not None and value is not None:
                    point = Point(name=name, latency_s=figures.latency_s, value=value, baseline=old)
                    found.setdefault((name, 0.0, value) if old else (name, point.latency_s, value), point)
        if len(found) >= 2:
            return [pareto_scatter(tuple(found.values()), y_title=y_title, size=size) for size in ((760.0, 420.0), (_NARROW, 300.0))]
    return []


def page(
    template: str,
    *,
    styles: Sequence[str] = ("style.css",),
    scripts: Sequence[str] = ("script.js",),
    **values: Any,  # noqa: ANN401 - what templates take
) -> str:
    """A whole page from a template of this package, with the styles and the scripts inside.

    Args:
        template: Name of the template.
        styles: Names of style sheets, later ones win.
        scripts: Names of scripts; they become one, whose hash the page's policy names.
        **values: What the template shows; all of it is escaped.
    """
    script = _joined(scripts)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return fragment(template, styles=styles, script=Markup(script), script_hash=digest, **values)


def fragment(template: str, *, styles: Sequence[str], **values: Any) -> str:  # noqa: ANN401 - what templates take
    """What a template of this package makes of values, with the styles inside.

    Args:
        template: Name of the template.
        styles: Names of style sheets, later ones win.
        **values: What the template shows; all of it is escaped but for our own markup.
    """
    # The style and the script are ours and stand in the file as they are; all else is escaped.
    return _environment().get_template(template).render(style=Markup(_joined(styles)), ratio=words.ratio, **values)


def _joined(names: Sequence[str]) -> str:
    return "\n".join(_file(name) for name in names)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_file), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(_FILTERS)
    return environment


def _file(name: str) -> str:
    return (resources.files("edgewise.report") / "templates" / name).read_text(encoding="utf-8")
