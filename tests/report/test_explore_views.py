"""A study in the terminal, in a notebook, and in words; and the colours of its methods."""

import itertools
import re
from importlib import resources

import numpy as np
import pytest
from rich.console import Console

from edgewise.report.charts.front import Mark, front_chart
from edgewise.report.explore_data import Contribution, Given, Reference, Study, Trial, study_from_json
from edgewise.report.explore_notebook import front_html
from edgewise.report.explore_terminal import explore_summary
from edgewise.report.explore_words import brought, commands, done, figure, standing, time_parts
from report.pages import HOSTILE
from report.studies import study, trial


def printed(value):
    """What a terminal of 150 columns shows."""
    console = Console(width=150, force_terminal=False)
    with console.capture() as capture:
        console.print(explore_summary(value))
    return capture.get()


def one(**changes):
    """A trial of which only the changes are known."""
    return Trial(**{"key": "a", "number": 1, "method": "widths", "state": "complete", **changes})


def test_the_terminal_ends_with_the_decision_and_what_to_type():
    value = study()
    best = next(row for row in value["trials"] if row["key"] == value["recommended"]["key"])
    lines = printed(value).rstrip().splitlines()
    assert lines[0].startswith("52 points tried in 1 h 58 min: ")
    rows = [line.split() for line in lines[2 : 2 + len(value["front"])]]
    ratios = [float(row[2].removesuffix("x")) for row in rows]
    assert ratios == sorted(ratios)
    assert [row[0] for row in rows if row[-1] == "recommended"] == [str(best["number"])]
    assert "without it the front loses" in "".join(lines)
    assert any(line.startswith("time: training 1 h 45 min (89 %)") for line in lines)
    assert lines[-4].startswith(f"{best['ratio']:.2f}x the time: point {best['number']}, {best['method']}")
    assert lines[-2] == f"measure it again: edgewise bench runs/explore-resnet20/{best['run']} --device {best['runtime']}"


def test_a_terminal_is_not_steered_by_names():
    value = study(n_trials=12)
    value["trials"][0].update(method="[red]w\x1b[2J")
    text = printed(
        {**value, "model": "\x1b[2J", "warnings": ["\x1b[2Jboo"], "recommended": {"key": value["trials"][0]["key"], "why": "\x1b"}}
    )
    assert "\x1b" not in text
    assert "[red]w[2J" in text


def test_a_study_without_a_front_says_so():
    assert "no point to recommend" in printed({"trials": [trial(1, "widths", None, None, state="failed", why="x")]})
    assert printed({}).startswith("No points tried")


def test_a_notebook_gets_a_drawing_and_a_table_and_no_script():
    value = study()
    page = front_html({**value, "model": HOSTILE})
    assert page.count("<tr") == 1 + len(value["front"])
    assert page.count("<svg") == 1
    assert "<script" not in page and "<img" not in page and "tabindex" not in page
    style = page.split("<style>")[1].split("</style>")[0]
    assert all(rule.strip().startswith(".edgewise-front") for block in style.split("}")[:-1] for rule in block.split("{")[0].split(","))


def test_a_notebook_shows_an_empty_study():
    assert "no points tried" in front_html({})


def test_the_figure_of_a_point_is_the_best_known():
    base = Study(baseline=Given(latency_s=2e-3))
    assert figure(base, one(ratio=1.02)) == ("1.02x", "the time: slower than it was")
    assert figure(base, one(predicted_s=1e-3)) == ("1.00 ms", "a run")
    assert figure(base, one(accuracy_validation=0.9)) == ("90.00 %", "validation accuracy")


def test_a_stopped_point_may_stand_on_the_front():
    stopped = one(state="stopped", why="at rung 0")
    assert standing(Study(trials=(stopped,), front=("a",)), stopped) == "on the front; stopped: at rung 0"


def test_what_was_done_in_words():
    assert done(one(architecture=("3x3-6", "skip"), epochs=1, origin="sampler")) == (
        "2 blocks searched; trained for 1 epoch; proposed by the sampler"
    )
    assert done(one(epochs=0)) == "not trained"


def test_commands_follow_the_runtime():
    in_openvino = commands(Study(device="onnxruntime-cpu"), one(run="trials/a", runtime="openvino-cpu"))
    assert in_openvino[1].text == "edgewise export trials/a --format openvino"
    assert commands(Study(device="titan-v"), one(run="trials/a", kind="simulated"))[0].text == "edgewise simulate trials/a --device titan-v"
    assert commands(Study(), one()) == ()


def test_what_a_method_brought():
    whole = Study(hypervolume=0.2, reference=Reference(ratio=1.1))
    assert brought(whole, Contribution()) == "not tried"
    assert brought(whole, Contribution(tried=3, hypervolume_without=0.2)) == "the front does without it"
    assert brought(whole, Contribution(tried=3, on_front=1, hypervolume_without=0.19)).endswith("loses 5.0 % of its hypervolume")


def test_the_parts_of_the_time_are_the_whole():
    parts = time_parts(study_from_json(study()))
    assert [part.name for part in parts] == ["training", "measuring", "planning", "everything else"]
    assert sum(part.share for part in parts) == pytest.approx(1)
    # Two networks trained at once: 150 s of training in 80 s of wall clock.
    parallel = Study(seconds=100.0, training_s=150.0, measuring_s=10.0, engine_share=0.1)
    assert [round(part.share, 3) for part in time_parts(parallel)] == [0.8, 0.1, 0.1]


def test_the_line_of_the_front_goes_through_its_points():
    marks = [Mark(key=str(n), latency_ms=ms, accuracy=a, front=True) for n, (ms, a) in enumerate([(1.0, 0.8), (2.0, 0.9)])]
    drawn = str(front_chart(marks, None))
    places = re.findall(r'<g transform="translate\(([\d.]+) ([\d.]+)\)', drawn)
    (x0, y0), (x1, y1) = places
    line = re.search(r'd="M([^"]+)" class="front"', drawn).group(1)
    assert line == f"{x0} {y0}L{x1} {y0}L{x1} {y1}L848 {y1}".replace(".0 ", " ").replace(".0L", "L")


# Machado, Oliveira and Fernandes 2009: linear RGB as seen with full protanomaly, deuteranomaly, tritanomaly.
_SEEN = {
    "usual": np.eye(3),
    "protan": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deutan": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "tritan": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}
_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour):
    value = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(light):
    share = _XYZ @ np.clip(light, 0, None) / np.array([0.9505, 1.0, 1.089])
    x, y, z = np.where(share > 0.008856, np.cbrt(share), 7.787 * share + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one_colour, other):
    bright, dark = sorted((float((_XYZ @ linear(colour))[1]) for colour in (one_colour, other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("place", "paper"), [(0, "#fbfaf7"), (1, "#131619")])
def test_colours_of_methods_stay_apart_for_every_eye(place, paper):
    style = (resources.files("edgewise.report") / "templates" / "explore.css").read_text()
    theme = style.split(":root {")[1 + place].split("}")[0]
    found = dict(re.findall(r"--m-([\w-]+): (#[0-9a-f]{6})", theme))
    ink = found.pop("ink")
    del found["other"]
    assert len(found) == 6
    for colour in found.values():
        assert contrast(colour, paper) > 4.4 and contrast(colour, ink) > 4.5
    for seen in _SEEN.values():
        apart = [np.linalg.norm(lab(seen @ linear(a)) - lab(seen @ linear(b))) for a, b in itertools.combinations(found.values(), 2)]
        assert min(apart) > 30
