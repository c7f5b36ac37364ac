"""Charts as inline SVG, drawn by pure functions from plain numbers.

Colours come from the page's style sheet by class names (``before``, ``after``, ``muted``, ``grid``...),
so that one drawing serves light, dark and print.
"""

from edgewise.report.charts.bars import bar_pair, widths_chart
from edgewise.report.charts.curve import training_curve
from edgewise.report.charts.lines import lines_chart
from edgewise.report.charts.scatter import Point, pareto_scatter, prediction_scatter
from edgewise.report.charts.stairs import StairsMarks, staircase_chart
from edgewise.report.charts.waterfall import Drop, waterfall_chart

__all__ = [
    "Drop",
    "Point",
    "StairsMarks",
    "bar_pair",
    "lines_chart",
    "pareto_scatter",
    "prediction_scatter",
    "staircase_chart",
    "training_curve",
    "waterfall_chart",
    "widths_chart",
]
