"""A front as a notebook shows it: a drawing and a small table, without scripts, in the notebook's own colours."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from edgewise.report import explore_words, render
from edgewise.report.charts.front import front_chart, method_style
from edgewise.report.explore import chart_marks, default_point
from edgewise.report.explore_data import study_from_json

_SIZE = (680.0, 380.0)


def front_html(value: Mapping[str, Any]) -> str:
    """A fragment of HTML for ``_repr_html_``: what was tried, the front drawn, the front as a table.

    Args:
        value: The content of the study's ``result.json``.

    Returns:
        One ``div`` whose style touches nothing outside it; every text from the study is escaped.

    Raises:
        RunError: The value is damaged; the message names the part.
    """
    study = study_from_json(value)
    first = default_point(study)
    marks, given = chart_marks(study)
    chart = front_chart(marks, given, chosen="" if first is None else first.key, size=_SIZE, still=True) if marks else Markup("")
    rows = [(trial, method_style(trial.method), explore_words.latency_s(trial)) for trial in study.on_front]
    return render.fragment(
        "explore_front.html",
        styles=("explore_front.css",),
        study=study,
        counted=explore_words.counted(study),
        chart=chart,
        rows=rows,
        first=first,
    )
