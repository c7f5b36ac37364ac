"""The training curve: how accuracy came back, and the loss below it."""

from collections.abc import Sequence

from markupsafe import Markup

from edgewise.report.charts.scale import Scale
from edgewise.report.charts.svg import drawing, element, line, marker, path, text, x_axis, y_axis
from edgewise.report.data import Epoch
from edgewise.report.words import percent, significant

_LEFT = 46.0


def training_curve(history: Sequence[Epoch], *, goal: float | None = None, size: tuple[float, float] = (420.0, 340.0)) -> Markup:
    """Validation accuracy over the epochs with the baseline as a line, and the loss under it.

    Args:
        history: Epochs in order, at least one.
        goal: Validation accuracy of the baseline, a share.
        size: Width and height of the drawing.

    Returns:
        An SVG with one or two panels that share their x axis.
    """
    right, bottom = size[0] - 12, size[1] - 40
    first, last = history[0].epoch, history[-1].epoch
    x = Scale(low=min(first, last), high=max(first, last) if first != last else first + 1, start=_LEFT, end=right)
    accuracies = [(epoch.epoch, epoch.accuracy_validation * 100) for epoch in history if epoch.accuracy_validation is not None]
    losses = [(epoch.epoch, epoch.loss) for epoch in history if epoch.loss is not None]
    split = bottom - 92 if accuracies and losses else bottom if accuracies else 0.0
    panels = []
    if accuracies:
        panels.append(_accuracy_panel(accuracies, goal, x, split))
    if losses:
        panels.append(_panel(losses, x, (split + 34 if accuracies else 30.0, bottom), "training loss", "loss"))
    title = x_axis(x, top=30, bottom=bottom, title="epoch")
    ends = f"from {accuracies[0][1]:.2f} % to {accuracies[-1][1]:.2f} %" if accuracies else "of the loss only"
    return drawing("Fine-tuning", f"Validation accuracy over {len(history)} epochs, {ends}", size, *panels, title)


def _accuracy_panel(values: Sequence[tuple[float, float]], goal: float | None, x: Scale, bottom: float) -> Markup:
    extra = [] if goal is None else [goal * 100]
    panel = _panel(values, x, (30.0, bottom), "validation accuracy, %", "after", extra=extra)
    y = _fitted([value for _, value in values] + extra, 30.0, bottom)
    last_epoch, last = values[-1]
    parts = [panel, marker(x(last_epoch), y(last), "pin after", f"epoch {last_epoch:g}: {last:.2f} %", radius=4.5)]
    if goal is not None:
        words = text(f"before: {percent(goal)}", x.end, y(goal * 100) - 5, "label", "end")
        parts += [line(x.start, y(goal * 100), x.end, y(goal * 100), "goal"), words]
    return element("g", *parts)


def _panel(
    values: Sequence[tuple[float, float]], x: Scale, span: tuple[float, float], title: str, kind: str, *, extra: Sequence[float] = ()
) -> Markup:
    y = _fitted([value for _, value in values] + list(extra), *span)
    dots = (marker(x(epoch), y(value), "hit", f"epoch {epoch:g}: {significant(value)}", radius=7) for epoch, value in values)
    curve = path([(x(epoch), y(value)) for epoch, value in values], f"curve {kind}")
    return element("g", y_axis(y, left=x.start, right=x.end, title=title), curve, *(dots if len(values) <= 200 else ()))


def _fitted(values: Sequence[float], top: float, bottom: float) -> Scale:
    margin = (max(values) - min(values)) * 0.12 or abs(max(values)) * 0.05 or 1.0
    return Scale(low=min(values) - margin, high=max(values) + margin, start=bottom, end=top)
