"""What the terminal shows."""

from rich.console import Console

from edgewise.report import from_json
from edgewise.report.data import Profile, RunReport, Staircase
from edgewise.report.terminal import bench_table, fit_summary, profile_summary, sparkline


def shown(renderable, width=120):
    """The text a terminal of that width would show."""
    console = Console(width=width, record=True, force_terminal=False, file=None, quiet=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_a_fit_shows_its_decision_and_widths(vgg_fit):
    text = shown(fit_summary(from_json(vgg_fit)), width=160)
    assert "0.61x the time: 2.21 ms → 1.35 ms" in text
    assert "target 0.7x met" in text
    assert "widths changed: 12 of 13" in text
    assert "−0.27 points" in text


def test_names_are_not_markup_and_not_commands():
    report = from_json({"widths": {"[red]a\x1b[2J": 3}, "widths_before": {"[red]a\x1b[2J": 4}, "warnings": ["\x1b[31mboo"]})
    text = shown(fit_summary(report))
    assert "[red]a[2J" in text
    assert "\x1b" not in text


def test_a_profile_shows_a_staircase_a_layer(vgg_fit):
    text = shown(profile_summary(from_json(vgg_fit).profile))
    assert text.count("█") >= 13
    assert "predicted 2.18 ms, measured 2.26 ms (−3.5 %)" in text


def test_a_deep_profile_is_cut_with_a_count(deep_fit):
    assert "and 70 more layers" in shown(profile_summary(from_json(deep_fit).profile))


def test_a_bench_compares_with_the_first_of_the_same_device(bench_result):
    rows = [*bench_result["rows"], {"model": "resnet18", "device": "openvino-cpu", "min_s": 1e-3, "ratio": 1.0, "noisy": True}]
    lines = shown(bench_table(from_json({"rows": rows}).rows)).splitlines()
    assert [line.split("x ")[0].split()[-1] for line in lines[1:]] == ["1.00", "0.60", "0.83", "1.00"]
    assert "noisy" in lines[-1]


def test_sparklines_at_their_limits():
    assert sparkline(Staircase(name="c"), cells=3) == "   "
    assert sparkline(Staircase(name="c", widths=(7,), latency_s=(1.0,)), cells=3) == "███"
    assert sparkline(Staircase(name="c", widths=(1, 8), latency_s=(0.0, 1.0)), cells=2) == "██"


def test_nothing_known_prints_nothing_wrong():
    assert shown(fit_summary(RunReport())).strip() == ""
    assert "layer" in shown(profile_summary(Profile()))
